"""What class names alone are worth on the tasks: `python -m training.class_names --tasks DIR`.

Reads the data files that `training.task_files` writes, at most 100 test items of each task, classes alike,
and prints the mean accuracy without any shot: of the generated answer, of the likelihood of the class names,
plain and calibrated, and of text prototypes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from savs.backbones import TransformersBackbone, load_backbone
from savs.baselines import option_likelihood, zero_shot
from savs.data import Example, read_examples
from savs.model import SAVModel

N_ITEMS = 100
Names = Sequence[Any]


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
    for file in sorted(options.tasks.glob("*/test.jsonl")):
        examples = read_examples(file)
        classes = sorted({str(example.label) for example in examples})
        items = some_of(examples, classes)
        for way, answer in WAYS.items():
            right = [a == item.label for a, item in zip(answer(backbone, items, classes), items, strict=True)]
            shares[way].append(100 * float(np.mean(right)))
        print(file.parent.name, {way: round(values[-1], 1) for way, values in shares.items()}, flush=True)
    for way, values in shares.items():
        print(f"{way}: mean {np.mean(values):.1f}, worst {min(values):.1f}")


if __name__ == "__main__":
    main()
