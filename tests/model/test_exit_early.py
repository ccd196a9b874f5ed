"""A model that answers early: the same answers with and without batches, a store, or a saved folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.model.colors import PROMPT, image, shots

from savs import SAVModel
from savs.backbones import FakeBackbone, load_backbone
from savs.cache import with_store
from savs.classifiers.cascade import CascadeClassifier
from savs.errors import DataError


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tiny")


def fitted(backbone, method="kernel_ridge", **options):
    made = SAVModel(backbone, prompt=PROMPT, method=method, exit_early=0.05, **options)
    return made.fit(*shots(10, colours=("red", "blue")))


@pytest.fixture(scope="module")
def model(backbone):
    return fitted(backbone)


@pytest.fixture(scope="module")
def queries():
    # Mixtures of two colors are unsure at the first depths.
    mixed = []
    for seed, share in enumerate(np.linspace(0.05, 0.95, 16)):
        red, blue = (np.asarray(image(c, 100 + seed), np.float64) for c in ("red", "blue"))
        mixed.append(np.round(share * red + (1 - share) * blue).astype(np.uint8))
    return mixed


def test__predict__exit_early__as_the_classifier_on_whole_rows(model, queries):
    whole = model.head_vectors(queries, model.heads_)
    found = model.predict(queries, on_error="collect")
    labels, proba = model.predict_features(whole)
    assert found.labels == labels
    np.testing.assert_allclose(found.proba, proba, atol=1e-6)
    assert found.n_layers.tolist() == model._fitted.layers_passed(whole).tolist()
    assert found.n_layers.min() < 8
    assert model.predict(queries).tolist() == labels
    np.testing.assert_allclose(model.predict_proba(queries), proba, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test__predict__exit_early_in_batches__same_answers(model, queries, batch_size):
    one = model.predict(queries, on_error="collect", batch_size=1)
    found = model.predict(queries, on_error="collect", batch_size=batch_size)
    assert (found.labels, found.n_layers.tolist()) == (one.labels, one.n_layers.tolist())
    np.testing.assert_allclose(found.proba, one.proba, atol=1e-5)


def test__predict__layers_above_the_exit__do_not_run(model, backbone, queries):
    deepest = max(one.n_layers for one in model._fitted.exits)
    answers = model.predict(queries, on_error="collect")
    early = [q for q, n in zip(queries, answers.n_layers, strict=True) if n <= deepest]
    assert early
    ran = []
    hook = backbone.anatomy.layers[deepest].register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        model.predict(early[:1])
        assert not ran
        model.head_vectors(early[:1], model.heads_)
        assert ran
    finally:
        hook.remove()


def test__store__rows_are_whole_and_answers_the_same(model, backbone, queries, tmp_path):
    with_rows = fitted(with_store(backbone, tmp_path / "store"))
    first = with_rows.predict(queries, on_error="collect")
    again = with_rows.predict(queries, on_error="collect")
    plain = model.predict(queries, on_error="collect")
    counts = with_rows.store_counts
    assert (counts.computed, counts.stored) == (len(queries) + 20, len(queries))
    for found in (first, again):
        assert (found.labels, found.n_layers.tolist()) == (plain.labels, plain.n_layers.tolist())


@pytest.mark.parametrize("method", ["sav", "kernel_ridge", "auto"])
def test__save_and_load__exit_early__same_answers_and_bytes(backbone, queries, tmp_path, method):
    model = fitted(backbone, method)
    model.save_pretrained(tmp_path / "one", keep_shots=True)
    loaded = SAVModel.from_pretrained(tmp_path / "one", backbone=backbone)
    assert loaded.exit_early == 0.05
    assert loaded.selection_report_ == model.selection_report_
    assert loaded.predict(queries).tolist() == model.predict(queries).tolist()
    loaded.save_pretrained(tmp_path / "two", keep_shots=True)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    assert isinstance(loaded.classifier_, CascadeClassifier)
    loaded.remove_shots([loaded.shots_[0].id])
    assert isinstance(loaded.classifier_, CascadeClassifier)


def test__save__without_exit_early__says_nothing_of_it(backbone, tmp_path):
    SAVModel(backbone, prompt=PROMPT, method="hec_v").fit(*shots(3)).save_pretrained(tmp_path / "c")
    text = (tmp_path / "c" / "savs.json").read_text(encoding="utf-8")
    assert "exit_early" not in json.loads(text)["method"]


def test__out_of_fold__estimate_and_sets__are_of_the_cascades_answers(model):
    logs, labels = model.out_of_fold_log_proba_, [shot.label for shot in model._support.shots]
    answers = model.classes_[logs.argmax(axis=1)]
    assert model.estimate_.accuracy == np.mean(answers == labels)
    policy = model.abstention_policy(sets=0.3)
    asked = shots(4, start=50)[0]
    whole = model.head_vectors(asked, model.heads_)
    shares = np.exp(model._log_proba(whole))
    assert model.predict_set(asked, alpha=0.3) == policy.judge(whole, shares).sets


def test__out_of_distribution__reads_whole_rows(model, queries):
    policy = model.abstention_policy(sets=0.3, out_of_distribution=0.9)
    found = model.predict(queries, on_error="collect", abstention_policy=policy)
    marks = model.is_out_of_distribution(queries, 0.9)
    assert found.abstentions.out_of_distribution.tolist() == marks.tolist()


def test__explain_and_votes__exit_early__work_or_say_why_not(model, queries):
    assert model.explain(queries[0], tiles=2) is not None
    with pytest.raises(DataError, match="do not vote one by one"):
        model.votes(queries[:2])


def test__few_shots__nothing_is_answered_early(backbone, queries):
    model = SAVModel(backbone, prompt=PROMPT, method="kernel_ridge", exit_early=0.001)
    model.fit(*shots(2, colours=("red", "blue")))
    assert "no early answers" in model.selection_report_["exit_early"]["why"]
    assert set(model.predict(queries, on_error="collect").n_layers.tolist()) == {8}


@pytest.mark.parametrize("wrong", [0, 1.5, "x", True])
def test__model__impossible_loss__is_refused_before_a_backbone_is_loaded(wrong):
    with pytest.raises(ValueError, match="exit_early"):
        SAVModel("nowhere", exit_early=wrong)


def test__votes__early_answers__refusal_names_the_setting():
    early = SAVModel(FakeBackbone(), exit_early=0.1).fit(["red", "rose", "navy", "sea"], ["w", "w", "c", "c"])
    with pytest.raises(DataError, match="heads of method 'sav' with exit_early do not vote one by one"):
        early.votes(["red"])
