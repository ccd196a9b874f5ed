from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import f1_score

from savs.classifiers import Estimate, SAVClassifier, Shots, estimate_classifier, wilson_interval
from savs.classifiers.cross_validation import (
    cross_val_log_proba,
    cross_validated_interval,
    estimate_from_shots,
    leave_one_out_folds,
)
from savs.cli._output import estimate_lines
from savs.errors import DataError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.uniform(2, 4, 3)


def make(counts, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(counts)), counts)
    means = rng.standard_normal((len(counts), LAYOUT.width))
    return rng.standard_normal((len(codes), LAYOUT.width)) + signal * means[codes], codes


def estimate_accuracy(rows, codes, *, layout, n_heads=20, seed=0, max_folds=20):
    """Return the estimate from folds that leave out one shot per class."""
    shots = Shots(rows, codes, int(codes.max()) + 1, layout)
    folds = leave_one_out_folds(codes, seed, max_folds)
    logs = SAVClassifier(n_heads, layout).out_of_fold_log_proba(shots, folds)
    return estimate_from_shots(logs, codes, len(folds))


def test__cross_validation_folds__published_rule__all_shots_in_up_to_twenty_folds():
    rows, codes = make([6, 20, 4])
    folds = SAVClassifier().cross_validation_folds(Shots(rows, codes, 3, LAYOUT))
    expected = leave_one_out_folds(codes, 0, 20)
    assert [fold.tolist() for fold in folds] == [fold.tolist() for fold in expected]
    rows, codes = make([6, 50, 4])
    folds = SAVClassifier().cross_validation_folds(Shots(rows, codes, 3, LAYOUT))
    assert len(folds) == 20
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))


def test__estimate__published_rule__uses_every_shot_it_is_given():
    rows, codes = make([50, 30])
    shots = Shots(rows, codes, 2, LAYOUT)
    classifier = SAVClassifier(3, LAYOUT)
    folds = classifier.cross_validation_folds(shots)
    found = estimate_from_shots(classifier.out_of_fold_log_proba(shots, folds), codes, len(folds))
    assert (found.n, found.n_shots) == (80, 80)
    right = 0
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        right += int(
            np.sum(SAVClassifier(3, LAYOUT).fit(rows[rest], codes[rest]).predict(rows[fold]) == codes[fold])
        )
    assert found.accuracy == right / 80


def test__estimate__equals_refitting_by_hand():
    rows, codes = make([6, 7, 4])
    found = estimate_accuracy(rows, codes, layout=LAYOUT, n_heads=3, seed=5)
    truth, answers = [], []
    for fold in leave_one_out_folds(codes, 5, 20):
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        classifier = SAVClassifier(3, LAYOUT).fit(rows[rest], codes[rest])
        truth += codes[fold].tolist()
        answers += classifier.predict(rows[fold]).tolist()
    right = sum(a == b for a, b in zip(truth, answers, strict=True))
    assert sorted(truth) == codes.tolist()
    assert found.n == 17
    assert found.accuracy == right / 17
    assert found.interval == cross_validated_interval(right, 17, 7)
    assert found.macro_f1 == pytest.approx(f1_score(truth, answers, average="macro"))


def test__estimate__pure_noise__is_at_chance_though_the_shots_score_high():
    rows, codes = make([20, 20, 20, 20], signal=0.0)
    wide = HeadLayout.uniform(1, 8, 3)
    assert SAVClassifier(8, wide).fit(rows, codes).score(rows, codes) > 0.35
    assert estimate_accuracy(rows, codes, layout=wide, n_heads=8).accuracy < 0.35


def test__fault_13__sole_shots__not_left_out_and_said():
    rows, codes = make([1, 4, 4])
    found = estimate_accuracy(rows, codes, layout=LAYOUT)
    assert found.n == 8
    assert "1 of 3 classes have one shot" in found.note


def test__estimate__no_class_with_two_shots__none():
    assert estimate_accuracy(*make([1, 1, 1]), layout=LAYOUT) is None


def test__estimate__enough_shots__no_note_few_shots__note():
    assert estimate_accuracy(*make([15, 15]), layout=LAYOUT).note is None
    assert "too few" in estimate_accuracy(*make([14, 14]), layout=LAYOUT).note
    assert "too few" in estimate_accuracy(*make([40, 4]), layout=LAYOUT).note


def test__estimate__folds_that_leave_shots_in__says_how_many_it_used():
    found = estimate_accuracy(*make([50, 3]), layout=LAYOUT, max_folds=10)
    assert (found.n, found.n_shots) == (13, 53)
    assert "the method leaves out 13 of the 53 shots that could be" in found.note


def test__estimate__class_of_one_shot__is_no_headline_figure():
    found = estimate_accuracy(*make([30, 30, 1]), layout=LAYOUT, max_folds=30)
    assert (found.n, found.n_shots, found.n_untested_classes) == (60, 61, 1)
    assert not found.covers_all_classes
    assert repr(found).startswith("Estimate(without classes of one shot (1): accuracy=")
    first, second, third = estimate_lines(asdict(found))
    assert first.startswith("no estimate of accuracy over all classes")
    assert f"{100 * found.accuracy:.1f} % of 60 held-out shots" in second
    assert "1 of 3 classes have one shot" in third
    whole = estimate_accuracy(*make([30, 30]), layout=LAYOUT, max_folds=30)
    assert whole.covers_all_classes
    assert repr(whole).startswith("Estimate(accuracy=")
    assert estimate_lines(asdict(whole))[0].startswith("estimated accuracy")


def test__estimate__log_loss_of_held_out_shots__as_a_loop_and_shown():
    rows, codes = make([6, 6])
    classifier = SAVClassifier(4, LAYOUT)
    found = estimate_classifier(classifier, rows, codes, max_folds=6)
    shots = Shots(rows, codes, 2, LAYOUT)
    total = 0.0
    for row, code in zip(cross_val_log_proba(classifier, shots, 6).tolist(), codes.tolist(), strict=True):
        total -= max(row[code], math.log(1e-9))
    assert found.log_loss == pytest.approx(total / 12, rel=1e-9)
    lines = estimate_lines(asdict(found))
    assert lines[1].startswith(f"log loss {found.log_loss:.3f}, ECE {found.ece:.3f}, Brier score ")
    # One that an older savs saved does not have it.
    assert not any("log loss" in line for line in estimate_lines({**asdict(found), "log_loss": None}))


def test__estimate__json_round_trip__equal():
    found = estimate_accuracy(*make([3, 3]), layout=LAYOUT)
    assert Estimate(**json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize("labels", [[1, "1", 1, "1"], ["a"] * 4])
def test__estimate__unusable_labels__error(labels):
    with pytest.raises(DataError):
        estimate_classifier(SAVClassifier(), np.eye(4), labels)


def test__estimate__other_number_of_labels__error_with_both():
    with pytest.raises(ValueError, match="4 feature rows, but 3 labels"):
        estimate_classifier(SAVClassifier(), np.eye(4), [1, 2, 1])


def test__folds__every_class_at_most_once_each_shot_once_first_shots_seeded():
    codes = np.array([0] * 3 + [1] * 5 + [2])
    folds = leave_one_out_folds(codes, 1, 20)
    assert [len(fold) for fold in folds] == [2, 2, 2, 1, 1]
    assert sorted(np.concatenate(folds).tolist()) == list(range(8))
    assert all(np.array_equal(a, b) for a, b in zip(folds, leave_one_out_folds(codes, 1, 20), strict=True))


def test__wilson__against_known_values__equal():
    assert wilson_interval(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson_interval(10, 10) == pytest.approx((0.72247, 1), abs=1e-5)
    assert wilson_interval(50, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)
    assert wilson_interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="share"):
        wilson_interval(3, 2)


@pytest.mark.parametrize(("correct", "n", "folds"), [(0, 10, 2), (7, 10, 5), (40, 40, 5), (180, 200, 20)])
def test__left_out_interval__by_hand__wilson_of_fewer_shots_and_a_curve(correct, n, folds):
    share, fewer = correct / n, n / (1 + folds / (folds - 1))
    # the Wilson ends are the roots of (p - share)^2 = z^2 p (1 - p) / n
    z2 = 1.959963984540054**2 / fewer
    ends = sorted(np.roots([1 + z2, -(2 * share + z2), share**2]).real)
    low, high = cross_validated_interval(correct, n, folds)
    assert low == pytest.approx(ends[0], abs=1e-12)
    error = max(1 - ends[1], 0.0)
    assert 1 - high == pytest.approx(
        min(error * (folds - 1) / folds, error ** (folds / (folds - 1))), abs=1e-12
    )
    plain = wilson_interval(correct, n)
    assert low <= plain[0]
    assert high >= plain[1]
    assert low <= share <= high


def test__left_out_interval__impossible__error():
    assert cross_validated_interval(0, 0, 5) == (0, 1)
    with pytest.raises(ValueError, match="share"):
        cross_validated_interval(3, 2, 5)
    with pytest.raises(ValueError, match="1 folds"):
        cross_validated_interval(1, 2, 1)


def test__interval__many_small_tasks__covers_the_true_accuracy_and_wilson_does_not():
    """Two Gaussian classes in 24 columns, ten shots: the accuracy of a fit is known from its direction."""
    covered, plain = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        codes = np.repeat([0, 1], 5)
        shift = np.zeros(LAYOUT.width)
        shift[:3] = 1.0  # the first head
        rows = rng.standard_normal((10, LAYOUT.width)) + np.where(codes[:, None] == 1, shift, -shift)
        tests = rng.standard_normal((400, LAYOUT.width))
        truth = np.arange(400) % 2
        tests += np.where(truth[:, None] == 1, shift, -shift)
        accuracy = SAVClassifier(3, LAYOUT).fit(rows, codes).score(tests, truth)
        found = estimate_accuracy(rows, codes, layout=LAYOUT, n_heads=3, seed=seed)
        covered.append(found.interval[0] <= accuracy <= found.interval[1])
        low, high = wilson_interval(round(found.accuracy * 10), 10)
        plain.append(low <= accuracy <= high)
    assert np.mean(covered) >= 0.95
    assert np.mean(plain) < np.mean(covered)
