from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from savs.evaluation import (
    accuracy_report,
    average_precision,
    average_precision_by_split,
    binary_scores,
    equal_error_rate,
    macro_f1,
    recall_at_false_positive_rate,
)

FEW = {"n_resamples": 5}
NAMES = ["ant", "bee", "cow"]
labelled = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from([*NAMES, None])), min_size=1, max_size=30
)
scored = st.lists(st.tuples(st.booleans(), st.sampled_from([None, 0.0, 0.2, 0.5, 0.7, 1.0])), max_size=30)


def macro_f1_by_loop(truth, answers):
    figures = []
    for name in {*truth, *answers} - {None}:
        hits = said = there = 0
        for true, answer in zip(truth, answers, strict=True):
            hits += true == answer == name
            said += answer == name
            there += true == name
        precision = hits / said if said else 0
        recall = hits / there if there else 0
        figures.append(2 * precision * recall / (precision + recall) if hits else 0)
    return sum(figures) / len(figures)


def with_failed_at_the_wrong_end(rows):
    harm = {True: -math.inf, False: math.inf}
    return [(positive, harm[positive] if score is None else score) for positive, score in rows]


def points_by_loop(rows):
    """Yield false positive rate, recall and precision at each threshold, from the highest."""
    rows = with_failed_at_the_wrong_end(rows)
    n_positive = sum(positive for positive, _ in rows)
    for threshold in sorted({score for _, score in rows}, reverse=True):
        taken = [positive for positive, score in rows if score >= threshold]
        hits = sum(taken)
        yield (len(taken) - hits) / (len(rows) - n_positive), hits / n_positive, hits / len(taken)


def average_precision_by_loop(rows):
    total = before = 0.0
    for _, recall, precision in points_by_loop(rows):
        total += (recall - before) * precision
        before = recall
    return total


def recall_by_loop(rows, max_rate):
    return max([recall for rate, recall, _ in points_by_loop(rows) if rate <= max_rate], default=0.0)


def both_classes(rows):
    return {positive for positive, _ in rows} == {True, False}


# Macro F1.


@settings(max_examples=60, deadline=None)
@given(labelled)
def test__macro_f1__any_answers__equals_the_loop_and_the_report(rows):
    truth, answers = [true for true, _ in rows], [answer for _, answer in rows]
    found = macro_f1(truth, answers, **FEW)
    assert found.value == pytest.approx(macro_f1_by_loop(truth, answers))
    assert found.value == pytest.approx(accuracy_report(truth, answers, NAMES)["macro_f1"])
    assert found[3:] == (len(rows), answers.count(None))
    assert 0 <= found.low <= found.high <= 1


def test__macro_f1__majority_class_alone__far_below_accuracy():
    truth = ["No"] * 90 + ["Yes"] * 10
    assert macro_f1(truth, ["No"] * 100, **FEW).value == pytest.approx((2 * 90 / 190) / 2)


def test__macro_f1__failed_item__missed_but_no_class():
    assert macro_f1(["ant", "ant", "bee"], ["ant", None, "bee"], **FEW).value == pytest.approx(
        (2 / 3 + 1) / 2
    )


def test__macro_f1__interval__that_of_scikit_learn_on_resampled_items():
    rng = np.random.default_rng(0)
    truth = np.array(NAMES)[rng.integers(3, size=80)]
    answers = np.where(rng.random(80) < 0.6, truth, "ant")
    found = macro_f1(truth, answers, n_resamples=300, seed=4)
    again = np.random.default_rng(4)
    drawn = [again.integers(80, size=80) for _ in range(300)]
    by_loop = [f1_score(truth[rows], answers[rows], average="macro", zero_division=0) for rows in drawn]
    assert found[1:3] == pytest.approx(np.percentile(by_loop, [2.5, 97.5]))


def test__macro_f1__bad_input__error():
    with pytest.raises(ValueError, match="1 true labels, but 2 predictions"):
        macro_f1(["ant"], ["ant", "bee"])
    with pytest.raises(ValueError, match="there are no items"):
        macro_f1([], [])


# Average precision.


@settings(max_examples=60, deadline=None)
@given(scored.filter(both_classes))
def test__average_precision__any_scores__equals_the_loop(rows):
    found = average_precision([positive for positive, _ in rows], [score for _, score in rows], **FEW)
    assert found.value == pytest.approx(average_precision_by_loop(rows))
    assert found[3:] == (len(rows), [score for _, score in rows].count(None))
    assert 0 <= found.low <= found.high <= 1


def test__average_precision_by_split__splits_of_unequal_size__each_counts_the_same():
    rng = np.random.default_rng(0)
    splits = ["pan"] * 40 + ["zoom"] * 12 + ["pan"] * 8
    positive = rng.random(60) < 0.3
    positive[[0, 40]] = True
    scores = rng.choice([0.1, 0.2, 0.5, 0.9], 60).tolist()
    scores[3] = None
    found = average_precision_by_split(positive.tolist(), scores, splits, n_resamples=200)
    by_hand = {
        name: average_precision(
            [bool(positive[row]) for row in range(60) if splits[row] == name],
            [scores[row] for row in range(60) if splits[row] == name],
            **FEW,
        )
        for name in ("pan", "zoom")
    }
    assert {name: one.value for name, one in found.splits.items()} == {
        name: pytest.approx(one.value) for name, one in by_hand.items()
    }
    assert found.mean.value == pytest.approx((by_hand["pan"].value + by_hand["zoom"].value) / 2)
    assert (found.mean.n, found.mean.n_failed, found.splits["pan"].n_failed) == (60, 1, 1)
    assert found.mean.low < found.mean.value < found.mean.high
    # Two independent splits: the mean varies less than the less certain of them.
    widths = {name: one.high - one.low for name, one in found.splits.items()}
    assert found.mean.high - found.mean.low < max(widths.values())
    again = average_precision_by_split(positive.tolist(), scores, splits, n_resamples=200)
    assert again == found


def test__average_precision_by_split__split_with_one_class_or_lengths_that_differ__error():
    with pytest.raises(ValueError, match=r"split 'b': both classes are needed: 1 of 1 items are positive"):
        average_precision_by_split([True, False, True], [0.1, 0.2, 0.3], ["a", "a", "b"])
    with pytest.raises(ValueError, match="3 items, but 3 scores and 2 names of splits"):
        average_precision_by_split([True, False, True], [0.1, 0.2, 0.3], ["a", "a"])


def test__average_precision__equal_scores__share_of_positives():
    positive = [True] * 94 + [False] * 872
    assert average_precision(positive, [0.5] * 966, **FEW).value == pytest.approx(94 / 966)


def test__average_precision__failed_items__where_they_do_most_harm():
    positive = [True, True, False]
    assert average_precision(positive, [0.9, None, 0.1], **FEW).value == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(positive, [0.9, 0.8, math.nan], **FEW).value == pytest.approx(0.25 + 0.5 * 2 / 3)
    assert average_precision(positive, [0.9, 0.8, None], **FEW).n_failed == 1


def test__average_precision__interval__that_of_scikit_learn_on_resampled_items():
    rng = np.random.default_rng(0)
    positive = rng.random(60) < 0.3
    scores = np.round(rng.random(60) + 0.3 * positive, 1)
    found = average_precision(positive, scores, n_resamples=200, seed=4)
    again = np.random.default_rng(4)
    drawn = [again.integers(60, size=60) for _ in range(200)]
    by_loop = [average_precision_score(positive[rows], scores[rows]) for rows in drawn]
    assert found[1:3] == pytest.approx(np.percentile(by_loop, [2.5, 97.5]))


# Recall where false positives are rare.


@settings(max_examples=60, deadline=None)
@given(scored.filter(both_classes), st.sampled_from([0.0, 0.01, 0.2, 1.0]))
def test__recall_at_false_positive_rate__any_scores__equals_the_loop(rows, max_rate):
    positive, scores = [one for one, _ in rows], [score for _, score in rows]
    found = recall_at_false_positive_rate(positive, scores, max_rate, **FEW)
    assert found.value == pytest.approx(recall_by_loop(rows, max_rate))
    assert found[3:] == (len(rows), scores.count(None))
    assert 0 <= found.low <= found.high <= 1


@pytest.mark.parametrize(("n_negative", "expected"), [(99, 0.25), (100, 0.75), (199, 0.75), (200, 1.0)])
def test__recall_at_false_positive_rate__one_percent__of_the_negative_items(n_negative, expected):
    # From the top: positive, negative, positive, positive, negative, positive, then the other negatives.
    positive = [True, False, True, True, False, True] + [False] * (n_negative - 2)
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4] + [0.0] * (n_negative - 2)
    assert recall_at_false_positive_rate(positive, scores, **FEW).value == expected


def test__recall_at_false_positive_rate__failed_negative__a_false_positive():
    found = recall_at_false_positive_rate([True, False, False], [0.9, 0.1, None], **FEW)
    assert (found.value, found.n, found.n_failed) == (0.0, 3, 1)


def test__recall_at_false_positive_rate__rate_beyond_1__error():
    with pytest.raises(ValueError, match="max_rate must lie in 0 to 1, got 5"):
        recall_at_false_positive_rate([True, False], [1.0, 0.0], 5)


@pytest.mark.parametrize("metric", [average_precision, recall_at_false_positive_rate])
def test__metrics_of_scores__bad_input__error(metric):
    with pytest.raises(ValueError, match="both classes are needed: 2 of 2 items are positive"):
        metric([True, True], [0.1, 0.2])
    with pytest.raises(ValueError, match="2 items, but 1 scores"):
        metric([True, False], [0.1])
    with pytest.raises(ValueError, match="positive must be a list of True and False"):
        metric(["Yes", "No"], [0.1, 0.2])
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        metric([True, False], [0.1, 0.2], level=0)


@pytest.mark.parametrize("metric", [average_precision, recall_at_false_positive_rate])
def test__metrics_of_scores__one_item_of_each_class__an_interval(metric):
    # Half of all resamples lack a class and are drawn again.
    assert metric([True, False], [0.9, 0.1], n_resamples=30)[:3] == (1.0, 1.0, 1.0)


# One class against the others.


def binary_scores_by_loop(truth, answers, positive):
    right = hits = alarms = missed = 0
    for true, answer in zip(truth, answers, strict=True):
        right += true == answer
        hits += true == positive and answer == positive
        alarms += true != positive and answer == positive
        missed += true == positive and answer != positive
    precision = hits / (hits + alarms) if hits + alarms else 0
    recall = hits / (hits + missed)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0
    return [right / len(truth), precision, recall, f1, (hits + alarms) / len(truth)]


@settings(max_examples=60, deadline=None)
@given(labelled)
def test__binary_scores__any_answers__equal_the_loop(rows):
    truth, answers = [true for true, _ in rows], [answer for _, answer in rows]
    found = binary_scores(["ant", *truth], ["bee", *answers], "ant", **FEW)
    expected = binary_scores_by_loop(["ant", *truth], ["bee", *answers], "ant")
    assert [one.value for one in found] == pytest.approx(expected)
    assert {one[3:] for one in found} == {(len(rows) + 1, answers.count(None))}
    assert all(0 <= one.low <= one.high <= 1 for one in found)


def test__binary_scores__intervals__cover_the_figures_of_resamples():
    truth, answers = ["yes", "no"] * 100, ["yes", "no", "yes", "yes"] * 50
    found = binary_scores(truth, answers, "yes")
    assert found.positive_rate.value == 0.75
    assert found.f1.value == 0.8
    rng = np.random.default_rng(3)
    figures = []
    for _ in range(300):
        rows = rng.integers(200, size=200)
        figures.append(
            binary_scores_by_loop([truth[row] for row in rows], [answers[row] for row in rows], "yes")
        )
    low, high = np.percentile(figures, [2.5, 97.5], axis=0)
    assert [one.low for one in found] == pytest.approx(low, abs=0.02)
    assert [one.high for one in found] == pytest.approx(high, abs=0.02)


def test__binary_scores__answers_of_another_spelling_or_no_positives__refused():
    with pytest.raises(ValueError, match="no item is of the positive class 'yes'"):
        binary_scores(["Yes", "No"], ["Yes", "No"], "yes")
    with pytest.raises(ValueError, match="2 true labels, but 1 predictions"):
        binary_scores(["yes", "no"], ["yes"], "yes")


# Equal error rate.


def equal_error_rate_by_loop(rows):
    """Walk over the thresholds, and go straight between the last two of them."""
    n_positive = sum(positive for positive, _ in rows)
    before = (0.0, 1.0)
    for rate, recall, _ in points_by_loop(rows):
        missed = 1 - recall
        if rate >= missed - 1e-12:
            gap, gap_before = rate - missed, before[0] - before[1]
            share = -gap_before / (gap - gap_before)
            assert n_positive
            return before[0] + share * (rate - before[0])
        before = (rate, missed)
    raise AssertionError


@settings(max_examples=80, deadline=None)
@given(scored.filter(both_classes))
def test__equal_error_rate__any_scores__equals_the_loop_and_its_mirror(rows):
    positive, scores = [row[0] for row in rows], [row[1] for row in rows]
    found = equal_error_rate(positive, scores, **FEW)
    assert found.value == pytest.approx(equal_error_rate_by_loop(rows))
    assert found[3:] == (len(rows), scores.count(None))
    mirrored = equal_error_rate(
        [not one for one in positive], [None if one is None else -one for one in scores], **FEW
    )
    assert mirrored.value == pytest.approx(found.value)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([0.9, 0.8, 0.2, 0.1], 0.0, id="apart"),
        pytest.param([0.1, 0.2, 0.8, 0.9], 1.0, id="turned round"),
        pytest.param([0.5, 0.5, 0.5, 0.5], 0.5, id="all the same"),
        pytest.param([0.9, None, 0.2, 0.1], 0.5, id="a failed one is missed"),
        pytest.param([0.9, 0.8, None, None], 1.0, id="failed negatives come first"),
    ],
)
def test__equal_error_rate__two_of_each__by_hand(scores, expected):
    assert equal_error_rate([True, True, False, False], scores, **FEW).value == pytest.approx(expected)


def test__equal_error_rate__many_items__interval_around_the_known_rate():
    rng = np.random.default_rng(5)
    positive = np.arange(600) < 300
    scores = rng.normal(size=600) + 2 * positive
    found = equal_error_rate(positive, scores, n_resamples=200)
    # Two normal classes 2 apart: the threshold in the middle, 1 away from both.
    assert found.low < 0.1587 < found.high
    assert found.high - found.low < 0.1


def test__equal_error_rate__one_class__refused():
    with pytest.raises(ValueError, match="both classes are needed"):
        equal_error_rate([True, True], [0.1, 0.2])
