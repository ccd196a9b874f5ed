"""Likelihoods of class names in the last columns: alone, corrected by shots, and beside other methods."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from savs.classifiers import State, make_method
from savs.classifiers._support_set import Shots
from savs.classifiers.ensemble import DEFAULT_ESTIMATORS, default_estimators, make_base_estimator
from savs.classifiers.named_auto import NamedAutoClassifier
from savs.classifiers.option_likelihood import OptionLikelihoodClassifier, names_information
from savs.errors import ActivationError
from savs.layout import HeadLayout

HEADS = HeadLayout.from_layers([(0, 3, 4), (1, 2, 6)])
LAYOUT = HEADS.with_state(9, layer=3).with_options(3)
NAMES = np.array(["ant", "bee", "cow"])


def softmax(scores):
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def make(seed=0, counts=(6, 6, 6), heads=0.0, options=2.0, bias=(0.0, 0.0, 0.0)):
    """Return rows and codes of shots and of queries; only options (or heads) tell the classes apart."""
    rng = np.random.default_rng(seed)
    means = np.zeros((3, LAYOUT.width))
    means[:, : HEADS.width] = heads * rng.standard_normal((3, HEADS.width))
    means[:, -3:] = options * np.eye(3)
    found = []
    for codes in (np.repeat(np.arange(3), counts), np.arange(90) % 3):
        rows = rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
        rows[:, -3:] += np.array(bias) - 8.0
        found += [rows, codes]
    return found


def test__names_alone__softmax_of_the_likelihoods():
    rows, *_ = make()
    fitted = OptionLikelihoodClassifier(layout=LAYOUT).fit_class_names(NAMES)
    assert fitted.heads_ == [(3, -2)]
    np.testing.assert_allclose(fitted.predict_proba(rows), softmax(rows[:, -3:]), atol=1e-12)
    kept = fitted.restrict_to(fitted.heads_)
    np.testing.assert_array_equal(kept.predict_proba(rows[:, -3:]), fitted.predict_proba(rows))


@pytest.mark.parametrize("counts", [(6, 6, 6), (1, 4, 9)])
def test__fit__shots__the_penalized_likelihood_at_its_maximum(counts):
    rows, codes, *_ = make(counts=counts, bias=(3, 0, 0))
    fitted = OptionLikelihoodClassifier(layout=LAYOUT).fit(rows, NAMES[codes])
    logs = np.log(softmax(rows[:, -3:]))

    def loss(values):
        total = 0.15 * values[1:] @ values[1:] + 0.5 * values[0] ** 2
        for row, code in zip(logs, codes, strict=True):
            scores = np.exp(values[0]) * row + values[1:]
            of_class = len(codes) / 3 / counts[code]
            total -= of_class * (scores[code] - np.log(np.exp(scores).sum()))
        return total

    best = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-7, "maxiter": 5000}).x
    assert fitted.scale_ == pytest.approx(np.exp(best[0]), rel=1e-3)
    np.testing.assert_allclose(fitted.bias_, best[1:], atol=1e-3)


def test__fit__name_that_the_model_prefers__preference_taken_out():
    rows, codes, queries, truth = make(bias=(5, 0, -3))
    alone = OptionLikelihoodClassifier(layout=LAYOUT).fit_class_names(NAMES)
    fitted = OptionLikelihoodClassifier(layout=LAYOUT).fit(rows, NAMES[codes])
    assert (alone.predict(queries) == NAMES[truth]).mean() < 0.5
    assert (fitted.predict(queries) == NAMES[truth]).mean() > 0.75


def test__fit__one_shot_per_class__less_sure_of_what_is_wrong():
    rows, codes, queries, truth = make(options=0.0, counts=(1, 1, 1))
    rows[:, -3:], queries[:, -3:] = 9 * rows[:, -3:], 9 * queries[:, -3:]
    fitted = OptionLikelihoodClassifier(layout=LAYOUT).fit(rows, NAMES[codes])
    alone = OptionLikelihoodClassifier(layout=LAYOUT).fit_class_names(NAMES)
    losses = [-made.predict_log_proba(queries)[np.arange(90), truth].mean() for made in (fitted, alone)]
    assert losses[0] < losses[1] / 2
    assert np.isnan(fitted.out_of_fold_log_proba_).all()


@pytest.mark.parametrize("kind", [OptionLikelihoodClassifier, NamedAutoClassifier])
@pytest.mark.parametrize("with_shots", [False, True])
def test__state__through_json__same_bits(kind, with_shots):
    rows, codes, queries, _ = make()
    made = kind(layout=LAYOUT)
    fitted = made.fit(rows, NAMES[codes]) if with_shots else made.fit_class_names(NAMES)
    arrays, settings = fitted.to_state()
    again = kind.from_state(State(arrays, json.loads(json.dumps(settings))))
    assert again.layout_ == LAYOUT
    np.testing.assert_array_equal(again.predict_proba(queries), fitted.predict_proba(queries))
    assert again.selection_report_ == fitted.selection_report_


@pytest.mark.parametrize(
    ("name", "value"),
    [("rule.scale", np.array(-1.0)), ("rule.scale", np.array(np.nan)), ("rule.bias", np.zeros(2))],
)
def test__state__impossible_numbers__refused(name, value):
    arrays, settings = OptionLikelihoodClassifier(layout=LAYOUT).fit_class_names(NAMES).to_state()
    with pytest.raises(ValueError, match="scale and one bias"):
        OptionLikelihoodClassifier.from_state(State(arrays | {name: value}, settings))


def test__rows_without_likelihoods__error_says_so():
    rows, codes, *_ = make()
    blind = HEADS.with_state(9, layer=3)
    with pytest.raises(ValueError, match="no likelihoods of the class names"):
        OptionLikelihoodClassifier(layout=blind).fit(rows[:, :-3], codes)
    with pytest.raises(ValueError, match="no likelihoods of the class names"):
        OptionLikelihoodClassifier(layout=blind).fit_class_names(NAMES)
    with pytest.raises(ValueError, match="layout `with_options`"):
        OptionLikelihoodClassifier().fit_class_names(NAMES)
    with pytest.raises(ValueError, match="there are 2 classes"):
        OptionLikelihoodClassifier(layout=LAYOUT).fit_class_names(NAMES[:2])
    with pytest.raises(ValueError, match="sorted"):
        OptionLikelihoodClassifier(layout=LAYOUT).fit_class_names(NAMES[::-1])


def test__fault_19__likelihood_that_is_no_number__error_names_it():
    rows, codes, *_ = make()
    rows[4, -1] = -np.inf
    with pytest.raises(ActivationError, match="row 4 has NaN or inf in the likelihoods of the class names"):
        OptionLikelihoodClassifier(layout=LAYOUT).fit(rows, codes)
    rows[4, -1], rows[5, HEADS.width] = 0, np.nan
    with pytest.raises(ActivationError, match="row 5 has NaN or inf in the last-layer state"):
        OptionLikelihoodClassifier(layout=LAYOUT).fit(rows, codes)


def test__last_state__likelihoods_behind_it__same_answers_as_without():
    rows, codes, queries, _ = make(seed=3)
    plain = make_base_estimator("last_state", HEADS.with_state(9, layer=3)).fit(rows[:, :-3], codes)
    beside = make_base_estimator("last_state", LAYOUT).fit(rows, codes)
    np.testing.assert_array_equal(beside.predict_proba(queries), plain.predict_proba(queries[:, :-3]))


@pytest.mark.parametrize("name", ["votes", "kernel_ridge", "hec_v_loo"])
def test__methods_of_heads__likelihoods_behind_them__same_answers_as_without(name):
    rows, codes, queries, _ = make(heads=1.0)
    blind = make_base_estimator(name, HEADS).fit(rows[:, : HEADS.width], codes)
    beside = make_base_estimator(name, HEADS.with_options(3, layer=3))
    columns = np.r_[: HEADS.width, LAYOUT.width - 3 : LAYOUT.width]
    found = beside.fit(rows[:, columns], codes).predict_proba(queries[:, columns])
    np.testing.assert_allclose(found, blind.predict_proba(queries[:, : HEADS.width]), rtol=1e-10)


def test__ensembles__rows_with_likelihoods__one_base_estimator_more():
    rows, codes, queries, truth = make()
    expected = (*DEFAULT_ESTIMATORS, "last_state", "option_likelihood")
    assert default_estimators(Shots(rows, codes, 3, LAYOUT)) == expected
    whole = make_method("ensemble", LAYOUT).fit(rows, codes)
    blind = make_method("ensemble", HEADS).fit(rows[:, : HEADS.width], codes)
    assert whole.heads_[-2:] == [(3, -1), (3, -2)]
    assert whole.score(queries, truth) > blind.score(queries[:, : HEADS.width], truth) + 0.25
    kept = whole.restrict_to(whole.heads_)
    short = queries[:, LAYOUT.column_indices(whole.heads_)]
    np.testing.assert_allclose(kept.predict_proba(short), whole.predict_proba(queries), atol=1e-12)


def test__auto_names__names_alone__as_the_likelihoods():
    rows, *_ = make()
    alone = OptionLikelihoodClassifier(layout=LAYOUT).fit_class_names(NAMES)
    fitted = make_method("auto_names", LAYOUT).fit_class_names(NAMES)
    assert fitted.heads_ == alone.heads_
    assert fitted.chosen_ == ["option_likelihood"]
    np.testing.assert_allclose(fitted.predict_proba(rows), alone.predict_proba(rows), atol=1e-9)


def test__auto_names__shots__mixes_what_heads_and_names_say():
    rows, codes, queries, truth = make(heads=0.5, options=1.0)
    named = make_method("auto_names", LAYOUT).fit(rows, codes)
    plain = make_method("auto", HEADS.with_state(9, layer=3)).fit(rows[:, :-3], codes)
    assert named.needs_options
    assert "option_likelihood" in named.selection_report_["candidates"]
    assert named.score(queries, truth) >= plain.score(queries[:, :-3], truth)


def test__shots__of_another_number_of_names__error():
    rows, codes, *_ = make()
    with pytest.raises(ValueError, match="no likelihoods of the class names"):
        _ = Shots(rows[codes < 2], codes[codes < 2], 2, LAYOUT).option_log_likelihood


def test__names_information__by_hand_and_at_its_ends():
    rows, codes, *_ = make(counts=(1, 2, 1), options=1.5)
    logs = np.log(softmax(rows[:, -3:]))
    scales = np.exp(np.linspace(-4, 1, 26))
    losses = []
    for left_out in range(4):
        totals = []
        for scale in scales:
            total = np.log(scale) ** 2 / 2
            for i in range(4):
                if i != left_out:
                    total -= np.log(softmax(scale * logs[i : i + 1]))[0, codes[i]]
            totals.append(total)
        best = scales[int(np.argmin(totals))]
        losses.append(-np.log(softmax(best * logs[left_out : left_out + 1]))[0, codes[left_out]])
    expected = max(0, 1 - np.mean(losses) / np.log(3))
    assert names_information(Shots(rows, codes, 3, LAYOUT)) == pytest.approx(expected)
    for options, low, high in ((0.0, 0.0, 0.1), (30.0, 0.95, 1.0)):
        rows, codes, *_ = make(options=options, counts=(40, 40, 40))
        assert low <= names_information(Shots(rows, codes, 3, LAYOUT)) <= high
    rows[:, -3:] = np.roll(rows[:, -3:], 1, axis=1)  # always wrong
    assert names_information(Shots(rows, codes, 3, LAYOUT)) == 0.0


def test__auto_names__one_shot_per_class__weight_of_the_names_is_what_they_tell():
    rows, codes, queries, truth = make(counts=(1, 1, 1), options=9.0)
    fitted = make_method("auto_names", LAYOUT).fit(rows, codes)
    share = names_information(Shots(rows, codes, 3, LAYOUT))
    assert fitted.weights_["option_likelihood"] == pytest.approx(share)
    assert sum(fitted.weights_.values()) == pytest.approx(1.0)
    assert fitted.selection_report_["weights"] == fitted.weights_
    assert fitted.score(queries, truth) > 0.95
    again = NamedAutoClassifier.from_state(fitted.to_state())
    np.testing.assert_array_equal(again.predict_proba(queries), fitted.predict_proba(queries))
    rows[:, -3:] = np.roll(rows[:, -3:], 1, axis=1)
    fitted = make_method("auto_names", LAYOUT).fit(rows, codes)
    assert fitted.weights_["option_likelihood"] == 0.0
