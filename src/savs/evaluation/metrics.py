"""Accuracy per class and in all, and how sure a number is over test examples and over draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs._labels import key_of, warn_of_unknown_labels
from savs.classifiers import wilson_interval
from savs.data import Label

__all__ = ["Difference", "interval_over_draws", "paired_bootstrap", "wilson_interval", "accuracy_report"]


# How sure a number is, over test examples (Wilson, paired bootstrap) and over draws (Student's t).


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


# Accuracy, per class and in all, of predicted labels against true ones.

_Key = tuple[type, Label | None]


def accuracy_report(
    y_true: Sequence[Label] | NDArray[Any],
    y_pred: Sequence[Label | None] | NDArray[Any],
    classes: Sequence[Label] | NDArray[Any],
) -> dict[str, Any]:
    """Compare predicted with true labels.

    Parameters
    ----------
    y_true : sequence of label, shape (n_examples,)
        True labels. One that is not in `classes` counts as wrong and is listed under ``unknown_labels``.
    y_pred : sequence of label or None, shape (n_examples,)
        Predicted labels; None (no answer) counts as wrong.
    classes : sequence of label
        What the classifier can answer.

    Returns
    -------
    dict
        JSON-able: ``accuracy`` (None without examples), ``n``, ``n_correct``, ``n_unanswered``, ``interval``
        (Wilson 95 %), ``macro_f1`` (mean over labels that occur, as in scikit-learn; None without examples),
        ``classes``, ``per_class`` {label as text: ``n``, ``correct``, ``accuracy`` (None without examples),
        ``precision`` (None if never predicted), ``f1``}, ``unknown_labels`` {label as text: count},
        ``confusion`` {``labels`` of the rows, ``matrix`` with a column per class, ``unanswered`` per row}.

    Raises
    ------
    ValueError
        If the lengths differ, a class stands twice, or a prediction is neither a class nor None.

    Warns
    -----
    DataWarning
        If there are true labels that are not in `classes`.

    Examples
    --------
    >>> report = accuracy_report(["cat", "dog", "dog"], ["cat", "cat", "dog"], ["cat", "dog"])
    >>> report["n_correct"], report["confusion"]["matrix"]
    (2, [[1, 0], [1, 1]])
    """
    names, truth, answers = _keys(classes), _keys(y_true), _keys(y_pred)
    _check(names, truth, answers)
    warn_of_unknown_labels(_known(truth), _known(names))
    unknown = Counter(key for key in truth if key not in set(names))
    rows = [*names, *sorted(unknown, key=lambda key: (key[0].__name__, str(key[1])))]
    table = Counter(zip(truth, answers, strict=True))
    per_class = {str(key[1]): _class_figures(key, names, rows, table) for key in names}
    correct = sum(figures["correct"] for figures in per_class.values())
    return {
        "accuracy": correct / len(truth) if truth else None,
        "n": len(truth),
        "n_correct": correct,
        "n_unanswered": sum(key[1] is None for key in answers),
        "interval": list(wilson_interval(correct, len(truth))),
        "macro_f1": _macro_f1(per_class, table, names, len(unknown)),
        "classes": [key[1] for key in names],
        "per_class": per_class,
        "unknown_labels": {str(key[1]): unknown[key] for key in rows[len(names) :]},
        "confusion": {
            "labels": [key[1] for key in rows],
            "matrix": [[table[row, column] for column in names] for row in rows],
            "unanswered": [table[row, (type(None), None)] for row in rows],
        },
    }


def _known(keys: list[_Key]) -> list[Label]:
    return [label for _, label in keys if label is not None]


def _keys(labels: Sequence[Label | None] | NDArray[Any]) -> list[_Key]:
    """Return (type, label) pairs: 1, True and "1" stay three labels."""
    return [key_of(label) for label in labels]


def _check(names: list[_Key], truth: list[_Key], answers: list[_Key]) -> None:
    if len(truth) != len(answers):
        raise ValueError(f"{len(truth)} true labels, but {len(answers)} predictions")
    if len(set(names)) != len(names):
        raise ValueError("a class stands twice")
    strange = next((key[1] for key in answers if key[1] is not None and key not in set(names)), None)
    if strange is not None:
        raise ValueError(f"prediction {strange!r} is none of the {len(names)} classes")


def _class_figures(
    key: _Key, names: list[_Key], rows: list[_Key], table: Counter[tuple[_Key, _Key]]
) -> dict[str, Any]:
    correct = table[key, key]
    n = sum(table[key, column] for column in [*names, (type(None), None)])
    predicted = sum(table[row, key] for row in rows)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else None,
        "precision": correct / predicted if predicted else None,
        "f1": 2 * correct / (n + predicted) if n + predicted else 0.0,
    }


def _macro_f1(
    per_class: dict[str, dict[str, Any]],
    table: Counter[tuple[_Key, _Key]],
    names: list[_Key],
    n_unknown: int,
) -> float | None:
    seen = {key for pair in table for key in pair}
    scores = [per_class[str(key[1])]["f1"] for key in names if key in seen] + [0.0] * n_unknown
    return float(np.mean(scores)) if scores else None
