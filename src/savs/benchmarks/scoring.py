"""The figures of one method in one draw of a task, as they stand in ``results.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from savs._labels import key_of
from savs.classifiers import wilson_interval
from savs.data import Example, Label
from savs.evaluation.probabilities import ClassProbabilities, score_items
from savs.tasks import Task, score_task

__all__ = ["JudgedItems", "score_cell"]


@dataclass
class JudgedItems:
    """Test items with what a method answered, one entry per item in each list.

    Attributes
    ----------
    examples : list of Example
        With their labels.
    answers : list of label or None
        None for an item that failed: it could not be read, or an answer in words names no class.
    shares : list of float or None
        Probability of the answer; None where there is none.
    positive : list of float or None
        Probability of the task's positive class; None where there is none.
    votes : dict
        How many heads answer each label, by place in these lists, where that is known.
    """

    examples: list[Example] = field(default_factory=list)
    answers: list[Label | None] = field(default_factory=list)
    shares: list[float | None] = field(default_factory=list)
    positive: list[float | None] = field(default_factory=list)
    votes: dict[int, dict[Label, int]] = field(default_factory=dict)

    def add(
        self,
        examples: Sequence[Example],
        answers: Sequence[Label | None],
        probabilities: ClassProbabilities | None,
        positive: Label | None,
    ) -> None:
        """Add answers, with their probabilities if there are some.

        Parameters
        ----------
        examples : sequence of Example
            The items.
        answers : sequence of label or None
            One per item.
        probabilities : ClassProbabilities or None
            One row per item.
        positive : label or None
            The task's positive class.
        """
        self.examples += examples
        self.answers += answers
        if probabilities is None:
            self.shares += [None] * len(examples)
            self.positive += [None] * len(examples)
            return
        columns = {key_of(label): place for place, label in enumerate(probabilities.classes)}
        column = columns.get(key_of(positive)) if positive is not None else None
        for answer, row in zip(answers, probabilities.values.tolist(), strict=True):
            place = columns.get(key_of(answer)) if answer is not None else None
            self.shares.append(None if place is None else float(row[place]))
            self.positive.append(None if column is None else float(row[column]))

    def add_failed(self, examples: Sequence[Example]) -> None:
        """Add items that could not be read."""
        self.add(examples, [None] * len(examples), None, None)

    def lines(self) -> list[dict[str, Any]]:
        """Return the answers as lines of a file."""
        return [
            {
                "id": example.id,
                "label": example.label,
                "answer": answer,
                "probability": None if share is None else round(share, 6),
                **({"votes": _by_name(self.votes[place])} if place in self.votes else {}),
            }
            for place, (example, answer, share) in enumerate(
                zip(self.examples, self.answers, self.shares, strict=True)
            )
        ]


def _by_name(votes: Mapping[Label, int]) -> dict[str, int]:
    return {str(label): n for label, n in votes.items()}


def score_cell(task: Task, judged: JudgedItems, probabilities: ClassProbabilities | None) -> dict[str, Any]:
    """Return the figures of a task, and those of the probabilities.

    Parameters
    ----------
    task : Task
        Names the metric.
    judged : JudgedItems
        The items and answers.
    probabilities : ClassProbabilities or None
        Of the items that have some, which come first; None where there are none.

    Returns
    -------
    dict
        ``n_test``, ``n_failed``, ``figures`` (each ``value``, ``low``, ``high`` and ``n``; the interval is
        Wilson's for the share of right answers, else a bootstrap over items or groups) and ``probability``.

    Raises
    ------
    DataError
        If a group is not whole.
    """
    scores = judged.positive if any(share is not None for share in judged.positive) else None
    # A task without a positive class needs no scores.
    options: dict[str, Any] = {} if scores is None else {"scores": scores}
    found = score_task(task, judged.examples, judged.answers, **options)
    figures = {
        name: {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
        for name, one in found.items()
    }
    truth = [example.label for example in judged.examples if example.label is not None]
    if "accuracy" in figures:
        right = sum(key_of(a) == key_of(b) for a, b in zip(judged.answers, truth, strict=True))
        low, high = wilson_interval(right, len(truth))
        figures["accuracy"] |= {"low": low, "high": high}
    probability = None
    if probabilities is not None:
        n_read = len(probabilities.values)
        scored = score_items(probabilities, truth[:n_read], judged.answers[:n_read])
        probability = scored.figures()
    return {
        "n_test": len(truth),
        "n_failed": sum(answer is None for answer in judged.answers),
        "figures": figures,
        "probability": probability,
    }
