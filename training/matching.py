"""Do passes with other content help matching? `python -m training.matching --tasks DIR [NAME ...]`.

Reads tasks that `training.task_files` wrote. Of each, `auto` on the vectors of the whole prompt, and what was
tried beside it: vectors without the main directions of those of the same images without the text; minus the
vectors of the same first image with another item's text or second image; minus those without the text; and
for two images how alike they are to each head, each read without the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from savs.backbones import load_backbone
from savs.classifiers import make_method
from savs.classifiers._probabilities import fit_temperature, log_softmax
from savs.classifiers._support_set import nested_folds
from savs.classifiers.ensemble import ensemble_weights, mix
from savs.data import Example, Message, Text, read_examples
from savs.evaluation import draw_rows
from savs.layout import HeadLayout
from savs.media import Image

TASKS = (
    "caption-above-and-below-swapped",
    "caption-attributes-swapped",
    "caption-left-and-right-swapped",
    "two-drawings-same-shape",
    "two-photos-same-class",
    "demo-pairs",
)
RANKS = (1, 2, 4, 8)
Rows = npt.NDArray[np.float64]
Figures = dict[str, list[float]]


def without_text(example: Example) -> Example:
    """Return an example without its words."""
    kept = tuple(part for part in example.parts if not isinstance(part, Text))
    return replace(example, messages=(Message("user", (*kept, Text(""))),))


def with_other(example: Example, other: Example) -> Example:
    """Return an example with the text of another one, or where it has two images with the second of those."""
    images, words = example.images, [part for part in example.parts if isinstance(part, Text)]
    if len(images) == 2:
        parts: tuple[Any, ...] = (images[0], other.images[1], *words)
    else:
        parts = (*images, *(part for part in other.parts if not isinstance(part, Image)))
    return replace(example, messages=(Message("user", parts),))


def read(backbone: Any, examples: Sequence[Example]) -> Rows:
    """Return head vectors and the state behind them."""
    found = backbone.extract(examples, states=True)
    return np.hstack([found.features, found.states]).astype(np.float64)


def without_directions(rows: Rows, of_images: Rows, layout: HeadLayout, rank: int) -> Rows:
    """Return rows without the main directions of some others, part by part."""
    left = rows.copy()
    for part in layout.parts:
        columns = layout.columns(part)
        centered = of_images[:, columns] - of_images[:, columns].mean(axis=0)
        main = np.linalg.svd(centered, full_matrices=False)[2][:rank]
        left[:, columns] -= left[:, columns] @ main.T @ main
    return left


def with_image(example: Example, place: int) -> Example:
    """Return an example with one of its images."""
    parts = (example.images[place], *(part for part in example.parts if isinstance(part, Text)))
    return replace(example, messages=(Message("user", parts),))


def cosines(first: Rows, second: Rows, center: Rows, layout: HeadLayout) -> Rows:
    """Return cosines between two images by part, of vectors as they are and then of those minus a center."""
    found = []
    for shift in (np.zeros_like(center), center):
        for columns in map(layout.columns, layout.parts):
            one, two = (rows[:, columns] - shift[columns] for rows in (first, second))
            length = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
            found.append((one * two).sum(axis=1) / np.maximum(length, 1e-12))
    return np.stack(found, axis=1)


def similarity_scores(known: Rows, codes: npt.NDArray[np.intp], asked: Rows) -> Rows:
    """Return scores of Gaussian classes with a variance for each column, averaged over columns."""
    means = np.stack([known[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
    variances = ((known - means[codes]) ** 2).sum(axis=0) / (len(codes) - len(means))
    variances += 0.1 * variances.mean()
    return np.stack([-((asked - mean) ** 2 / variances).mean(axis=1) / 2 for mean in means], axis=1)


def similarity(
    known: tuple[Rows, Rows], codes: npt.NDArray[np.intp], asked: tuple[Rows, Rows], layout: HeadLayout
) -> tuple[float, Rows]:
    """Return the log loss on held-out shots, and log probabilities of test items."""
    center = np.vstack(known).mean(axis=0)
    shots, queries = cosines(*known, center, layout), cosines(*asked, center, layout)
    held_out = np.zeros((len(codes), codes.max() + 1))
    for fold in nested_folds(codes, 10):
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        held_out[fold] = similarity_scores(shots[rest], codes[rest], shots[fold])
    temperature = fit_temperature(held_out, codes)
    loss = -log_softmax(held_out / temperature)[np.arange(len(codes)), codes].mean()
    return float(loss), log_softmax(similarity_scores(shots, codes, queries) / temperature)


def measure(folder: Path, backbone: Any, shots: Sequence[int], draws: int) -> dict[int, Figures]:
    """Return accuracy on the test items by number of shots and form, one per draw."""
    pool, test = (list(read_examples(folder / f"{split}.jsonl")) for split in ("train", "test"))
    others = [pool[(7 * place + 13) % len(pool)] for place in range(max(len(pool), len(test)))]
    forms: dict[str, Callable[[Example, int], Example]] = {
        "whole": lambda example, _: example,
        "no text": lambda example, _: without_text(example),
        "other": lambda example, place: with_other(example, others[place]),
    }
    if len(pool[0].images) == 2:
        forms |= {"first": lambda example, _: with_image(example, 0)}
        forms |= {"second": lambda example, _: with_image(example, 1)}
    of_pool, of_test = (
        {name: read(backbone, [form(one, i) for i, one in enumerate(items)]) for name, form in forms.items()}
        for items in (pool, test)
    )
    layout = backbone.layout.with_state(of_test["whole"].shape[1] - backbone.layout.width)
    labels, truth = (np.array([one.label for one in items]) for items in (pool, test))
    found: dict[int, Figures] = {}
    for count in shots:
        for draw in range(draws):
            drawn, _ = draw_rows(labels, count, (0, draw), leave=0)
            codes = np.searchsorted(np.unique(labels), labels[drawn])
            known = {name: rows[drawn] for name, rows in of_pool.items()}
            for name, log in judged(known, codes, of_test, layout).items():
                right = np.unique(labels)[log.argmax(axis=1)] == truth
                found.setdefault(count, {}).setdefault(name, []).append(float(right.mean()))
    return found


def judged(
    known: dict[str, Rows], codes: npt.NDArray[np.intp], asked: dict[str, Rows], layout: HeadLayout
) -> dict[str, Rows]:
    """Return log probabilities of the test items by form, alone and mixed with `auto`."""
    tried = {"auto": (known["whole"], asked["whole"])}
    for rank in RANKS:
        first, second = (
            without_directions(rows, known["no text"], layout, rank)
            for rows in (known["whole"], asked["whole"])
        )
        tried[f"without {rank} directions"] = (first, second)
    for name in ("no text", "other"):
        tried[f"minus {name}"] = (known["whole"] - known[name], asked["whole"] - asked[name])
    losses, logs = {}, {}
    for name, (rows, queries) in tried.items():
        fitted = make_method("auto", layout).fit(rows, codes)
        losses[name] = -fitted.out_of_fold_log_proba_[np.arange(len(codes)), codes].mean()  # type: ignore[attr-defined]
        logs[name] = fitted.decision_log_proba(queries)
    if "first" in known:
        pair = (known["first"], known["second"])
        losses["similarity"], logs["similarity"] = similarity(
            pair, codes, (asked["first"], asked["second"]), layout
        )
    for name in list(logs)[1:]:
        shares = np.array([1 / 3, 2 / 3] if name == "similarity" else [0.5, 0.5])
        weights = ensemble_weights(np.array([losses["auto"], losses[name]]), shares)
        logs[f"auto + {name}"] = mix([logs["auto"], logs[name]], weights)
    return logs


def main() -> None:
    """Measure the tasks and print the figures of each, and their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TASKS))
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--shots", default="5,10,20")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    backbone, shots = load_backbone("tiny"), [int(count) for count in options.shots.split(",")]
    means: dict[tuple[int, str], list[float]] = {}
    for task in options.names:
        for count, figures in measure(options.tasks / task, backbone, shots, options.draws).items():
            for name, values in figures.items():
                means.setdefault((count, name), []).append(100 * float(np.mean(values)))
                print(f"{task:32} {count:3} {name:28} {means[count, name][-1]:.1f}", flush=True)
    for (count, name), values in means.items():
        print(f"mean of {len(values)} tasks {count:3} {name:28} {np.mean(values):.2f}")


if __name__ == "__main__":
    main()
