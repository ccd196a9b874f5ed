"""The canary in a classifier's folder: kept bit for bit, checked, and refused where it does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from savs.artifact import Artifact, Shot, _digest, _sha256, kept_widths, load_artifact, save_artifact
from savs.backbones._canary import Canary
from savs.classifiers import Method, SAVClassifier
from savs.errors import ArtifactError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 2, 3), (2, 3, 5)])
ENVIRONMENT = {"attention kernel": None, "device": "cpu", "dtype": "float32", "transformers": "5.3.0"}


@pytest.fixture
def artifact() -> Artifact:
    rows = np.random.default_rng(0).normal(size=(4, LAYOUT.width))
    labels = ["cat", "cat", "dog", "dog"]
    classifier = SAVClassifier(n_heads=2, layout=LAYOUT).fit(rows, labels)
    shots = [Shot(str(number), label, "0" * 64) for number, label in enumerate(labels)]
    width = sum(kept_widths(classifier))
    canary = Canary(
        ENVIRONMENT, ("text 1", "image 1"), np.random.default_rng(1).random((2, width), np.float32)
    )
    return Artifact(Method(), None, classifier, shots, None, None, None, None, {}, canary)


def saved(artifact: Artifact, folder: Path) -> Path:
    save_artifact(artifact, folder, card="card")
    return folder


def test__fault_32__saved_loaded_saved__same_bytes(artifact, tmp_path):
    first = saved(artifact, tmp_path / "first")
    again = load_artifact(first)
    assert again.canary.environment == ENVIRONMENT
    assert again.canary.probes == ("text 1", "image 1")
    np.testing.assert_array_equal(again.canary.vectors, artifact.canary.vectors, strict=True)
    second = saved(again, tmp_path / "second")
    names = {path.name for path in first.iterdir()}
    assert names == {path.name for path in second.iterdir()}
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test__fault_31__without_a_canary__is_read_as_none(artifact, tmp_path):
    assert load_artifact(saved(replace(artifact, canary=None), tmp_path / "x")).canary is None


def edited(folder: Path, change) -> Path:
    from safetensors.numpy import load, save

    index = json.loads((folder / "savs.json").read_text())
    path = folder / index["tensors"]["file"]
    tensors = load(path.read_bytes())
    change(index, tensors)
    content = save(tensors)
    path.write_bytes(content)
    index["tensors"]["sha256"] = _sha256(content)
    index["tensors"]["arrays"] = {name: [str(a.dtype), list(a.shape)] for name, a in sorted(tensors.items())}
    index["sha256"] = _digest(index)
    (folder / "savs.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda index, _: index.update(canary=None),
        lambda _, tensors: tensors.pop("canary"),
        lambda index, _: index["canary"].update(probes=["text 1", "no such probe"]),
        lambda index, _: index["canary"].update(probes=["text 1"]),
        lambda index, _: index["canary"].update(probes="text 1"),
        lambda index, _: index["canary"].update(environment=["cpu"]),
        lambda index, _: index["canary"].update(environment={"torch": 2}),
        lambda index, _: index["canary"].pop("environment"),
        lambda _, tensors: tensors.update(canary=tensors["canary"][:, 1:].copy()),
        lambda _, tensors: tensors.update(canary=tensors["canary"].astype(np.float64)),
        lambda _, tensors: tensors.update(canary=tensors["canary"] * np.float32(np.inf)),
        lambda _, tensors: tensors.update(canary=tensors["canary"][0].copy()),
    ],
)
def test__fault_29__canary_that_does_not_fit__is_refused(artifact, tmp_path, change):
    folder = saved(artifact, tmp_path / "x")
    assert load_artifact(edited(folder, lambda *_: None)).canary is not None
    with pytest.raises(ArtifactError, match="do not fit together"):
        load_artifact(edited(folder, change))
