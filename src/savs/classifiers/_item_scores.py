"""How good predicted probabilities are, item by item: log loss, calibration error and Brier score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.classifiers._probabilities import PROBABILITY_FLOOR

__all__ = ["PROBABILITY_METRICS", "ItemScores"]

PROBABILITY_METRICS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"log_loss": (0.0, -float(np.log(PROBABILITY_FLOOR))), "ece": (0.0, 1.0), "brier": (0.0, 2.0)}
)
"""Smallest and largest possible value of each figure."""

_N_BINS = 10
_TOGETHER = 1 << 20


@dataclass(frozen=True)
class ItemScores:
    """What the figures of some items are computed from.

    Attributes
    ----------
    losses : ndarray of float64, shape (n_items,)
        Minus the log probability of the true class; a probability below 1e-9 counts as that.
    distances : ndarray of float64, shape (n_items,)
        Squared distance of the probabilities to the one-hot truth.
    confidences : ndarray of float64, shape (n_items,)
        Probability of the answer.
    correct : ndarray of bool, shape (n_items,)
        Whether the answer is right.
    """

    losses: NDArray[np.float64]
    distances: NDArray[np.float64]
    confidences: NDArray[np.float64]
    correct: NDArray[np.bool_]

    __repr__ = short_repr

    @classmethod
    def of(cls, values: NDArray[np.float64], codes: NDArray[np.intp], answers: NDArray[np.intp]) -> Self:
        """Return the figures of predicted probabilities.

        Parameters
        ----------
        values : ndarray of float64, shape (n_items, n_classes)
            Probabilities; rows sum to 1.
        codes : ndarray of int, shape (n_items,)
            True classes; -1 for one that is none of the columns, whose probability is 0.
        answers : ndarray of int, shape (n_items,)
            Predicted classes; -1 for no answer, which is wrong, with the largest probability as confidence.
        """
        rows = np.arange(len(values))
        known = np.flatnonzero(codes >= 0)
        of_truth = np.where(codes < 0, 0.0, values[rows, codes])
        differences = values.copy()
        differences[known, codes[known]] -= 1
        largest = values.max(axis=1, initial=0.0)
        return cls(
            losses=0.0 - np.log(np.clip(of_truth, PROBABILITY_FLOOR, 1.0)),  # 0 where certain, not -0
            distances=(differences**2).sum(axis=1) + (codes < 0),
            confidences=np.where(answers < 0, largest, values[rows, answers]),
            correct=(answers == codes) & (answers >= 0),
        )

    def figures(self) -> dict[str, float]:
        """Return log loss, calibration error and Brier score over the items, of which there must be one.

        ``log_loss`` is from 0 to 20.7, ``ece`` (Naeini et al., AAAI 2015; ten bins of equal width of the
        confidence) from 0 to 1, ``brier`` (Brier 1950; summed over the classes) from 0 to 2.

        Examples
        --------
        >>> values = np.array([[0.8, 0.2], [0.5, 0.5]])
        >>> found = ItemScores.of(values, np.array([0, 1]), np.array([0, 0])).figures()
        >>> {name: round(value, 3) for name, value in found.items()}
        {'log_loss': 0.458, 'ece': 0.35, 'brier': 0.29}
        """
        return {
            "log_loss": float(self.losses.mean()),
            "ece": float(np.abs(self._gaps().mean(axis=0)).sum()),
            "brier": float(self.distances.mean()),
        }

    def intervals(
        self, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Return bootstrap intervals of the figures over items; all figures from the same resamples.

        Parameters
        ----------
        level : float, default=0.95
            Coverage.
        n_resamples, seed : int
            Number and seed of the resamples.

        Notes
        -----
        Percentile intervals (Efron and Tibshirani 1993, chapter 13). Few items make the calibration error too
        large, and a resample makes it larger once more, so that percentiles alone would leave the truth
        below them: its lower end is the smaller of the percentile and of the upper percentile reflected in
        the value (the basic bootstrap, Davison and Hinkley 1997, section 5.2).
        """
        values = self._resampled(n_resamples, seed)
        tails = [50 * (1 - level), 50 * (1 + level)]
        lows, highs = np.percentile(values, tails, axis=0)
        ece = list(PROBABILITY_METRICS).index("ece")
        lows[ece] = max(0.0, min(lows[ece], 2 * self.figures()["ece"] - highs[ece]))
        return {
            name: (float(low), float(high))
            for name, low, high in zip(PROBABILITY_METRICS, lows, highs, strict=True)
        }

    def report(self, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
        """Return ``{"value", "interval"}`` of each figure, JSON-able.

        Parameters
        ----------
        level : float, default=0.95
            Coverage.
        n_resamples, seed : int
            As for `intervals`.
        """
        intervals = self.intervals(level=level, n_resamples=n_resamples, seed=seed)
        return {
            name: {"value": value, "interval": list(intervals[name])}
            for name, value in self.figures().items()
        }

    def _gaps(self) -> NDArray[np.float64]:
        """Return right minus confidence of each item in the column of its bin, shape (n_items, n_bins)."""
        bins = np.minimum((self.confidences * _N_BINS).astype(int), _N_BINS - 1)
        gaps = np.zeros((len(bins), _N_BINS))
        gaps[np.arange(len(bins)), bins] = self.correct - self.confidences
        return gaps

    def _resampled(self, n_resamples: int, seed: int) -> NDArray[np.float64]:
        """Return the figures of each resample, shape (n_resamples, 3), in the order of the metrics."""
        n, rng = len(self.losses), np.random.default_rng(seed)
        items = np.column_stack([self.losses, self.distances, self._gaps()])
        step, means = max(1, _TOGETHER // n), []
        for start in range(0, n_resamples, step):
            count = min(step, n_resamples - start)
            drawn = rng.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
            times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
            means.append(times @ items / n)
        losses, distances, gaps = np.split(np.concatenate(means), [1, 2], axis=1)
        return np.column_stack([losses, np.abs(gaps).sum(axis=1), distances])
