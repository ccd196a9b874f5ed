"""What can be compared: every method on head vectors and every baseline, by name, on rows read once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone
from savs.baselines import last_layer, majority_class, zero_shot
from savs.examples import Example, Label
from savs.features import HeadLayout
from savs.heads import METHODS, TEXT_METHODS, SAVClassifier, make_method
from savs.heads.base import HeadClassifier
from savs.heads.experts import uses_state

__all__ = ["BASELINES", "DEFAULT_CONTENDERS", "KNOWN", "Answers", "Contender", "ReadExamples", "Turn", "ask"]

BASELINES: tuple[str, ...] = ("majority", "last_layer", "zero_shot")
"""What methods on heads are held against, the simplest first."""
KNOWN: tuple[str, ...] = (*METHODS, *TEXT_METHODS, *BASELINES)
DEFAULT_CONTENDERS: tuple[str, ...] = (
    *("sav", "calm", "hec_v", "nearest_shot", "kernel_ridge", "mixture", "auto"),
    *BASELINES,
)

_ASKED_TOGETHER = 32
Rows = NDArray[np.intp]


class Turn(NamedTuple):
    """One method in one draw: answers to `rows`, time for fit and answers, size of what it keeps."""

    rows: Rows
    labels: list[Label | None]
    seconds: float
    n_bytes: int


Contender = Callable[[Rows, Rows], Turn]
"""From rows of the shots and of the test items to a `Turn`."""


@dataclass(frozen=True)
class Answers:
    """What the model itself said, asked once per item.

    Attributes
    ----------
    by_row : dict of int to label or None
        None where the answer names no class.
    seconds : float
        For all of them together.
    """

    by_row: dict[int, Label | None]
    seconds: float


@dataclass(frozen=True)
class ReadExamples:
    """Examples after the forward pass, one row each.

    Attributes
    ----------
    examples : list of Example
        As the model saw them.
    labels : ndarray of object, shape (n_examples,)
        Their labels, each of its own type.
    features : ndarray of float32, shape (n_examples, width)
        Head vectors.
    states : ndarray of float32, shape (n_examples, hidden_size)
        Last-layer states.
    layout : HeadLayout
        Of `features`.
    prototypes : dict of label to ndarray of float32, shape (width,)
        Row of each class's text prompt, for methods that read names; may be empty.
    """

    examples: list[Example]
    labels: NDArray[Any]
    features: NDArray[np.float32]
    states: NDArray[np.float32]
    layout: HeadLayout
    prototypes: Mapping[Label, NDArray[np.float32]] = field(default_factory=dict)

    def contender(self, name: str, answers: Callable[[], Answers]) -> Contender:
        """Return a method or baseline of `KNOWN` on these rows; `answers` is called by ``zero_shot`` only."""
        if name == "majority":
            return self._majority
        if name == "last_layer":
            return self._last_layer
        if name == "zero_shot":
            return lambda _, test: _said(answers(), test)
        return lambda shots, test: self._on_heads(name, shots, test)

    def _names(self, shots: Rows) -> NDArray[Any]:
        # Shots are of one label type, which is not known of the test.
        return np.array(self.labels[shots].tolist())

    def _on_heads(self, name: str, shots: Rows, test: Rows) -> Turn:
        started = time.perf_counter()
        names, reads_state = self._names(shots), uses_state(name)
        layout = self.layout.with_state(self.states.shape[1]) if reads_state else self.layout
        made = make_method(name, layout)
        if name in TEXT_METHODS:
            of_classes = [self.prototypes[label] for label in np.unique(names).tolist()]
            made.set_params(prototypes=np.stack(of_classes))
        fitted = made.fit(self._rows(shots, reads_state), names)
        labels = fitted.predict(self._rows(test, reads_state)).tolist()
        return Turn(test, labels, time.perf_counter() - started, _state_bytes(fitted))

    def _rows(self, rows: Rows, state: bool) -> NDArray[np.float32]:
        return np.hstack([self.features[rows], self.states[rows]]) if state else self.features[rows]

    def _last_layer(self, shots: Rows, test: Rows) -> Turn:
        started = time.perf_counter()
        labels = last_layer(self.states[shots], self._names(shots), self.states[test]).labels
        seconds = time.perf_counter() - started
        classes = np.unique(self._names(shots)).tolist()
        means = len(classes) * self.states.shape[1] * np.dtype(np.float64).itemsize
        return Turn(test, labels, seconds, means + _json_bytes(classes))

    def _majority(self, shots: Rows, test: Rows) -> Turn:
        started = time.perf_counter()
        labels = majority_class(self._names(shots), len(test)).labels
        return Turn(test, labels, time.perf_counter() - started, _json_bytes(labels[0]))


def ask(
    backbone: Backbone,
    examples: Mapping[int, Example],
    classes: Sequence[Label],
    tell: Callable[[int], object] = lambda _: None,
) -> Answers:
    """Let the model answer examples in words, with the names of the classes after the prompt.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    examples : mapping of int to Example
        What to ask, by row.
    classes : sequence of label
        The answers there are.
    tell : callable
        Called with the number of answers after each batch of them.

    Raises
    ------
    SAVsError
        If the model cannot generate, or an example cannot be asked.
    """
    started = time.perf_counter()
    said: dict[int, Label | None] = {}
    for rows in _chunks(list(examples)):
        said |= zip(rows, zero_shot(backbone, [examples[row] for row in rows], classes).labels, strict=True)
        tell(len(rows))
    return Answers(said, time.perf_counter() - started)


def _chunks(rows: Sequence[int]) -> Iterable[Sequence[int]]:
    return (rows[start : start + _ASKED_TOGETHER] for start in range(0, len(rows), _ASKED_TOGETHER))


def _said(answers: Answers, test: Rows) -> Turn:
    rows = test[np.isin(test, list(answers.by_row))]
    share = len(rows) / max(1, len(answers.by_row))
    return Turn(rows, [answers.by_row[row] for row in rows.tolist()], answers.seconds * share, 0)


def _state_bytes(fitted: SAVClassifier | HeadClassifier) -> int:
    """Return the size of what predictions need, settings as JSON."""
    kept = fitted.for_kept_heads()
    if isinstance(kept, HeadClassifier):
        arrays, settings = kept.to_state()
        return sum(array.nbytes for array in arrays.values()) + _json_bytes(settings)
    return int(kept.centroids_.nbytes) + _json_bytes([kept.classes_.tolist(), kept.heads_])


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value))
