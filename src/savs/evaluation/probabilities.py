"""Predicted probabilities and answers against the true labels: log loss, calibration error, Brier score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs._labels import key_of
from savs.classifiers._item_scores import PROBABILITY_METRICS, ItemScores
from savs.data import Label

__all__ = [
    "PROBABILITY_METRICS",
    "ClassProbabilities",
    "ItemScores",
    "check_probabilities",
    "probability_report",
    "score_items",
]

_SUMS_TO_ONE = 1e-6


class ClassProbabilities(NamedTuple):
    """What a method gives besides its answers: `values`, (n_items, n_classes), by `classes`."""

    classes: Sequence[Label]
    values: NDArray[np.float64]


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
    check_probabilities(probabilities, len(truth))
    true, said = ([columns.get(key_of(label), -1) for label in labels] for labels in (truth, answers))
    strange = [label for label, column in zip(answers, said, strict=True) if column < 0 and label is not None]
    if strange:
        raise ValueError(f"answer {strange[0]!r} is none of the {len(columns)} classes")
    return ItemScores.of(values, np.array(true, np.intp), np.array(said, np.intp))


def check_probabilities(probabilities: ClassProbabilities, n_items: int) -> None:
    """Refuse probabilities that are no distribution over the classes for each item.

    Parameters
    ----------
    probabilities : ClassProbabilities
        One row per item.
    n_items : int
        How many items there are.

    Raises
    ------
    ValueError
        With the first item that is wrong.
    """
    values = np.asarray(probabilities.values, dtype=np.float64)
    shape = (n_items, len(probabilities.classes))
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
