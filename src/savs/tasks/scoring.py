"""`score_task`: the metric of a task, from answers to its examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from savs._labels import key_of
from savs.data import Example, Label
from savs.errors import DataError
from savs.evaluation import (
    MetricEstimate,
    average_precision,
    average_precision_by_split,
    correct_answers,
    group_accuracies,
    macro_f1,
    mean_over_splits,
    pair_accuracy,
    recall_at_false_positive_rate,
)
from savs.tasks._more_metrics import MORE_METRICS
from savs.tasks.task import Task

__all__ = ["METRICS", "score_task"]

Answers = Sequence[Label | None]
Scores = Sequence[float | None] | None
Metric = Callable[..., dict[str, MetricEstimate]]


def _accuracy(
    _task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> dict[str, MetricEstimate]:
    correct = correct_answers(_truth(examples), answers)
    return {"accuracy": mean_over_splits(correct, ["all"] * len(correct)).mean}


def _accuracy_and_macro_f1(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> dict[str, MetricEstimate]:
    return {**_accuracy(task, examples, answers), "macro_f1": macro_f1(_truth(examples), answers)}


def _recall_at_low_false_positives(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> dict[str, MetricEstimate]:
    """Return accuracy and macro F1, and from scores the recall at 1 % false positives."""
    figures = _accuracy_and_macro_f1(task, examples, answers)
    if scores is not None:
        truth = _is_positive(task, examples)
        figures["recall_at_1_percent_fpr"] = recall_at_false_positive_rate(truth, scores, 0.01)
    return figures


def _accuracy_and_average_precision(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> dict[str, MetricEstimate]:
    """Return the accuracy of each split and its mean; of scores the same of average precision."""
    figures = _accuracy_by_split(task, examples, answers)
    if scores is not None:
        splits = _column(task, examples, task.split_column)
        try:
            found = average_precision_by_split(_is_positive(task, examples), scores, splits)
        except ValueError as error:
            raise DataError(f"task {task.name}: {error}") from None
        figures |= {**_precision(task, examples, scores), "mean_average_precision": found.mean}
        figures |= {f"average_precision of {name}": one for name, one in found.splits.items()}
    return figures


def _precision(task: Task, examples: Sequence[Example], scores: Scores) -> dict[str, MetricEstimate]:
    """Return the average precision over all items, if there are scores of a positive class."""
    if scores is None or task.positive is None:
        return {}
    return {"average_precision": average_precision(_is_positive(task, examples), scores)}


def _is_positive(task: Task, examples: Sequence[Example]) -> list[bool]:
    if task.positive is None:
        raise ValueError(f"task {task.name!r}: the metric {task.metric} needs the positive class")
    positive = key_of(task.positive)
    return [key_of(label) == positive for label in _truth(examples)]


def _group_accuracies(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> dict[str, MetricEstimate]:
    """Return NaturalBench's figures, and from scores of a positive class the average precision."""
    if task.groups is None or task.groups.size != 4:
        raise ValueError(f"task {task.name!r}: the metric group_accuracies needs groups of four")
    places = [task.groups.place(example) for example in examples]
    order = sorted(range(len(places)), key=lambda row: places[row])
    for row, following in pairwise(order):
        if places[row] == places[following]:
            raise DataError(
                f"{examples[row].id} and {examples[following].id} have the same number in column "
                f"{task.groups.column!r}, which tells the place in a group"
            )
    correct = correct_answers(_truth(examples), answers)
    try:
        found = group_accuracies([correct[row] for row in order], [places[row][0] for row in order])
    except ValueError as error:
        raise DataError(f"task {task.name}: {error}") from None
    return {**found._asdict(), **_precision(task, examples, scores)}


def _accuracy_by_split(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> dict[str, MetricEstimate]:
    correct = correct_answers(_truth(examples), answers)
    found = mean_over_splits(correct, _column(task, examples, task.split_column))
    of_splits = {f"accuracy of {name}": split for name, split in found.splits.items()}
    return {**_accuracy(task, examples, answers), "mean_over_splits": found.mean, **of_splits}


def _pair_accuracy(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> dict[str, MetricEstimate]:
    correct = correct_answers(_truth(examples), answers)
    splits = _column(task, examples, task.split_column)
    pairs = _column(task, examples, task.pair_column)
    numbers: dict[tuple[str, str], int] = {}
    whole = [numbers.setdefault(names, len(numbers)) for names in zip(splits, pairs, strict=True)]
    try:
        found = mean_over_splits(correct, splits, pairs)
    except ValueError as error:
        raise DataError(f"task {task.name}: {error}") from None
    of_splits = {f"pair_accuracy of {name}": split for name, split in found.splits.items()}
    return {"pair_accuracy": pair_accuracy(correct, whole), "mean_over_splits": found.mean, **of_splits}


def _column(task: Task, examples: Sequence[Example], column: str | None) -> list[str]:
    if column is None:
        raise ValueError(f"task {task.name!r}: the metric {task.metric} needs the column of splits or pairs")
    for example in examples:
        if example.fields.get(column) is None:
            raise DataError(
                f"{example.id}: there is no value in column {column!r}, which task {task.name} needs"
            )
    return [str(example.fields[column]) for example in examples]


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "accuracy": _accuracy,
        "accuracy_by_split": _accuracy_by_split,
        "accuracy_and_average_precision": _accuracy_and_average_precision,
        "accuracy_and_macro_f1": _accuracy_and_macro_f1,
        "accuracy_and_recall_at_1_percent_fpr": _recall_at_low_false_positives,
        "group_accuracies": _group_accuracies,
        "pair_accuracy": _pair_accuracy,
        **MORE_METRICS,
    }
)
"""What `Task.metric` may name."""


def score_task(
    task: Task,
    examples: Sequence[Example],
    answers: Answers,
    scores: Sequence[float | None] | None = None,
) -> dict[str, MetricEstimate]:
    """Return the figures of a task, each with its bootstrap interval.

    Parameters
    ----------
    task : Task
        Names the metric.
    examples : sequence of Example, length n_items
        With labels, from `Task.read`.
    answers : sequence of label or None, length n_items
        None for an example that failed: it counts as wrong, and in `MetricEstimate.n_failed`.
    scores : sequence of float or None, length n_items, optional
        Probability of the task's positive class; None for an example that failed.

    Raises
    ------
    DataError
        If a group is not whole.
    ValueError
        If there are no examples, the lengths differ, or there is no such metric.
    """
    if task.metric not in METRICS:
        raise ValueError(
            f"task {task.name!r}: there is no metric {task.metric!r}; there are {', '.join(METRICS)}"
        )
    if len(examples) != len(answers):
        raise ValueError(f"{len(examples)} examples, but {len(answers)} answers")
    if scores is not None and len(examples) != len(scores):
        raise ValueError(f"{len(examples)} examples, but {len(scores)} scores")
    return METRICS[task.metric](task, examples, answers, scores)


def _truth(examples: Sequence[Example]) -> list[Label]:
    labels = [example.label for example in examples if example.label is not None]
    if len(labels) != len(examples):
        raise DataError(f"{len(examples) - len(labels)} of {len(examples)} examples have no label")
    return labels
