"""Classifiers that were saved with schema 3, before methods got their present names, still answer alike.

``classifiers/`` was written by that code on the bundled model, and is never written again; ``expected.json``
is what it answered for the three images.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from savs import SAVModel, load_backbone
from savs.artifact import SCHEMA_VERSION, load_artifact, save_artifact

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
IMAGES = [HERE / "images" / f"{name}.jpg" for name in ("deer", "ship", "truck")]
NEW_NAMES = {"hec_left_out": "hec_v_loo", "discriminant_scaled": "lda_scaled", "last_state": "last_state"}


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tiny")


@pytest.mark.parametrize("name", EXPECTED)
def test__schema_3__loaded__answers_as_recorded(name, backbone):
    expected = EXPECTED[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SAVModel.from_pretrained(HERE / "classifiers" / name, backbone=backbone)
    assert len(caught) <= 1
    assert model.classes_.tolist() == expected["classes"]
    assert model.predict(IMAGES).tolist() == expected["labels"]
    np.testing.assert_allclose(model.predict_proba(IMAGES), expected["proba"], atol=1e-4)
    assert len(model.heads_) == expected["n_heads"]
    assert [list(head) for head in model.heads_[:5]] == expected["first_heads"]
    assert [shot.id for shot in model.shots_] == expected["shots"]
    assert (model.estimate_ and model.estimate_.accuracy) == expected["estimate"]
    chosen = expected["chosen"] and [NEW_NAMES[method] for method in expected["chosen"]]
    assert model.selection_report_.get("chosen") == chosen


@pytest.mark.parametrize("name", EXPECTED)
def test__schema_3__saved_again__has_the_present_schema_and_no_old_name(name, tmp_path):
    old = load_artifact(HERE / "classifiers" / name)
    save_artifact(old, tmp_path / "again", card="card")
    text = (tmp_path / "again" / "savs.json").read_text()
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION
    assert not [
        word
        for word in ("left_out", "left-out", "expert", "mixture", "discriminant_", "centring")
        if word in text
    ]
    again = load_artifact(tmp_path / "again")
    assert again.method == old.method
    assert again.report == old.report
    assert again.estimate == old.estimate
