"""Methods that read how likely the model finds each class name, through the whole model."""

from __future__ import annotations

import numpy as np
import pytest
from tests.model.colors import PROMPT, shots, tiny

from savs.backbones import FakeBackbone, PromptTemplate
from savs.cache import StoredBackbone
from savs.data import as_example
from savs.errors import BackboneError, DataError, ItemError
from savs.model import MultiLabelModel, SAVModel, predict_together
from savs.model._class_names import option_texts

NAMES = ["blue", "green", "red"]
METHODS = ("option_likelihood", "auto_names")
TEXTS = ["crimson", "navy", "rose", "sea", "wine", "sky"]
LABELS = ["warm", "cold", "warm", "cold", "warm", "cold"]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test__names_alone__answers_by_the_likelihoods_also_when_loaded(tmp_path, method) -> None:
    queries, truth = shots(2, start=50)
    model = SAVModel(tiny(), prompt=PROMPT, method=method).fit_class_names(["red", "green", "blue"])
    asked = [PromptTemplate(PROMPT).apply(as_example(query)) for query in queries]
    sums = tiny().option_log_likelihood(asked, NAMES).sums
    answers = model.predict(queries).tolist()
    assert answers == [NAMES[winner] for winner in sums.argmax(axis=1)] == truth
    assert [head.is_options for head in model.heads_] == [True]
    shares = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(queries), shares, atol=1e-5)
    model.save_pretrained(tmp_path)
    loaded = SAVModel.from_pretrained(tmp_path, backbone=tiny())
    np.testing.assert_array_equal(loaded.predict_proba(queries), model.predict_proba(queries))


@pytest.mark.slow
def test__shots__likelihoods_end_every_row(tmp_path) -> None:
    queries, truth = shots(2, start=50)
    model = SAVModel(tiny(), prompt=PROMPT, method="auto_names").fit(*shots(4))
    assert model.predict(queries).tolist() == truth
    assert model.row_layout_.options == (model.layout.n_layers, 3)
    assert "option_likelihood" in model.selection_report_["candidates"]
    model.save_pretrained(tmp_path, keep_shots=True)
    loaded = SAVModel.from_pretrained(tmp_path, backbone=tiny())
    np.testing.assert_array_equal(loaded.predict_proba(queries), model.predict_proba(queries))
    more, labels = shots(1, start=80)
    loaded.add_shots(more, labels)
    assert loaded.predict(queries).tolist() == truth


def fake_model(method="option_likelihood", **options) -> SAVModel:
    return SAVModel(FakeBackbone(), method=method, **options)


def test__names_alone__no_heads_are_read() -> None:
    model = fake_model().fit_class_names(["warm", "cold"])
    backbone = model.backbone
    before = backbone.n_forward
    model.predict(TEXTS)
    assert backbone.n_forward - before == len(TEXTS)


@pytest.mark.parametrize("method", METHODS)
def test__store__heads_from_the_store_likelihoods_from_the_model(tmp_path, method) -> None:
    plain = fake_model(method).fit(TEXTS, LABELS)
    stored = fake_model(method, store=tmp_path / "store").fit(TEXTS, LABELS)
    assert isinstance(stored.backbone, StoredBackbone)
    again = fake_model(method, store=tmp_path / "store").fit(TEXTS, LABELS)
    for model in (stored, again):
        np.testing.assert_array_equal(model.predict_proba(["ruby"]), plain.predict_proba(["ruby"]))


@pytest.mark.parametrize("method", METHODS)
def test__classes_that_change__said_to_fit_again(method) -> None:
    model = fake_model(method).fit(TEXTS, LABELS)
    before = model.predict_proba(["ruby"])
    with pytest.raises(DataError, match="the class 'mild' is new"):
        model.add_shots(["grey"], ["mild"])
    model.add_shots(["ruby", "ice"], ["warm", "cold"])
    np.testing.assert_array_equal(fake_model(method).fit(TEXTS, LABELS).predict_proba(["ruby"]), before)
    three = fake_model(method).fit([*TEXTS, "grey", "fog"], [*LABELS, "mild", "mild"])
    ids = [shot.id for shot in three.shots_ if shot.label == "mild"]
    with pytest.raises(DataError, match="the class 'mild' has no shot any more"):
        three.remove_shots(ids)


def test__fit_again_on_other_classes__reads_their_names() -> None:
    model = fake_model().fit(TEXTS, LABELS)
    model.fit(TEXTS, ["hot" if label == "warm" else label for label in LABELS])
    assert model.classes_.tolist() == ["cold", "hot"]
    fresh = fake_model().fit(TEXTS, ["hot" if label == "warm" else label for label in LABELS])
    np.testing.assert_array_equal(model.predict_proba(["ruby"]), fresh.predict_proba(["ruby"]))


@pytest.mark.parametrize("method", METHODS)
def test__unreadable_query__only_that_one_is_lost(method, tmp_path) -> None:
    from savs.data import Example, Message
    from savs.media import Image

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    model = fake_model(method).fit(TEXTS, LABELS)
    bad = Example((Message("user", (Image(broken),)),), id="bad")
    found = model.predict(["ruby", bad, "ice"], on_error="collect")
    assert [error.id for error in found.errors] == ["bad"]
    assert found.labels == model.predict(["ruby", "ice"]).tolist()
    with pytest.raises(ItemError):
        model.predict(["ruby", bad])


def test__truth_values__yes_and_no_are_the_answers() -> None:
    assert option_texts([False, True]) == ("No", "Yes")
    assert option_texts([3, 7]) == ("3", "7")
    model = fake_model().fit_class_names([True, False])
    sums = FakeBackbone().option_log_likelihood([as_example("ruby")], ["No", "Yes"]).sums
    assert model.predict(["ruby"]).tolist() == [bool(sums[0].argmax())]


def test__explain__likelihoods_of_every_variant() -> None:
    model = fake_model("auto_names").fit(TEXTS, LABELS)
    assert model.explain("ruby").label in ("warm", "cold")


def test__backbone_without_likelihoods__named(tmp_path) -> None:
    class Plain(FakeBackbone):
        option_log_likelihood = None

    for store in (None, tmp_path / "store"):
        model = SAVModel(Plain(), method="option_likelihood", store=store)
        with pytest.raises(BackboneError, match="no likelihoods of class names"):
            model.fit(TEXTS, LABELS)
        with pytest.raises(BackboneError, match="no likelihoods of class names"):
            model.fit_class_names(["warm", "cold"])


def test__several_classifiers_at_once__refused() -> None:
    backbone = FakeBackbone()
    models = [SAVModel(backbone, method=name).fit(TEXTS, LABELS) for name in ("lda", "option_likelihood")]
    with pytest.raises(BackboneError, match="use predict of each"):
        predict_together(models, ["ruby"])
    with pytest.raises(ValueError, match="no probability of a single label"):
        MultiLabelModel(backbone, method="option_likelihood").fit(TEXTS, [[label] for label in LABELS])
