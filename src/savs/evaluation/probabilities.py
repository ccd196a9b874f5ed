"""How good predicted probabilities are: log loss, calibration error and Brier score, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs._labels import key_of
from savs._reprs import short_repr
from savs.classifiers._probabilities import PROBABILITY_FLOOR
from savs.data import Label

__all__ = ["PROBABILITY_METRICS", "ClassProbabilities", "ItemScores", "probability_report", "score_items"]

PROBABILITY_METRICS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"log_loss": (0.0, -float(np.log(PROBABILITY_FLOOR))), "ece": (0.0, 1.0), "brier": (0.0, 2.0)}
)
"""Smallest and largest possible value of each figure."""

_N_BINS = 10
_TOGETHER = 1 << 20
_SUMS_TO_ONE = 1e-6


class ClassProbabilities(NamedTuple):
    """What a method gives besides its answers: `values`, (n_items, n_classes), by `classes`."""

    classes: Sequence[Label]
    values: NDArray[np.float64]


# The figures of each item, and of all items together.


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

    def figures(self) -> dict[str, float]:
        """Return ``log_loss``, ``ece`` and ``brier`` over the items, of which there must be one."""
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


def score_items(
    probabilities: ClassProbabilities, truth: Sequence[Label], answers: Sequence[Label | None]
) -> ItemScores:
    """Compare probabilities and answers with the truth, item by item.

    Parameters
    ----------
    probabilities : ClassProbabilities
        One row per item.
    truth : sequence of label, length n_items
        One that is none of the classes has the probability 0.
    answers : sequence of label or None, length n_items
        None, no answer, has the largest probability of its row as confidence, and is wrong.

    Raises
    ------
    ValueError
        If the shape is wrong, a row is no distribution over the classes, or an answer is no class.
    """
    classes, values = probabilities
    values = np.asarray(values, dtype=np.float64)
    columns = {key_of(label): column for column, label in enumerate(classes)}
    _check(values, (len(truth), len(columns)))
    true, said = ([columns.get(key_of(label), -1) for label in labels] for labels in (truth, answers))
    strange = [label for label, column in zip(answers, said, strict=True) if column < 0 and label is not None]
    if strange:
        raise ValueError(f"answer {strange[0]!r} is none of the {len(columns)} classes")
    codes, chosen, rows = np.array(true, np.intp), np.array(said, np.intp), np.arange(len(values))
    of_truth = np.where(codes < 0, 0.0, values[rows, codes])
    confidences = np.where(chosen < 0, values.max(axis=1, initial=0.0), values[rows, chosen])
    return ItemScores(
        losses=-np.log(np.clip(of_truth, PROBABILITY_FLOOR, 1.0)),
        distances=(values**2).sum(axis=1) - 2 * of_truth + 1,
        confidences=confidences,
        correct=(chosen == codes) & (chosen >= 0),
    )


def _check(values: NDArray[np.float64], shape: tuple[int, int]) -> None:
    if values.shape != shape:
        raise ValueError(f"probabilities must be of shape {shape}, items by classes, got {values.shape}")
    sums = values.sum(axis=1)
    wrong = ~(np.isfinite(sums) & (values >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUMS_TO_ONE))
    if wrong.any():
        raise ValueError(f"the probabilities of item {int(wrong.argmax())} do not lie in 0 to 1 with sum 1")


def probability_report(
    y_true: Sequence[Label],
    y_proba: ArrayLike,
    y_pred: Sequence[Label | None],
    classes: Sequence[Label],
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return log loss, expected calibration error and Brier score of predicted probabilities.

    Parameters
    ----------
    y_true : sequence of label, length n_items
        True labels. One that is none of `classes` has the probability 0.
    y_proba : array-like of float, shape (n_items, n_classes)
        Predicted probabilities; rows sum to 1.
    y_pred : sequence of label or None, length n_items
        The answers, whose probability is the confidence.
    classes : sequence of label, length n_classes
        What the columns stand for.
    level : float, default=0.95
        Coverage of the bootstrap intervals over items, see `ItemScores.intervals`.
    n_resamples, seed : int
        Number and seed of the resamples.

    Returns
    -------
    dict
        JSON-able: ``log_loss`` (natural logarithm; a probability below 1e-9 counts as that, so that one item
        adds 20.7 at most), ``ece`` (Naeini et al., AAAI 2015: ten bins of equal width of the confidence) and
        ``brier`` (Brier 1950: from 0 to 2, summed over the classes), each ``{"value", "interval"}``; None
        without items.

    Raises
    ------
    ValueError
        If the shape is wrong, a row is no distribution over the classes, or an answer is no class.

    Examples
    --------
    >>> found = probability_report(["cat", "dog"], [[0.8, 0.2], [0.5, 0.5]], ["cat", "cat"], ["cat", "dog"])
    >>> {name: round(figure["value"], 3) for name, figure in found.items()}
    {'log_loss': 0.458, 'ece': 0.35, 'brier': 0.29}
    """
    if not len(y_true):
        return dict.fromkeys(PROBABILITY_METRICS)
    values = np.asarray(y_proba, dtype=np.float64)
    scores = score_items(ClassProbabilities(classes, values), y_true, y_pred)
    return scores.report(level=level, n_resamples=n_resamples, seed=seed)
