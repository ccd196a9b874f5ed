"""Saves a classifier, writes new examples as files, and answers them with the classifier read back."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from savs.backbones import Backbone
from savs.datasets import read_examples
from savs.demo.tasks import Task
from savs.examples import Example
from savs.media import load_image
from savs.model import SAVModel

__all__ = ["show_new_files", "write_files"]

AT_LEAST = 6


def show_new_files(
    task: Task,
    backbone: Backbone,
    shots: Sequence[Example],
    rest: Sequence[Example],
    out: Path,
    *,
    n_heads: int,
) -> dict[str, Any]:
    """Fit and save a classifier, write new files, answer them through the saved one.

    Parameters
    ----------
    task : Task
        Gives the prompt.
    backbone : Backbone
        The frozen model.
    shots, rest : sequence of Example
        What the classifier is fitted on, and where the new files are taken from.
    out : Path
        The classifier goes to ``classifiers/<task>`` and the files to ``new_files/<task>`` below it.
    n_heads : int
        Heads to keep.

    Returns
    -------
    dict
        ``task``, ``classifier``, ``command`` (the same prediction from a shell) and ``answers``, a list of
        ``{"id", "truth", "label", "share"}``, where share is that of the heads which voted for the label.
    """
    folder = out / "classifiers" / task.name
    SAVModel(backbone, prompt=task.prompt, n_heads=n_heads).fit(shots).save_pretrained(folder)
    data = write_files(rest[: max(len(task.classes), AT_LEAST)], out / "new_files" / task.name)
    examples = read_examples(data)
    found = SAVModel.from_pretrained(folder, backbone=backbone).predict_each(examples)
    answers = [
        {"id": example.id, "truth": example.label, "label": label, "share": round(float(max(shares)), 4)}
        for example, label, shares in zip(examples, found.labels, found.proba, strict=True)
    ]
    return {
        "task": task.name,
        "classifier": str(folder),
        "command": shlex.join(
            ["savs", "predict", str(folder), str(data), "-o", str(out / f"{task.name}.jsonl")]
        ),
        "answers": answers,
    }


def write_files(examples: Sequence[Example], folder: Path) -> Path:
    """Write examples as files and return what to hand to ``savs predict``.

    Single pictures without text become a folder per class, which is returned; everything else becomes
    pictures and an ``examples.jsonl``.
    """
    if all(len(example.images) == 1 and not example.text for example in examples):
        for example in examples:
            _write_pictures(example, folder / str(example.label))
        return folder
    rows = [
        {
            "id": example.id,
            "image": _write_pictures(example, folder),
            "question": example.text,
            "label": example.label,
        }
        for example in examples
    ]
    file = folder / "examples.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def _write_pictures(example: Example, folder: Path) -> list[str]:
    """Write the pictures, byte for byte where they are files, and return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number, image in enumerate(example.images):
        name = f"{Path(str(example.id)).stem}{f'-{number + 1}' if len(example.images) > 1 else ''}"
        if isinstance(image.source, Path):
            target = folder / f"{name}{image.source.suffix}"
            target.write_bytes(image.source.read_bytes())
        else:
            target = folder / f"{name}.png"
            load_image(image.source).save(target)
        names.append(target.name)
    return names
