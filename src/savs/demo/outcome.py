"""What came out of one task: everything that the table, the picture and the JSON show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.examples import Label
from savs.features import Head, HeadLayout

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["METHODS", "Accuracy", "Exhibit", "Outcome"]

METHODS: Mapping[str, str] = {
    "sav": "SAVs",
    "auto": "savs auto",
    "zero_shot": "zero-shot generation",
    "last_layer": "last-layer state",
    "majority": "majority class",
    "pixels": "pixels alone",
}
"""Methods in the order of tables and pictures, with their names there."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a method on a task.

    Attributes
    ----------
    mean : float
        Share of test items answered right, mean over the draws.
    interval : tuple of float
        95 %: Student's t over the draws; Wilson's for methods without shots and for a single draw.
    draws : tuple of float
        One share per draw of the shots; a single one for methods without shots.
    """

    mean: float
    interval: tuple[float, float]
    draws: tuple[float, ...]


@dataclass(frozen=True)
class Exhibit:
    """A test item to show: its pictures, its note, the truth and the answer."""

    pictures: tuple[PILImage.Image, ...]
    text: str
    truth: Label | None
    answer: Label


@dataclass(frozen=True)
class Outcome:
    """Results of one task.

    Attributes
    ----------
    name, title, about, prompt, zero_shot_prompt : str
        As in `savs.demo.tasks.Task`.
    classes : list of label
        Sorted.
    shots : int
        Shots per class.
    n_test : int
        Test items per draw.
    accuracy : mapping of str to Accuracy
        By the keys of `METHODS`.
    controls : mapping of str to Accuracy
        SAVs with one part of the example taken away; empty for tasks of pictures alone.
    n_zero_shot, unparsed : int
        Items that zero-shot generation answered, and how many answers named no class.
    said : mapping of str to int
        The most frequent generated answers, word for word.
    layout : HeadLayout
        All heads of the backbone.
    heads : list of Head
        The heads kept in the first draw, best first.
    head_scores : ndarray of int, shape (n_heads,)
        Hits of every head on the shots of the first draw, in layout order.
    confusion : ndarray of int, shape (n_classes, n_classes)
        Test items of the first draw by truth (rows) and answer of SAVs (columns).
    exhibits : list of Exhibit
        A few test items of the first draw, chosen before they were answered.
    seconds : float
        Time for the whole task.
    """

    name: str
    title: str
    about: str
    prompt: str
    zero_shot_prompt: str
    classes: list[Label]
    shots: int
    n_test: int
    accuracy: Mapping[str, Accuracy]
    controls: Mapping[str, Accuracy]
    n_zero_shot: int
    unparsed: int
    said: Mapping[str, int]
    layout: HeadLayout
    heads: list[Head]
    head_scores: NDArray[np.int64]
    confusion: NDArray[np.int64]
    exhibits: list[Exhibit] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best(self) -> str:
        """The method with the highest mean; SAVs where it shares the first place."""
        return max(self.accuracy, key=lambda method: (self.accuracy[method].mean, method == "sav"))

    def record(self) -> dict[str, Any]:
        """Return the JSON object of the task; accuracies are shares of 1, to four digits."""
        share = self.shots * len(self.classes)
        return {
            "name": self.name,
            "title": self.title,
            "about": self.about,
            "prompt": self.prompt,
            "zero_shot_prompt": self.zero_shot_prompt,
            "classes": self.classes,
            "shots": self.shots,
            "n_test": self.n_test,
            "accuracy": {method: round(value.mean, 4) for method, value in self.accuracy.items()},
            "interval": {method: _rounded(value.interval) for method, value in self.accuracy.items()},
            "draws": {method: _rounded(value.draws) for method, value in self.accuracy.items()},
            "controls": {
                name: {"accuracy": round(value.mean, 4), "interval": _rounded(value.interval)}
                for name, value in self.controls.items()
            },
            "best": self.best,
            "n_zero_shot": self.n_zero_shot,
            "unparsed": self.unparsed,
            "said": dict(self.said),
            "heads": [
                [head.layer, head.index, round(int(self.head_scores[self.layout.position(head)]) / share, 4)]
                for head in self.heads
            ],
            "confusion": self.confusion.tolist(),
            "seconds": round(self.seconds, 1),
        }


def _rounded(values: tuple[float, ...]) -> list[float]:
    return [round(value, 4) for value in values]
