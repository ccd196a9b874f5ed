"""Small random models of many families (from the backbones' tests), and a place for their stored modes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from savs.backbones import TransformersBackbone
from savs.doctor import examination


def _builders() -> Any:
    path = Path(__file__).parent.parent / "backbones" / "conftest.py"
    spec = importlib.util.spec_from_file_location("savs_family_builders", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there for their annotations
    spec.loader.exec_module(module)
    return module


BUILDERS = _builders()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAVS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time every mode once: more rounds make timings steadier, and no test judges them."""
    monkeypatch.setattr(examination, "_ROUNDS", 1)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def patient() -> Callable[..., TransformersBackbone]:
    """Build a family anew, with the class of its model or processor replaced by a faulty subclass."""

    def make(name: str, model_class: Any = None, processor_class: Any = None) -> TransformersBackbone:
        built = BUILDERS.make_family(name)
        if model_class is not None:
            built.model.__class__ = model_class(type(built.model))
        if processor_class is not None:
            built.processor.__class__ = processor_class(type(built.processor))
        return TransformersBackbone(built.model, built.processor)

    return make
