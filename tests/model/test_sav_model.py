import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

from savs.backbones import FakeBackbone, PromptTemplate
from savs.backbones._fingerprint import weights_digest
from savs.cache import Counts, StoredBackbone
from savs.classifiers import SAVClassifier
from savs.data import DataWarning, as_examples
from savs.errors import (
    ArtifactError,
    BackboneError,
    BackboneMismatchError,
    DataError,
    ExampleError,
    ItemError,
    StoreError,
    StoreMismatchError,
)
from savs.layout import HeadLayout
from savs.model import SAVModel

ONE_SHOT_IS_ENOUGH = pytest.mark.filterwarnings("ignore:every class has one shot")
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
    model = SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5).fit(TEXTS, labels)
    model.save_pretrained(tmp_path)
    again = SAVModel.from_pretrained(tmp_path, backbone=FakeBackbone(layout=LAYOUT))
    for answers in (model.predict(TEXTS).tolist(), again.predict(TEXTS, on_error="collect").labels):
        assert {type(answer) for answer in answers} == {type(labels[0])}
        assert set(answers) <= set(labels)
    json.dumps(model.predict(TEXTS, on_error="collect").labels)


def test__score__is_the_share_of_right_answers():
    model = fitted()
    answers = model.predict(TEXTS).tolist()
    right = sum(answer == label for answer, label in zip(answers, LABELS, strict=True))
    assert model.score(TEXTS, LABELS) == right / len(TEXTS)
    with pytest.raises(DataError, match="examples have no label"):
        model.score(TEXTS)


def test__predict__collect__reports_bad_items_and_answers_the_rest(tmp_path):
    model = fitted()
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    items = ["apple", tmp_path / "broken.jpg", "cloud"]
    found = model.predict(items, on_error="collect")
    assert found.indices.tolist() == [0, 2]
    assert [(error.id, error.code) for error in found.errors] == [("1", "image_undecodable")]
    assert found.labels == model.predict(["apple", "cloud"]).tolist()
    with pytest.raises(ItemError, match="1: "):
        model.predict(items, on_error="collect", max_errors=0)
    assert model.predict(items, max_errors=1, on_error="collect").indices.tolist() == [0, 2]


@ONE_SHOT_IS_ENOUGH
def test__predict__collect__counts_prompt_and_media_errors_together_in_order(tmp_path):
    rows = [{"text": name, "colour": "red", "label": name} for name in ("a", "b")]
    model = SAVModel(FakeBackbone(layout=LAYOUT), prompt="{colour} {text}", n_heads=5).fit(rows)
    (tmp_path / "broken.jpg").write_bytes(b"")
    bad = [
        {"image": str(tmp_path / "broken.jpg"), "colour": "red", "text": "x"},
        {"text": "no colour"},
        rows[0],
    ]
    found = model.predict(bad, max_errors=2, on_error="collect")
    assert [error.id for error in found.errors] == ["0", "1"]
    assert found.indices.tolist() == [2]
    with pytest.raises(ItemError):
        model.predict(bad, max_errors=1, on_error="collect")
    none = model.predict(bad[:2], on_error="collect")
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


@ONE_SHOT_IS_ENOUGH
def test__fault_14__shots_in_the_test_set__are_found_by_prompted_content():
    rows = [{"text": "same", "claim": claim, "label": claim} for claim in ("one", "two")]
    model = SAVModel(FakeBackbone(layout=LAYOUT), prompt="{text}: {claim}", n_heads=5).fit(rows)
    assert model.find_test_leakage(
        [{"text": "same", "claim": "three"}, {"text": "same", "claim": "two"}]
    ) == [1]
    assert model.find_test_leakage([{"text": "no claim"}, {"text": "same", "claim": "one"}]) == [1]


def test__unfitted_model__says_so():
    with pytest.raises(NotFittedError, match="call fit"):
        SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5).predict(["x"])


def test__fault_13__no_queries__is_one_clear_error_and_collect_gives_nothing():
    model = fitted()
    for method in (model.predict, model.predict_proba, model.decision_function, model.votes):
        with pytest.raises(DataError, match="got 0"):
            method([])
    assert model.predict([], on_error="collect", max_errors=0).labels == []


def test__unknown_placeholder__names_item_and_columns():
    model = SAVModel(FakeBackbone(layout=LAYOUT), prompt="Is {colour} nice?", n_heads=5)
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


@ONE_SHOT_IS_ENOUGH
def test__caller_data__is_not_changed():
    row = {"image": np.full((9, 9, 3), 7, np.uint8), "question": "q", "label": "a"}
    image = Image.new("RGB", (9, 9))
    before = (row["image"].copy(), image.tobytes(), list(row))
    SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5).fit([row, {"image": image, "label": "b"}])
    np.testing.assert_array_equal(row["image"], before[0])
    assert (image.tobytes(), list(row)) == before[1:]


def test__to_artifact__unfitted__is_not_fitted_error(tmp_path):
    with pytest.raises(NotFittedError):
        SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5).save_pretrained(tmp_path)
    with pytest.raises(ArtifactError):
        SAVModel.from_pretrained(tmp_path)


def test__fit__more_heads_wanted_than_there_are__one_warning():
    with pytest.warns(
        DataWarning, match="n_heads is 20, but the backbone has 12 heads: all of them vote"
    ) as said:
        model = SAVModel(FakeBackbone(layout=LAYOUT)).fit(TEXTS, LABELS)
    assert (len(said), len(model.heads_)) == (1, 12)
    SAVModel(FakeBackbone(layout=LAYOUT), n_heads=12).fit(TEXTS, LABELS)


def test__fault_13__every_class_has_one_shot__warning_that_no_head_was_scored():
    with pytest.warns(DataWarning, match="every class has one shot: no head can be scored"):
        SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5).fit(TEXTS[:3], LABELS[:3])
    SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5).fit(TEXTS[:4], LABELS[:4])
    for method in ("hec_v", "hec_v_loo", "mean_proba", "auto"):  # these rank heads by single shots, too
        SAVModel(FakeBackbone(layout=LAYOUT), method=method, n_heads=None if method == "auto" else 5).fit(
            TEXTS[:3], LABELS[:3]
        )


class OrderedBackbone(FakeBackbone):
    """Its last bits depend on the place in the batch, as with padded batches of a real model."""

    def extract(self, examples, heads=None, **options):
        found = super().extract(examples, heads, **options)
        noise = 1e-6 * np.random.default_rng(0).standard_normal(found.features.shape, dtype=np.float32)
        return replace(found, features=found.features + noise)


def test__fault_21__order_of_the_shots__decides_no_byte_of_the_artifact(tmp_path):
    rows = [
        {"id": f"n{i}", "text": text, "label": label}
        for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    ]
    for seed in range(3):
        shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
        model = SAVModel(OrderedBackbone(layout=LAYOUT), n_heads=5).fit(shuffled)
        assert [shot.id for shot in model.shots_] == [row["id"] for row in shuffled]
        model.save_pretrained(tmp_path / str(seed))
    for path in (tmp_path / "0").iterdir():
        for seed in (1, 2):
            assert path.read_bytes() == (tmp_path / str(seed) / path.name).read_bytes()


def test__repr__backbone_and_state(tmp_path):
    assert repr(SAVModel(FakeBackbone(), n_heads=4)) == "SAVModel('fake', sav, not fitted, prompt=None)"
    model = fitted(prompt="Is it {question}?")
    expected = "SAVModel('fake', sav, 3 classes, 5 heads, prompt='Is it {question}?')"
    assert repr(model) == expected
    model.save_pretrained(tmp_path)
    assert repr(SAVModel.from_pretrained(tmp_path)) == expected
    moved = SAVModel.from_pretrained(tmp_path, backbone=tmp_path / "elsewhere")
    assert repr(moved) == expected.replace("'fake'", repr(str(tmp_path / "elsewhere")))
    lazy = SAVModel.from_backbone("nowhere/at-all", lazy=True)
    assert repr(lazy) == "SAVModel('nowhere/at-all', sav, not fitted, prompt=None)"


def test__predict__collect__items_that_are_no_examples__count_with_the_others(tmp_path):
    model = fitted(prompt="{question} {text}")
    (tmp_path / "broken.jpg").write_bytes(b"")
    items = [3, "apple", ("a.png", "<image><image>"), tmp_path / "broken.jpg", "http://x.org/a.png", "cloud"]
    found = model.predict(items, max_errors=4, on_error="collect")
    assert found.indices.tolist() == [1, 5]
    assert [error.id for error in found.errors] == ["0", "2", "3", "4"]
    with pytest.raises(ItemError):
        model.predict(items, max_errors=3, on_error="collect")
    assert model.find_test_leakage([3, "no", TEXTS[0]]) == [2]


class ModelBackbone(FakeBackbone):
    """With a model whose weights may change, and a fingerprint taken once, as the real one has them."""

    def __init__(self):
        import torch

        super().__init__(layout=LAYOUT)
        self.model = torch.nn.Linear(4, 4)
        self._weights = weights_digest(self.model)

    @property
    def fingerprint(self):
        return {**super().fingerprint, "weights_digest": self._weights}


def test__save__weights_changed_since_the_fit__refused_and_the_older_classifier_stays(tmp_path):
    backbone = ModelBackbone()
    model = SAVModel(backbone, n_heads=5).fit(TEXTS, LABELS)
    model.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    loaded = SAVModel.from_pretrained(tmp_path, backbone=backbone)
    backbone.model.weight.data[0, 0] += 1
    for stale in (model, loaded):
        with pytest.raises(ArtifactError, match="weights have changed"):
            stale.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    SAVModel.from_pretrained(tmp_path).save_pretrained(tmp_path / "copy")


def test__fault_30__refused_entries__are_an_attribute(tmp_path):
    fitted().save_pretrained(tmp_path)
    with pytest.raises(BackboneMismatchError) as refused:
        SAVModel.from_pretrained(tmp_path, backbone=FakeBackbone(layout=LAYOUT, seed=1))
    assert refused.value.entries == ("config_digest", "weights_digest", "processor_digest")
    with pytest.raises(BackboneMismatchError) as refused:
        SAVModel.from_pretrained(tmp_path, backbone=FakeBackbone(seed=1), allow_mismatch=["config_digest"])
    assert refused.value.entries == ("layout", "weights_digest", "processor_digest")
    assert all(entry in str(refused.value) for entry in refused.value.entries)
    assert "\n" not in str(refused.value)


def test__store__other_labels_and_heads__no_forward_pass(tmp_path):
    first = SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5, store=tmp_path).fit(TEXTS, LABELS)
    assert first.heads_ == fitted().heads_
    assert first.store_counts == Counts(len(TEXTS), 0, len(TEXTS))
    assert first.predict(["new", *TEXTS]).tolist() == fitted().predict(["new", *TEXTS]).tolist()
    backbone = FakeBackbone(layout=LAYOUT)
    second = SAVModel(backbone, n_heads=3, store=str(tmp_path)).fit(TEXTS, LABELS[::-1])
    plain = SAVModel(FakeBackbone(layout=LAYOUT), n_heads=3).fit(TEXTS, LABELS[::-1])
    np.testing.assert_array_equal(second.predict_proba(["new", "new"]), plain.predict_proba(["new", "new"]))
    assert (second.heads_, backbone.n_forward) == (plain.heads_, 0)
    assert second.store_counts == Counts(len(TEXTS) + 2, len(TEXTS) + 2, 0)
    SAVModel(backbone, n_heads=5, prompt="What? {question}", store=tmp_path).fit(TEXTS, LABELS)
    assert backbone.n_forward == len(TEXTS)


def test__store__saved_and_loaded__same_answers_and_files_as_without(tmp_path):
    backbone = ModelBackbone()
    model = SAVModel(backbone, n_heads=5, store=tmp_path / "store").fit(TEXTS, LABELS)
    model.save_pretrained(tmp_path / "kept")
    SAVModel(backbone, n_heads=5).fit(TEXTS, LABELS).save_pretrained(tmp_path / "plain")
    kept, plain = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("kept", "plain")
    )
    assert kept == plain
    seen = backbone.n_forward
    loaded = SAVModel.from_pretrained(tmp_path / "kept", backbone=backbone, store=tmp_path / "store")
    assert loaded.store_counts == Counts()
    assert loaded.predict(TEXTS).tolist() == model.predict(TEXTS).tolist()
    assert backbone.n_forward == seen
    assert isinstance(loaded.backbone, StoredBackbone)
    loaded.save_pretrained(tmp_path / "again")
    shared = SAVModel.from_pretrained(tmp_path / "kept", backbone=model.backbone, store=tmp_path / "store")
    assert shared.backbone is model.backbone
    backbone.model.weight.data[0, 0] += 1
    with pytest.raises(ArtifactError, match="weights have changed"):
        model.save_pretrained(tmp_path / "kept")


def test__store__errors__at_their_places(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    model = SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5, store=tmp_path / "s").fit(TEXTS, LABELS)
    queries = ["new", tmp_path / "bad.png", 3, TEXTS[0]]
    for spared in (1, 2):
        before = model.store_counts
        found, plain = (m.predict(queries, max_errors=2, on_error="collect") for m in (model, fitted()))
        assert found.indices.tolist() == plain.indices.tolist() == [0, 3]
        assert found.labels == plain.labels
        assert [e.record() for e in found.errors] == [e.record() for e in plain.errors]
        assert model.store_counts.stored - before.stored == spared
    with pytest.raises(ItemError):
        model.predict(queries, max_errors=1, on_error="collect")


def test__fault_24__store_of_another_backbone__refused_at_first_use_and_again(tmp_path):
    SAVModel(FakeBackbone(layout=LAYOUT), n_heads=5, store=tmp_path).fit(TEXTS, LABELS)
    other = SAVModel(FakeBackbone(layout=LAYOUT, seed=1), n_heads=5, store=tmp_path)
    for _ in range(2):
        with pytest.raises(StoreMismatchError, match="weights_digest: "):
            other.fit(TEXTS, LABELS)


def test__store__folder_with_other_files__refused_before_the_backbone_is_loaded(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StoreError, match="holds other files"):
        SAVModel.from_backbone("no/such/backbone", store=tmp_path)
    assert fitted().store_counts is None
