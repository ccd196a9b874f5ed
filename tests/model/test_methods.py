"""Every method through the whole model, on a real backbone."""

import numpy as np
import pytest
from tests.model.colors import COLOURS, PROMPT, image, shots, tiny

from savs.backbones import FakeBackbone, PromptTemplate
from savs.classifiers import SAVClassifier, available_methods, make_method
from savs.classifiers.cross_validation import leave_one_out_folds
from savs.data import DataWarning, as_example
from savs.errors import DataError
from savs.model import Abstentions, SAVModel, predict_together
from savs.model._class_names import class_prompts

pytestmark = pytest.mark.slow


def fitted(method: str, per_class: int = 4, **options) -> SAVModel:
    return SAVModel(tiny(), prompt=PROMPT, method=method, **options).fit(*shots(per_class))


@pytest.mark.parametrize("method", available_methods())
def test__method__saved_and_loaded__answers_the_same_and_right(tmp_path, method):
    model = fitted(method)
    queries, truth = shots(2, start=50)
    answers = model.predict(queries).tolist()
    assert answers == truth or method == "hec_t"  # the names of the colours alone
    shares = model.predict_proba(queries)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert model.classes_[shares.argmax(axis=1)].tolist() == answers
    assert model.estimate_ is not None
    assert model.estimate_.n == 12
    model.save_pretrained(tmp_path)
    loaded = SAVModel.from_pretrained(tmp_path, backbone=tiny())
    np.testing.assert_array_equal(loaded.predict_proba(queries), shares)
    assert (loaded.method_, loaded.heads_, loaded.estimate_) == (
        model.method_,
        model.heads_,
        model.estimate_,
    )
    assert loaded.selection_report_ == model.selection_report_
    assert ("chosen" in loaded.selection_report_) == (method in ("auto", "auto_names"))
    assert (loaded.selection_report_["head_stability"] is None) == (method in ("auto", "auto_names"))


def test__final_state__read_for_methods_that_use_it_and_for_no_other():
    assert fitted("last_state").heads_[-1].is_state
    for method in [name for name in available_methods() if not make_method(name).needs_prototypes]:
        assert make_method(method).needs_state or not any(head.is_state for head in fitted(method).heads_)
    model = fitted("last_state")
    query = image("red", 99)
    rows = model.head_vectors([query], model.heads_)
    asked = PromptTemplate(PROMPT).apply(as_example(query))
    states = tiny().last_layer_states([asked])
    np.testing.assert_array_equal(rows, states)


def test__together__methods_with_and_without_the_final_state__answer_as_alone():
    models = [fitted("last_state"), fitted("sav"), fitted("ensemble")]
    queries, _ = shots(1, start=70)
    for model, found in zip(models, predict_together(models, queries), strict=True):
        assert found.labels == model.predict(queries).tolist()
        np.testing.assert_allclose(found.proba, model.predict_proba(queries), atol=1e-5)


def test__names_alone__answer_without_any_shot(tmp_path):
    model = SAVModel(tiny(), prompt=PROMPT, method="hec_t").fit_class_names(["red", "green", "blue"])
    queries, _ = shots(1, start=10)
    answers = model.predict(queries)
    assert set(answers.tolist()) <= set(COLOURS)
    assert model.estimate_ is None
    model.save_pretrained(tmp_path)
    loaded = SAVModel.from_pretrained(tmp_path, backbone=tiny())
    np.testing.assert_array_equal(loaded.predict(queries), answers)
    expected = tiny().extract(class_prompts(["blue", "green", "red"], PROMPT)).features
    columns = model.layout.column_indices(model.heads_)
    np.testing.assert_array_equal(model.classifier_.arrays_["text"], expected[:, columns])


def test__names_alone__of_another_method_or_twice__is_refused():
    with pytest.raises(DataError, match="learns from shots"):
        SAVModel(FakeBackbone()).fit_class_names(["a", "b"])
    for method in ("hec_t", "option_likelihood", "auto_names"):
        with pytest.raises(DataError, match="named twice"):
            SAVModel(FakeBackbone(), method=method).fit_class_names(["a", "b", "a"])
        with pytest.raises(DataError, match="2 classes"):
            SAVModel(FakeBackbone(), method=method).fit_class_names(["a"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "no method is named 'magic'"),
        ({"n_heads": 0}, "a positive number"),
        ({"n_heads": "auto"}, "a positive number"),
        ({"method": "kernel_ridge", "n_heads": 5}, "takes no n_heads"),
        ({"scoring": "leave_one_out"}, "takes no scoring"),
        ({"method": "mean_proba", "scoring": "by_eye"}, "scoring"),
        ({"priors": "uniform"}, "takes no priors"),
        ({"priors": {"a": 0.5, "b": 0.5}}, "takes no priors"),
        ({"method": "mean_proba", "priors": "fair"}, "priors are"),
        ({"method": "mean_proba", "n_heads": True}, "a positive number"),
    ],
)
def test__settings_that_a_method_does_not_take__are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        SAVModel(FakeBackbone(), **options)


def test__priors__by_label__move_the_probabilities():
    queries, _ = shots(2, start=30)
    plain = fitted("mean_proba").predict_proba(queries)
    priors = {"red": 0.9, "green": 0.05, "blue": 0.05}
    moved = fitted("mean_proba", priors=priors).predict_proba(queries)
    expected = plain * np.array([priors[label] for label in sorted(priors)])
    np.testing.assert_allclose(moved, expected / expected.sum(axis=1, keepdims=True), rtol=1e-9)
    with pytest.raises(DataError, match="priors must name each class"):
        fitted("mean_proba", priors={"red": 1.0, "black": 1.0})


def test__sets__too_few_shots_for_a_level__warn_and_hold_every_class():
    model = fitted("mean_proba", per_class=4)
    with pytest.warns(DataWarning, match="too few shots"):
        sets = model.predict_set([image("red", 9)], alpha=0.05)
    assert sets == [["blue", "green", "red"]]
    assert model.predict_set([image("red", 9)], alpha=0.4) == [["red"]]


@pytest.mark.parametrize("method", ["sav", "mean_proba"])
def test__alarm__threshold_announces_no_more_left_out_shots_than_promised(method):
    model = fitted(method)
    flag = model.threshold_at_fpr("red", 0.25)
    column = model.classes_.tolist().index("red")
    others = np.array(model._support.labels) != "red"
    assert (np.exp(model.out_of_fold_log_proba_[others, column]) > flag.threshold).mean() <= 0.25
    with pytest.raises(DataError, match="cannot promise"):
        model.threshold_at_fpr("red", 0.01)
    with pytest.raises(DataError, match="no class 'black'"):
        model.threshold_at_fpr("black", 0.25)


@pytest.mark.filterwarnings("ignore:there are examples without an image")
def test__unknown__a_text_among_images__is_far_from_all_shots(tmp_path):
    model = fitted("mean_proba", per_class=8)
    queries = [*shots(2, start=40)[0], "an essay about the colour of money"]
    assert model.is_out_of_distribution(queries, 0.9).tolist() == [False] * 6 + [True]
    found = model.predict(
        queries,
        abstention_policy=model.abstention_policy(out_of_distribution=0.9, sets=0.2, flags={"red": 0.2}),
        on_error="collect",
    )
    assert found.abstentions.out_of_distribution.tolist() == [False] * 6 + [True]
    assert found.abstentions.sets == model.predict_set(queries, 0.2)
    threshold = model.threshold_at_fpr("red", 0.2).threshold
    column = model.classes_.tolist().index("red")
    assert found.abstentions.flags == [
        ["red"] if share > threshold else [] for share in found.proba[:, column]
    ]
    assert model.predict(queries, on_error="collect").abstentions == Abstentions()
    empty = model.predict(
        [], abstention_policy=model.abstention_policy(out_of_distribution=0.9, sets=0.2), on_error="collect"
    ).abstentions
    assert (empty.sets, empty.out_of_distribution.tolist()) == ([], [])
    model.save_pretrained(tmp_path, keep_shots=True)
    loaded = SAVModel.from_pretrained(tmp_path, backbone=tiny())
    np.testing.assert_array_equal(
        loaded.is_out_of_distribution(queries, 0.9), model.is_out_of_distribution(queries, 0.9)
    )
    with pytest.raises(DataError, match="cannot promise"):
        model.is_out_of_distribution(queries, 0.99)


def test__head_set__of_one_model__can_be_compared_with_another():
    heads = fitted("sav").head_set_
    assert list(heads.heads) == fitted("sav").heads_
    assert len(fitted("ensemble").head_set_.heads) == tiny().layout.n_heads


def test__heads_of_another_task__are_the_only_ones_used(tmp_path):
    found = fitted("sav", n_heads=5)
    reused = fitted("votes", heads=found.head_set_)
    assert set(reused.heads_) == set(found.heads_)
    queries, truth = shots(2, start=80)
    assert reused.predict(queries).tolist() == truth
    best = fitted("votes", heads=[tuple(head) for head in found.heads_], n_heads=2)
    assert set(best.heads_) <= set(found.heads_)
    assert len(best.heads_) == 2
    reused.save_pretrained(tmp_path)
    assert SAVModel.from_pretrained(tmp_path, backbone=tiny()).method_ == reused.method_
    with pytest.raises(ValueError, match="takes no heads"):
        SAVModel(FakeBackbone(), heads=[(0, 0)])
    with pytest.raises(ValueError, match="none"):
        fitted("votes", heads=[(99, 0)])


def test__head_stability__is_the_mean_overlap_of_refits_without_each_shot():
    model = fitted("sav", n_heads=6)
    rows, labels = model._support.rows, np.array(model._support.labels)
    codes = np.unique(labels, return_inverse=True)[1]
    kept = []
    for fold in leave_one_out_folds(codes, 0, 20):
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        refit = SAVClassifier(n_heads=6, layout=model.layout).fit(rows[rest], labels[rest])
        kept.append(set(refit.heads_))
    pairs = [(one, other) for i, one in enumerate(kept) for other in kept[:i]]
    expected = sum(len(one & other) / len(one | other) for one, other in pairs) / len(pairs)
    assert model.selection_report_["head_stability"] == pytest.approx(expected)
    assert fitted("mean_proba_all").selection_report_["head_stability"] == 1
