"""The protocol of head classifiers: the same questions to every method, and rows of some heads only."""

from __future__ import annotations

import numpy as np
import pytest

from savs.classifiers import HeadClassifier, HeadVoteClassifier, SAVClassifier, Shots, available_methods
from savs.classifiers import make_method as make
from savs.classifiers.base import CalibratedHeadClassifier, FittedScores
from savs.classifiers.methods import Method
from savs.layout import HeadLayout

HEADS = HeadLayout.from_layers([(0, 3, 4), (1, 2, 6)])
LAYOUT = HEADS.with_state(9, layer=3).with_options(3)
METHODS = available_methods()


def fit(name, layout=LAYOUT):
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(3), 6)
    means = rng.standard_normal((3, LAYOUT.width))
    rows = (rng.standard_normal((18, LAYOUT.width)) + means[codes])[:, : layout.width]
    made = make(name, layout)
    if made.needs_prototypes:
        made.set_params(prototypes=means[:, : HEADS.width])
    return made.fit_shots(np.array(["a", "b", "c"]), Shots(rows, codes, 3, layout)), rows


@pytest.mark.parametrize("name", METHODS)
def test__protocol__any_method__answers_every_question(name):
    fitted, rows = fit(name)
    assert isinstance(fitted, HeadClassifier)
    assert fitted.head_scores_ is None or fitted.head_scores_.shape == (HEADS.n_heads,)
    assert isinstance(fitted.selection_report_, dict)
    logs = fitted.decision_log_proba(rows)
    assert np.isfinite(logs).all()
    assert (fitted.classes_[logs.argmax(axis=1)] == fitted.predict(rows)).all()
    opinions = fitted.head_opinions(rows)
    if opinions is not None:
        assert opinions.votes.shape == (len(fitted.heads_), len(rows))
    assert fitted.prediction_bytes() > 0


@pytest.mark.parametrize("name", METHODS)
def test__restrict_to__heads_in_use_and_more__same_answers_from_slices(name):
    fitted, rows = fit(name)
    before = fitted.predict_log_proba(rows)
    for heads in (fitted.heads_, list(LAYOUT.parts)):
        kept = fitted.restrict_to(heads)
        short = rows[:, LAYOUT.column_indices(heads)]
        assert kept.layout_ == kept.layout == LAYOUT.select(heads)
        np.testing.assert_allclose(kept.predict_log_proba(short), before, atol=1e-12)
        if kept.head_scores_ is not None:
            assert kept.head_scores_.shape == (kept.layout_.n_heads,)
        again = type(kept).from_state(kept.to_state())
        np.testing.assert_array_equal(again.predict_proba(short), kept.predict_proba(short))
    assert fitted.layout_ == LAYOUT
    np.testing.assert_array_equal(fitted.predict_log_proba(rows), before)


def test__restrict_to__head_in_use_missing__error_names_it():
    fitted, _ = fit("lda")
    with pytest.raises(ValueError, match="layer 0, head 0 is in use"):
        fitted.restrict_to(HEADS.heads[1:])


@pytest.mark.parametrize("name", ["ensemble", "auto"])
def test__rows_without_state__ensembles__fit_and_answer_without_it(name):
    fitted, rows = fit(name, HEADS)
    assert fitted.needs_state
    assert fitted.state_is_optional
    assert "last_state" not in fitted.weights_
    assert not any(head.is_state for head in fitted.heads_)
    assert (fitted.predict(rows) == np.repeat(["a", "b", "c"], 6)).mean() > 0.8


def test__needs_state__named_estimators__only_where_one_reads_it():
    ensemble = make("ensemble")
    assert not ensemble.set_params(estimators=("hec_v", "lda")).needs_state
    ensemble.set_params(estimators=("hec_v", "last_state"))
    assert ensemble.needs_state
    assert not ensemble.state_is_optional


def test__auto__folds_of_its_fit__not_fitted_again():
    fitted, rows = fit("auto")
    shots = Shots(rows, np.repeat(np.arange(3), 6), 3, LAYOUT)
    again = make("auto", LAYOUT).fit_shots(np.array(["a", "b", "c"]), shots)
    known = set(shots.memo)
    logs = again.out_of_fold_log_proba(shots, again.cross_validation_folds(shots))
    assert set(shots.memo) == known
    other = Shots(rows, shots.codes, 3, LAYOUT)
    np.testing.assert_array_equal(
        logs, fitted.out_of_fold_log_proba(other, fitted.cross_validation_folds(other))
    )


def test__method__estimator__as_if_by_name():
    given = HeadVoteClassifier("gaussian", n_heads=3)
    method = Method(given)
    assert method == Method.from_json(method.to_json())
    assert method.name == "HeadVoteClassifier"
    made = Method.from_json(method.to_json()).make(HEADS, np.array([0, 1]))
    assert made.get_params() == given.set_params(layout=HEADS).get_params()
    assert Method(SAVClassifier(7), n_heads=5).make(HEADS, np.array([0, 1])).n_heads == 5
    with pytest.raises(ValueError, match="'SAVClassifier' takes no priors"):
        Method(SAVClassifier(), priors="empirical")


class _LargestOption(CalibratedHeadClassifier):
    """A classifier of somebody else that reads the likelihoods of the class names."""

    needs_options = True

    def __init__(self, *, layout=None, priors="uniform"):
        self.layout = layout
        self.priors = priors

    def _learn(self, shots):
        scores = shots.option_log_likelihood
        return FittedScores(scores, [shots.layout.options_head], {})

    def _raw_scores(self, rows, layout):  # noqa: ARG002
        return np.asarray(rows, dtype=np.float64)


def test__classifier_of_class_names_by_somebody_else__one_shot_per_class__fits():
    rows = np.zeros((3, LAYOUT.width))
    rows[:, -3:] = 2 * np.eye(3) - 3
    fitted = _LargestOption(layout=LAYOUT).fit(rows, ["a", "b", "c"])
    assert fitted.predict(rows).tolist() == ["a", "b", "c"]
    assert fitted.temperature_ == 0.5  # log odds of 4 between -1 and -3
