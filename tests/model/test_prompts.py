"""Several prompts about the same examples: each prompt's own vectors and classifier, one answer."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from tests.backbones.families import make_family
from tests.model.colors import COLOURS, image, shots, tiny

from savs.artifact import SCHEMA_VERSION, load_artifact
from savs.backbones import FakeBackbone, TransformersBackbone, load_backbone
from savs.cache import with_store
from savs.classifiers import Method, SAVClassifier, Shots
from savs.classifiers.cross_validation import estimate_from_shots
from savs.classifiers.prompt_ensemble import PromptMethod, PromptRows
from savs.data import DataWarning, Example, Message, Text, as_examples
from savs.errors import ArtifactError, DataError, ItemError
from savs.layout import Head, HeadLayout
from savs.media import Image
from savs.model import SAVModel, predict_together
from savs.model._prompts import WithPrompts

LAYOUT = HeadLayout.uniform(5, 6, 8)
PROMPTS = ["Is it {question}?", "What about {question}, then?", "Answer in a word."]
ABOUT_COLOURS = ["What colour is it?", "Name the colour of this picture.", "Red, green or blue?"]
TEXTS = [f"{word} {index}" for index in range(6) for word in ("apple", "brick", "cloud")]
LABELS = ["fruit", "stone", "sky"] * 6


def fake() -> FakeBackbone:
    return FakeBackbone(LAYOUT)


def fitted(method: str = "sav", backbone=None, **options) -> SAVModel:
    return SAVModel(backbone or fake(), prompts=PROMPTS, method=method, **options).fit(TEXTS, LABELS)


# What is read.


def test__head_vectors__of_each_prompt__are_those_of_the_prompt_alone() -> None:
    model, one = SAVModel(fake(), prompts=PROMPTS), LAYOUT
    rows = PromptRows.of(one, 3)
    found = model.head_vectors(TEXTS[:4])
    some = [Head(3, 1), Head(0, 2)]
    picked = model.head_vectors(TEXTS[:4], some)
    for number, prompt in enumerate(PROMPTS):
        alone = SAVModel(fake(), prompt=prompt)
        np.testing.assert_array_equal(found[:, rows.columns(number)], alone.head_vectors(TEXTS[:4]))
        own = picked[:, PromptRows.of(one.select(some), 3).columns(number)]
        np.testing.assert_array_equal(own, alone.head_vectors(TEXTS[:4], some))


def test__head_vectors__bundled_model__each_image_is_read_once() -> None:
    backbone = load_backbone("tiny")
    pictures = [image(colour, 1) for colour in COLOURS]
    found = SAVModel(backbone, prompts=ABOUT_COLOURS).head_vectors(pictures)
    report = backbone.report
    assert (report.n_prefixes, report.n_reused, report.n_forward) == (3, 9, 1)  # and one for the check
    rows = PromptRows.of(backbone.layout, 3)
    for number, prompt in enumerate(ABOUT_COLOURS):
        alone = SAVModel(backbone, prompt=prompt).head_vectors(pictures)
        np.testing.assert_allclose(found[:, rows.columns(number)], alone, atol=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "shares"),
    [("qwen2_5_vl", True), ("qwen2_vl", True), ("llava_onevision", True), ("paligemma", False)],
)
def test__head_vectors__real_classes__as_alone_whether_the_image_can_be_shared_or_not(name, shares) -> None:
    built = make_family(name)
    backbone = TransformersBackbone(built.model, built.processor)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (140 + 28 * i, 168, 3), dtype=np.uint8) for i in range(2)]
    questions = ["a cat?", "dogs?", "red?"]
    found = SAVModel(backbone, prompts=questions).head_vectors(pictures)
    assert backbone.report.n_reused == (6 if shares else 0)
    assert (backbone.report.prefix_failure is None) == shares
    rows = PromptRows.of(backbone.layout, 3)
    for number, prompt in enumerate(questions):
        plain = TransformersBackbone(built.model, built.processor, batch_size=1, prefix_reuse=False)
        alone = SAVModel(plain, prompt=prompt).head_vectors(pictures)
        np.testing.assert_allclose(found[:, rows.columns(number)], alone, atol=1e-5)


def test__fit__one_call_of_the_backbone_for_all_prompts() -> None:
    backbone = fake()
    fitted(backbone=backbone)
    assert backbone.n_forward == len(PROMPTS) * len(TEXTS)


def test__pass__ends_at_the_deepest_head_that_any_prompt_uses() -> None:
    model = fitted(n_heads=1)
    used = {head for estimator in model.classifier_.estimators_ for head in estimator.heads_}
    assert model.heads_ == sorted(used)
    asked = []
    real = model.backbone.extract

    def extract(examples, heads=None, **options):
        asked.append(heads)
        return real(examples, heads, **options)

    model.backbone.extract = extract
    model.predict(["apple"])
    assert asked == [model.heads_]


def test__store__each_prompt_has_rows_of_its_own(tmp_path) -> None:
    backbone = fake()
    model = SAVModel(with_store(backbone, tmp_path / "s"), prompts=PROMPTS).fit(TEXTS, LABELS)
    assert model.store_counts.computed == 3 * len(TEXTS)
    again = SAVModel(with_store(backbone, tmp_path / "s"), prompt=PROMPTS[1]).fit(TEXTS, LABELS)
    assert (again.store_counts.computed, again.store_counts.stored) == (0, len(TEXTS))
    more = SAVModel(with_store(backbone, tmp_path / "s"), prompts=[PROMPTS[1], "And {question}"])
    more.fit(TEXTS, LABELS)
    assert (more.store_counts.computed, more.store_counts.stored) == (len(TEXTS), len(TEXTS))


# What is learned and answered.


@pytest.mark.parametrize("method", ["sav", "auto", "hec_vt", "last_state", "kernel_ridge"])
def test__fit__each_method__as_the_estimator_on_the_rows(method) -> None:
    model = fitted(method)
    support = model._support
    rows = PromptRows.of(model.classifier_.backbone_layout_, 3)
    prototypes = None
    if method == "hec_vt":
        prototypes = model._reader.class_rows(model.classes_.tolist(), model.method_)
    made = PromptMethod(Method(method), rows).make(rows.layout, model.classes_, prototypes)
    codes = support.codes(model.classes_.tolist())
    data = Shots(support.rows, codes, 3, rows.layout)
    made.fit_shots(model.classes_, data)
    queries = ["apple", "brick 9", "something"]
    mean = made.restrict_to(made.heads_).predict_proba(model.head_vectors(queries, model.heads_))
    np.testing.assert_array_equal(model.predict_proba(queries), mean)
    assert model.predict(queries).tolist() == model.classes_[mean.argmax(axis=1)].tolist()
    np.testing.assert_allclose(mean.sum(axis=1), 1)
    assert list(model.prompt_weights_) == PROMPTS
    assert sum(model.prompt_weights_.values()) == pytest.approx(1)
    assert model.estimate_ == estimate_from_shots(
        model.out_of_fold_log_proba_, codes, len(made.cross_validation_folds(data))
    )


def test__fit__clearly_worse_prompt__small_weight_and_right_answers() -> None:
    """The third prompt says nothing about the picture: its text is all that the model reads."""
    pictures, labels = shots(4)
    blind = ["What colour is it?", "Name the colour.", "Is {word} a word?"]
    words = ["apple", "brick", "cloud", "door"] * 3
    rows = [
        {"image": picture, "label": label, "word": word}
        for picture, label, word in zip(pictures, labels, words, strict=True)
    ]
    examples = [
        Example((Message("user", (Image(row["image"]),)),), label=row["label"], id=str(i), fields=row)
        for i, row in enumerate(rows)
    ]
    model = SAVModel(tiny(), prompts=blind, method="mean_proba").fit(examples)
    weights = list(model.prompt_weights_.values())
    losses = [one["log_loss"] for one in model.selection_report_["prompts"]]
    assert weights == pytest.approx(np.exp(-4 * np.array(losses)) / np.exp(-4 * np.array(losses)).sum())
    queries = [Example((Message("user", (Image(image(c, 99)),)),), fields={"word": "sea"}) for c in COLOURS]
    assert model.predict(queries).tolist() == list(COLOURS)
    assert model.score(queries, list(COLOURS)) == 1.0


def test__fit__one_shot_each__equal_weights_and_no_estimate() -> None:
    with pytest.warns(DataWarning, match="one shot"):
        model = SAVModel(fake(), prompts=PROMPTS).fit(TEXTS[:3], LABELS[:3])
    assert list(model.prompt_weights_.values()) == [1 / 3] * 3
    assert model.estimate_ is None


def test__fit__order_of_the_shots__changes_nothing() -> None:
    order = np.random.default_rng(0).permutation(len(TEXTS))
    model = fitted("auto")
    other = SAVModel(fake(), prompts=PROMPTS, method="auto")
    ids = {text: str(i) for i, text in enumerate(TEXTS)}
    other.fit([{"question": TEXTS[i], "id": ids[TEXTS[i]]} for i in order], [LABELS[i] for i in order])
    np.testing.assert_array_equal(model.predict_proba(TEXTS), other.predict_proba(TEXTS))


def test__fit__column_in_the_second_prompt_only__tells_examples_apart() -> None:
    rows = [{"question": "same", "tone": tone, "label": tone[0]} for tone in ("a1", "a2", "b1", "b2")]
    model = SAVModel(fake(), prompts=["{question}", "{question} {tone}"]).fit(rows)
    assert len({shot.digest for shot in model.shots_}) == 4
    assert model.find_test_leakage(rows) == [0, 1, 2, 3]
    assert model.find_test_leakage([{"question": "same", "tone": "a3"}]) == []


def test__class_names_alone__mean_of_equal_weights() -> None:
    model = SAVModel(fake(), prompts=PROMPTS, method="hec_t").fit_class_names(["fruit", "stone"])
    alone = [
        SAVModel(fake(), prompt=prompt, method="hec_t").fit_class_names(["fruit", "stone"])
        for prompt in PROMPTS
    ]
    mean = np.mean([one.predict_proba(["apple"]) for one in alone], axis=0)
    np.testing.assert_allclose(model.predict_proba(["apple"]), mean, rtol=1e-6)


def test__votes__first_the_heads_of_the_first_prompt() -> None:
    model = fitted(n_heads=4)
    votes = model.votes(["apple", "sea"])
    assert votes.shape == (2, 12)
    shares = [(votes[:, 4 * p : 4 * p + 4] == "fruit").mean(axis=1) for p in range(3)]
    weights = list(model.prompt_weights_.values())
    np.testing.assert_allclose(model.predict_proba(["apple", "sea"])[:, 0], np.dot(weights, shares))
    with pytest.raises(DataError, match="do not vote one by one"):
        fitted("kernel_ridge").votes(["apple"])


def test__unreadable_example__told_once_and_answered_by_none(tmp_path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    pictures, labels = shots(2)
    model = SAVModel(tiny(), prompts=ABOUT_COLOURS).fit(pictures, labels)
    given = [image("red", 50), tmp_path / "bad.png", image("blue", 51), tmp_path / "gone.png"]
    found = model.predict(given, on_error="collect")
    assert found.indices.tolist() == [0, 2]
    assert [error.code for error in found.errors] == ["image_undecodable", "media_missing"]
    np.testing.assert_allclose(found.proba, model.predict_proba([given[0], given[2]]), atol=1e-6)
    assert len(model.predict(given, on_error="collect", max_errors=2).errors) == 2
    for most in (0, 1):
        with pytest.raises(ItemError):
            model.predict(given, on_error="collect", max_errors=most)
    with pytest.raises(ItemError):
        model.predict(given)


def test__prompt_needs_a_column_that_one_example_lacks__that_example_only() -> None:
    model = SAVModel(fake(), prompts=["{question}", "{question} {tone}"])
    model.fit([{"question": str(i), "tone": "x", "label": i % 2} for i in range(6)])
    found = model.predict([{"question": "a", "tone": "x"}, {"question": "b"}], on_error="collect")
    assert found.indices.tolist() == [0]
    assert [error.code for error in found.errors] == ["prompt_column"]
    assert model.predict([], on_error="collect").labels == []


def test__sets_flags_and_detector__from_held_out_shots_of_the_mixture() -> None:
    pictures, labels = shots(6)
    model = SAVModel(tiny(), prompts=ABOUT_COLOURS[:2], method="mean_proba").fit(pictures, labels)
    queries = [image(colour, 60) for colour in COLOURS]
    assert model.predict_set(queries, alpha=0.3) == [[colour] for colour in COLOURS]
    policy = model.abstention_policy(sets=0.3, flags={"red": 0.2}, out_of_distribution=0.9)
    found = model.predict(queries, on_error="collect", abstention_policy=policy).abstentions
    assert found.flags == [["red"], [], []]
    assert found.out_of_distribution.shape == (3,)
    assert model.is_out_of_distribution([np.zeros((8, 64, 3), np.uint8)], 0.9).tolist() == [True]


def test__explain__each_prompt_alone_and_the_mean_of_them() -> None:
    model = fitted(n_heads=4)
    found = model.explain("apple 3 tree")
    shares = model.predict_proba(["apple 3 tree"])[0]
    assert found.proba == dict(zip(model.classes_.tolist(), shares.tolist(), strict=True))
    assert found.label == model.predict(["apple 3 tree"])[0]
    assert [one.prompt for one in found.prompts] == PROMPTS
    mean = sum(one.weight * one.alone.proba["sky"] for one in found.prompts)
    assert mean == pytest.approx(found.proba["sky"])
    assert [len(one.alone.heads) for one in found.prompts] == [4, 4, 4]
    used = [estimator.heads_ for estimator in model.classifier_.estimators_]
    assert [[h.head for h in one.alone.heads] for one in found.prompts] == used
    assert sorted(one.where.text for one in found.occlusion) == ["3", "apple", "tree"]
    without = model.decision_function(["3 tree", "apple 3 tree"])
    column = model.classes_.tolist().index(found.label)
    drop = next(one.drop for one in found.occlusion if one.where.text == "apple")
    assert drop == pytest.approx(without[1, column] - without[0, column], abs=0.02) or drop != 0
    assert [near.id for near in found.nearest]
    assert json.loads(json.dumps(found.record()))["prompts"][1]["prompt"] == PROMPTS[1]


def test__explain__image__tiles_are_hidden_from_all_prompts() -> None:
    pictures, labels = shots(3)
    model = SAVModel(tiny(), prompts=ABOUT_COLOURS[:2]).fit(pictures, labels)
    found = model.explain(image("red", 70), tiles=2)
    assert [one.where.kind for one in found.occlusion] == ["tile"] * 4
    assert [len(one.alone.occlusion) for one in found.prompts] == [4, 4]


@pytest.mark.parametrize("prompts", [None, PROMPTS])
def test__explain__last_state_alone__no_heads(prompts) -> None:
    model = SAVModel(fake(), prompts=prompts, method="last_state").fit(TEXTS, LABELS)
    found = model.explain("apple 3")
    assert (found.heads, found.nearest) == ([], [])


# What is changed, saved, cloned.


def test__shots__added_removed_relabelled__as_fitted_on_them_at_once() -> None:
    backbone = fake()
    model = SAVModel(backbone, prompts=PROMPTS).fit(TEXTS[:-3], LABELS[:-3])
    model.partial_fit(TEXTS[-3:], LABELS[-3:])
    assert backbone.n_forward == 3 * len(TEXTS)
    np.testing.assert_array_equal(model.predict_proba(["q"]), fitted().predict_proba(["q"]))
    model.remove_shots(["0"])
    model.relabel("1", "sky")
    left = SAVModel(fake(), prompts=PROMPTS).fit(TEXTS[1:], ["sky", *LABELS[2:]])
    np.testing.assert_array_equal(model.predict_proba(["q"]), left.predict_proba(["q"]))
    assert isinstance(model.find_label_issues(), list)
    assert set(model.head_change_.added) <= set(model.heads_)


@pytest.mark.parametrize("method", ["sav", "auto", "hec_vt", "last_state"])
def test__saved__read_back__same_answers_and_bytes(method, tmp_path) -> None:
    model = fitted(method)
    model.save_pretrained(tmp_path / "a", keep_shots=True)
    again = SAVModel.from_pretrained(tmp_path / "a", backbone=fake())
    assert (again.prompt, list(again.prompts)) == (None, PROMPTS)
    np.testing.assert_array_equal(again.predict_proba(["q"]), model.predict_proba(["q"]))
    np.testing.assert_array_equal(again.out_of_fold_log_proba_, model.out_of_fold_log_proba_)
    assert again.prompt_weights_ == model.prompt_weights_
    assert again.heads_ == model.heads_
    assert again.estimate_ == model.estimate_
    again.save_pretrained(tmp_path / "b", keep_shots=True)
    for file in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes()
    again.add_shots(["new one"], ["sky"])
    index = json.loads((tmp_path / "a" / "savs.json").read_text())
    assert (index["schema_version"], index["prompt"], index["prompts"]) == (SCHEMA_VERSION + 1, None, PROMPTS)
    assert "Prompt 3" in (tmp_path / "a" / "README.md").read_text()
    artifact = load_artifact(tmp_path / "a")
    assert artifact.layout.without_state() == LAYOUT
    assert artifact.heads == [tuple(head) for head in model.heads_]


def test__saved__one_prompt__written_as_before(tmp_path) -> None:
    SAVModel(fake(), prompts=PROMPTS[:1]).fit(TEXTS, LABELS).save_pretrained(tmp_path / "a")
    SAVModel(fake(), prompt=PROMPTS[0]).fit(TEXTS, LABELS).save_pretrained(tmp_path / "b")
    index = (tmp_path / "a" / "savs.json").read_bytes()
    assert index == (tmp_path / "b" / "savs.json").read_bytes()
    assert json.loads(index)["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": PROMPTS[:2]},
        {"prompts": [PROMPTS[0]] * 3},
        {"prompts": "abc"},
        {"prompts": [*PROMPTS[:2], 3]},
        {"prompts": [*PROMPTS[:2], "{"]},
        {"prompts": None},
        {"prompt": "one"},
        {"report": {"head_stability": None}},
        {"report": {"head_stability": None, "prompts": [{"weight": "x", "log_loss": None}] * 3}},
    ],
)
def test__saved__prompts_altered__refused(change, tmp_path) -> None:
    from savs.artifact import _digest

    fitted().save_pretrained(tmp_path)
    index = json.loads((tmp_path / "savs.json").read_text()) | change
    index["sha256"] = _digest(index)
    (tmp_path / "savs.json").write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match="do not fit together"):
        load_artifact(tmp_path)


def test__saved__prompts_of_a_classifier_of_one__refused(tmp_path) -> None:
    from savs.artifact import _digest

    SAVModel(fake()).fit(TEXTS, LABELS).save_pretrained(tmp_path)
    index = json.loads((tmp_path / "savs.json").read_text()) | {"prompts": PROMPTS}
    index["sha256"] = _digest(index)
    (tmp_path / "savs.json").write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match="do not fit together"):
        load_artifact(tmp_path)


def test__saved__class_that_no_method_names__refused(tmp_path) -> None:
    class Unknown(SAVClassifier):
        pass

    model = SAVModel(fake(), prompts=PROMPTS, method=Unknown(n_heads=3)).fit(TEXTS, LABELS)
    with pytest.raises(ArtifactError, match="Unknown could not be read back"):
        model.save_pretrained(tmp_path / "a")


def test__canary__of_the_heads_of_all_prompts__checked_on_the_real_backbone(tmp_path) -> None:
    pictures, labels = shots(3)
    model = SAVModel(tiny(), prompts=ABOUT_COLOURS[:2], n_heads=3).fit(pictures, labels)
    model.save_pretrained(tmp_path)
    canary = load_artifact(tmp_path).canary
    assert canary is not None
    assert canary.vectors.shape[1] == tiny().layout.select(model.heads_).width
    again = SAVModel.from_pretrained(tmp_path, backbone=tiny())
    assert again.predict(pictures).tolist() == model.predict(pictures).tolist()


def test__parameters__cloned_set_and_pickled() -> None:
    model = fitted()
    assert model.get_params()["prompts"] == PROMPTS
    other = clone(model)
    assert other.prompts == PROMPTS
    assert repr(PROMPTS) in repr(model)
    model.set_params(prompts=PROMPTS[:2]).fit(TEXTS, LABELS)
    assert len(model.prompt_weights_) == 2
    model.set_params(prompt="x {question}", prompts=None).fit(TEXTS, LABELS)
    assert model.prompt_weights_ == {"x {question}": 1.0}
    pictures, labels = shots(2)
    real = SAVModel(tiny(), prompts=ABOUT_COLOURS[:2]).fit(pictures, labels)
    again = pickle.loads(pickle.dumps(real))
    assert again.predict(pictures).tolist() == real.predict(pictures).tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": "a", "prompts": ["b", "c"]}, "not both"),
        ({"prompts": "a text"}, "list of one or more texts"),
        ({"prompts": []}, "list of one or more texts"),
        ({"prompts": ["a", None]}, "list of one or more texts"),
        ({"prompts": ["a", "b", "a"]}, "'a' is given twice"),
    ],
)
def test__prompts__that_cannot_be_used__refused_at_once(options, words) -> None:
    with pytest.raises(ValueError, match=words):
        SAVModel(fake(), **options)
    with pytest.raises(ValueError, match=words):
        SAVModel(fake()).set_params(**options)


def test__together__models_of_several_prompts_and_of_one__as_their_own_answers() -> None:
    pictures, labels = shots(3)
    models = [
        SAVModel(tiny(), prompts=ABOUT_COLOURS, n_heads=3),
        SAVModel(tiny(), prompt=ABOUT_COLOURS[1], n_heads=5),
        SAVModel(tiny(), prompts=ABOUT_COLOURS[1:], method="auto"),
    ]
    queries = [image(colour, 80) for colour in COLOURS]
    for model in models:
        model.fit(pictures, labels)
    for model, answers in zip(models, predict_together(models, queries), strict=True):
        np.testing.assert_allclose(answers.proba, model.predict_proba(queries), atol=1e-6)
        assert answers.labels == model.predict(queries).tolist()


def test__with_prompts__example_that_has_them__stays() -> None:
    [example] = as_examples(["apple"])
    apply = WithPrompts(PROMPTS)
    assert apply(apply(example)) == apply(example)
    assert [one.text for one in apply(example).asked] == [
        "Is it apple?",
        "What about apple, then?",
        "apple\nAnswer in a word.",
    ]
    assert WithPrompts([None])(example) is example
    assert WithPrompts(["x"])(example).parts == (Text("apple\nx"),)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"method": "auto_names"}, "after one prompt"), ({"exit_early": 0.01}, "goes with one prompt")],
)
def test__several_prompts__with_what_answers_one__are_refused(settings, said) -> None:
    with pytest.raises(ValueError, match=said):
        SAVModel(fake(), prompts=PROMPTS, **settings)


@pytest.mark.parametrize("prompts", [{"a", "b"}, {"a": 1, "b": 2}, iter(["a", "b"])])
def test__prompts__without_an_order_or_read_once__refused_by_type(prompts):
    with pytest.raises(
        ValueError, match=f"must be a list of one or more texts, got a {type(prompts).__name__}$"
    ):
        SAVModel(FakeBackbone(), prompts=prompts)


def test__prompt__list__refused_with_the_parameter_for_several():
    with pytest.raises(ValueError, match=r"prompt must be one text, got \['a', 'b'\]; several are prompts="):
        SAVModel(FakeBackbone(), prompt=["a", "b"])
