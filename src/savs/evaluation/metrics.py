"""Accuracy, per class and in all, of predicted labels against true ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.examples import Label
from savs.heads.intervals import wilson_interval

__all__ = ["accuracy_report"]

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

    Examples
    --------
    >>> report = accuracy_report(["cat", "dog", "cow"], ["cat", "cat", "dog"], ["cat", "dog"])
    >>> report["n_correct"], report["unknown_labels"], report["confusion"]["matrix"]
    (1, {'cow': 1}, [[1, 0], [1, 0], [0, 1]])
    """
    names, truth, answers = _keys(classes), _keys(y_true), _keys(y_pred)
    _check(names, truth, answers)
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


def _keys(labels: Sequence[Label | None] | NDArray[Any]) -> list[_Key]:
    """Return (type, label) pairs: 1, True and "1" stay three labels."""
    plain = (label.item() if isinstance(label, np.generic) else label for label in labels)
    return [(str if isinstance(label, str) else type(label), label) for label in plain]


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
