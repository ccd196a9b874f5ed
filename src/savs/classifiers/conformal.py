"""Answers that may be several classes, or none: conformal sets, alarm thresholds, unknown queries.

All levels come from scores of held-out shots. A quantile of n numbers cannot be finer than 1/(n + 1): with
n shots per class no smaller error level is promised, and asking for one says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs._reprs import short_repr
from savs.classifiers._support_set import head_blocks, unit_vectors
from savs.classifiers._validation import check_finite, resolve_layout
from savs.errors import DataError
from savs.layout import HeadLayout

__all__ = [
    "ThresholdAtFPR",
    "ConformalSets",
    "OutOfDistributionDetector",
    "threshold_at_fpr",
    "conformal_sets",
]


@dataclass(frozen=True)
class ConformalSets:
    """Which classes a set-valued answer holds.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (n_classes,)
        A class is in the set where its probability is at least this; 0 where nothing can be ruled out.
    smallest_levels : ndarray of float64, shape (n_classes,)
        The smallest error level that the class's shots can promise, 1/(n + 1).
    note : str or None
        Which classes cannot have the error level, in one line.
    """

    thresholds: NDArray[np.float64]
    smallest_levels: NDArray[np.float64]
    note: str | None

    __repr__ = short_repr

    def contains(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which classes are in each answer, shape (n_examples, n_classes)."""
        return np.asarray(probabilities >= self.thresholds - 1e-12)


def conformal_sets(
    out_of_fold: NDArray[np.float64], codes: NDArray[np.intp], alpha: float = 0.1
) -> ConformalSets:
    """Return thresholds so that each class's examples keep their class in the set, but for a share `alpha`.

    Class-conditional (Mondrian) conformal prediction (Vovk, Gammerman and Shafer 2005, section 4.5): a class
    c is in the set where its probability is at least the ``floor(alpha (n_c + 1))``-th smallest that held-out
    shots of c had.

    Parameters
    ----------
    out_of_fold : ndarray of float64, shape (n_shots, n_classes)
        Log probabilities of held-out shots, as `out_of_fold_log_proba_` of an estimator; NaN rows were not
        left out.
    codes : ndarray of int, shape (n_shots,)
        Their classes.
    alpha : float, default=0.1
        Share of a class's examples that may lose their class.

    Returns
    -------
    ConformalSets
        A class whose shots are too few for alpha is in every set.

    Notes
    -----
    Scores come from leave-one-out, not from separate shots: the worst-case promise is twice alpha
    (Barber et al., Annals of Statistics 2021), in practice about alpha.
    """
    _check_share("alpha", alpha)
    thresholds, smallest = np.zeros(out_of_fold.shape[1]), np.ones(out_of_fold.shape[1])
    for code in range(out_of_fold.shape[1]):
        scores = out_of_fold[codes == code, code]
        scores = np.sort(np.exp(scores[np.isfinite(scores)]))
        smallest[code] = 1 / (len(scores) + 1)
        rank = floor(alpha * (len(scores) + 1) + 1e-9)
        thresholds[code] = scores[rank - 1] if rank >= 1 else 0.0
    short = int((smallest > alpha + 1e-9).sum())
    note = None
    if short:
        note = (
            f"{short} of {len(smallest)} classes have too few shots for an error level of {alpha:g} "
            f"(the best is {smallest.max():.3g}): they are in every set"
        )
    return ConformalSets(thresholds, smallest, note)


@dataclass(frozen=True)
class ThresholdAtFPR:
    """From which probability on a class is announced.

    Attributes
    ----------
    threshold : float
        Announce the class where its probability is above this.
    fpr : float
        Share of held-out shots of other classes that would be announced.
    n : int
        How many there were.
    """

    threshold: float
    fpr: float
    n: int


def threshold_at_fpr(
    out_of_fold: NDArray[np.float64], codes: NDArray[np.intp], positive: int, fpr: float
) -> ThresholdAtFPR:
    """Return the threshold for a target false-positive rate of one class.

    Parameters
    ----------
    out_of_fold : ndarray of float64, shape (n_shots, n_classes)
        Log probabilities of held-out shots; NaN rows were not left out.
    codes : ndarray of int, shape (n_shots,)
        Their classes.
    positive : int
        The class that is announced.
    fpr : float
        Largest share of other classes' examples that may be announced.

    Raises
    ------
    DataError
        If the n shots of other classes cannot promise the rate: it is under 1/(n + 1).
    """
    _check_share("fpr", fpr)
    scores = out_of_fold[codes != positive, positive]
    scores = np.sort(np.exp(scores[np.isfinite(scores)]))
    n = len(scores)
    if fpr * (n + 1) < 1 - 1e-9:
        raise DataError(
            f"{n} shots of other classes cannot promise a false-positive rate of {fpr:g}; "
            f"the smallest is {1 / (n + 1):.3g}: ask for that or give more shots"
        )
    rank = ceil((1 - fpr) * (n + 1) - 1e-9)
    threshold = float(scores[rank - 1])
    return ThresholdAtFPR(threshold, float((scores > threshold).mean()), n)


class OutOfDistributionDetector:
    """Tells queries that are far from all shots.

    The distance is one minus the largest mean cosine, over heads, to any shot; the limit is a quantile of the
    shots' own distances to their nearest other shot.

    Parameters
    ----------
    quantile : float, default=0.95
        Share of the shots that count as known.
    layout : HeadLayout, (n_layers, n_heads, head_dim) or None, default=None
        Which columns belong to which head.

    Attributes
    ----------
    limit_ : float
        Distances above it are unknown.
    """

    limit_: float

    def __init__(
        self, quantile: float = 0.95, layout: HeadLayout | tuple[int, int, int] | None = None
    ) -> None:
        self.quantile = quantile
        self.layout = layout

    def fit(self, X: ArrayLike) -> Self:
        """Learn from the shots, shape (n_shots, width), at least two.

        Raises
        ------
        DataError
            If the quantile needs more shots: it is above n/(n + 1).
        """
        _check_share("quantile", self.quantile)
        rows = np.asarray(X, dtype=np.float64)
        self.layout_ = resolve_layout(self.layout, rows.shape[1])
        check_finite(rows, self.layout_)
        n = len(rows)
        rank = ceil(self.quantile * (n + 1) - 1e-9)
        if rank > n or n < 2:
            raise DataError(
                f"{n} shots cannot promise that {self.quantile:g} of known queries are known; "
                f"the most is {n / (n + 1):.3g}"
            )
        self._units, self._centre = self._unit_rows(rows, None)
        cosines = self._units @ self._units.T / self.layout_.n_heads
        np.fill_diagonal(cosines, -np.inf)
        self.limit_ = float(np.sort(1 - cosines.max(axis=1))[rank - 1])
        return self

    def distances(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return each query's distance to the nearest shot, 0 to 2, shape (n_examples,)."""
        rows = np.asarray(X, dtype=np.float64)
        check_finite(rows, self.layout_)
        units, _ = self._unit_rows(rows, self._centre)
        return np.asarray(1 - (units @ self._units.T).max(axis=1) / self.layout_.n_heads)

    def is_out_of_distribution(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Return which queries lie farther from all shots than the limit, shape (n_examples,)."""
        return np.asarray(self.distances(X) > self.limit_ + 1e-12)

    def _unit_rows(
        self, rows: NDArray[np.float64], center: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        center = rows.mean(axis=0) if center is None else center
        found = np.empty_like(rows)
        for positions, vectors in head_blocks(rows - center, self.layout_):
            for position, units in zip(positions, unit_vectors(vectors), strict=True):
                found[:, self.layout_.columns(self.layout_.heads[position])] = units
        return found, center


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")
