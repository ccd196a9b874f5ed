"""How sure a number is, over test examples (Wilson, paired bootstrap) and over draws (Student's t)."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from savs.heads.intervals import wilson_interval

__all__ = ["Difference", "interval_over_draws", "paired_bootstrap", "wilson_interval"]


class Difference(NamedTuple):
    """Difference of two accuracies on the same examples, with its interval."""

    value: float
    low: float
    high: float


def paired_bootstrap(
    correct: ArrayLike,
    other: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Return how much more accurate one method is than another on the same examples.

    Percentile interval over resamples of the examples (Efron and Tibshirani 1993, chapter 13). An example's
    difference is -1, 0 or 1, so a resample is one multinomial draw of three counts.

    Parameters
    ----------
    correct, other : array-like of bool, shape (n_examples,)
        Which examples each method got right, in the same order.
    level : float, default=0.95
        Coverage.
    n_resamples : int, default=10000
        Number of resamples.
    seed : int, default=0
        Of the resamples.

    Raises
    ------
    ValueError
        If there are no examples or the two lengths differ.

    Examples
    --------
    >>> paired_bootstrap([1, 1, 1, 1], [0, 0, 0, 0])
    Difference(value=1.0, low=1.0, high=1.0)
    """
    ours, theirs = np.asarray(correct, dtype=bool), np.asarray(other, dtype=bool)
    if ours.shape != theirs.shape or ours.ndim != 1 or not len(ours):
        raise ValueError(f"paired results need two equal lengths of at least 1: {ours.shape}, {theirs.shape}")
    wins, losses = int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))
    n = len(ours)
    shares = np.array([wins, losses, n - wins - losses]) / n
    counts = np.random.default_rng(seed).multinomial(n, shares, size=n_resamples)
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile((counts[:, 0] - counts[:, 1]) / n, tails)
    return Difference((wins - losses) / n, float(low), float(high))


def interval_over_draws(
    values: ArrayLike, *, level: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float] | None:
    """Return Student's t interval of the mean over draws of the shots, cut to `bounds`.

    Parameters
    ----------
    values : array-like of float, shape (n_draws,)
        One accuracy per draw.
    level : float, default=0.95
        Coverage.
    bounds : tuple of float, default=(0, 1)
        Smallest and largest possible value.

    Returns
    -------
    tuple of float or None
        None for a single draw, which says nothing about the spread.

    Examples
    --------
    >>> low, high = interval_over_draws([0.7, 0.8, 0.9])
    >>> round(low, 3), round(high, 3)
    (0.552, 1.0)
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    draws = np.asarray(values, dtype=np.float64)
    if len(draws) < 2:
        return None
    half = float(stdtrit(len(draws) - 1, (1 + level) / 2)) * float(draws.std(ddof=1)) / sqrt(len(draws))
    mean = float(draws.mean())
    return max(bounds[0], mean - half), min(bounds[1], mean + half)
