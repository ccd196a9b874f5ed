"""Public text sets, from made-up tables in the packages' forms."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest
from benchmarks.real_texts import TEXT_SETS, TextSet, read_texts

COLORS = TextSet(
    "colors", ("x/a.tab", "x/b.tab"), "Label", "Text", {"w": "warm", "c": "cold"}, "Which?", {"Copy": "True"}
)


@pytest.fixture
def texts(tmp_path) -> Path:
    (tmp_path / "x").mkdir()
    words = {"w": ["rose", "wine", "sun", "fire"], "c": ["sea", "sky", "ice", "moss"]}
    rows = [f"False\t{label}\tthe {word} is like others" for label in words for word in words[label]]
    rows += ['False\tw\t"a ""quoted"" text"', "True\tc\ta copy", "False\tother\tno class", rows[0]]
    header = ["Copy\tLabel\tText", "d\td\tstring", "\tclass\t"]
    for name, part in (("a.tab", rows[:6]), ("b.tab", [*rows[6:], "False\tc\t"])):
        (tmp_path / "x" / name).write_text("\n".join([*header, *part]) + "\n")
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


def test__read_texts__small_class__as_many_of_every_class(texts) -> None:
    labels = [one.label for one in read_texts(texts, COLORS, 70, words=9)]
    assert (labels.count("warm"), labels.count("cold")) == (4, 4)


def test__read_texts__compressed_csv__same(tmp_path) -> None:
    reviews = TextSet(
        "reviews", ("r.csv.bz2",), "category", "text", {"fresh": "good", "rotten": "bad"}, "?", {}
    )
    table = 'category,text\nfresh,"A ""small"" film,\nbig"\nrotten,No.\nplot,A man.\n'
    (tmp_path / "r.csv.bz2").write_bytes(bz2.compress(table.encode()))
    found = {one.label: one.text for one in read_texts(tmp_path, reviews, 1, words=9)}
    assert found == {"good": 'A "small" film, big', "bad": "No."}


def test__text_sets__classes__have_different_names() -> None:
    assert len(TEXT_SETS) >= 4
    for name, one in TEXT_SETS.items():
        assert one.name == name
        assert len(set(one.classes.values())) == len(one.classes)
