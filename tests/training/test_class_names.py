"""Figures of class names alone: the items are balanced, and every way answers each of them."""

import numpy as np
from training.class_names import (
    N_ITEMS,
    WAYS,
    NamesByHead,
    chosen_elsewhere,
    family_of,
    names_by_head,
    some_of,
)

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


def test__names_by_head__by_hand():
    backbone = load_backbone("tiny")
    rng = np.random.default_rng(1)
    items = as_examples([rng.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(2)], ["dog", "cat"])
    found = names_by_head(backbone, items, ["cat", "dog"], "animals")
    texts = ["You are given an image of a cat", "You are given an image of a dog"]
    names, queries = (
        backbone.extract(given).features.astype(np.float64) for given in (as_examples(texts), items)
    )
    columns = backbone.layout.columns(backbone.layout.heads[17])
    names, queries = (rows[:, columns] for rows in (names, queries))
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    names -= names.mean(axis=0)
    cosines = [[q @ n / np.linalg.norm(q) / np.linalg.norm(n) for n in names] for q in queries]
    shares = np.exp(np.array(cosines) / 0.07)
    np.testing.assert_allclose(found.proba[17], shares / shares.sum(axis=1, keepdims=True), rtol=1e-3)
    assert found.truth.tolist() == [1, 0]


def test__chosen_elsewhere__heads_of_other_families_alone():
    def task(family, good):
        proba = np.full((40, 6, 2), 0.5)
        proba[:, :, 0] += 1e-3  # all heads say the first class
        truth = np.array([0, 1] * 3)
        for head in good:
            proba[head, np.arange(6), truth] = 0.9
            proba[head, np.arange(6), 1 - truth] = 0.1
        return NamesByHead(family, proba, truth)

    found = chosen_elsewhere([task("a", range(20)), task("a", range(20)), task("b", range(20, 40))])
    assert found == [0.5, 0.5, 0.5]  # each family's own heads would be right on all
    assert chosen_elsewhere([task("a", range(20)), task("b", range(20))]) == [1.0, 1.0]
    assert family_of("two-photos-same-class") == family_of("demo-pairs") == "two images"
    assert family_of("unknown") == "unknown"
