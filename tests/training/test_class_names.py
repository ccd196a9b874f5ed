"""Figures of class names alone: the items are balanced, and every way answers each of them."""

import numpy as np
from training.class_names import N_ITEMS, WAYS, some_of

from savs.backbones import load_backbone
from savs.data import as_examples


def test__some_of__more_than_are_wanted__as_many_of_each_class():
    labels = ["a"] * 300 + ["b"] * 200 + ["c"] * 150
    examples = as_examples([f"text {i}" for i in range(len(labels))], labels)
    found = some_of(examples, ["a", "b", "c"])
    assert [sum(one.label == name for one in found) for name in "abc"] == [N_ITEMS // 3] * 3
    assert len({one.text for one in found}) == len(found)
    assert [one.text for one in some_of(examples, ["a", "b", "c"])] == [one.text for one in found]


def test__ways__each_answers_with_a_class_or_none():
    rng = np.random.default_rng(0)
    items = as_examples([rng.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(3)], ["cat"] * 3)
    backbone = load_backbone("tiny")
    for way, answer in WAYS.items():
        found = answer(backbone, items, ["cat", "dog"])
        assert len(found) == 3
        assert set(found) <= ({"cat", "dog", None} if way.startswith("generated") else {"cat", "dog"})
