"""Several classifiers on one image: the answers of each alone, from fewer passes."""

from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import FakeBackbone, load_backbone
from savs.data import Example, Message, Text
from savs.errors import BackboneError, MediaError
from savs.media import Image
from savs.model import SAVModel, predict_together

COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200)}


def image(colour: str, side: int = 40) -> np.ndarray:
    return np.full((side, side, 3), COLOURS[colour], np.uint8)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tiny")


@pytest.fixture(scope="module")
def models(backbone):
    shots = [image(colour, side) for colour in COLOURS for side in (30, 36, 44)]
    labels = [colour for colour in COLOURS for _ in range(3)]
    prompts = ["What colour is it?", "Is it a warm colour?", "What colour is it?", None]
    fitted = [
        SAVModel(backbone, prompt=prompt, n_heads=n) for prompt, n in zip(prompts, (5, 7, 9, 3), strict=True)
    ]
    return [model.fit(shots, labels) for model in fitted]


def asked(count: int) -> list[Example]:
    return [
        Example((Message("user", (Image(image(c, 30 + i)), Text("Look."))),), id=f"{c}{i}")
        for i in range(count)
        for c in COLOURS
    ]


def test__together__each_model__as_its_own_answers(models, backbone) -> None:
    examples = asked(3)
    found = predict_together(models, examples)
    assert backbone.report.n_examples == 3 * len(examples)  # three different prompts, not four models
    assert backbone.report.n_reused == 3 * len(examples)  # each image is read once
    for model, answers in zip(models, found, strict=True):
        alone = model.predict(examples, on_error="collect")
        assert answers.labels == alone.labels
        assert answers.indices.tolist() == alone.indices.tolist()
        np.testing.assert_array_equal(answers.proba, alone.proba)


def test__together__unreadable_example__told_once_and_answered_by_none(models, tmp_path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = Example((Message("user", (Image(tmp_path / "bad.png"),)),), id="bad")
    examples = [asked(1)[0], bad, asked(1)[1]]
    for answers in predict_together(models, examples, max_errors=1):
        assert answers.indices.tolist() == [0, 2]
        assert [error.id for error in answers.errors] == ["bad"]
    with pytest.raises(MediaError, match=r"^bad: "):
        predict_together(models, examples)


def test__together__prompt_needs_a_column_that_one_example_lacks__told_once() -> None:
    rows = [{"question": "a", "tone": "x"}, {"question": "b"}]
    plain = SAVModel(FakeBackbone(), n_heads=3).fit(["red", "green", "blue", "navy"], ["w", "w", "c", "c"])
    toned = SAVModel(plain.backbone, prompt="{question} {tone}", n_heads=3)
    toned.fit([{"question": str(i), "tone": "y", "label": i % 2} for i in range(4)])
    for answers in predict_together([plain, toned], rows, max_errors=1):
        assert answers.indices.tolist() == [0]
        assert [error.code for error in answers.errors] == ["prompt_column"]


def test__together__nothing_to_answer__empty(models) -> None:
    assert [answers.labels for answers in predict_together(models, [])] == [[]] * 4


def test__together__other_backbones_or_none__one_clear_error(models) -> None:
    other = SAVModel(FakeBackbone(), n_heads=3).fit(["a", "b", "c", "d"], ["w", "w", "c", "c"])
    with pytest.raises(BackboneError, match="must share one backbone object"):
        predict_together([models[0], other], ["a"])
    with pytest.raises(BackboneError, match="no classifiers"):
        predict_together([], ["a"])
