import json

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

from savs import HeadLayout, SAVClassifier, SAVModel, as_examples
from savs.backbones import PromptTemplate
from savs.backbones.fake import FakeBackbone
from savs.errors import (
    ArtifactError,
    BackboneError,
    BackboneMismatchError,
    DataError,
    ExampleError,
    ItemError,
)

LAYOUT = HeadLayout.uniform(3, 4, 8)
TEXTS = [f"{word} {index}" for index in range(6) for word in ("apple", "brick", "cloud")]
LABELS = ["fruit", "stone", "sky"] * 6


def fitted(**options) -> SAVModel:
    return SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5, **options).fit(TEXTS, LABELS)


def test__fit__makes_one_forward_pass_per_shot():
    backbone = FakeBackbone(layout=LAYOUT)
    SAVModel(backbone, n_heads=5).fit(TEXTS, LABELS)
    assert backbone.n_forward == len(TEXTS)


def test__model__equals_the_classifier_on_its_head_vectors():
    model = fitted(prompt="What? {question}")
    queries = ["apple", "brick 9", "something"]
    prompted = [PromptTemplate("What? {question}").apply(example) for example in as_examples(TEXTS)]
    features = FakeBackbone(layout=LAYOUT).extract(prompted).features
    classifier = SAVClassifier(n_heads=5, layout=LAYOUT).fit(features, np.array(LABELS))
    rows = model.head_vectors(queries)
    assert model.heads_ == classifier.heads_
    np.testing.assert_array_equal(model.head_scores_, classifier.head_scores_)
    np.testing.assert_array_equal(model.predict(queries), classifier.predict(rows))
    np.testing.assert_array_equal(model.predict_proba(queries), classifier.predict_proba(rows))
    np.testing.assert_array_equal(model.decision_function(queries), classifier.decision_function(rows))
    np.testing.assert_array_equal(model.votes(queries), classifier.classes_[classifier.votes(rows)])


def test__votes_and_shares__agree():
    model = fitted()
    votes, shares = model.votes(TEXTS), model.predict_proba(TEXTS)
    assert votes.shape == (len(TEXTS), 5)
    for column, label in enumerate(model.classes_):
        np.testing.assert_allclose((votes == label).mean(axis=1), shares[:, column])


@pytest.mark.parametrize("labels", [[0, 1, 2] * 6, ["a", "b", "c"] * 6, [True, False, True] * 6])
def test__fault_15__labels__come_back_with_their_type(labels, tmp_path):
    model = SAVModel(FakeBackbone(layout=LAYOUT)).fit(TEXTS, labels)
    model.save_pretrained(tmp_path)
    again = SAVModel.from_pretrained(tmp_path, backbone=FakeBackbone(layout=LAYOUT))
    for answers in (model.predict(TEXTS).tolist(), again.predict_each(TEXTS).labels):
        assert {type(answer) for answer in answers} == {type(labels[0])}
        assert set(answers) <= set(labels)
    json.dumps(model.predict_each(TEXTS).labels)


def test__score__is_the_share_of_right_answers():
    model = fitted()
    answers = model.predict(TEXTS).tolist()
    right = sum(answer == label for answer, label in zip(answers, LABELS, strict=True))
    assert model.score(TEXTS, LABELS) == right / len(TEXTS)
    with pytest.raises(DataError, match="a label on each"):
        model.score(TEXTS)


def test__predict_each__reports_bad_items_and_answers_the_rest(tmp_path):
    model = fitted()
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    items = ["apple", tmp_path / "broken.jpg", "cloud"]
    found = model.predict_each(items, max_errors=-1)
    assert found.indices.tolist() == [0, 2]
    assert [(error.id, error.code) for error in found.errors] == [("1", "image_undecodable")]
    assert found.labels == model.predict(["apple", "cloud"]).tolist()
    with pytest.raises(ItemError, match="1: "):
        model.predict_each(items)
    assert model.predict_each(items, max_errors=1).indices.tolist() == [0, 2]


def test__predict_each__counts_prompt_and_media_errors_together_in_order(tmp_path):
    rows = [{"text": name, "colour": "red", "label": name} for name in ("a", "b")]
    model = SAVModel(FakeBackbone(layout=LAYOUT), prompt="{colour} {text}").fit(rows)
    (tmp_path / "broken.jpg").write_bytes(b"")
    bad = [
        {"image": str(tmp_path / "broken.jpg"), "colour": "red", "text": "x"},
        {"text": "no colour"},
        rows[0],
    ]
    found = model.predict_each(bad, max_errors=2)
    assert [error.id for error in found.errors] == ["0", "1"]
    assert found.indices.tolist() == [2]
    with pytest.raises(ItemError):
        model.predict_each(bad, max_errors=1)
    none = model.predict_each(bad[:2], max_errors=-1)
    assert none.labels == []
    assert none.proba.shape == (0, 2)


def test__failed_fit__leaves_the_fitted_model_as_it_was(tmp_path):
    model = fitted()
    before = model.predict(TEXTS).tolist()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(ItemError):
        model.fit(["x", tmp_path / "broken.png"], ["a", "b"])
    with pytest.raises(DataError):
        model.fit(["x", "y"], ["a", "a"])
    assert model.predict(TEXTS).tolist() == before
    assert [shot.label for shot in model.shots_] == LABELS


def test__fault_14__shots_in_the_test_set__are_found_by_prompted_content():
    rows = [{"text": "same", "claim": claim, "label": claim} for claim in ("one", "two")]
    model = SAVModel(FakeBackbone(layout=LAYOUT), prompt="{text}: {claim}").fit(rows)
    assert model.find_leaks([{"text": "same", "claim": "three"}, {"text": "same", "claim": "two"}]) == [1]
    assert model.find_leaks([{"text": "no claim"}, {"text": "same", "claim": "one"}]) == [1]


def test__unfitted_model__says_so():
    with pytest.raises(NotFittedError, match="call fit"):
        SAVModel(FakeBackbone(layout=LAYOUT)).predict(["x"])


def test__fault_13__no_queries__is_one_clear_error_and_predict_each_gives_nothing():
    model = fitted()
    for method in (model.predict, model.predict_proba, model.decision_function, model.votes):
        with pytest.raises(DataError, match="0 examples"):
            method([])
    assert model.predict_each([]).labels == []


def test__unknown_placeholder__names_item_and_columns():
    model = SAVModel(FakeBackbone(layout=LAYOUT), prompt="Is {colour} nice?")
    with pytest.raises(ExampleError, match="colour"):
        model.fit([{"text": "x", "label": "a"}, {"text": "y", "label": "b"}])


def test__label_in_the_prompt__is_refused():
    rows = [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}]
    with pytest.raises(ExampleError, match="the answer must not stand in the prompt"):
        SAVModel(FakeBackbone(layout=LAYOUT), prompt="{text} {label}").fit(rows)


def test__save_and_load__same_answers_and_identical_bytes(tmp_path):
    model = fitted(prompt="Is it {question}?")
    model.save_pretrained(tmp_path / "a")
    loaded = SAVModel.from_pretrained(tmp_path / "a", backbone=FakeBackbone(layout=LAYOUT))
    loaded.save_pretrained(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    queries = [f"query {index}" for index in range(40)]
    np.testing.assert_array_equal(model.predict(queries), loaded.predict(queries))
    np.testing.assert_array_equal(model.predict_proba(queries), loaded.predict_proba(queries))
    assert loaded.heads_ == model.heads_
    assert loaded.estimate_ == model.estimate_
    assert loaded.prompt == "Is it {question}?"


def test__load__resolves_the_backbone_only_when_needed(tmp_path):
    fitted().save_pretrained(tmp_path)
    model = SAVModel.from_pretrained(tmp_path, backbone=str(tmp_path / "no-such-backbone"))
    assert model.heads_
    assert model.layout == LAYOUT
    with pytest.raises(Exception, match="no-such-backbone"):
        model.predict(["x"])


def test__load__recorded_backbone_is_gone__says_how_to_name_it(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeBackbone, "fingerprint", {"source": str(tmp_path / "gone"), "dtype": "float32"})
    fitted().save_pretrained(tmp_path / "c")
    with pytest.raises(BackboneError, match="gone; if the backbone is elsewhere now, name it with backbone="):
        SAVModel.from_pretrained(tmp_path / "c").predict(["x"])


def test__fault_30__another_backbone__is_refused_at_load_when_handed_in(tmp_path):
    fitted().save_pretrained(tmp_path)
    with pytest.raises(BackboneMismatchError, match="weights_digest"):
        SAVModel.from_pretrained(tmp_path, backbone=FakeBackbone(layout=LAYOUT, seed=1))
    other = SAVModel.from_pretrained(
        tmp_path,
        backbone=FakeBackbone(layout=LAYOUT, seed=1),
        allow_mismatch=("config_digest", "weights_digest", "processor_digest"),
    )
    assert len(other.predict(["x"])) == 1


def test__card__says_what_it_is(tmp_path):
    model = fitted(prompt="Is it {question}?")
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    for text in (
        "fruit, sky, stone",
        "Is it {question}?",
        "| fruit | 6 |",
        "5 of 12",
        "Estimated accuracy",
        "fake",
    ):
        assert text in card


def test__caller_data__is_not_changed():
    row = {"image": np.full((9, 9, 3), 7, np.uint8), "question": "q", "label": "a"}
    picture = Image.new("RGB", (9, 9))
    before = (row["image"].copy(), picture.tobytes(), list(row))
    SAVModel(FakeBackbone(layout=LAYOUT)).fit([row, {"image": picture, "label": "b"}])
    np.testing.assert_array_equal(row["image"], before[0])
    assert (picture.tobytes(), list(row)) == before[1:]


def test__to_artifact__unfitted__is_not_fitted_error(tmp_path):
    with pytest.raises(NotFittedError):
        SAVModel(FakeBackbone(layout=LAYOUT)).save_pretrained(tmp_path)
    with pytest.raises(ArtifactError):
        SAVModel.from_pretrained(tmp_path)
