from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss

from savs.evaluation import probability_report
from savs.evaluation.probabilities import ClassProbabilities, ItemScores, score_items

NAMES = ["ant", "bee", "cow"]


def draw(seed, n=40, sharpness=2.0):
    rng = np.random.default_rng(seed)
    scores = np.exp(sharpness * rng.standard_normal((n, 3)))
    shares = scores / scores.sum(axis=1, keepdims=True)
    truth = [str(rng.choice(NAMES, p=row)) for row in shares]
    return shares, truth, [NAMES[place] for place in shares.argmax(axis=1)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), sharpness=st.sampled_from([0.1, 2.0, 30.0]))
def test__figures__any_probabilities__equal_a_plain_loop(by_loop, seed, n, sharpness):
    shares, truth, answers = draw(seed, n, sharpness)
    found = score_items(ClassProbabilities(NAMES, shares), truth, answers).figures()
    assert found == pytest.approx(by_loop(shares.tolist(), truth, answers, NAMES), rel=1e-9, abs=1e-12)


def test__log_loss__equals_that_of_scikit_learn():
    shares, truth, answers = draw(3, 200)
    found = score_items(ClassProbabilities(NAMES, shares), truth, answers).figures()
    assert found["log_loss"] == pytest.approx(sklearn_log_loss(truth, shares, labels=NAMES))


def test__figures__by_hand():
    found = probability_report(
        ["ant", "bee", "bee"],
        [[1.0, 0.0], [0.8, 0.2], [0.75, 0.25]],
        ["ant", "ant", "ant"],
        ["ant", "bee"],
    )
    assert found["log_loss"]["value"] == pytest.approx(-(math.log(0.2) + math.log(0.25)) / 3)
    assert found["ece"]["value"] == pytest.approx((0 + 0.8 + 0.75) / 3)
    assert found["brier"]["value"] == pytest.approx((0 + 2 * 0.64 + 2 * 0.5625) / 3)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test__log_loss__probability_zero__is_bounded():
    found = probability_report(["bee"], [[1.0, 0.0]], ["ant"], ["ant", "bee"])
    assert found["log_loss"]["value"] == pytest.approx(-math.log(1e-9))
    assert found["brier"]["value"] == 2
    assert found["ece"]["value"] == 1


def test__fault_16__label_of_no_class__has_probability_zero(by_loop):
    shares, answers = [[0.9, 0.1], [0.5, 0.5]], ["ant", "ant"]
    found = score_items(ClassProbabilities(["ant", "bee"], np.array(shares)), ["elk", "ant"], answers)
    assert found.figures() == pytest.approx(by_loop(shares, ["elk", "ant"], answers, ["ant", "bee"]))
    assert found.losses[0] == pytest.approx(-math.log(1e-9))
    assert found.distances[0] == pytest.approx(0.81 + 0.01 + 1)


def test__fault_15__one_and_text_one__are_two_labels():
    found = score_items(ClassProbabilities([1, 2], np.array([[0.9, 0.1]])), ["1"], [1])
    assert found.losses[0] == pytest.approx(-math.log(1e-9))
    assert not found.correct[0]


def test__tied_probabilities__the_answer_counts_not_the_first_column():
    proba = ClassProbabilities(["ant", "bee"], np.array([[0.5, 0.5]]))
    assert score_items(proba, ["bee"], ["bee"]).figures()["ece"] == pytest.approx(0.5)
    assert score_items(proba, ["bee"], ["bee"]).correct[0]
    assert not score_items(proba, ["bee"], ["ant"]).correct[0]


def test__no_answer__is_wrong_with_the_largest_probability_as_confidence():
    found = score_items(ClassProbabilities(["ant", "bee"], np.array([[0.3, 0.7]])), ["bee"], [None])
    assert (found.confidences.tolist(), found.correct.tolist()) == ([0.7], [False])
    # No answer is not the right one to a label of no class either.
    assert not score_items(ClassProbabilities(["ant", "bee"], np.eye(2)[:1]), ["elk"], [None]).correct[0]


@pytest.mark.parametrize(
    ("shares", "answers", "words"),
    [
        ([[0.5, 0.5]], ["ant", "ant"], r"shape \(2, 2\), items by classes, got \(1, 2\)"),
        ([[1.0], [1.0]], ["ant", "ant"], r"got \(2, 1\)"),
        ([[0.5, 0.5], [0.7, 0.7]], ["ant", "ant"], "of item 1 do not lie in 0 to 1 with sum 1"),
        ([[1.5, -0.5], [0.5, 0.5]], ["ant", "ant"], "of item 0 do"),
        ([[0.5, 0.5], [math.nan, 1.0]], ["ant", "ant"], "of item 1 do"),
        ([[0.5, 0.5], [math.inf, 0.0]], ["ant", "ant"], "of item 1 do"),
        ([[0.5, 0.5], [0.5, 0.5]], ["ant", "elk"], "answer 'elk' is none of the 2 classes"),
    ],
)
def test__no_distribution__error(shares, answers, words):
    with pytest.raises(ValueError, match=words):
        probability_report(["ant", "bee"], shares, answers, ["ant", "bee"])


def test__no_items__no_figures():
    nothing = {"log_loss": None, "ece": None, "brier": None}
    assert probability_report([], np.empty((0, 2)), [], ["ant", "bee"]) == nothing


def test__intervals__equal_resampling_in_a_loop():
    scores = score_items(ClassProbabilities(NAMES, draw(1, 80)[0]), *draw(1, 80)[1:])
    found = scores.intervals()
    rng, values = np.random.default_rng(9), []
    for _ in range(2000):
        rows = rng.integers(0, 80, 80)
        part = ItemScores(*(getattr(scores, name)[rows] for name in scores.__dataclass_fields__))
        values.append(list(part.figures().values()))
    lows, highs = np.percentile(values, [2.5, 97.5], axis=0)
    for place, name in enumerate(("log_loss", "ece", "brier")):
        low = lows[place]
        if name == "ece":
            low = max(0, min(low, 2 * scores.figures()["ece"] - highs[place]))
        assert found[name] == pytest.approx((low, highs[place]), abs=0.02)


def test__intervals__in_slices__the_same_as_at_once(monkeypatch):
    scores = score_items(ClassProbabilities(NAMES, draw(2)[0]), *draw(2)[1:])
    whole = scores.intervals(n_resamples=300)
    monkeypatch.setattr("savs.classifiers._item_scores._TOGETHER", 70)
    sliced = scores.intervals(n_resamples=300)
    for name, ends in whole.items():
        assert sliced[name] == pytest.approx(ends)
    assert scores.intervals(seed=1) == scores.intervals(seed=1) != scores.intervals(seed=2)


def test__intervals__around_the_value_and_within_bounds():
    for seed in range(5):
        shares, truth, answers = draw(seed, 25)
        report = probability_report(truth, shares, answers, NAMES)
        for name, most in (("log_loss", 20.8), ("ece", 1), ("brier", 2)):
            low, high = report[name]["interval"]
            assert 0 <= low <= report[name]["value"] <= high <= most
    one = probability_report(["ant"], [[0.6, 0.4]], ["ant"], ["ant", "bee"])
    assert one["ece"]["interval"] == pytest.approx([0.4, 0.4])


def test__interval_of_ece__calibrated_probabilities__usually_reaches_zero():
    hits = 0
    for seed in range(40):
        shares, truth, answers = draw(1000 + seed, 100)
        scores = score_items(ClassProbabilities(NAMES, shares), truth, answers)
        hits += scores.intervals(n_resamples=200)["ece"][0] == 0
    assert hits >= 20  # percentiles alone: never
