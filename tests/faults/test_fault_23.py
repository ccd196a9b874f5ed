"""A process killed while it saves a classifier over an older one: the folder holds the one or the other."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from savs.artifact import load_artifact, save_artifact

PROGRAM = Path(__file__).parent / "saving.py"


def load_saving() -> ModuleType:
    spec = importlib.util.spec_from_file_location("saving", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAVING = load_saving()


@pytest.fixture
def save(warm_python):
    """Save a classifier in a process of its own and return the exit code."""
    return lambda *arguments: warm_python.run([PROGRAM, *arguments]).returncode


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    folder = tmp_path_factory.mktemp("older") / "classifier"
    save_artifact(SAVING.artifact(1.0), folder, card="card")
    return folder


@pytest.mark.parametrize(
    ("call", "occurrence", "expected"),
    [
        ("fsync", 1, "1.0"),
        ("replace", 2, "1.0"),
        ("replace", 3, "1.0"),
        ("unlink", 1, "2.0"),
    ],
)
def test__fault_23__killed_while_saving_over_a_classifier__one_of_the_two_is_whole(
    older, tmp_path, save, call, occurrence, expected
):
    folder = tmp_path / "classifier"
    shutil.copytree(older, folder)
    assert save(folder, 2.0, call, occurrence) == -9
    assert load_artifact(folder).prompt == expected
    save_artifact(SAVING.artifact(2.0), folder, card="card")
    assert load_artifact(folder).prompt == "2.0"
    assert len(list(folder.glob("*.safetensors"))) == 1


def test__fault_23__killed_while_saving_the_first__no_classifier_and_the_next_save_works(tmp_path, save):
    folder = tmp_path / "classifier"
    assert save(folder, 1.0, "replace", 1) == -9
    save_artifact(SAVING.artifact(1.0), folder, card="card")
    assert load_artifact(folder).prompt == "1.0"
