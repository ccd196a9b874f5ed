"""Scores to probabilities: class priors, softmax, temperature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.classifiers import _numerics

# How probable each class is before a query is seen.

PROBABILITY_FLOOR = 1e-9
"""Probabilities below this, such as shares of votes, count as this where their logarithm is taken."""


def class_priors(priors: object, counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the prior probability of each class.

    Parameters
    ----------
    priors : "uniform", "empirical" or array-like of float
        Equal, as frequent as among the shots, or given in the order of the sorted classes.
    counts : ndarray of int, shape (n_classes,)
        Shots of each class.

    Raises
    ------
    ValueError
        If given priors are not one positive number per class.
    """
    if isinstance(priors, str):
        if priors == "uniform":
            return np.full(len(counts), 1 / len(counts))
        if priors == "empirical":
            return np.asarray(counts / counts.sum())
        raise ValueError(f"priors must be 'uniform', 'empirical' or one number per class, got {priors!r}")
    given = np.asarray(priors, dtype=np.float64)
    if given.shape != counts.shape or not (np.isfinite(given) & (given > 0)).all():
        raise ValueError(f"priors must be {len(counts)} positive numbers, one per class")
    return np.asarray(given / given.sum())


# Scores to probabilities: softmax, and the temperature fitted on leave-one-out scores.

_RELATIVE_TEMPERATURES = np.geomspace(1e-3, 1e2, 21)
_FINE_STEPS = np.geomspace(0.6, 1.7, 9)

_NO_SPREAD = 1e-13

_LARGE = 1 << 22
"""More scores than this are read some examples at a time."""


_TOGETHER = 1 << 16


def log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log probabilities along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(shifted)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities along the last axis.

    Examples
    --------
    >>> softmax(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    shifted = scores - scores.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return np.asarray(shifted)


def log_losses(scores: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return minus the log probability of the true class.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_examples, n_classes)
        Logits.
    codes : ndarray of int, shape (n_examples,)
        True classes.
    """
    return -np.take_along_axis(log_softmax(scores), codes[:, None], axis=1)[:, 0]


def fit_temperature(scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """Return the temperature that gives held-out shots the largest likelihood (Guo et al., ICML 2017, 4.2).

    Parameters
    ----------
    scores : ndarray of float64, shape (n_shots, n_classes)
        Leave-one-out scores: a shot's score must not come from itself.
    codes : ndarray of int, shape (n_shots,)
        True classes.

    Returns
    -------
    float
        From a grid of a thousandth to a hundred times the scores' own spread, so that scaling all scores
        scales it alike; the larger of two that fit equally well. 1 where there is nothing to fit: no shot, or
        scores that differ by no more than rounding, as where all shots are the same.

    Notes
    -----
    Where every held-out shot is right, any temperature towards 0 fits better than the last. One further
    shot with a label drawn at random is therefore counted in: certainty stays at what n shots can show.
    """
    scores = scores - scores.mean(axis=1, keepdims=True)
    spread = float(scores.std()) if len(scores) else 0.0
    if not spread > _NO_SPREAD:
        return 1.0
    grid = _RELATIVE_TEMPERATURES
    coarse = _best(scores / spread, codes, grid)
    return spread * _best(scores / spread, codes, coarse * _FINE_STEPS)


_UNTESTED_LOG_ODDS = 4.0
"""Log odds that shots get on average where none can be held out; docs/LOG.md has the measurements."""

_ROUNDING = 1e-12
"""A mean of scores that is this much smaller than they are is rounding."""


def untested_temperature(scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """Return a temperature from the scores of the shots that they were fitted on.

    Such scores say nothing of errors, so the temperature is one that gives the shots themselves log odds of 4
    against another class, on average over shots and classes.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_shots, n_classes)
        Scores of the shots.
    codes : ndarray of int, shape (n_shots,)
        Their classes.

    Returns
    -------
    float
        1 where the scores of the shots do not favor their classes.
    """
    n_classes = scores.shape[1]
    true = np.take_along_axis(scores, codes[:, None], axis=1)
    margin = float((true - scores).sum(axis=1).mean()) / (n_classes - 1)
    rounding = _ROUNDING * float(np.abs(scores).max())
    return margin / _UNTESTED_LOG_ODDS if margin > rounding else 1.0


def is_log_proba_table(array: NDArray[Any], n_classes: int) -> bool:
    """Return whether an array holds finite float64 log probabilities of held-out shots, or NaN in whole rows.

    Parameters
    ----------
    array : ndarray, shape (n_shots, n_classes)
        What is checked.
    n_classes : int
        Number of columns that it must have.
    """
    if array.ndim != 2 or array.shape[1] != n_classes or array.dtype != np.float64:
        return False
    absent = np.isnan(array).all(axis=1)
    return bool(np.isfinite(array[~absent]).all())


def downhill(loss: Callable[[int], float], start: int, n: int) -> int:
    """Return where a loss on 0 .. n-1 is smallest, if it falls and then rises; the larger of equal ones.

    Log losses are convex in 1 / T, so this finds the best temperature of a grid with few evaluations.

    Examples
    --------
    >>> downhill(lambda place: (place - 3) ** 2, start=9, n=12)
    3
    """
    found: dict[int, float] = {}

    def value(place: int) -> float:
        if place not in found:
            found[place] = loss(place)
        return found[place]

    at = start
    while at + 1 < n and value(at + 1) <= value(at):
        at += 1
    while at > 0 and value(at - 1) < value(at):
        at -= 1
    return at


def _best(scores: NDArray[np.float64], codes: NDArray[np.intp], temperatures: NDArray[np.float64]) -> float:
    if scores.size > _LARGE:
        at = downhill(
            lambda i: _sliced_loss(scores, codes, temperatures[i]), len(temperatures) // 2, len(temperatures)
        )
        return float(temperatures[at])
    losses = _smoothed_losses(scores, codes, temperatures)
    best = min(losses)
    return float(max(t for t, loss in zip(temperatures, losses, strict=True) if loss <= best + 1e-12))


def _sliced_loss(scores: NDArray[np.float64], codes: NDArray[np.intp], temperature: float) -> float:
    """As `_smoothed_losses`, up to a constant factor, some examples at a time."""
    step = max(1, _numerics.TABLE_SLICE // scores.shape[1])
    total, anywhere, n = 0.0, 0.0, len(codes)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        logs = log_softmax(scores[rows] / temperature)
        total -= float(np.take_along_axis(logs, codes[rows, None], axis=1).sum())
        anywhere -= float(logs.mean(axis=1).sum())
    return total + anywhere / n


def _smoothed_losses(
    scores: NDArray[np.float64], codes: NDArray[np.intp], temperatures: NDArray[np.float64]
) -> list[float]:
    """Return the loss under every temperature, several at a time where the scores are few."""
    n, step = len(codes), max(1, _TOGETHER // scores.size)
    losses: list[float] = []
    for start in range(0, len(temperatures), step):
        logs = log_softmax(scores / temperatures[start : start + step, None, None])
        true = -logs[:, np.arange(n), codes].mean(axis=1)
        # The mean over examples of the loss when the label is drawn from the classes at random.
        anywhere = -logs.mean(axis=(1, 2))
        losses += ((n * true + anywhere) / (n + 1)).tolist()
    return losses
