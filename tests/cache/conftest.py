from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.warm import WarmPython

PROGRAM = Path(__file__).parent / "writing.py"


def load_writing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("writing", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITING = load_writing()


@pytest.fixture(scope="session")
def writing() -> ModuleType:
    """Rows, keys and a run that computes them; see writing.py."""
    return WRITING


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def filled(folder: Path) -> Path:
    """A store of 20 rows in parts of 8, 8 and 4."""
    with WRITING.open_store(folder) as store:
        store.append([WRITING.key(index) for index in range(20)], WRITING.rows(range(20)))
    return folder


@pytest.fixture
def start(warm_python: WarmPython) -> Callable[..., Any]:
    """Start a run in a process of its own."""

    def begin(*arguments: object, **environment: str) -> Any:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error", **environment}
        return warm_python.start([PROGRAM, *arguments], env=env, stdout=None, stderr=None)

    return begin
