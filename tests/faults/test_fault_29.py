"""What a folder that came out of an archive may hold in place of a classifier's files."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from savs.artifact import SCHEMA_VERSION
from savs.errors import ArtifactError
from savs.model import SAVModel


def index(**tensors) -> str:
    stated = {"file": "c.safetensors", "sha256": "0" * 64, "arrays": {}, **tensors}
    classifier = {"estimator": "SAVClassifier"}
    body = {
        "schema_version": SCHEMA_VERSION,
        "tensors": stated,
        "classifier": classifier,
        "method": {"name": "sav"},
    }
    from hashlib import sha256

    digest = sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest})


def refused(path: Path | str) -> str:
    # The backbone would be asked for if anything of the classifier were used.
    with pytest.raises(ArtifactError) as caught:
        SAVModel.from_pretrained(path, backbone="no/such/backbone")
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("name", ["savs.json", "c.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "endless device", "folder", "link to itself", "dangling link"])
def test__fault_29__something_else_in_place_of_a_file__refused_without_waiting(tmp_path, name, kind):
    (tmp_path / "savs.json").write_text(index())
    path = tmp_path / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        target = {"endless device": "/dev/zero", "link to itself": name, "dangling link": "nowhere"}[kind]
        path.symlink_to(target)
    assert name in refused(tmp_path)


def test__fault_29__numbers_of_a_terabyte_of_nothing__refused_by_their_size(tmp_path):
    with (tmp_path / "c.safetensors").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "savs.json").write_text(index(arrays={"classifier.centroids": ["float64", [2, 8]]}))
    assert "larger than it can be" in refused(tmp_path)
    (tmp_path / "savs.json").write_text(index())
    assert "larger than it can be" in refused(tmp_path)


def test__fault_29__index_of_a_terabyte_of_nothing__refused_by_its_size(tmp_path):
    with (tmp_path / "savs.json").open("wb") as file:
        file.truncate(2**40)
    assert "larger than it can be" in refused(tmp_path)


@pytest.mark.parametrize(
    "arrays", [[], "x", {"a": ["float64"]}, {"a": ["object", [2]]}, {"a": ["f8", ["x"]]}]
)
def test__fault_29__sizes_that_are_none__refused(tmp_path, arrays):
    (tmp_path / "c.safetensors").write_bytes(b"")
    (tmp_path / "savs.json").write_text(index(arrays=arrays))
    refused(tmp_path)


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".zip", ".safetensors", ".json"])
def test__fault_29__single_file_handed_in__refused_unexecuted(tmp_path, suffix):
    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Code()))
    assert "expected a folder" in refused(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "", "no/such/folder"])
def test__fault_29__name_that_is_no_folder__refused(name):
    refused(name)
