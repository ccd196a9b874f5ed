"""Classifiers of schema 4 and a store from before keys named files: they answer, and nothing is lost.

``schema_4/`` and ``store/`` were written by that code on the bundled model, and are never written again;
``schema_4/expected.json`` is what it answered for three images, ``store_features.npy`` what the store holds.
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from savs import SAVModel, load_backbone
from savs.artifact import SCHEMA_VERSION, _digest, load_artifact, save_artifact
from savs.backbones import DriftWarning
from savs.cache import feature_keys, with_store
from savs.data import as_examples
from savs.errors import BackboneMismatchError

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "schema_4" / "expected.json").read_text())
IMAGES = [HERE / "images" / f"{name}.jpg" for name in ("deer", "ship", "truck")]
STORED = ["a red bus", "a blue car", IMAGES[0]]


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tiny")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAVS_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("name", EXPECTED)
def test__schema_4__loaded__answers_as_recorded(name, backbone):
    expected = EXPECTED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DriftWarning)  # under other versions than those of the fixture
        model = SAVModel.from_pretrained(HERE / "schema_4" / name, backbone=backbone)
    assert model.classes_.tolist() == expected["classes"]
    assert model.predict(IMAGES).tolist() == expected["labels"]
    np.testing.assert_allclose(model.predict_proba(IMAGES), expected["proba"], atol=1e-4)
    assert len(model.heads_) == expected["n_heads"]
    assert [list(head) for head in model.heads_[:5]] == expected["first_heads"]
    assert (model.estimate_ and model.estimate_.accuracy) == expected["estimate"]


@pytest.mark.parametrize("name", EXPECTED)
def test__schema_4__saved_again_alone__same_contents_and_still_no_canary(name, tmp_path):
    old = load_artifact(HERE / "schema_4" / name)
    assert old.canary is None
    save_artifact(old, tmp_path / "again", card="card")
    again = load_artifact(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "savs.json").read_text())["schema_version"] == SCHEMA_VERSION
    assert again.fingerprint == old.fingerprint
    assert again.method == old.method
    assert again.estimate == old.estimate
    assert again.canary is None


def with_versions(folder: Path, versions: dict[str, str]) -> Path:
    """Return a copy of a saved classifier that was fitted under other versions."""
    shutil.copytree(HERE / "schema_4" / "sav", folder)
    index = json.loads((folder / "savs.json").read_text())
    index["fingerprint"]["versions"] |= versions
    index["sha256"] = _digest(index)
    (folder / "savs.json").write_text(json.dumps(index))
    return folder


def test__schema_4__used_under_the_versions_of_its_fit_and_saved__gets_a_canary(backbone, tmp_path):
    folder = with_versions(tmp_path / "old", backbone.fingerprint["versions"])
    model = SAVModel.from_pretrained(folder, backbone=backbone)  # warnings are errors here
    model.save_pretrained(tmp_path / "new")
    new = load_artifact(tmp_path / "new")
    assert new.canary.probes == ("text 1", "text 2", "image 1", "image 2", "images 1")
    assert new.fingerprint["config_file_digest"] is not None
    assert new.fingerprint["source"] == "tiny"
    SAVModel.from_pretrained(tmp_path / "new", backbone=backbone).save_pretrained(tmp_path / "third")
    for name in ("savs.json", "README.md"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "third" / name).read_bytes()


def test__fault_31__schema_4__other_versions__one_warning_and_no_canary_when_saved(backbone, tmp_path):
    folder = with_versions(tmp_path / "old", {"transformers": "5.3.0"})
    with pytest.warns(
        DriftWarning, match=r"kept no check vectors.*\(.*transformers 5\.3\.0 -> .*\)"
    ) as caught:
        model = SAVModel.from_pretrained(folder, backbone=backbone)
    assert len(caught) == 1
    assert model.predict(IMAGES).tolist() == EXPECTED["sav"]["labels"]  # warnings are errors here
    model.save_pretrained(tmp_path / "new")
    assert load_artifact(tmp_path / "new").canary is None


def test__schema_4__other_versions_and_other_names__same_model__is_not_refused(backbone, tmp_path):
    folder = with_versions(tmp_path / "old", {"transformers": "5.3.0"})
    index = json.loads((folder / "savs.json").read_text())
    index["fingerprint"] |= {"config_digest": "of another release", "processor_class": "OldName"}
    index["sha256"] = _digest(index)
    (folder / "savs.json").write_text(json.dumps(index))
    with pytest.warns(DriftWarning):
        SAVModel.from_pretrained(folder, backbone=backbone)
    index["fingerprint"]["weights_digest"] = "of another model"
    index["sha256"] = _digest(index)
    (folder / "savs.json").write_text(json.dumps(index))
    with pytest.raises(BackboneMismatchError, match=r"transformers 5\.3\.0 -> .* may be the cause"):
        SAVModel.from_pretrained(folder, backbone=backbone)


@pytest.fixture
def store(tmp_path) -> Path:
    return Path(shutil.copytree(HERE / "store", tmp_path / "store"))


def test__fault_31__store_from_before__opens_with_one_warning_and_finds_every_row(backbone, store):
    stored = with_store(backbone, store)
    with pytest.warns(DriftWarning, match="without check vectors") as caught:
        found = stored.extract(as_examples(STORED))
    assert len(caught) == 1
    stored.extract(as_examples(["something new", *STORED]))  # warnings are errors here
    assert (stored.total.stored, stored.total.computed) == (6, 1)
    np.testing.assert_array_equal(found.features, np.load(HERE / "store_features.npy"))
    again = with_store(load_backbone("tiny"), store)  # no warning any more, it has a canary
    again.extract(as_examples(["something new", *STORED]))
    assert again.n_stored == 4


def test__store_from_before__keys_by_hand__are_those_of_what_it_recorded(backbone, store):
    opened = with_store(backbone, store).store
    keys = feature_keys(backbone, as_examples(STORED), opened.description.fingerprint)
    assert opened.missing(keys) == []
    assert feature_keys(backbone, as_examples(STORED)) != keys
