"""The measurement on real weights, run on made-up tables and random weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from benchmarks.real import METHODS, NAMES, difference, kept_or_measured, measure, table, tf_idf
from benchmarks.real_texts import FOLDER, TEXT_SETS, TextSet, read_texts

from savs.backbones import FakeBackbone, load_backbone
from savs.evaluation import compare_methods
from savs.evaluation.protocol import draw_rows

COLORS = TextSet(
    "colors", ("a.tab", "b.tab"), "Label", "Text", {"w": "warm", "c": "cold"}, "Which?", {"Copy": "True"}
)


@pytest.fixture
def texts(tmp_path) -> Path:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    words = {"w": ["rose", "wine", "sun", "fire"], "c": ["sea", "sky", "ice", "moss"]}
    rows = [f"False\t{label}\tthe {word} is like others" for label in words for word in words[label]]
    rows += ['False\tw\t"a ""quoted"" text"', "True\tc\ta copy", "False\tother\tno class", rows[0]]
    header = ["Copy\tLabel\tText", "d\td\tstring", "\tclass\t"]
    for name, part in (("a.tab", rows[:6]), ("b.tab", [*rows[6:], "False\tc\t"])):
        (folder / name).write_text("\n".join([*header, *part]) + "\n")
    return tmp_path


def test__read_texts__tables__as_many_of_each_class_cut_and_without_copies(texts) -> None:
    found = read_texts(texts, COLORS, 4, words=3)
    assert sorted(example.label for example in found) == ["cold"] * 4 + ["warm"] * 4
    assert {example.text for example in found if example.label == "cold"} == {
        f"the {word} is" for word in ("sea", "sky", "ice", "moss")
    }
    chosen = {one.text for seed in range(9) for one in read_texts(texts, COLORS, 4, words=9, seed=seed)}
    assert 'a "quoted" text' in chosen
    assert len(chosen) == 9
    assert read_texts(texts, COLORS, 4, words=3) == found


def test__text_sets__classes__have_different_names() -> None:
    for name, one in TEXT_SETS.items():
        assert one.name == name
        assert len(set(one.classes.values())) == len(one.classes)


def test__tf_idf__draws__are_those_of_the_comparison(texts) -> None:
    """Words that a class alone has are found, on the very items that the other methods are judged on."""
    examples = read_texts(texts, COLORS, 4, words=9)
    found = compare_methods(FakeBackbone(), examples, methods=["majority"], shots=[2], draws=2)
    for draw in range(2):
        _, rest = draw_rows([example.label for example in examples], 2, (0, draw), leave=1)
        np.testing.assert_array_equal(found.trials["majority", 2][draw].rows, rest)
        assert 0.0 <= tf_idf(examples, 2, draw) <= 1.0


def test__measure__every_method__one_accuracy_per_draw_and_a_table(texts) -> None:
    options = argparse.Namespace(texts=texts, texts_in_all=8, words=9, shots=[1, 2], draws=3)
    found = measure(FakeBackbone(), COLORS, options)
    assert set(found["accuracies"]) == {*METHODS, "tf_idf"} == set(NAMES)
    assert all(len(draws) == 3 for one in found["accuracies"].values() for draws in one.values())
    lines = table(found, [1, 2]).splitlines()
    assert lines[0].startswith("colors: 8 texts, 2 classes, ")
    assert lines[-1] == "| the most frequent class | 50.0 ± 0.0 | 50.0 ± 0.0 |"


def test__kept_or_measured__other_settings__measured_anew(texts) -> None:
    """A small run before the whole one leaves results of other shots."""
    options = argparse.Namespace(
        texts=texts, texts_in_all=8, words=9, shots=[1], draws=1, model="m.gguf", store=texts / "store"
    )
    backbone = FakeBackbone()
    first = kept_or_measured(backbone, COLORS, options)
    before = backbone.n_forward
    assert kept_or_measured(backbone, COLORS, options) == first
    assert backbone.n_forward == before
    options.shots = [1, 2]
    second = kept_or_measured(backbone, COLORS, options)
    assert set(second["accuracies"]["sav"]) == {"1", "2"}
    assert kept_or_measured(backbone, COLORS, options) == second


def test__difference__random_weights_in_a_gguf_file__none(tmp_path) -> None:
    pytest.importorskip("gguf")
    from tests.backbones.gguf_files import write_gguf

    write_gguf(tmp_path / "x.gguf")
    assert difference(load_backbone(tmp_path / "x.gguf"), str(tmp_path / "x.gguf")) < 1e-5
