from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.demo.results import METHODS, Accuracy, Exhibit, Outcome, draw_results
from savs.layout import HeadLayout


def outcome(n_classes: int, layout: HeadLayout, exhibits: list[Exhibit]) -> Outcome:
    return Outcome(
        name="t",
        title="a task with a name",
        about="",
        prompt="",
        zero_shot_prompt="",
        classes=[f"class {i}" for i in range(n_classes)],
        shots=4,
        n_test=10,
        accuracy={method: Accuracy(0.5, (0.4, 0.6), (0.5,)) for method in METHODS},
        controls={},
        n_zero_shot=5,
        unparsed=0,
        said={},
        layout=layout,
        heads=list(layout.heads[:3]),
        head_scores=np.arange(layout.n_heads),
        confusion=np.eye(n_classes, dtype=np.int64),
        exhibits=exhibits,
    )


def pixels(file: Path) -> np.ndarray:
    with PILImage.open(file) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("n_tasks", [1, 3, 5])
def test__draw_results__any_number_of_tasks__is_a_image_of_one_size(tmp_path: Path, n_tasks: int) -> None:
    layout = HeadLayout.from_layers([(0, 4, 8), (1, 2, 16), (3, 4, 8)])  # uneven, a layer without heads
    shown = Exhibit((PILImage.new("RGB", (30, 20), "red"),), "a note with some words", "a", "b")
    draw_results([outcome(3, layout, [shown] * 4)] * n_tasks, tmp_path / "p.png", n_draws=2)
    assert pixels(tmp_path / "p.png").shape == (960, 1600, 3)


def test__draw_results__same_results__gives_the_same_bytes(tmp_path: Path) -> None:
    one = outcome(2, HeadLayout.uniform(2, 2, 4), [])
    for name in ("a.png", "b.png"):
        draw_results([one], tmp_path / name, n_draws=2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test__draw_results__right_and_wrong_answers__have_other_frames(tmp_path: Path) -> None:
    image = PILImage.new("RGB", (64, 64), "white")
    layout = HeadLayout.uniform(2, 2, 4)
    for name, answer in (("right.png", "a"), ("wrong.png", "b")):
        draw_results([outcome(2, layout, [Exhibit((image,), "", "a", answer)])], tmp_path / name, n_draws=2)
    green = (pixels(tmp_path / "right.png") == (0, 158, 115)).all(axis=2).sum()
    assert green > 100
    assert (pixels(tmp_path / "wrong.png") == (0, 158, 115)).all(axis=2).sum() == 0
