from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from savs.evaluation import interval_over_draws, paired_bootstrap


def test__paired_bootstrap__agrees_with_resampling_by_hand():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(80) < 0.8, rng.random(80) < 0.6
    found = paired_bootstrap(ours, theirs)
    deltas = ours.astype(float) - theirs
    means = [deltas[rng.integers(0, 80, 80)].mean() for _ in range(4000)]
    assert found.value == pytest.approx(deltas.mean())
    assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.02)


def test__paired_bootstrap__swapped__mirrored_and_seeded():
    ours, theirs = [1, 1, 0, 1, 0, 1], [0, 1, 0, 0, 1, 1]
    assert paired_bootstrap(ours, theirs).value == -paired_bootstrap(theirs, ours).value
    assert paired_bootstrap(ours, theirs, seed=3) == paired_bootstrap(ours, theirs, seed=3)
    assert paired_bootstrap(ours, ours) == (0, 0, 0)


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1], [1, 0]), ([[1]], [[1]])])
def test__paired_bootstrap__no_pairs__error(ours, theirs):
    with pytest.raises(ValueError, match="equal lengths"):
        paired_bootstrap(ours, theirs)


def test__interval_over_draws__equals_student_t():
    values = [0.71, 0.74, 0.69, 0.78, 0.73]
    expected = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert interval_over_draws(values) == pytest.approx(expected)


def test__interval_over_draws__one_draw_none_and_cut_to_bounds():
    assert interval_over_draws([0.9]) is None
    assert interval_over_draws([0.5, 1.0]) == (0, 1)
