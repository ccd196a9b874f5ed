"""The weights in the package are what the program exports, and they answer."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from training.abilities import MARKERS, Reader
from training.export import LIMIT
from training.tasks import Item

import savs.backbones
from savs.demo.scenes import Scene, Thing, draw_scene

TINY = Path(savs.backbones.__file__).parent / "tiny"


@pytest.fixture(scope="module")
def reader():
    return Reader(TINY)


def item(scene: Scene, text: str) -> Item:
    """A scene with a question."""
    image: Image.Image = draw_scene(scene, np.random.default_rng(0))
    return Item((image,), text, "", "")


def test__bundled_weights__are_small_float16():
    file = TINY / "model.safetensors"
    assert file.stat().st_size < LIMIT
    with safe_open(file, "numpy") as weights:
        dtypes = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert dtypes <= {"F16", "I64"}


def test__bundled_card__holds_the_measured_tables():
    card = (TINY / "README.md").read_text(encoding="utf-8")
    table = card.partition(MARKERS[0])[2].partition(MARKERS[1])[0]
    assert "| SAVs 20 |" in table
    assert "| rule and |" in table


def test__bundled_weights__answer_about_a_drawing(reader):
    scene = Scene((Thing("circle", "red", "large", 14, 30), Thing("star", "blue", "large", 48, 34)), "plain")
    questions = {
        "What shape is the red thing?": "circle",
        "What colour is the star?": "blue",
        "Is there a green heart? Answer yes or no.": "no",
        "Is the circle left or right of the star?": "left",
        "How many shapes are there?": "two",
    }
    answers = reader.answer([item(scene, text) for text in questions])
    assert dict(zip(questions, answers, strict=True)) == questions


def test__bundled_weights__heads_are_finite(reader):
    scene = Scene((Thing("heart", "green", "large", 30, 30),), "noisy")
    readings = reader.read([item(scene, "What is it?"), item(scene, "Qué es esto? 漢字")])
    assert readings.heads.shape == (2, 96, 32)
    assert np.isfinite(readings.heads).all()
    assert np.abs(readings.heads).max() < 1e3
