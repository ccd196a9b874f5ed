"""Metrics for classes of unequal size: F1, average precision, recall, precision, equal error rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs._labels import Label, key_of
from savs.evaluation._bootstrap import (
    MetricEstimate,
    check_bootstrap,
    percentile_interval,
    resampled_items,
    resampled_means,
)
from savs.evaluation.group_metrics import correct_answers

__all__ = [
    "BinaryScores",
    "SplitPrecisions",
    "average_precision",
    "average_precision_by_split",
    "binary_scores",
    "equal_error_rate",
    "macro_f1",
    "recall_at_false_positive_rate",
]

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]


class BinaryScores(NamedTuple):
    """POPE's five figures of one class, the positive one, against all others.

    Attributes
    ----------
    accuracy : MetricEstimate
        Share of items that are right.
    precision : MetricEstimate
        Share of positive answers that are right; 0 if there are none.
    recall : MetricEstimate
        Share of positive items that are found.
    f1 : MetricEstimate
        Harmonic mean of precision and recall.
    positive_rate : MetricEstimate
        Share of items with the positive answer, such as POPE's share of "yes".
    """

    accuracy: MetricEstimate
    precision: MetricEstimate
    recall: MetricEstimate
    f1: MetricEstimate
    positive_rate: MetricEstimate


def macro_f1(
    y_true: Sequence[Label],
    y_pred: Sequence[Label | None],
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> MetricEstimate:
    """Return the mean of the classes' F1, over all labels that occur as truth or answer.

    Parameters
    ----------
    y_true : sequence of label, length n_items
        True labels.
    y_pred : sequence of label or None, length n_items
        Answers. None for an item that failed: it is missed by its class, and no class of its own.
    level : float, default=0.95
        Coverage of the interval.
    n_resamples, seed : int
        Number and seed of the resamples of items. The figure of a resample is the mean over the labels that
        occur in it.

    Raises
    ------
    ValueError
        If there are no items, or the lengths differ.

    See Also
    --------
    accuracy_report : The same figure beside those of each class.

    Examples
    --------
    >>> round(macro_f1(["cat", "dog", "dog"], ["cat", "cat", "dog"]).value, 3)
    0.667
    """
    from sklearn.metrics import f1_score

    check_bootstrap(level, n_resamples)
    if len(y_true) != len(y_pred):
        raise ValueError(f"{len(y_true)} true labels, but {len(y_pred)} predictions")
    if not len(y_true):
        raise ValueError("there are no items")
    codes: dict[tuple[type, Label | None], int] = {}
    for label in [*y_true, *(answer for answer in y_pred if answer is not None)]:
        codes.setdefault(key_of(label), len(codes))
    n_labels = len(codes)
    truth = np.array([codes[key_of(label)] for label in y_true], dtype=np.intp)
    # A failed item's answer is one more code, over which is not averaged.
    answers = np.array(
        [n_labels if label is None else codes[key_of(label)] for label in y_pred], dtype=np.intp
    )
    value = f1_score(truth, answers, labels=np.arange(n_labels), average="macro", zero_division=0)

    def of_resample(times: NDArray[np.intp]) -> float:
        size = {"minlength": n_labels + 1}
        hits = np.bincount(truth, weights=times * (truth == answers), **size)[:n_labels]
        either = (np.bincount(truth, times, **size) + np.bincount(answers, times, **size))[:n_labels]
        return float(np.mean(2 * hits[either > 0] / either[either > 0]))

    resamples = resampled_items(of_resample, truth, (), n_resamples=n_resamples, seed=seed)
    n_failed = int(np.sum(answers == n_labels))
    return MetricEstimate(float(value), *percentile_interval(resamples, level), len(truth), n_failed)


def binary_scores(
    y_true: Sequence[Label],
    y_pred: Sequence[Label | None],
    positive: Label,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> BinaryScores:
    """Return accuracy, precision, recall and F1 of one class, and how often it is the answer.

    As POPE reports them (Li et al., EMNLP 2023), with "yes" as the positive class.

    Parameters
    ----------
    y_true : sequence of label, length n_items
        True labels.
    y_pred : sequence of label or None, length n_items
        Answers. None for an item that failed: it is wrong, and not a positive answer.
    positive : label
        The class that precision, recall and F1 are about.
    level : float, default=0.95
        Coverage of the intervals.
    n_resamples, seed : int
        Number and seed of the resamples of items. A figure without items or answers in a resample is 0 there.

    Raises
    ------
    ValueError
        If there are no items, the lengths differ, or no item is of the positive class.

    Examples
    --------
    >>> found = binary_scores(["yes", "yes", "no", "no"], ["yes", "no", "no", "no"], "yes")
    >>> found.accuracy.value, found.precision.value, found.recall.value, found.positive_rate.value
    (0.75, 1.0, 0.5, 0.25)
    """
    check_bootstrap(level, n_resamples)
    if len(y_true) != len(y_pred):
        raise ValueError(f"{len(y_true)} true labels, but {len(y_pred)} predictions")
    there = np.array([key_of(label) == key_of(positive) for label in y_true], dtype=bool)
    if not there.any():
        raise ValueError(f"no item is of the positive class {positive!r}")
    said = np.array([label is not None and key_of(label) == key_of(positive) for label in y_pred])
    correct = [bool(right) for right in correct_answers(y_true, y_pred)]  # a failed item is wrong
    of_items = np.column_stack([correct, said & there, said, there]).astype(np.float64)
    resamples = _binary_figures(resampled_means(of_items, n_resamples, np.random.default_rng(seed)))
    n_failed = sum(answer is None for answer in y_pred)
    return BinaryScores(
        *(
            MetricEstimate(float(value), *percentile_interval(figures, level), len(there), n_failed)
            for value, figures in zip(_binary_figures(of_items.mean(axis=0)), resamples.T, strict=True)
        )
    )


def _binary_figures(shares: Floats) -> Floats:
    """Return the figures, last axis, from shares of items: right, hits, positive answers and items."""
    right, hits, said, there = np.moveaxis(shares, -1, 0)

    def ratio(part: Floats, whole: Floats) -> Floats:
        return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

    return np.stack(
        [right, ratio(hits, said), ratio(hits, there), ratio(2 * hits, said + there), said], axis=-1
    )


class SplitPrecisions(NamedTuple):
    """Average precision of each split, and their mean.

    Attributes
    ----------
    mean : MetricEstimate
        Each split counts the same, whatever its size; `n` is the number of items in all splits.
    splits : dict of {str: MetricEstimate}
        In the order in which the splits occur.
    """

    mean: MetricEstimate
    splits: dict[str, MetricEstimate]


def average_precision(
    positive: ArrayLike,
    scores: Sequence[float | None] | NDArray[np.float64],
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> MetricEstimate:
    """Return the average precision of scores that should be higher for the positive class.

    The mean of the precision over thresholds, weighted by the gain in recall, without interpolation
    (`sklearn.metrics.average_precision_score`). That of scores without meaning is the share of positives.

    Parameters
    ----------
    positive : array-like of bool, shape (n_items,)
        Whether each item is of the positive class, such as "Yes".
    scores : sequence of float or None, length n_items
        Such as the probability of the positive class; only the order matters. None or NaN for an item that
        failed: it stands where it does most harm, a positive item last and a negative one first.
    level : float, default=0.95
        Coverage of the interval.
    n_resamples, seed : int
        Number and seed of the resamples of items. A resample without an item of either class is drawn again.

    Raises
    ------
    ValueError
        If the lengths differ, or there is no item of one of the two classes.

    Examples
    --------
    >>> round(average_precision([True, False, True], [0.9, 0.5, 0.1]).value, 3)
    0.833
    """
    return _of_ranks(_precision, positive, scores, level=level, n_resamples=n_resamples, seed=seed)


def average_precision_by_split(
    positive: ArrayLike,
    scores: Sequence[float | None] | NDArray[np.float64],
    splits: Sequence[str],
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> SplitPrecisions:
    """Return the average precision of each split and the mean of the splits, such as CameraBench's fifteen.

    Parameters
    ----------
    positive, scores
        As `average_precision` takes them.
    splits : sequence of str, length n_items
        The split of each item.
    level : float, default=0.95
        Coverage of the intervals.
    n_resamples, seed : int
        Number and seed of the resamples. Each resample draws items anew within every split.

    Raises
    ------
    ValueError
        If the lengths differ, or a split has no item of one of the two classes.

    Examples
    --------
    >>> found = average_precision_by_split(
    ...     [True, False, True, False], [0.9, 0.5, 0.1, 0.2], ["pan", "pan", "zoom", "zoom"]
    ... )
    >>> found.mean.value, {name: split.value for name, split in found.splits.items()}
    (0.75, {'pan': 1.0, 'zoom': 0.5})
    """
    check_bootstrap(level, n_resamples)
    truth = np.asarray(positive)
    values = list(scores)
    if not len(truth) == len(values) == len(splits):
        raise ValueError(f"{len(truth)} items, but {len(values)} scores and {len(splits)} names of splits")
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(splits):
        rows.setdefault(name, []).append(row)
    found: dict[str, MetricEstimate] = {}
    means = np.zeros(n_resamples)
    seeds = np.random.SeedSequence(seed).generate_state(len(rows)).tolist()
    for (name, own), own_seed in zip(rows.items(), seeds, strict=True):
        try:
            codes, ranks, n_failed = _ranked(truth[own], [values[row] for row in own])
        except ValueError as error:
            raise ValueError(f"split {name!r}: {error}") from None
        resamples = resampled_items(
            partial(_precision, codes, ranks), codes, (0, 1), n_resamples=n_resamples, seed=own_seed
        )
        value, interval = _precision(codes, ranks, None), percentile_interval(resamples, level)
        found[name] = MetricEstimate(value, *interval, len(own), n_failed)
        means += resamples / len(rows)
    mean = float(np.mean([split.value for split in found.values()]))
    n_failed = sum(split.n_failed for split in found.values())
    return SplitPrecisions(
        MetricEstimate(mean, *percentile_interval(means, level), len(values), n_failed), found
    )


def _precision(truth: Codes, ranks: Codes, times: Codes | None) -> float:
    alarms, hits = _taken(truth, ranks, times)
    recalls = hits / hits[-1]
    precisions = hits[1:] / np.maximum(hits[1:] + alarms[1:], 1)
    return float(np.diff(recalls) @ precisions)


def recall_at_false_positive_rate(
    positive: ArrayLike,
    scores: Sequence[float | None] | NDArray[np.float64],
    max_rate: float = 0.01,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> MetricEstimate:
    """Return the largest recall of a threshold whose false positive rate is at most `max_rate`.

    Of the thresholds of `sklearn.metrics.roc_curve`, without interpolation: with fewer than ``1 / max_rate``
    negative items, no false positive is allowed.

    Parameters
    ----------
    positive : array-like of bool, shape (n_items,)
        Whether each item is of the positive class, such as "harmful".
    scores : sequence of float or None, length n_items
        Such as the probability of the positive class; only the order matters. None or NaN for an item that
        failed: it stands where it does most harm, a positive item last and a negative one first.
    max_rate : float, default=0.01
        Largest share of the negative items that may be taken for positive, 0 to 1.
    level : float, default=0.95
        Coverage of the interval.
    n_resamples, seed : int
        Number and seed of the resamples of items. A resample without an item of either class is drawn again.

    Raises
    ------
    ValueError
        If the lengths differ, there is no item of one of the two classes, or `max_rate` is not in 0 to 1.

    Examples
    --------
    >>> recall_at_false_positive_rate([True, True, False, False], [0.9, 0.4, 0.5, 0.1]).value
    0.5
    """
    if not 0 <= max_rate <= 1:
        raise ValueError(f"max_rate must lie in 0 to 1, got {max_rate}")

    def figure(truth: Codes, ranks: Codes, times: Codes | None) -> float:
        alarms, hits = _taken(truth, ranks, times)
        return float((hits / hits[-1])[alarms / alarms[-1] <= max_rate].max())

    return _of_ranks(figure, positive, scores, level=level, n_resamples=n_resamples, seed=seed)


def equal_error_rate(
    positive: ArrayLike,
    scores: Sequence[float | None] | NDArray[np.float64],
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> MetricEstimate:
    """Return the rate at which as many positives are missed as negatives are taken for positive.

    The usual figure of spoofing detection (ASVspoof); smaller is better, and 0.5 is chance. Both rates are
    those of the thresholds of `sklearn.metrics.roc_curve`, with straight lines between them, so the figure
    stays the same when the classes and the signs of the scores are swapped.

    Parameters
    ----------
    positive : array-like of bool, shape (n_items,)
        Whether each item is of the positive class, such as "spoof".
    scores : sequence of float or None, length n_items
        Such as the probability of the positive class; only the order matters. None or NaN for an item that
        failed: it stands where it does most harm, a positive item last and a negative one first.
    level : float, default=0.95
        Coverage of the interval.
    n_resamples, seed : int
        Number and seed of the resamples of items. A resample without an item of either class is drawn again.

    Raises
    ------
    ValueError
        If the lengths differ, or there is no item of one of the two classes.

    Examples
    --------
    >>> equal_error_rate([True, True, False, False], [0.9, 0.4, 0.5, 0.1]).value
    0.5
    >>> equal_error_rate([True, True, False, False], [0.9, 0.6, 0.5, 0.1]).value
    0.0
    """

    def figure(truth: Codes, ranks: Codes, times: Codes | None) -> float:
        alarms, hits = _taken(truth, ranks, times)
        rates = alarms / alarms[-1]
        # From -1, with nothing taken for positive, to 1; never falls.
        gap = rates - (1 - hits / hits[-1])
        after = int(np.argmax(gap >= 0))
        share = -gap[after - 1] / (gap[after] - gap[after - 1])
        return float(rates[after - 1] + share * (rates[after] - rates[after - 1]))

    return _of_ranks(figure, positive, scores, level=level, n_resamples=n_resamples, seed=seed)


def _taken(truth: Codes, ranks: Codes, times: Codes | None) -> tuple[Floats, Floats]:
    """Return how many negatives and positives lie at or above each threshold, none first and all last.

    These are the points of `sklearn.metrics.roc_curve`, here in one pass over the items, as a bootstrap
    needs them thousands of times.
    """
    weights = np.ones(len(truth)) if times is None else times
    # The ranks begin at -1, for positive items that failed.
    counts = (np.bincount(ranks + 1, weights * side)[::-1] for side in (1 - truth, truth))
    alarms, hits = (np.concatenate([[0.0], np.cumsum(count)]) for count in counts)
    return alarms, hits


def _of_ranks(
    figure: Callable[[Codes, Codes, Codes | None], float],
    positive: ArrayLike,
    scores: Sequence[float | None] | NDArray[np.float64],
    *,
    level: float,
    n_resamples: int,
    seed: int,
) -> MetricEstimate:
    """Return a figure of truth, ranks of the scores and how often each item counts, with its interval."""
    truth, ranks, n_failed = _ranked(positive, scores)
    check_bootstrap(level, n_resamples)
    resamples = resampled_items(
        partial(figure, truth, ranks), truth, (0, 1), n_resamples=n_resamples, seed=seed
    )
    value = figure(truth, ranks, None)
    return MetricEstimate(value, *percentile_interval(resamples, level), len(truth), n_failed)


def _ranked(
    positive: ArrayLike, scores: Sequence[float | None] | NDArray[np.float64]
) -> tuple[Codes, Codes, int]:
    """Return the truth as 0 and 1, the ranks of the scores (failed ones at the wrong end), their number."""
    truth = np.asarray(positive)
    values = np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    if truth.dtype != np.bool_ or truth.ndim != 1:
        raise ValueError(
            f"positive must be a list of True and False, got {truth.dtype} of shape {truth.shape}"
        )
    if len(truth) != len(values):
        raise ValueError(f"{len(truth)} items, but {len(values)} scores")
    if not (truth.any() and not truth.all()):
        raise ValueError(f"both classes are needed: {int(truth.sum())} of {len(truth)} items are positive")
    failed = np.isnan(values)
    order, ranks = np.unique(values[~failed], return_inverse=True)
    placed = np.where(truth, -1, len(order)).astype(np.intp)
    placed[~failed] = ranks
    return truth.astype(np.intp), placed, int(failed.sum())
