from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.classifiers import SAVClassifier
from savs.data import Example, Message, Text, as_examples
from savs.errors import DataError, ItemError
from savs.evaluation import draw_rows
from savs.experiments import interleaved_experiment
from savs.experiments.interleaved import PARTS, example_forms
from savs.layout import Head, HeadLayout
from savs.media import Image


def noted(n, fields=False):
    """Images with a note of two words each, and columns of the row."""
    made = []
    for row in range(n):
        pixels = np.random.default_rng(row).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        parts = (Image(pixels), Text(f"note {row}"))
        columns = {"claim": f"claim {row}"} if fields else {}
        made.append(Example((Message("user", parts),), ("no", "yes")[row % 2], id=f"{row}", fields=columns))
    return made


def texts_of(examples):
    return [example.text for example in examples]


def test__forms__media_text_and_both_with_the_prompt():
    forms = example_forms(noted(2), "Is it right?")
    assert texts_of(forms["image only"]) == ["Is it right?"] * 2
    assert texts_of(forms["text only"]) == ["note 0\nIs it right?", "note 1\nIs it right?"]
    assert texts_of(forms["both"]) == texts_of(forms["text only"])
    assert [len(forms[name][0].images) for name in ("image only", "text only", "both")] == [1, 0, 1]


def test__forms__placeholders_and_markers():
    prompt = "<image>\nClaim: {claim} Note: {question}"
    forms = example_forms(noted(1, fields=True), prompt)
    assert texts_of(forms["image only"]) == ["\nClaim:  Note: "]
    assert texts_of(forms["text only"]) == ["\nClaim: claim 0 Note: note 0"]
    assert texts_of(forms["both"]) == texts_of(forms["text only"])
    assert [len(forms[name][0].images) for name in ("image only", "text only", "both")] == [1, 0, 1]


def test__forms__text_may_be_in_a_column_alone():
    examples = as_examples([np.zeros((4, 4, 3), np.uint8)] * 2, ["a", "b"])
    with pytest.raises(DataError, match="no example has text of its own"):
        example_forms(examples, "Which?")
    rows = [Example(one.messages, one.label, fields={"claim": "c"}) for one in examples]
    assert texts_of(example_forms(rows, "Claim: {claim}")["text only"]) == ["Claim: c"] * 2
    with pytest.raises(DataError, match="no example has an image"):
        example_forms(as_examples(["a", "b"], ["x", "y"]), None)


def test__rows__are_those_of_a_plain_loop():
    examples = noted(30)
    backbone = FakeBackbone()
    found = interleaved_experiment(backbone, examples, prompt="Right?", methods=["sav"], shots=6, draws=2)
    assert backbone.n_forward == 90
    assert tuple(found.x_values) == PARTS
    layout = backbone.layout
    labels = np.array([example.label for example in examples])
    image, text, both = (
        FakeBackbone().extract(example_forms(examples, "Right?")[form]).features
        for form in ("image only", "text only", "both")
    )
    doubled = HeadLayout((*layout.heads, *(Head(layer + 4, i) for layer, i in layout.heads)), layout.dims * 2)
    of_form = {
        "image only": (image, layout),
        "text only": (text, layout),
        "side by side": (np.hstack([image, text]), doubled),
        "both": (both, layout),
    }
    for row in found.rows:
        rows, its_layout = of_form[row.x]
        drawn, items = draw_rows(labels, 6, (0, row.draw))
        fitted = SAVClassifier(layout=its_layout).fit(rows[drawn], labels[drawn])
        assert row.accuracy == pytest.approx((fitted.predict(rows[items]) == labels[items]).mean())
        assert row.n_test == len(items)


def test__tiny__image_tells_and_text_does_not(tiny):
    colours = {"red": (200, 40, 40), "blue": (40, 40, 200)}
    examples = []
    for row in range(24):
        name = ("red", "blue")[row % 2]
        noise = np.random.default_rng(row).normal(0, 20, (32, 32, 3))
        pixels = (np.array(colours[name]) + noise).clip(0, 255).astype(np.uint8)
        parts = (Image(pixels), Text(f"Number {row // 2}."))
        examples.append(Example((Message("user", parts),), name, id=str(row)))
    found = interleaved_experiment(tiny, examples, prompt="Which colour?", methods=["sav"], shots=6, draws=2)
    means = {one["x"]: one["mean"] for one in found.summary()}
    assert means["image only"] > 0.9
    assert means["text only"] < 0.7
    assert means["both"] > 0.9


def test__unreadable_in_one_form__left_out_of_all(tmp_path):
    examples = noted(11)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    examples.append(Example((Message("user", (Image(broken), Text("note"))),), "yes", id="broken"))
    with pytest.raises(ItemError):
        interleaved_experiment(FakeBackbone(), examples, methods=["sav"], shots=2, draws=1)
    found = interleaved_experiment(
        FakeBackbone(), examples, methods=["sav", "last_layer"], shots=2, draws=1, max_errors=1
    )
    assert [error.id for error in found.errors] == ["broken"]
    assert {row.n_test for row in found.rows} == {7}
    assert [row.x for row in found.rows if row.failure] == ["side by side"]
