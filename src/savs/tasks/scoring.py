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
    binary_scores,
    correct_answers,
    equal_error_rate,
    group_accuracies,
    hallusion_accuracies,
    macro_f1,
    mean_over_splits,
    pair_accuracy,
    recall_at_false_positive_rate,
)
from savs.tasks.task import Task

__all__ = ["METRICS", "score_task"]

Answers = Sequence[Label | None]
Scores = Sequence[float | None] | None
Figures = dict[str, MetricEstimate]
Metric = Callable[..., Figures]


def _accuracy(_task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None) -> Figures:
    return {"accuracy": _share_right(_truth(examples), answers)}


def _share_right(truth: Sequence[Label], answers: Answers) -> MetricEstimate:
    correct = correct_answers(truth, answers)
    return mean_over_splits(correct, ["all"] * len(correct)).mean


def _accuracy_and_macro_f1(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> Figures:
    return {**_accuracy(task, examples, answers), "macro_f1": macro_f1(_truth(examples), answers)}


def _recall_at_low_false_positives(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> Figures:
    """Return accuracy and macro F1, and from scores the recall at 1 % false positives."""
    figures = _accuracy_and_macro_f1(task, examples, answers)
    if scores is not None:
        truth = _is_positive(task, examples)
        figures["recall_at_1_percent_fpr"] = recall_at_false_positive_rate(truth, scores, 0.01)
    return figures


def _accuracy_and_average_precision(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> Figures:
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


def _precision(task: Task, examples: Sequence[Example], scores: Scores) -> Figures:
    """Return the average precision over all items, if there are scores of a positive class."""
    if scores is None or task.positive is None:
        return {}
    return {"average_precision": average_precision(_is_positive(task, examples), scores)}


def _positive(task: Task) -> Label:
    if task.positive is None:
        raise ValueError(f"task {task.name!r}: the metric {task.metric} needs the positive class")
    return task.positive


def _is_positive(task: Task, examples: Sequence[Example]) -> list[bool]:
    positive = key_of(_positive(task))
    return [key_of(label) == positive for label in _truth(examples)]


def _group_accuracies(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> Figures:
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
) -> Figures:
    correct = correct_answers(_truth(examples), answers)
    found = mean_over_splits(correct, _column(task, examples, task.split_column))
    of_splits = {f"accuracy of {name}": split for name, split in found.splits.items()}
    return {**_accuracy(task, examples, answers), "mean_over_splits": found.mean, **of_splits}


def _pair_accuracy(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> Figures:
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


def _equal_error_rate(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> Figures:
    """Return accuracy and macro F1, and from scores of the positive class the equal error rate."""
    figures = _accuracy_and_macro_f1(task, examples, answers)
    if scores is not None:
        figures["equal_error_rate"] = equal_error_rate(_is_positive(task, examples), scores)
    return figures


def _accuracy_by_category(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> Figures:
    """Return the accuracy over all items, and of each category that occurs."""
    truth = _truth(examples)
    figures = {"accuracy": _share_right(truth, answers)}
    for name, rows in _rows_of_splits(task, examples).items():
        found = _share_right([truth[row] for row in rows], [answers[row] for row in rows])
        figures[f"accuracy of {name}"] = found
    return figures


def _binary_scores(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> Figures:
    """Return POPE's figures over all items, and of each split that occurs; an item may be of several."""
    positive = _positive(task)
    truth = _truth(examples)
    figures: Figures = dict(binary_scores(truth, answers, positive)._asdict())
    for name, rows in _rows_of_splits(task, examples).items():
        found = binary_scores([truth[row] for row in rows], [answers[row] for row in rows], positive)
        figures |= {f"{figure} of {name}": value for figure, value in found._asdict().items()}
    return figures


def _hallusion_accuracies(
    _task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> Figures:
    """Return HallusionBench's figures, from its columns or from the indexes of VLMEvalKit's table."""
    places = [_hallusion_place(example) for example in examples]
    found = hallusion_accuracies(
        correct_answers(_truth(examples), answers),
        [of_set for of_set, _, _ in places],
        [question for _, question, _ in places],
        [figure for _, _, figure in places],
    )
    return dict(found._asdict())


def _hallusion_place(example: Example) -> tuple[str, str, str | None]:
    """Return the set, the question and the figure of an item; no figure where it is asked without one."""
    names = ("category", "subcategory", "set_id", "question_id", "figure_id")
    cells = [example.fields.get(name) for name in names]
    if None in cells:
        parts = str(example.fields.get("index")).split("_")
        if len(parts) != 6:
            raise DataError(
                f"{example.id}: there are neither the columns {', '.join(names)} nor an index such as "
                "VD_illusion_1_0_2_0, which tell the set, question and figure"
            )
        # Category, subcategory, whether there is a figure, set, figure, question.
        cells = [parts[0], parts[1], parts[3], parts[5], parts[4]]
    category, subcategory, of_set, question, figure = map(str, cells)
    without = category == "VS" and figure == "0"
    return f"{category}_{subcategory}_{of_set}", question, None if without else figure


def _rows_of_splits(task: Task, examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return the rows of each split; VLMEvalKit joins the names of several by commas."""
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        cell = None if task.split_column is None else example.fields.get(task.split_column)
        for name in [] if cell is None else str(cell).split(","):
            rows.setdefault(name.strip(), []).append(row)
    return rows


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
        "accuracy_by_category": _accuracy_by_category,
        "binary_scores": _binary_scores,
        "equal_error_rate": _equal_error_rate,
        "hallusion_accuracies": _hallusion_accuracies,
    }
)
"""What `Task.metric` may name."""


def score_task(
    task: Task,
    examples: Sequence[Example],
    answers: Answers,
    scores: Sequence[float | None] | None = None,
) -> Figures:
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
