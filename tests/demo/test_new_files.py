from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.data import read_examples
from savs.demo.runner import show_new_files, write_files
from savs.demo.tasks import Task, digits_task, note_task, pairs_task, photos_task
from savs.media import load_image
from savs.model import SAVModel

Maker = Callable[[np.random.Generator, int | None], Task]


@pytest.mark.parametrize("make", [digits_task, photos_task, note_task, pairs_task])
def test__show_new_files__saved_classifier__answers_like_the_one_in_memory(
    tmp_path: Path, make: Maker
) -> None:
    task, backbone = make(np.random.default_rng(1), 8), FakeBackbone()
    cut = 4 * len(task.classes)
    shots, rest = task.examples[:cut], task.examples[cut:]
    shown = show_new_files(task, backbone, shots, rest, tmp_path, n_heads=5)
    assert len(shown["answers"]) == max(6, len(task.classes))
    files = read_examples(shlex.split(shown["command"])[3])
    direct = SAVModel(backbone, prompt=task.prompt, n_heads=5).fit(shots)
    assert direct.predict(files).tolist() == [answer["label"] for answer in shown["answers"]]
    assert [file.label for file in files] == [answer["truth"] for answer in shown["answers"]]


@pytest.mark.parametrize("make", [digits_task, photos_task, note_task, pairs_task])
def test__write_files__read_back__gives_the_same_images_texts_and_labels(tmp_path: Path, make: Maker) -> None:
    examples = make(np.random.default_rng(1), 3).examples
    again = read_examples(write_files(examples, tmp_path))

    def content(example: object) -> tuple[str, str, list[bytes]]:
        images = [load_image(image.source).tobytes() for image in example.images]  # type: ignore[attr-defined]
        return str(example.label), example.text, images  # type: ignore[attr-defined]

    assert sorted(map(content, again)) == sorted(map(content, examples))


def test__write_files__photographs__are_copied_byte_for_byte(tmp_path: Path) -> None:
    examples = photos_task(np.random.default_rng(1), 2).examples
    folder = write_files(examples, tmp_path)
    sources = sorted(Path(str(example.images[0].source)).read_bytes() for example in examples)
    assert sorted(file.read_bytes() for file in folder.rglob("*.jpg")) == sources
