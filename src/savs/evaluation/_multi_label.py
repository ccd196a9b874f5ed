"""Figures for examples that may have several labels, as scikit-learn defines them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._labels import Label, key_of, warn_of_unknown_labels
from savs.classifiers import wilson_interval

__all__ = ["multi_label_report"]


def multi_label_report(
    y_true: Sequence[Collection[Label]], y_pred: Sequence[Collection[Label]], labels: Sequence[Label]
) -> dict[str, Any]:
    """Compare predicted with true labels of examples that may have several.

    Parameters
    ----------
    y_true, y_pred : sequence of collection of label, length n_examples
        The labels of each example; may be empty. A true one that is not in `labels` counts as missed and is
        listed under ``unknown_labels``.
    labels : sequence of label
        What the classifier can answer.

    Returns
    -------
    dict
        JSON-able: ``subset_accuracy`` (share of examples with exactly the right labels) with its ``interval``
        (Wilson 95 %), ``micro_f1``, ``macro_f1`` and ``hamming_loss``, all as in scikit-learn over the labels
        that are known or occur, F1 0 where it has no value, and None without examples; ``n``, ``n_correct``,
        ``labels``, ``per_label`` {label as text: ``n``, ``n_predicted``, ``precision``, ``recall``, ``f1``;
        None where there is nothing to divide by, and 0 for F1}, ``unknown_labels`` {label as text: count}.

    Raises
    ------
    ValueError
        If the lengths differ, or a prediction holds what is not in `labels`.

    Warns
    -----
    DataWarning
        If there are true labels that are not in `labels`.

    Examples
    --------
    >>> report = multi_label_report([{"red", "car"}, set()], [{"red"}, set()], ["car", "red"])
    >>> report["subset_accuracy"], report["hamming_loss"], round(report["micro_f1"], 3)
    (0.5, 0.25, 0.667)
    """
    if len(y_true) != len(y_pred):
        raise ValueError(f"there are {len(y_true)} true sets of labels, but {len(y_pred)} predicted ones")
    known = [key_of(label) for label in labels]
    warn_of_unknown_labels([label for own in y_true for label in own], labels, several=True)
    unknown = sorted(
        {key_of(label) for own in y_true for label in own} - set(known),
        key=lambda key: (key[0].__name__, str(key[1])),
    )
    columns = {key: column for column, key in enumerate([*known, *unknown])}
    truth, answers = _indicator(y_true, columns), _indicator(y_pred, columns)
    if answers[:, len(known) :].any():
        raise ValueError("a prediction holds a label that the classifier does not have")
    correct = int(np.sum((truth == answers).all(axis=1)))
    return {
        "subset_accuracy": correct / len(truth) if len(truth) else None,
        "interval": list(wilson_interval(correct, len(truth))),
        **_averages(truth, answers),
        "n": len(truth),
        "n_correct": correct,
        "labels": [key[1] for key in known],
        "per_label": {
            str(key[1]): _figures(truth[:, columns[key]], answers[:, columns[key]]) for key in known
        },
        "unknown_labels": {str(key[1]): int(truth[:, columns[key]].sum()) for key in unknown},
    }


def _indicator(sets: Sequence[Collection[Label]], columns: dict[Any, int]) -> NDArray[np.bool_]:
    table = np.zeros((len(sets), len(columns)), dtype=bool)
    for row, own in enumerate(sets):
        for label in own:
            if key_of(label) not in columns:
                raise ValueError(f"prediction {label!r} is none of the {len(columns)} labels")
            table[row, columns[key_of(label)]] = True
    return table


def _averages(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> dict[str, float | None]:
    from sklearn.metrics import f1_score, hamming_loss

    if not truth.size:
        return {"micro_f1": None, "macro_f1": None, "hamming_loss": None}
    # As columns of an indicator, also where there is one label alone.
    both = truth.astype(int), answers.astype(int)
    if truth.shape[1] == 1:
        f1 = float(f1_score(*(table[:, 0] for table in both), zero_division=0))
        return {"micro_f1": f1, "macro_f1": f1, "hamming_loss": float(np.mean(truth != answers))}
    return {
        "micro_f1": float(f1_score(*both, average="micro", zero_division=0)),
        "macro_f1": float(f1_score(*both, average="macro", zero_division=0)),
        "hamming_loss": float(hamming_loss(*both)),
    }


def _figures(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> dict[str, Any]:
    n, n_predicted, hits = int(truth.sum()), int(answers.sum()), int((truth & answers).sum())
    return {
        "n": n,
        "n_predicted": n_predicted,
        "precision": hits / n_predicted if n_predicted else None,
        "recall": hits / n if n else None,
        "f1": 2 * hits / (n + n_predicted) if n + n_predicted else 0.0,
    }
