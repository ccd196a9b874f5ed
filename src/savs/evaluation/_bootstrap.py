"""A figure with its bootstrap interval: resamples of whole units, such as items, pairs or groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MetricEstimate",
    "check_bootstrap",
    "estimates_of_means",
    "percentile_interval",
    "resampled_items",
    "resampled_means",
]

Floats = NDArray[np.float64]


class MetricEstimate(NamedTuple):
    """A figure with its bootstrap interval, and what it was computed from.

    Attributes
    ----------
    value : float
        The figure, 0 to 1.
    low, high : float
        Percentile interval over resamples of the units (Efron and Tibshirani 1993, chapter 13).
    n : int
        Number of units that are resampled: items, pairs, or groups.
    n_failed : int
        Items without an answer. They count as wrong; none is left out.
    """

    value: float
    low: float
    high: float
    n: int
    n_failed: int


def check_bootstrap(level: float, n_resamples: int) -> None:
    """Raise ValueError unless the coverage lies between 0 and 1 and there is at least one resample."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")


def resampled_means(values: Floats, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Return the means of resamples, shape (n_resamples, n_figures), of values of shape (n_units, n_figures).

    Units with the same values are interchangeable, so a resample is one multinomial draw of how often each
    different row is taken.
    """
    rows, counts = np.unique(values, axis=0, return_counts=True)
    taken = rng.multinomial(len(values), counts / len(values), size=n_resamples)
    return np.asarray(taken @ rows / len(values), dtype=np.float64)


def percentile_interval(resamples: Floats, level: float) -> tuple[float, float]:
    """Return the percentile interval of one figure over its resamples."""
    low, high = np.percentile(resamples, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def estimates_of_means(
    values: Floats, n_failed: int, *, level: float, n_resamples: int, seed: int
) -> list[MetricEstimate]:
    """Return the means over units, one figure per column of `values`, all from the same resamples."""
    check_bootstrap(level, n_resamples)
    resamples = resampled_means(values, n_resamples, np.random.default_rng(seed))
    return [
        MetricEstimate(float(column.mean()), *percentile_interval(means, level), len(values), n_failed)
        for column, means in zip(values.T, resamples.T, strict=True)
    ]


def resampled_items(
    figure: Callable[[NDArray[np.intp]], float],
    codes: NDArray[np.intp],
    needed: Sequence[int],
    *,
    n_resamples: int,
    seed: int,
) -> Floats:
    """Return a figure of resamples of the items.

    Parameters
    ----------
    figure : callable
        Takes how often each item was drawn, shape (n_items,).
    codes : ndarray of int, shape (n_items,)
        The class of each item.
    needed : sequence of int
        Classes without which the figure has no value: a resample that lacks one is drawn again.
    n_resamples, seed : int
        Number and seed of the resamples.
    """
    rng = np.random.default_rng(seed)
    n = len(codes)
    found = np.empty(n_resamples)
    for place in range(n_resamples):
        drawn = rng.integers(n, size=n)
        while not all((codes[drawn] == code).any() for code in needed):
            drawn = rng.integers(n, size=n)
        found[place] = figure(np.bincount(drawn, minlength=n))
    return found
