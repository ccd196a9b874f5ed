"""Conformal sets, alarm thresholds, unknown queries."""

from __future__ import annotations

import numpy as np
import pytest

from savs.classifiers.conformal import OutOfDistributionDetector, conformal_sets, threshold_at_fpr
from savs.errors import DataError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 2, 3), (1, 1, 4)])


def scores(n_classes, shots, rng, signal=2.0):
    codes = np.repeat(np.arange(n_classes), shots)
    logits = rng.standard_normal((len(codes), n_classes))
    logits[np.arange(len(codes)), codes] += signal
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), codes


def test__conformal_sets__fresh_examples__cover_each_class():
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sets = conformal_sets(*scores(3, 9, rng), alpha=0.2)
        fresh, codes = scores(3, 20, rng)
        inside = sets.contains(np.exp(fresh))
        covered.append([inside[codes == k, k].mean() for k in range(3)])
    assert np.mean(covered, axis=0) == pytest.approx([0.8] * 3, abs=0.02)


def test__conformal_sets__level_under_one_in_n_plus_one__not_promised():
    out_of_fold, codes = scores(2, 9, np.random.default_rng(0))
    exact = conformal_sets(out_of_fold, codes, 0.1)
    assert exact.note is None
    assert exact.thresholds == pytest.approx([np.exp(out_of_fold[codes == k, k]).min() for k in range(2)])
    short = conformal_sets(out_of_fold, codes, 0.09)
    assert short.thresholds.tolist() == [0, 0]
    assert "2 of 2 classes have too few shots for an error level of 0.09 (the best is 0.1)" in short.note
    assert short.contains(np.array([[0.0, 1.0]])).all()


def test__conformal_sets__sole_shot__class_always_inside():
    out_of_fold, codes = scores(3, 5, np.random.default_rng(0))
    out_of_fold[codes == 2] = np.nan
    sets = conformal_sets(out_of_fold, codes, 0.2)
    assert sets.thresholds[2] == 0
    assert sets.smallest_levels.tolist() == pytest.approx([1 / 6, 1 / 6, 1])


def test__alarm_threshold__fresh_examples__rate_held():
    rates = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        flag = threshold_at_fpr(*scores(2, 19, rng), positive=1, fpr=0.1)
        fresh, codes = scores(2, 200, rng)
        rates.append((np.exp(fresh[codes == 0, 1]) > flag.threshold).mean())
        assert flag.fpr <= 0.1
        assert flag.n == 19
    assert np.mean(rates) == pytest.approx(0.1, abs=0.015)


def test__alarm_threshold__too_few_shots__error_says_what_is_possible():
    out_of_fold, codes = scores(2, 9, np.random.default_rng(0))
    assert threshold_at_fpr(out_of_fold, codes, 1, 0.1).fpr == 0
    with pytest.raises(DataError, match=r"9 shots .* the smallest is 0.1"):
        threshold_at_fpr(out_of_fold, codes, 1, 0.09)


def test__unknown__plain_loop__same_distances_and_limit():
    rng = np.random.default_rng(0)
    rows, queries = rng.standard_normal((30, LAYOUT.width)) + 3, rng.standard_normal((5, LAYOUT.width))
    detector = OutOfDistributionDetector(0.9, LAYOUT).fit(rows)

    def distance(row, others):
        center = rows.mean(axis=0)
        cosines = []
        for other in others:
            parts = [((row - center)[s], (other - center)[s]) for s in map(LAYOUT.columns, LAYOUT.heads)]
            cosines.append(np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in parts]))
        return 1 - max(cosines)

    own = sorted(distance(row, np.delete(rows, i, axis=0)) for i, row in enumerate(rows))
    assert detector.limit_ == pytest.approx(own[int(np.ceil(0.9 * 31)) - 1])
    assert detector.distances(queries) == pytest.approx([distance(query, rows) for query in queries])
    assert not detector.is_out_of_distribution(rows).any()


def test__unknown__far_query__found_and_share_of_known_kept():
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(LAYOUT.width)
    rows = np.concatenate([direction, -direction])[None].reshape(2, -1)[rng.integers(0, 2, 200)]
    rows = rows + 0.3 * rng.standard_normal(rows.shape)
    detector = OutOfDistributionDetector(0.9, LAYOUT).fit(rows[:100])
    assert detector.is_out_of_distribution(rows[100:]).mean() == pytest.approx(0.1, abs=0.1)
    other = rng.standard_normal((50, LAYOUT.width)) * 2
    assert detector.is_out_of_distribution(other).mean() > 0.5


def test__unknown__quantile_beyond_the_shots__error():
    with pytest.raises(DataError, match=r"9 shots .* the most is 0.9"):
        OutOfDistributionDetector(0.95, LAYOUT).fit(np.ones((9, LAYOUT.width)))


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test__shares__out_of_range__error(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_sets(np.zeros((2, 2)), np.array([0, 1]), share)
    with pytest.raises(ValueError, match="between 0 and 1"):
        OutOfDistributionDetector(share, LAYOUT).fit(np.ones((9, LAYOUT.width)))
