import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.cli.main import run

COLOURS = {"blue": (30, 60, 220), "red": (220, 40, 30)}


def draw(colour: str, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = np.asarray(COLOURS[colour]) + rng.normal(0, 12, (24, 24, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make_folder(root: Path, per_class: int, first_seed: int) -> Path:
    for index in range(per_class):
        for offset, colour in enumerate(COLOURS):
            path = root / colour / f"{index:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(colour, first_seed + 2 * index + offset).save(path)
    return root


@pytest.fixture(scope="session")
def train(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("train"), 4, 0)


@pytest.fixture(scope="session")
def test_folder(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("test"), 3, 1000)


@pytest.fixture(scope="session")
def classifier(train, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers") / "colours"
    arguments = [
        "fit",
        str(train),
        "-b",
        "tiny",
        "--prompt",
        "What colour is it?",
        "-o",
        str(folder),
        "--quiet",
    ]
    assert run(arguments) == 0
    return folder


@pytest.fixture
def rows(tmp_path):
    """Write a JSONL file of rows beside copies of two pictures, `red.png` and `blue.png`."""
    for colour in COLOURS:
        draw(colour, 77).save(tmp_path / f"{colour}.png")

    def write(*items: dict, name: str = "data.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        return path

    return write


def shell(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "savs.cli.main", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)
