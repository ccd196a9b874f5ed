"""Metrics of items that belong together: groups, pairs, splits, and questions with their figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._labels import Label, key_of
from savs.evaluation._bootstrap import (
    MetricEstimate,
    check_bootstrap,
    estimates_of_means,
    percentile_interval,
    resampled_means,
)

__all__ = [
    "GroupAccuracies",
    "HallusionAccuracies",
    "SplitAccuracies",
    "correct_answers",
    "group_accuracies",
    "hallusion_accuracies",
    "mean_over_splits",
    "pair_accuracy",
]

Correct = Sequence[bool | None] | NDArray[np.bool_]


class GroupAccuracies(NamedTuple):
    """NaturalBench's four figures; the interval of each resamples whole groups.

    Attributes
    ----------
    accuracy : MetricEstimate
        Share of items that are right.
    q_acc : MetricEstimate
        Share of questions that are right for both images.
    i_acc : MetricEstimate
        Share of images for which both questions are right.
    g_acc : MetricEstimate
        Share of groups with all four items right.
    """

    accuracy: MetricEstimate
    q_acc: MetricEstimate
    i_acc: MetricEstimate
    g_acc: MetricEstimate


class HallusionAccuracies(NamedTuple):
    """HallusionBench's three figures; the interval of each resamples whole sets of questions and figures.

    Attributes
    ----------
    a_acc : MetricEstimate
        Share of items that are right.
    q_acc : MetricEstimate
        Share of questions that are right on all their figures.
    f_acc : MetricEstimate
        Share of figures on which all questions are right.
    """

    a_acc: MetricEstimate
    q_acc: MetricEstimate
    f_acc: MetricEstimate


class SplitAccuracies(NamedTuple):
    """Accuracy of each split, and their mean.

    Attributes
    ----------
    mean : MetricEstimate
        Each split counts the same, whatever its size; `n` is the number of units in all splits.
    splits : dict of {str: MetricEstimate}
        In the order in which the splits occur.
    """

    mean: MetricEstimate
    splits: dict[str, MetricEstimate]


def correct_answers(y_true: Sequence[Label], y_pred: Sequence[Label | None]) -> list[bool | None]:
    """Return which answers are right, and None where an item failed, as the metrics of this module take it.

    Parameters
    ----------
    y_true : sequence of label, length n_items
        True labels.
    y_pred : sequence of label or None, length n_items
        Answers; None for an item that failed. 1, True and "1" are three labels.

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    >>> correct_answers(["Yes", "No", "No"], ["Yes", "Yes", None])
    [True, False, None]
    """
    if len(y_true) != len(y_pred):
        raise ValueError(f"{len(y_true)} true labels, but {len(y_pred)} predictions")
    return [
        None if answer is None else key_of(answer) == key_of(true)
        for true, answer in zip(y_true, y_pred, strict=True)
    ]


def group_accuracies(
    correct: Correct,
    groups: Sequence[Label] | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> GroupAccuracies:
    """Return question, image and group accuracy of groups of two questions on two images.

    As defined by NaturalBench (Li et al., NeurIPS 2024).

    Parameters
    ----------
    correct : sequence of bool or None, length n_items
        Whether each item is right; None for an item that failed, which counts as wrong. The four items of a
        group in the order (question 0, image 0), (question 0, image 1), (question 1, image 0), (question 1,
        image 1).
    groups : sequence of label, length n_items, or None
        The group of each item; groups may be mixed. None: each four items in turn are one group.
    level : float, default=0.95
        Coverage of the intervals.
    n_resamples, seed : int
        Number and seed of the resamples of groups.

    Raises
    ------
    ValueError
        If there are no items, a group does not have four, or the lengths differ.

    Examples
    --------
    >>> found = group_accuracies([True, True, True, False, True, True, True, True])
    >>> found.accuracy.value, found.q_acc.value, found.i_acc.value, found.g_acc.value
    (0.875, 0.75, 0.75, 0.5)
    """
    right, n_failed = _right(correct)
    fours = right[_units(len(right), groups, size=4, unit="group")]
    q0i0, q0i1, q1i0, q1i1 = fours.T
    of_each_group = np.column_stack(
        [
            fours.mean(axis=1),
            ((q0i0 & q0i1).astype(float) + (q1i0 & q1i1)) / 2,
            ((q0i0 & q1i0).astype(float) + (q0i1 & q1i1)) / 2,
            fours.all(axis=1),
        ]
    )
    return GroupAccuracies(
        *estimates_of_means(of_each_group, n_failed, level=level, n_resamples=n_resamples, seed=seed)
    )


def hallusion_accuracies(
    correct: Correct,
    sets: Sequence[Label],
    questions: Sequence[Label],
    figures: Sequence[Label | None],
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> HallusionAccuracies:
    """Return the accuracy per item, per question and per figure, each question asked about several figures.

    As defined by HallusionBench (Guan et al., CVPR 2024): aAcc, qAcc and fAcc.

    Parameters
    ----------
    correct : sequence of bool or None, length n_items
        Whether each item is right; None for an item that failed, which counts as wrong.
    sets : sequence of label, length n_items
        The set of each item. The same question or figure in two sets is two questions or figures.
    questions : sequence of label, length n_items
        The question of each item.
    figures : sequence of label or None, length n_items
        The figure of each item; None for an item that is asked without a figure, which counts in the other
        two figures alone.
    level : float, default=0.95
        Coverage of the intervals.
    n_resamples, seed : int
        Number and seed of the resamples of sets, as items of a set share questions and figures.

    Raises
    ------
    ValueError
        If there are no items or no figures, or the lengths differ.

    Examples
    --------
    Two questions about a figure and its edited form; one of the four answers is wrong.

    >>> found = hallusion_accuracies([True, True, True, False], ["s"] * 4, [0, 1, 0, 1], [0, 0, 1, 1])
    >>> found.a_acc.value, found.q_acc.value, found.f_acc.value
    (0.75, 0.5, 0.5)
    """
    check_bootstrap(level, n_resamples)
    right, n_failed = _right(correct)
    rows_of_sets = list(_rows_by_name(len(right), sets, "set").values())
    for names, unit in ((questions, "question"), (figures, "figure")):
        if len(names) != len(right):
            raise ValueError(f"{len(right)} items, but {len(names)} {unit} names")
    if all(figure is None for figure in figures):
        raise ValueError("no item has a figure")
    # Of each set, how many items, questions and figures are right, and how many there are.
    counts = np.array(
        [
            [
                *(right[rows].sum(), len(rows)),
                *_right_and_all(right, rows, questions),
                *_right_and_all(right, rows, figures),
            ]
            for rows in rows_of_sets
        ],
        dtype=np.float64,
    )
    resamples = resampled_means(counts, n_resamples, np.random.default_rng(seed))
    found = []
    for column in (0, 2, 4):
        # A resample of sets without any figure says nothing about figures.
        known = resamples[resamples[:, column + 1] > 0]
        interval = percentile_interval(known[:, column] / known[:, column + 1], level)
        value = counts[:, column].sum() / counts[:, column + 1].sum()
        found.append(MetricEstimate(float(value), *interval, len(counts), n_failed))
    return HallusionAccuracies(*found)


def _right_and_all(
    right: NDArray[np.bool_], rows: Sequence[int], names: Sequence[Label | None]
) -> tuple[int, int]:
    """Return how many units of some rows are right in all their items, and how many units there are."""
    units: dict[tuple[type, Label | None], bool] = {}
    for row in rows:
        if names[row] is not None:
            key = key_of(names[row])
            units[key] = units.get(key, True) and bool(right[row])
    return sum(units.values()), len(units)


def pair_accuracy(
    correct: Correct,
    pairs: Sequence[Label] | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> MetricEstimate:
    """Return the share of pairs with both items right, such as SugarCrepe's caption and negative caption.

    Parameters
    ----------
    correct : sequence of bool or None, length n_items
        Whether each item is right; None for an item that failed, which counts as wrong.
    pairs : sequence of label, length n_items, or None
        The pair of each item; pairs may be mixed. None: each two items in turn are one pair.
    level : float, default=0.95
        Coverage of the interval.
    n_resamples, seed : int
        Number and seed of the resamples of pairs.

    Raises
    ------
    ValueError
        If there are no items, a pair does not have two, or the lengths differ.

    Examples
    --------
    >>> pair_accuracy([True, True, True, False]).value
    0.5
    """
    right, n_failed = _right(correct)
    both = right[_units(len(right), pairs, size=2, unit="pair")].all(axis=1, keepdims=True).astype(float)
    return estimates_of_means(both, n_failed, level=level, n_resamples=n_resamples, seed=seed)[0]


def mean_over_splits(
    correct: Correct,
    splits: Sequence[str],
    pairs: Sequence[Label] | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> SplitAccuracies:
    """Return the accuracy of each split and the mean of the splits, such as BLINK's fourteen.

    Parameters
    ----------
    correct : sequence of bool or None, length n_items
        Whether each item is right; None for an item that failed, which counts as wrong.
    splits : sequence of str, length n_items
        The split of each item.
    pairs : sequence of label, length n_items, or None
        If given, a split's figure is its `pair_accuracy`, as in SugarCrepe. The same name in two splits is
        two pairs.
    level : float, default=0.95
        Coverage of the intervals.
    n_resamples, seed : int
        Number and seed of the resamples. Each resample draws items, or pairs, anew within every split.

    Raises
    ------
    ValueError
        If there are no items, a split's name is no text, a pair does not have two, or the lengths differ.

    Examples
    --------
    >>> found = mean_over_splits([True, True, True, False], ["counting", "counting", "counting", "jigsaw"])
    >>> found.mean.value, {name: split.value for name, split in found.splits.items()}
    (0.5, {'counting': 1.0, 'jigsaw': 0.0})
    """
    check_bootstrap(level, n_resamples)
    right, _ = _right(correct)
    failed = np.array([one is None for one in correct])
    rng = np.random.default_rng(seed)
    found: dict[str, MetricEstimate] = {}
    means = np.zeros(n_resamples)
    rows_of_splits = _rows_by_name(len(right), splits, "split")
    if pairs is not None and len(pairs) != len(right):
        raise ValueError(f"{len(right)} items, but {len(pairs)} pair names")
    for (_, name), rows in rows_of_splits.items():
        if not isinstance(name, str):
            raise ValueError(f"the name of a split is text, got {name!r}")
        units = right[rows][:, None]
        if pairs is not None:
            own = [pairs[row] for row in rows]
            units = right[rows][_units(len(rows), own, size=2, unit="pair")]
        values = units.all(axis=1, keepdims=True).astype(float)
        resamples = resampled_means(values, n_resamples, rng)[:, 0]
        interval = percentile_interval(resamples, level)
        found[name] = MetricEstimate(float(values.mean()), *interval, len(values), int(failed[rows].sum()))
        means += resamples / len(rows_of_splits)
    mean = float(np.mean([split.value for split in found.values()]))
    n = sum(split.n for split in found.values())
    return SplitAccuracies(
        MetricEstimate(mean, *percentile_interval(means, level), n, int(failed.sum())), found
    )


def _right(correct: Correct) -> tuple[NDArray[np.bool_], int]:
    """Return which items are right, a failed one being wrong, and how many failed."""
    items = list(correct)
    if not items:
        raise ValueError("there are no items")
    strange = next((one for one in items if one is not None and not isinstance(one, bool | np.bool_)), None)
    if strange is not None:
        raise ValueError(f"whether an item is right is True, False or None, got {strange!r}")
    return np.array([one is not None and bool(one) for one in items]), sum(one is None for one in items)


def _rows_by_name(n_items: int, names: Sequence[Label], unit: str) -> dict[tuple[type, Label], list[int]]:
    if len(names) != n_items:
        raise ValueError(f"{n_items} items, but {len(names)} {unit} names")
    rows: dict[tuple[type, Label], list[int]] = {}
    for row, name in enumerate(names):
        kind, plain = key_of(name)
        if plain is None:
            raise ValueError(f"item {row} has no {unit}")
        rows.setdefault((kind, plain), []).append(row)
    return rows


def _units(n_items: int, names: Sequence[Label] | None, *, size: int, unit: str) -> NDArray[np.intp]:
    """Return the rows of each unit, shape (n_units, size)."""
    if names is None:
        if n_items % size:
            raise ValueError(f"the last {unit} is not whole: {n_items} items are no multiple of {size}")
        return np.arange(n_items).reshape(-1, size)
    rows = _rows_by_name(n_items, names, unit)
    for (_, name), own in rows.items():
        if len(own) != size:
            raise ValueError(f"{unit} {name!r} is not whole: it has {len(own)} items, not {size}")
    return np.array(list(rows.values()), dtype=np.intp)
