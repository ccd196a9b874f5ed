"""Tasks as data files: what is written is what was drawn, and savs reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from training.augmented_shots import cropped, mirrored
from training.task_files import demo_items, write_items
from training.tasks import Item

from savs.data import read_examples
from savs.demo.tasks import build_tasks
from savs.media import load_image


def test__write_items__come_back_with_text_label_and_every_image(tmp_path: Path) -> None:
    images = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    items = [
        Item((images[0],), "What is it?", "red", ""),
        Item((images[1], images[2]), "Alike?", "nö", ""),
        Item((), "Only words", "red", ""),
    ]
    write_items(tmp_path, "train", items)
    found = read_examples(tmp_path / "train.jsonl")
    assert [(example.text, example.label) for example in found] == [(one.text, one.label) for one in items]
    for example, item in zip(found, items, strict=True):
        assert len(example.images) == len(item.images)
        for image, drawn in zip(example.images, item.images, strict=True):
            assert (np.asarray(load_image(image.source)) == np.asarray(drawn)).all()


def test__demo_items__shots_and_test_share_nothing_and_carry_the_prompt() -> None:
    task = next(task for task in build_tasks() if task.name == "note")
    train, test = demo_items(task)
    assert {item.label for item in train} == {item.label for item in test} == set(map(str, task.classes))
    assert all(
        "Does the note fit the picture?" in item.text and "{question}" not in item.text for item in train
    )
    contents = [
        {json.dumps([item.text, [image.tobytes().hex() for image in item.images]]) for item in items}
        for items in (train, test)
    ]
    assert len(contents[0] & contents[1]) == 0


def test__copies_of_a_shot__have_its_size_and_other_pixels() -> None:
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    image = Image.fromarray(pixels)
    assert (np.asarray(mirrored(image)) == pixels[:, ::-1]).all()
    for corner in ("upper", "lower"):
        crop = cropped(image, corner)
        assert crop.size == image.size
        assert (np.asarray(crop) != pixels).any()
