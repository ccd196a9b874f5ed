"""What objects print fits a screen, whatever they hold, and is the same in every process."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import FakeBackbone, load_backbone
from savs.cache import feature_keys, with_store
from savs.classifiers import SAVClassifier
from savs.data import as_examples
from savs.evaluation.comparison import compare_methods
from savs.layout import HeadLayout
from savs.media import Audio
from savs.model import MultiLabelModel, SAVModel

LAYOUT = HeadLayout.uniform(28, 28, 8)
PIXELS = np.zeros((480, 640, 3), np.uint8)
TEXTS = [f"{word} {index}" for index in range(40) for word in ("a", "b")]
LABELS = ["x", "y"] * 40
SCREEN = 10 * 110


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    backbone = FakeBackbone(LAYOUT)
    stored = with_store(backbone, tmp_path_factory.mktemp("reprs") / "store")
    model = SAVModel(stored, n_heads=20).fit(TEXTS, LABELS)
    policy = model.abstention_policy(sets=0.3, flags={"x": 0.3}, out_of_distribution=0.5)
    predictions = model.predict(TEXTS, on_error="collect", abstention_policy=policy)
    rows = [{"image": PILImage.fromarray(PIXELS), "question": "q" * 5000, "other": "z" * 9000}]
    examples = as_examples([PIXELS, PIXELS.tobytes(), "text " * 9000, *rows])
    comparison = compare_methods(backbone, as_examples(TEXTS, LABELS), methods=["sav"], shots=[2], draws=2)
    return [
        *(model, SAVModel(backbone), SAVModel("tiny"), model.classifier_, model.head_set_, model.shots_[0]),
        MultiLabelModel(backbone).fit(TEXTS[:8], [{"x"}, {"y"}, set(), {"x", "y"}] * 2),
        *(backbone, stored, stored.store, load_backbone("tiny"), LAYOUT, SAVClassifier(layout=LAYOUT)),
        *(policy, predictions, predictions.abstentions, model.explain("a 1")),
        *(stored.extract(as_examples(TEXTS)), stored.store.get(feature_keys(backbone, as_examples(TEXTS)))),
        *examples,
        *(example.parts for example in examples),
        Audio(np.zeros(480_000, np.float32), 16_000),
        comparison,
        comparison.trials["sav", 2][0],
    ]


def test__repr__of_every_object__fits_a_screen_and_has_no_address(objects):
    for value in objects:
        text = repr(value)
        assert len(text) <= SCREEN, text[:300]
        assert " at 0x" not in text
        assert "\\x00" not in text


def test__repr__says_what_an_object_is(objects):
    texts = {type(value).__name__: repr(value) for value in reversed(objects)}
    assert texts["HeadLayout"] == "HeadLayout(784 heads in 28 layers, 6272 columns)"
    assert texts["Example"].startswith(
        "Example(messages=(Message(role='user', parts=(Image(source=<uint8 array"
    )
    assert texts["Predictions"].startswith("Predictions(indices=<int64 array (80,)>, labels=['x', 'y', ")
    assert "82 rows" in texts["FeatureStore"]
    assert texts["Extraction"].startswith("Extraction(features=<float32 array (80, 6272)>")
