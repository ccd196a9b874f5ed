"""What do several prompts gain? `python -m training.several_prompts --tasks DIR [NAME ...] [--store DIR]`.

Reads tasks that `training.task_files` wrote. For each, the task's own question and paraphrases of it, written
before any result was seen: accuracy and log loss on test items of each prompt alone, of the prompt that
held-out shots like best, and of the weighted mean (`savs.SAVModel(prompts=[...])`).
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from savs.backbones import load_backbone
from savs.cache import with_store
from savs.classifiers import Method, Shots
from savs.classifiers.ensemble import mix
from savs.classifiers.prompt_ensemble import PromptMethod, PromptRows
from savs.data import Example, Message, Text, read_examples
from savs.evaluation import draw_rows
from savs.model._prompts import WithPrompts, read_side_by_side

PROMPTS: dict[str, tuple[str, ...]] = {
    "handwritten-digits-never-shown": (
        "What digit is this?",
        "Which number is written here?",
        "Read the handwritten digit.",
        "What number from 0 to 9 does the picture show?",
    ),
    "counting-three-never-asked": (
        "How many shapes are there?",
        "Count the shapes in the picture.",
        "What is the number of shapes here?",
        "How many objects do you see?",
    ),
    "more-red-than-blue-never-asked": (
        "Are there more red shapes than blue shapes? Answer yes or no.",
        "Is red the more frequent color here, yes or no?",
        "Count red and blue shapes. Are red ones the majority? Answer yes or no.",
        "Do red shapes outnumber blue shapes?",
    ),
    "caption-attributes-swapped": (
        "Does this image show '{caption}'? Answer with Yes or No.",
        "Is this a picture of {caption}? Yes or no?",
        "Caption: {caption}. Is the caption right? Answer yes or no.",
        "{caption}. Does that describe the picture? Answer yes or no.",
    ),
    "photos-3-classes-never-shown": (
        "What is in this picture?",
        "What does this photo show?",
        "Name the main object in the image.",
        "Which animal or thing is this?",
    ),
    "two-photos-same-class": (
        "Do both pictures show the same thing? Answer yes or no.",
        "Are the two photos of the same kind of object? Answer yes or no.",
        "Is the thing in the first picture also in the second one? Yes or no?",
        "Same or different?",
    ),
    "held-out-rule-on-photos-not-stated": (
        "{own}",
        "{own} Think of the picture and the note.",
        "Look at the picture. {own}",
        "Does the note fit the picture? {own}",
    ),
    "vowel-or-consonant-never-asked": (
        "Is this letter a vowel or a consonant?",
        "Vowel or consonant?",
        "What kind of letter is shown, a vowel or a consonant?",
        "Does this picture show a vowel? Answer yes or no.",
    ),
}
"""The first prompt of each task is its own question."""

SHOTS, N_DRAWS, MOST_ITEMS = (5, 20), 3, 150
Figures = dict[str, float]


def without_question(examples: Iterable[Example]) -> list[Example]:
    """Return examples whose question, and the caption in it, are columns and no text of their own."""
    found = []
    for example in examples:
        caption = re.search(r"'(.*)'", example.text)
        media = tuple(part for part in example.messages[-1].parts if not isinstance(part, Text))
        fields = {"own": example.text, "caption": caption[1] if caption else ""}
        found.append(replace(example, messages=(Message("user", media),), fields=fields))
    return found


def read(folder: Path, prompts: Sequence[str], backbone: Any) -> tuple[Any, Any]:
    """Return rows of all prompts side by side, and labels, of the shots' pool and of the test items."""
    found = []
    for split, most in (("train", None), ("test", MOST_ITEMS)):
        examples = without_question(read_examples(folder / f"{split}.jsonl"))
        order = np.random.default_rng(0).permutation(len(examples))[:most]
        asked = [WithPrompts(prompts)(examples[row]) for row in sorted(order.tolist())]
        rows = read_side_by_side(backbone, asked, len(prompts))
        joined = rows.features if rows.states is None else np.hstack([rows.features, rows.states])
        found.append((joined, np.array([example.label for example in asked])))
    return found[0], found[1]


def figures(log_proba: npt.NDArray[np.float64], codes: npt.NDArray[np.intp]) -> Figures:
    """Return accuracy and mean log loss."""
    right = log_proba.argmax(axis=1) == codes
    return {
        "accuracy": float(right.mean()),
        "log_loss": float(-log_proba[np.arange(len(codes)), codes].mean()),
    }


def judged(method: PromptMethod, shots: Shots, classes: Any, rows: Any, codes: Any) -> dict[str, Figures]:
    """Return the figures of each prompt alone, of the best by held-out loss, and of the means."""
    fitted = method.make(shots.layout, classes).fit_shots(classes, shots)
    logs = fitted.log_proba_of_each(rows)
    alone = [figures(log, codes) for log in logs]
    losses = [report["log_loss"] for report in fitted.selection_report_["prompts"]]
    held_out = fitted.out_of_fold_log_proba(shots, fitted.cross_validation_folds(shots))
    known = np.isfinite(held_out).all(axis=1)
    n = len(logs)
    return {
        "own question": alone[0],
        "mean of single prompts": {key: float(np.mean([one[key] for one in alone])) for key in alone[0]},
        "best by held-out loss": alone[int(np.argmin(losses))],
        "best on the test items": max(alone, key=lambda one: one["accuracy"]),
        "equal weights": figures(mix(logs, np.full(n, 1 / n)), codes),
        "weighted mean": figures(fitted.decision_log_proba(rows), codes),
        "weighted mean, held-out shots": figures(held_out[known], shots.codes[known]),
        "largest weight": {"weight": float(fitted.weights_.max())},
    }


def measure(folder: Path, backbone: Any, method: str) -> dict[int, dict[str, Figures]]:
    """Return mean figures over the draws, by number of shots."""
    prompts = PROMPTS[folder.name]
    (rows, labels), (queries, truth) = read(folder, prompts, backbone)
    classes, codes = np.unique(truth, return_inverse=True)
    width = rows.shape[1] // len(prompts)
    layout = backbone.layout
    one = layout if width == layout.width else layout.with_state(width - layout.width)
    of_prompts = PromptRows.of(one, len(prompts))
    found: dict[int, dict[str, Figures]] = {}
    for count in SHOTS:
        draws = []
        for draw in range(N_DRAWS):
            drawn, _ = draw_rows(labels, count, (0, draw), leave=0)
            shots = Shots(
                rows[drawn], np.searchsorted(classes, labels[drawn]), len(classes), of_prompts.layout
            )
            draws.append(judged(PromptMethod(Method(method), of_prompts), shots, classes, queries, codes))
        found[count] = mean_figures(draws)
    return found


def mean_figures(many: Sequence[dict[str, Figures]]) -> dict[str, Figures]:
    """Return the means of figures over draws or tasks."""
    return {
        name: {key: float(np.mean([one[name][key] for one in many])) for key in figures}
        for name, figures in many[0].items()
    }


def show(title: str, found: dict[int, dict[str, Figures]]) -> None:
    """Print a table."""
    for count, by_name in found.items():
        print(f"{title}, {count} shots")
        for name, values in by_name.items():
            accuracy = f"{100 * values['accuracy']:.1f} %, " if "accuracy" in values else ""
            last = values.get("log_loss", values.get("weight"))
            print(f"    {name:32} {accuracy}{last:.3f}")


def main() -> None:
    """Measure the tasks and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PROMPTS))
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--store", type=Path, help="keeps the vectors, and is used again")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    backbone = load_backbone("tiny")
    reading = backbone if options.store is None else with_store(backbone, options.store)
    found: dict[str, dict[int, dict[str, Figures]]] = {}
    for name in options.names:
        found[name] = measure(options.tasks / name, reading, options.method)
        show(name, found[name])
        if options.json is not None:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    show("all", {count: mean_figures([one[count] for one in found.values()]) for count in SHOTS})


if __name__ == "__main__":
    main()
