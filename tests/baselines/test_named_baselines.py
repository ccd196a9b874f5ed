"""Baselines with a model of their own, by name, through a comparison."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage

import savs.baselines
from savs.backbones import FakeBackbone
from savs.baselines.image_text import ImageTextModel, clip_gda, clip_probe, clip_tip_adapter, clip_zero_shot
from savs.data import as_examples
from savs.evaluation import draw_rows
from savs.evaluation.comparison import compare_methods
from savs.evaluation.contenders import BaselineSettings

CLIP = ("clip_zero_shot", "clip_probe", "clip_gda", "clip_tip_adapter")


def pictures(n):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 255, (32, 32, 3)).astype(np.uint8) for _ in range(n)]
    labels = ["cat" if index % 2 else "dog" for index in range(n)]
    return as_examples([PILImage.fromarray(one) for one in arrays], labels)


def direct(name, model, shots, queries):
    if name == "clip_zero_shot":
        return clip_zero_shot(model, queries, ["cat", "dog"])
    functions = {"clip_probe": clip_probe, "clip_gda": clip_gda, "clip_tip_adapter": clip_tip_adapter}
    return functions[name](model, shots, queries)


@pytest.mark.parametrize("name", CLIP)
def test__clip_baseline_by_name__is_the_function_on_the_same_draw(name, image_text_folders):
    folder, examples = image_text_folders["clip"], pictures(16)
    found = compare_methods(
        FakeBackbone(),
        examples,
        methods=[name],
        shots=[3],
        draws=2,
        baselines=BaselineSettings(image_text_model=str(folder)),
    )
    model = ImageTextModel.load(folder)
    for draw in range(2):
        drawn, test = draw_rows([example.label for example in examples], 3, (0, draw))
        shots, queries = [examples[row] for row in drawn], [examples[row] for row in test]
        expected = direct(name, model, shots, queries)
        right = [a == query.label for a, query in zip(expected.labels, queries, strict=True)]
        assert found.accuracies(name, 3)[draw] == pytest.approx(np.mean(right))
    assert found.figures(name, 3)["log_loss"]["mean"] > 0


@pytest.mark.parametrize("name", ["embedding_centroid", "embedding_logistic", "setfit"])
def test__baseline_on_embeddings_by_name__is_the_function_on_the_same_draw(name, request):
    pytest.importorskip("setfit")
    folder = request.getfixturevalue("text_encoder_folder")
    words = [("cat runs sky", "bird flies the")[index % 2] + f" {'abcdefghij'[index]}" for index in range(10)]
    examples = as_examples(words, ["cat", "bird"] * 5)
    found = compare_methods(
        FakeBackbone(),
        examples,
        methods=[name],
        shots=[3],
        draws=1,
        baselines=BaselineSettings(embedding_model=str(folder)),
    )
    drawn, test = draw_rows([example.label for example in examples], 3, (0, 0))
    shots, queries = [examples[row] for row in drawn], [examples[row] for row in test]
    expected = getattr(savs.baselines, name)(str(folder), shots, queries)
    right = [a == query.label for a, query in zip(expected.labels, queries, strict=True)]
    assert found.figures(name, 3)["failures"] == {}
    assert found.accuracies(name, 3) == [pytest.approx(np.mean(right))]
