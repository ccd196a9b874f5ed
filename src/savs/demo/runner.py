"""SAVs and what they are compared with on one task: features once, then every draw of the shots is free."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone, PromptTemplate
from savs.baselines import last_layer, majority_class, zero_shot
from savs.demo.controls import fit_pixels, only, pixel_rows
from savs.demo.outcome import Accuracy, Exhibit, Outcome
from savs.demo.tasks import Task
from savs.evaluation import DrawResults, accuracy_report, draw_rows, on_features, run_draws, wilson_interval
from savs.evaluation.protocol import Method
from savs.examples import Example, Image, Text
from savs.heads import AutoClassifier, SAVClassifier
from savs.media import load_image

__all__ = ["N_HEADS", "first_draw", "run_task"]

N_HEADS = 20
N_EXHIBITS = 4
N_SAID = 5
LONGEST_ANSWER = 8


def run_task(
    task: Task, backbone: Backbone, *, shots: int, n_draws: int, seed: int, zero_shot_items: int
) -> Outcome:
    """Compare all methods on one task.

    Parameters
    ----------
    task : Task
        The problem.
    backbone : Backbone
        The frozen model; every example passes it once, for its head vectors and its last-layer state.
    shots, n_draws, seed : int
        Shots per class, and number and seed of the draws, which are the same for all methods.
    zero_shot_items : int
        Zero-shot generation answers the first so many examples; it needs no shots.

    Raises
    ------
    DataError
        If a class has no more examples than shots.
    """
    started = time.perf_counter()
    labels = np.asarray(task.labels)
    support, test = first_draw(task, shots, seed)
    examples = _prompted(task.prompt, task.examples)
    found = backbone.extract(examples, states=True)
    rows = found.features
    parts = {f"{part} alone": _one_part(task, backbone, part) for part in task.parts}
    if found.states is None:
        raise ValueError("the backbone returned no last-layer states")
    methods = {"sav": _heads(rows, labels, backbone), "auto": _auto(rows, found.states, labels, backbone)}
    methods |= _others(task, found.states, labels)
    methods |= {name: _heads(table, labels, backbone) for name, table in parts.items()}
    results = run_draws(labels, methods, shots=shots, draws=n_draws, seed=seed)
    answers = _zero_shot(task, backbone, zero_shot_items)
    classifier = SAVClassifier(N_HEADS, backbone.layout).fit(rows[support], labels[support])
    predicted = classifier.predict(rows[test]).tolist()
    report = accuracy_report(labels[test], predicted, task.classes)
    names = [name for name in methods if name not in parts]
    return Outcome(
        name=task.name,
        title=task.title,
        about=task.about,
        prompt=task.prompt,
        zero_shot_prompt=task.zero_shot_prompt,
        classes=task.classes,
        shots=shots,
        n_test=len(test),
        accuracy={name: _accuracy(results, name) for name in names} | {"zero_shot": answers.accuracy},
        controls={name: _accuracy(results, name) for name in parts},
        n_zero_shot=answers.n,
        unparsed=answers.unparsed,
        said=answers.said,
        layout=backbone.layout,
        heads=classifier.heads_,
        head_scores=classifier.head_scores_,
        confusion=np.asarray(report["confusion"]["matrix"]),
        exhibits=[_exhibit(task.examples[row], predicted[i]) for i, row in enumerate(test[:N_EXHIBITS])],
        seconds=time.perf_counter() - started,
    )


def first_draw(task: Task, shots: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of shots and test items of the first draw of `savs.evaluation.run_draws`."""
    return draw_rows(task.labels, shots, (seed, 0))


@dataclass(frozen=True)
class _Answers:
    """What zero-shot generation said."""

    accuracy: Accuracy
    n: int
    unparsed: int
    said: dict[str, int]


def _heads(rows: NDArray[np.float32], labels: NDArray[Any], backbone: Backbone) -> Method:
    return on_features(rows, labels, SAVClassifier(N_HEADS, backbone.layout).fit)


def _auto(
    rows: NDArray[np.float32], states: NDArray[np.float32], labels: NDArray[Any], backbone: Backbone
) -> Method:
    layout = backbone.layout.with_state(states.shape[1])
    return on_features(np.hstack([rows, states]), labels, AutoClassifier(layout=layout).fit)


def _others(task: Task, states: Any, labels: NDArray[Any]) -> dict[str, Method]:
    return {
        "last_layer": lambda shots, test: last_layer(states[shots], labels[shots], states[test]).labels,
        "majority": lambda shots, test: majority_class(labels[shots], len(test)).labels,
        "pixels": on_features(pixel_rows(task.examples), labels, fit_pixels),
    }


def _zero_shot(task: Task, backbone: Backbone, n: int) -> _Answers:
    asked = task.examples[:n]  # classes take turns in the examples, so these are balanced
    result = zero_shot(
        backbone,
        _prompted(task.zero_shot_prompt, asked),
        task.classes,
        name_classes=False,  # the prompt names them itself
        lettered=task.lettered,
        max_new_tokens=LONGEST_ANSWER,
    )
    report = accuracy_report(task.labels[:n], result.labels, task.classes)
    accuracy = Accuracy(report["accuracy"], tuple(report["interval"]), (report["accuracy"],))
    return _Answers(
        accuracy, len(asked), len(result.unparsed), dict(Counter(result.answers).most_common(N_SAID))
    )


def _accuracy(results: DrawResults, name: str) -> Accuracy:
    summary = results.summary()[name]
    first = results.correct[name][0]
    return Accuracy(
        mean=summary["mean"],
        interval=summary["interval"] or wilson_interval(int(first.sum()), len(first)),
        draws=tuple(summary["draws"]),
    )


def _prompted(prompt: str, examples: Sequence[Example]) -> list[Example]:
    template = PromptTemplate(prompt)
    return [template.apply(example) for example in examples]


def _one_part(task: Task, backbone: Backbone, part: str) -> NDArray[np.float32]:
    """Head vectors of the examples that keep only their pictures or only their text."""
    kept = [only(example, Image if part == "image" else Text) for example in task.examples]
    return backbone.extract(_prompted(task.prompt, kept)).features


def _exhibit(example: Example, answer: Any) -> Exhibit:
    pictures = tuple(load_image(image.source) for image in example.images)
    return Exhibit(pictures, example.text, example.label, answer)
