"""Metrics beyond single answers: POPE's, HallusionBench's, of spoofed speech, and by category."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from savs._labels import Label, key_of
from savs.data import Example
from savs.errors import DataError
from savs.evaluation import (
    MetricEstimate,
    binary_scores,
    correct_answers,
    equal_error_rate,
    hallusion_accuracies,
    macro_f1,
    mean_over_splits,
)
from savs.tasks.task import Task

__all__ = ["MORE_METRICS"]

Answers = Sequence[Label | None]
Scores = Sequence[float | None] | None
Figures = dict[str, MetricEstimate]


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


def _equal_error_rate(
    task: Task, examples: Sequence[Example], answers: Answers, scores: Scores = None
) -> Figures:
    """Return accuracy and macro F1, and from scores of the positive class the equal error rate."""
    truth = _truth(examples)
    figures = {**_accuracy(truth, answers), "macro_f1": macro_f1(truth, answers)}
    if scores is not None:
        positive = key_of(_positive(task))
        figures["equal_error_rate"] = equal_error_rate([key_of(label) == positive for label in truth], scores)
    return figures


def _accuracy_by_category(
    task: Task, examples: Sequence[Example], answers: Answers, _scores: Scores = None
) -> Figures:
    """Return the accuracy over all items, and of each category that occurs."""
    truth = _truth(examples)
    figures = _accuracy(truth, answers)
    for name, rows in _rows_of_splits(task, examples).items():
        found = _accuracy([truth[row] for row in rows], [answers[row] for row in rows])
        figures[f"accuracy of {name}"] = found["accuracy"]
    return figures


def _accuracy(truth: Sequence[Label], answers: Answers) -> Figures:
    correct = correct_answers(truth, answers)
    return {"accuracy": mean_over_splits(correct, ["all"] * len(correct)).mean}


def _rows_of_splits(task: Task, examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return the rows of each split; VLMEvalKit joins the names of several by commas."""
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        cell = None if task.split_column is None else example.fields.get(task.split_column)
        for name in [] if cell is None else str(cell).split(","):
            rows.setdefault(name.strip(), []).append(row)
    return rows


def _positive(task: Task) -> Label:
    if task.positive is None:
        raise ValueError(f"task {task.name!r}: the metric {task.metric} needs the positive class")
    return task.positive


def _truth(examples: Sequence[Example]) -> list[Label]:
    labels = [example.label for example in examples if example.label is not None]
    if len(labels) != len(examples):
        raise DataError(f"{len(examples) - len(labels)} of {len(examples)} examples have no label")
    return labels


MORE_METRICS: Mapping[str, Callable[..., Figures]] = MappingProxyType(
    {
        "accuracy_by_category": _accuracy_by_category,
        "binary_scores": _binary_scores,
        "equal_error_rate": _equal_error_rate,
        "hallusion_accuracies": _hallusion_accuracies,
    }
)
"""More of what `Task.metric` may name."""
