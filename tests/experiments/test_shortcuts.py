from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from savs.backbones import FakeBackbone, PromptTemplate
from savs.classifiers import make_method, wilson_interval
from savs.data import Example, Message, Text, as_examples
from savs.evaluation import draw_rows
from savs.experiments import shortcut_audit
from savs.experiments.shortcuts import CONTROLS, shuffled_labels
from savs.media import Image, Video


def means_of(audit):
    return {one["control"]: one["mean"] for one in audit.summary()}


def reasons_of(audit):
    return {one["control"]: one["reason"] for one in audit.summary() if one["reason"]}


def test__label_readable_from_the_size__exposed_by_metadata_and_blanked_images(images, tiny):
    wide = images(12, sizes=((64, 32), (32, 64)))
    audit = shortcut_audit(tiny, wide, shots=5, draws=2)
    means = means_of(audit)
    assert means["metadata_only"] == 1.0
    assert means["majority"] == 0.5
    same = means_of(shortcut_audit(tiny, images(12), shots=5, draws=2))
    assert same["unchanged"] > 0.8
    assert same["image_blanked"] == 0.5  # nothing tells the items apart
    assert same["metadata_only"] < 0.8


def test__label_readable_from_the_text__exposed_by_text_only(tiny):
    examples = []
    for row in range(24):
        name, word = (("a", "monday"), ("b", "friday"))[row % 2]
        pixels = np.random.default_rng(row).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        parts = (Image(pixels), Text(f"Taken on {word}, number {row}."))
        examples.append(Example((Message("user", parts),), name, id=str(row)))
    means = means_of(shortcut_audit(tiny, examples, shots=6, draws=2))
    assert means["text_only"] > 0.9
    assert means["image_blanked"] > 0.9
    assert means["shuffled_labels"] < 0.9


def test__rows__have_the_shape_of_an_audit_file(images):
    audit = shortcut_audit(FakeBackbone(), images(8), shots=3, draws=2, task="colours")
    assert [(row["control"], row["draw"]) for row in audit.rows] == [
        (control, draw) for control in CONTROLS for draw in (0, 1)
    ]
    for row in json.loads(json.dumps(audit.rows, allow_nan=False)):
        assert {key: row[key] for key in ("task", "method", "shots")} == {
            "task": "colours", "method": "sav", "shots": 3
        }  # fmt: skip
        for figure in row["figures"].values():
            right = round(figure["value"] * figure["n"])
            assert (figure["low"], figure["high"]) == pytest.approx(wilson_interval(right, figure["n"]))
            assert figure["n"] == 10
        assert ("accuracy" in row["figures"]) == (row["reason"] is None)
    assert reasons_of(audit) == {
        "text_only": "all examples have the same text",
        "options_permuted": "16 of 16 prompts have no options A, B, ...",
    }


def test__unchanged_and_shuffled__are_those_of_a_plain_loop(words):
    examples, layout = words(30), FakeBackbone().layout
    audit = shortcut_audit(FakeBackbone(), examples, method="hec_v", shots=4, draws=3, seed=2)
    labels = np.array([example.label for example in examples], dtype=object)
    rows = FakeBackbone().extract(examples).features
    for row in audit.rows:
        drawn, items = draw_rows(labels.tolist(), 4, (2, row["draw"]))

        def accuracy(given, drawn=drawn, items=items):
            fitted = make_method("hec_v", layout).fit(rows[drawn], given[drawn].tolist())
            return (fitted.predict(rows[items]) == labels[items].astype(str)).mean()

        assert row["figures"]["accuracy_unchanged"]["value"] == pytest.approx(accuracy(labels))
        if row["control"] == "shuffled_labels":
            shuffled = shuffled_labels(labels, drawn, (2, row["draw"], 3))
            assert row["figures"]["accuracy"]["value"] == pytest.approx(accuracy(shuffled))
    assert set(reasons_of(audit)) == {"image_blanked", "text_only", "options_permuted"}


@pytest.mark.parametrize("seed", range(4))
def test__shuffled_labels__keep_class_counts_and_leave_the_test(seed):
    labels = np.array([i % 3 for i in range(45)], dtype=object)
    shots = draw_rows(labels.tolist(), 6, seed)[0]
    found = shuffled_labels(labels, shots, seed)
    assert Counter(found[shots].tolist()) == {0: 6, 1: 6, 2: 6}
    others = np.setdiff1d(np.arange(45), shots)
    assert (found[others] == labels[others]).all()
    assert (found[shots] != labels[shots]).any()


def test__options__permuted_at_test_alone():
    class Letters(FakeBackbone):
        """Sees nothing but which option stands at A."""

        def extract(self, examples, *arguments, **options):
            found = super().extract(examples, *arguments, **options)
            for row, example in zip(found.features, examples, strict=True):
                row += 4.0 if "A. cat" in example.text else -4.0
            return found

    first = [row % 2 == 0 for row in range(24)]
    texts = [
        f"{row}: Which?\nA. {'cat' if cat else 'dog'} B. {'dog' if cat else 'cat'}"
        for row, cat in enumerate(first)
    ]
    letters = as_examples(texts, ["A" if cat else "B" for cat in first])
    means = means_of(shortcut_audit(Letters(), letters, shots=4, draws=2))
    assert (means["unchanged"], means["options_permuted"]) == (1.0, 1.0)  # it reads where the cat is
    names = as_examples(texts, ["cat" if cat else "dog" for cat in first])  # the right one is always A
    means = means_of(shortcut_audit(Letters(), names, shots=4, draws=2))
    assert (means["unchanged"], means["options_permuted"]) == (1.0, 0.0)


def test__media_that_cannot_be_blanked__said():
    class Blind(FakeBackbone):
        def extract(self, examples, *arguments, **options):
            bare = [Example((Message("user", (Text(one.id),)),), one.label, one.id) for one in examples]
            return super().extract(bare, *arguments, **options)

    examples = [
        Example((Message("user", (Video(bytes([row])), Text("Which?"))),), "ab"[row % 2], id=str(row))
        for row in range(12)
    ]
    reasons = reasons_of(shortcut_audit(Blind(), examples, shots=2, draws=1))
    assert "not a complete video" in reasons["image_blanked"]
    assert reasons["text_only"] == "all examples have the same text"


def test__fixed_test_and_prompt__used(images):
    pool = images(6)
    test = [PromptTemplate("Which?").apply(one) for one in as_examples(["x1", "x2"], ["red", "blue"])]
    audit = shortcut_audit(FakeBackbone(), pool, test=test, shots=3, draws=1)
    assert audit.rows[0]["figures"]["accuracy_unchanged"]["n"] == 2
