"""SAVs and what they are compared with on one task: features once, then every draw of the shots is free."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone, PromptTemplate
from savs.demo.controls import fit_majority, fit_pixels, only, pixel_rows
from savs.demo.outcome import Accuracy, Exhibit, Outcome, spread
from savs.demo.tasks import Task
from savs.examples import Example, Image, Label, Text
from savs.heads import SAVClassifier
from savs.heads.intervals import wilson_interval
from savs.media import load_image

__all__ = ["Draw", "run_task"]

N_HEADS = 20
N_EXHIBITS = 4
N_SAID = 5

Draw = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows of the shots and rows of the test items."""

Fit = Callable[[NDArray[Any], NDArray[Any]], Any]


def run_task(task: Task, backbone: Backbone, draws: Sequence[Draw], *, zero_shot_items: int) -> Outcome:
    """Compare all methods on one task.

    Parameters
    ----------
    task : Task
        The problem.
    backbone : Backbone
        The frozen model; every example passes it once for its head vectors and once for its last-layer state.
    draws : sequence of (shot rows, test rows)
        The same for all methods.
    zero_shot_items : int
        Zero-shot generation answers the first so many examples; it needs no shots.
    """
    started = time.perf_counter()
    labels = np.asarray(task.labels)
    examples = _prompted(task.prompt, task.examples)
    rows = backbone.extract(examples).features
    pixels = pixel_rows(task.examples)

    def fit_heads(X: NDArray[Any], y: NDArray[Any]) -> SAVClassifier:
        return SAVClassifier(n_heads=N_HEADS, layout=backbone.layout).fit(X, y)

    answers = _zero_shot(task, backbone, zero_shot_items)
    accuracy = {
        "sav": over_draws(rows, labels, draws, fit_heads),
        "zero_shot": answers.accuracy,
        "last_layer": over_draws(backbone.last_layer_states(examples), labels, draws, SAVClassifier().fit),
        "majority": over_draws(pixels, labels, draws, fit_majority),
        "pixels": over_draws(pixels, labels, draws, fit_pixels),
    }
    controls = {
        f"{part} alone": over_draws(_one_part(task, backbone, part), labels, draws, fit_heads)
        for part in task.parts
    }
    shots, test = draws[0]
    classifier = fit_heads(rows[shots], labels[shots])
    predicted = classifier.predict(rows[test])
    return Outcome(
        name=task.name,
        title=task.title,
        about=task.about,
        prompt=task.prompt,
        zero_shot_prompt=task.zero_shot_prompt,
        classes=task.classes,
        shots=len(shots) // len(task.classes),
        n_test=len(test),
        accuracy=accuracy,
        controls=controls,
        n_zero_shot=answers.n,
        unparsed=answers.unparsed,
        said=answers.said,
        layout=backbone.layout,
        heads=classifier.heads_,
        head_scores=classifier.head_scores_,
        confusion=_confusion(labels[test], predicted, classifier.classes_),
        exhibits=[
            _exhibit(task.examples[row], answer)
            for row, answer in zip(test[:N_EXHIBITS], predicted.tolist(), strict=False)
        ],
        seconds=time.perf_counter() - started,
    )


def over_draws(rows: NDArray[Any], labels: NDArray[Any], draws: Sequence[Draw], fit: Fit) -> Accuracy:
    """Fit on the shots of every draw and answer its test items; rows of shape (n_examples, width)."""
    right = [fit(rows[shots], labels[shots]).predict(rows[test]) == labels[test] for shots, test in draws]
    shares = np.array([one.mean() for one in right])
    interval = spread(shares) if len(draws) > 1 else wilson_interval(int(right[0].sum()), len(right[0]))
    return Accuracy(float(shares.mean()), interval, tuple(shares.tolist()))


@dataclass(frozen=True)
class _Answers:
    """What zero-shot generation said."""

    accuracy: Accuracy
    n: int
    unparsed: int
    said: dict[str, int]


def _zero_shot(task: Task, backbone: Backbone, n: int) -> _Answers:
    asked = task.examples[:n]  # classes take turns in the examples, so these are balanced
    texts = backbone.generate(_prompted(task.zero_shot_prompt, asked), max_new_tokens=8)
    words = {label: task.answers.get(label, (str(label),)) for label in task.classes}
    parsed = [_named(text, words) for text in texts]
    right = sum(label == example.label for label, example in zip(parsed, asked, strict=True))
    accuracy = Accuracy(right / len(asked), wilson_interval(right, len(asked)), (right / len(asked),))
    said = dict(Counter(texts).most_common(N_SAID))
    return _Answers(accuracy, len(asked), parsed.count(None), said)


def _named(answer: str, words: Mapping[Label, tuple[str, ...]]) -> Label | None:
    """Return the one class whose name an answer holds as a word, else None; letters must be capitals."""
    found = {
        label
        for label, names in words.items()
        for name in names
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", answer, 0 if len(name) == 1 else re.IGNORECASE)
    }
    return found.pop() if len(found) == 1 else None


def _prompted(prompt: str, examples: Sequence[Example]) -> list[Example]:
    template = PromptTemplate(prompt)
    return [template.apply(example) for example in examples]


def _one_part(task: Task, backbone: Backbone, part: str) -> NDArray[np.float32]:
    """Head vectors of the examples that keep only their pictures or only their text."""
    kept = [only(example, Image if part == "image" else Text) for example in task.examples]
    return backbone.extract(_prompted(task.prompt, kept)).features


def _confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(classes, truth), np.searchsorted(classes, predicted)), 1)
    return counts


def _exhibit(example: Example, answer: Any) -> Exhibit:
    pictures = tuple(load_image(image.source) for image in example.images)
    return Exhibit(pictures, example.text, example.label, answer)
