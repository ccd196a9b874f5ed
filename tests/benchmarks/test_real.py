"""The measurement on real weights, run on made-up tables and random weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.real import COMPARED, WITHOUT_SHOTS, difference, kept_or_measured
from benchmarks.real_baselines import SentenceEncoder
from benchmarks.real_tables import NAMES
from benchmarks.real_texts import TextSet
from tests.benchmarks.small_texts import write_encoder, write_texts

from savs.backbones import FakeBackbone, load_backbone
from savs.evaluation import compare_methods

COLORS = TextSet("colors", ("a.tab",), "Label", "Text", {"w": "warm", "c": "cold"}, "Which?", {})


@pytest.fixture
def options(tmp_path) -> argparse.Namespace:
    write_texts(tmp_path / "a.tab")
    return argparse.Namespace(
        texts=tmp_path,
        texts_in_all=8,
        words=9,
        shots=[1, 2],
        draws=3,
        asked=8,
        model="m.gguf",
        store=tmp_path / "s",
        methods=list(NAMES),
    )


@pytest.fixture
def encoder(tmp_path) -> SentenceEncoder:
    return SentenceEncoder(write_encoder(tmp_path / "encoder"))


def test__kept_or_measured__every_method__one_string_per_draw(options, encoder) -> None:
    found = kept_or_measured(FakeBackbone(), encoder, COLORS, options)
    assert set(found["right"]) == set(NAMES) == set(found["seconds"])
    for name, by_shots in found["right"].items():
        if name == "in_context":
            assert set(by_shots) == {"2"}
            assert [len(draw) - draw.count("-") for draw in by_shots["2"]] == [2, 2]
            continue
        zero = {"0"} if name in {*WITHOUT_SHOTS, "option_likelihood"} else set()
        assert set(by_shots) == (zero if name in WITHOUT_SHOTS else {*zero, "1", "2"}), name
        for count, draws in by_shots.items():
            assert len(draws) == (3 if count != "0" else 1)
            assert all(len(draw) == 8 and set(draw) <= set("01-") for draw in draws)
            if name not in WITHOUT_SHOTS:
                assert {draw.count("-") for draw in draws} == {2 * int(count)}
    assert sum(one != "-" for one in found["right"]["zero_shot"]["0"][0]) == 8
    assert set(found["per_text"]) == {"language model", "sentence encoder"}
    assert all(value > 0 for value in found["per_text"].values())


def test__kept_or_measured__compared_method__as_the_comparison_says(options, encoder) -> None:
    """Every method is judged on the same texts in the same draws."""
    backbone = FakeBackbone()
    found = kept_or_measured(backbone, encoder, COLORS, options)
    judged = [[one == "-" for one in draw] for draw in found["right"]["sav"]["2"]]
    for name in set(NAMES) - {*WITHOUT_SHOTS, "in_context"}:
        assert [[one == "-" for one in draw] for draw in found["right"][name]["2"]] == judged, name
    assert set(COMPARED) < set(NAMES)


def test__kept_or_measured__interrupted__only_what_is_missing(options, encoder) -> None:
    backbone = FakeBackbone()
    first = kept_or_measured(backbone, encoder, COLORS, options)
    before = backbone.n_forward
    assert kept_or_measured(backbone, encoder, COLORS, options) == first
    assert backbone.n_forward == before
    file = options.store.parent / "s-colors.json"
    cut = json.loads(file.read_text())
    tf_idf = cut["right"].pop("tf_idf")
    cut["right"]["auto"] = "kept"
    file.write_text(json.dumps(cut))
    found = kept_or_measured(backbone, encoder, COLORS, options)
    assert found["right"]["tf_idf"] == tf_idf
    assert found["right"]["auto"] == "kept"


def test__kept_or_measured__other_settings__measured_anew(options, encoder) -> None:
    """A small run before the whole one leaves results of other shots."""
    backbone = FakeBackbone()
    options.shots = [1]
    kept_or_measured(backbone, encoder, COLORS, options)
    options.shots = [1, 2]
    assert set(kept_or_measured(backbone, encoder, COLORS, options)["right"]["sav"]) == {"1", "2"}


def test__kept_or_measured__accuracies__those_of_the_comparison(options, encoder) -> None:
    from benchmarks.real_texts import read_texts

    from savs.backbones import PromptTemplate

    backbone = FakeBackbone()
    found = kept_or_measured(backbone, encoder, COLORS, options)["right"]["sav"]["2"]
    asked = [
        PromptTemplate("{question}\n\nWhich?").apply(one) for one in read_texts(options.texts, COLORS, 4, 9)
    ]
    expected = compare_methods(backbone, asked, methods=["sav"], shots=[2], draws=3, seed=0).accuracies(
        "sav", 2
    )
    np.testing.assert_allclose([draw.count("1") / 4 for draw in found], expected)


def test__difference__random_weights_in_a_gguf_file__none(tmp_path) -> None:
    pytest.importorskip("gguf")
    from tests.backbones.gguf_files import write_gguf

    write_gguf(tmp_path / "x.gguf")
    assert difference(load_backbone(tmp_path / "x.gguf"), str(tmp_path / "x.gguf")) < 1e-5


def test__pages__tables__have_their_places() -> None:
    from benchmarks.real_texts import TEXT_SETS
    from benchmarks.table import has_markers

    docs = Path(__file__).parents[2] / "docs"
    for section in (*TEXT_SETS, "seconds"):
        assert has_markers(docs / "real.md", section)
    assert has_markers(docs / "when.md", "table")
