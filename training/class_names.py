"""What class names alone are worth on the tasks: `python -m training.class_names --tasks DIR`.

Reads the data files that `training.task_files` writes, at most 100 test items of each task, classes alike,
and prints the mean accuracy without any shot: of the generated answer, of the likelihood of the class names,
plain and calibrated, and of text prototypes, by all heads and by the best ones on other families of tasks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from savs.backbones import TransformersBackbone, load_backbone
from savs.baselines import option_likelihood, zero_shot
from savs.classifiers._probabilities import softmax
from savs.classifiers._support_set import unit_vectors
from savs.data import Example, read_examples
from savs.model import SAVModel
from savs.model._class_names import class_prompts

N_ITEMS = 100
N_HEADS, TEMPERATURE = 20, 0.07
Names = Sequence[Any]

FAMILIES = {
    "digits": ("demo-digits", "handwritten-digits"),
    "letters": ("letters", "vowel-or-consonant"),
    "photographs": ("demo-photos", "photos-"),
    "shapes and colors": ("shape", "colour-asked", "demo-shape"),
    "counting": ("counting",),
    "red": ("any-red", "more-red"),
    "captions": ("caption",),
    "two images": ("two-", "demo-pairs"),
    "rules": ("held-out-rule", "demo-note"),
}
"""Beginnings of the names of tasks that are alike."""


def some_of(examples: Sequence[Example], classes: Names, seed: int = 0) -> list[Example]:
    """Return at most 100 examples, as many of each class, at random."""
    rng, found = np.random.default_rng(seed), []
    for name in classes:
        own = [example for example in examples if example.label == name]
        found += [own[i] for i in rng.permutation(len(own))[: N_ITEMS // len(classes)]]
    return found


def _likelihood(**settings: Any) -> Callable[[TransformersBackbone, list[Example], Names], list[Any]]:
    return lambda backbone, items, classes: list(
        option_likelihood(backbone, items, classes, **settings).labels
    )


def _generated(backbone: TransformersBackbone, items: list[Example], classes: Names) -> list[Any]:
    return list(zero_shot(backbone, items, classes).labels)


def _prototypes(backbone: TransformersBackbone, items: list[Example], classes: Names) -> list[Any]:
    answers: list[Any] = SAVModel(backbone, method="hec_t").fit_class_names(classes).predict(items).tolist()
    return answers


WAYS: dict[str, Callable[[TransformersBackbone, list[Example], Names], list[Any]]] = {
    "generated answer, the names in the prompt": _generated,
    "likelihood of the names": _likelihood(),
    "the same, mean of a name's tokens": _likelihood(per_token=True),
    "the same, less that of a prompt without content": _likelihood(calibration="content_free"),
    "the same, less its mean over the test items": _likelihood(calibration="batch"),
    "text prototypes (hec_t)": _prototypes,
}


# Text prototypes as [HEC] arXiv:2603.24181 has them (HEC-T): heads are chosen once, on other tasks.


def family_of(task: str) -> str:
    """Return which family a task belongs to, its own name where there is none."""
    return next((name for name, starts in FAMILIES.items() if task.startswith(starts)), task)


@dataclass(frozen=True)
class NamesByHead:
    """What each head alone says of the items of a task, from the class names.

    Attributes
    ----------
    family : str
        Of the task.
    proba : ndarray of float64, shape (n_heads, n_items, n_classes)
        Softmax of the cosines with the class names, the mean of the names taken off.
    truth : ndarray of int, shape (n_items,)
        True classes.
    """

    family: str
    proba: npt.NDArray[np.float64]
    truth: npt.NDArray[np.intp]

    @property
    def skill(self) -> npt.NDArray[np.float64]:
        """Accuracy of each head, 0 at chance and 1 without an error, shape (n_heads,)."""
        chance = 1 / self.proba.shape[2]
        return np.asarray(((self.proba.argmax(axis=2) == self.truth).mean(axis=1) - chance) / (1 - chance))

    def accuracy(self, heads: npt.NDArray[np.intp]) -> float:
        """Return the accuracy of the mean probability of some heads."""
        return float((self.proba[heads].mean(axis=0).argmax(axis=1) == self.truth).mean())


def names_by_head(
    backbone: TransformersBackbone, items: list[Example], classes: Names, family: str
) -> NamesByHead:
    """Read the items and the class names, and let every head alone compare them."""
    rows = backbone.extract([*class_prompts(classes, None), *items]).features.astype(np.float64)
    n_names = len(classes)
    proba = np.empty((backbone.layout.n_heads, len(items), n_names))
    for position, head in enumerate(backbone.layout.heads):
        unit = unit_vectors(rows[:, backbone.layout.columns(head)])
        names = unit_vectors(unit[:n_names] - unit[:n_names].mean(axis=0))
        proba[position] = softmax(unit[n_names:] @ names.T / TEMPERATURE)
    return NamesByHead(family, proba, np.array([list(classes).index(item.label) for item in items]))


def chosen_elsewhere(found: Sequence[NamesByHead]) -> list[float]:
    """Return each task's accuracy by the heads of the highest mean skill on tasks of other families."""
    accuracies = []
    for one in found:
        elsewhere = np.mean([other.skill for other in found if other.family != one.family], axis=0)
        accuracies.append(one.accuracy(np.argsort(-elsewhere, kind="stable")[:N_HEADS]))
    return accuracies


def main() -> None:
    """Measure every way on every task and print the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=Path, required=True, help="what training.task_files wrote")
    parser.add_argument("--backbone", default="tiny")
    options = parser.parse_args()
    backbone = load_backbone(options.backbone)
    if not isinstance(backbone, TransformersBackbone):
        parser.error("a transformers model is needed")
    shares: dict[str, list[float]] = {way: [] for way in WAYS}
    by_head: list[NamesByHead] = []
    for file in sorted(options.tasks.glob("*/test.jsonl")):
        examples = read_examples(file)
        classes = sorted({str(example.label) for example in examples})
        items = some_of(examples, classes)
        for way, answer in WAYS.items():
            right = [a == item.label for a, item in zip(answer(backbone, items, classes), items, strict=True)]
            shares[way].append(100 * float(np.mean(right)))
        by_head.append(names_by_head(backbone, items, classes, family_of(file.parent.name)))
        print(file.parent.name, {way: round(values[-1], 1) for way, values in shares.items()}, flush=True)
    every = np.arange(backbone.layout.n_heads)
    shares["mean probability of all heads"] = [100 * one.accuracy(every) for one in by_head]
    chosen = "mean probability of the 20 best heads on other families of tasks (HEC-T)"
    shares[chosen] = [100 * accuracy for accuracy in chosen_elsewhere(by_head)]
    for way, values in shares.items():
        print(f"{way}: mean {np.mean(values):.1f}, worst {min(values):.1f}")


if __name__ == "__main__":
    main()
