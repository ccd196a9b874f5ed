"""The tasks of the model in the box as data files: `python -m training.task_files --photos PATH --out DIR`.

One folder per task with ``train.jsonl`` (40 items of each class, to draw shots from), ``test.jsonl`` (300
items or so, balanced) and the images. Shots and test items never share a photograph or a digit.
`savs compare` reads them; docs/methods.md has the command and its table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from savs.backbones import PromptTemplate
from savs.demo.tasks import Task as DemoTask
from savs.demo.tasks import build_tasks
from savs.media import load_image
from training.abilities import _balanced
from training.methods import N_TEST, _slug
from training.photos import HELD_OUT, NAMED, read_photos
from training.tasks import Item, Source, all_tasks

N_TRAIN = 40


def write_items(folder: Path, split: str, items: Sequence[Item]) -> None:
    """Write ``<split>.jsonl`` and its images, one PNG each."""
    images = folder / split
    images.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, item in enumerate(items):
        row = {"id": f"{split}-{number:04d}", "question": item.text, "label": item.label}
        for place, image in enumerate(item.images, start=1):
            name = f"{number:04d}-{place}.png"
            image.save(images / name)
            row["image" if len(item.images) == 1 else f"image_{place}"] = f"{split}/{name}"
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    (folder / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")


def demo_items(task: DemoTask) -> tuple[list[Item], list[Item]]:
    """Return a demo task's items for shots and for the test, the prompt after each text."""
    rng = np.random.default_rng(7)
    train: list[Item] = []
    test: list[Item] = []
    labels = np.asarray(task.labels)
    for name in task.classes:
        rows = rng.permutation(np.flatnonzero(labels == name))
        n_train = min(N_TRAIN, len(rows) // 2)
        n_test = max(1, N_TEST // len(task.classes))
        for target, chosen in ((train, rows[:n_train]), (test, rows[n_train : n_train + n_test])):
            target += [_item(task, int(row)) for row in chosen]
    return train, test


def _item(task: DemoTask, row: int) -> Item:
    example = PromptTemplate(task.prompt).apply(task.examples[row])
    images = tuple(load_image(image.source) for image in example.images)
    return Item(images, example.text, str(example.label), "")


def write_all(photos: Path, out: Path) -> None:
    """Write all 25 tasks."""
    source = Source(read_photos(photos, "test", (*NAMED, *HELD_OUT), per_class=400), 4321)
    for task in all_tasks():
        source.half = 0
        test = _balanced(task, source, max(1, N_TEST // len(task.labels)))
        source.half = 1
        train = _balanced(task, source, N_TRAIN)
        write_items(out / _slug(task.name), "train", train)
        write_items(out / _slug(task.name), "test", test)
    for demo in build_tasks():
        train, test = demo_items(demo)
        write_items(out / f"demo-{demo.name}", "train", train)
        write_items(out / f"demo-{demo.name}", "test", test)


def main() -> None:
    """Write the tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="what training reads photographs from")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tasks")
    options = parser.parse_args()
    write_all(options.photos, options.out)


if __name__ == "__main__":
    main()
