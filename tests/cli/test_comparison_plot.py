"""The plot of `savs compare --plot`: what is drawn, and that names do not overlap."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.cli._comparison_plot import _apart, _look, _points, draw_comparison
from savs.evaluation.contenders import known_contenders
from savs.evaluation.results import Overall, OverDraws


def figures(names, shots=(0, 1, 5), *, losses=True):
    """Figures of methods at each number of shots; those with an odd position give no probabilities."""
    found = {}
    for count in shots:
        found[count] = {
            name: Overall(
                0.5 + 0.01 * place,
                interval=(0.45, 0.6) if count else None,
                log_loss=OverDraws([0.4], 0.4, (0.0, 0.5)) if losses and place % 2 == 0 else None,
            )
            for place, name in enumerate(names)
            if count or name.startswith("hec")
        }
    return found


def texts(file):
    """Return the words in an SVG, each with its height on the page: matplotlib notes them as comments."""
    return [
        node.text.strip()
        for node in ET.parse(file, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))).iter()
        if node.tag is ET.Comment
    ]


def test__plot__every_method_is_named_in_each_panel_that_has_it(tmp_path):
    names = known_contenders()
    draw_comparison(figures(names), tmp_path / "plot.svg", n_data=25, n_draws=5)
    words = texts(tmp_path / "plot.svg")
    for place, name in enumerate(names):
        assert words.count(name) == (2 if place % 2 == 0 else 1)
    assert "Mean over 25 datasets and 5 draws of the shots, with 95 % intervals over draws" in words
    assert {"accuracy, %", "log loss", "shots per class"} <= set(words)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test__plot__drawn_twice__same_bytes(ending, tmp_path):
    for name in "ab":
        draw_comparison(figures(["sav", "auto"]), tmp_path / f"{name}.{ending}", n_data=1, n_draws=1)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize("shots", [(5,), (0,), (1, 1000)])
def test__plot__few_points_or_no_probabilities__is_drawn(shots, tmp_path):
    names = ["hec_t", "sav", "my-plug.in"]
    draw_comparison(figures(names, shots, losses=False), tmp_path / "p.svg", n_data=1, n_draws=1)
    words = texts(tmp_path / "p.svg")
    assert {"hec_t", "no method gives probabilities", "One draw of the shots"} <= set(words)


def test__plot__nothing_known__is_drawn(tmp_path):
    draw_comparison({5: {"sav": Overall(None)}}, tmp_path / "p.svg", n_data=2, n_draws=1)
    assert "sav" not in texts(tmp_path / "p.svg")


def test__plot__log_loss_of_zero__is_drawn(tmp_path):
    perfect = Overall(1.0, interval=(1.0, 1.0), log_loss=OverDraws([0.0], 0.0, (0.0, 0.0)))
    draw_comparison({1: {"sav": perfect}, 5: {"sav": perfect}}, tmp_path / "p.png", n_data=1, n_draws=2)
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test__points__accuracy_in_percent_and_log_loss_as_it_is():
    found = figures(["sav", "hec_t"])
    assert [point[:2] for point in _points(found, "sav", "accuracy")] == [(1, 50.0), (5, 50.0)]
    assert _points(found, "hec_t", "accuracy")[1].interval == pytest.approx((45, 60))
    assert _points(found, "hec_t", "log_loss") == []
    assert _points(found, "sav", "log_loss")[0] == (1, 0.4, (0.0, 0.5))


def test__looks__no_two_methods_alike():
    names = list(known_contenders())
    looks = [tuple(sorted(_look(name, names).items())) for name in names]
    assert len(set(looks)) == len(names)
    widths = {name: _look(name, names)["linewidth"] for name in names}
    assert {name for name, width in widths.items() if width > 3} == {"sav", "auto", "auto_names"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=30), st.floats(0.001, 0.2))
def test__labels__are_a_row_apart_within_the_panel_and_in_order(heights, row):
    row = min(row, 1 / len(heights))
    placed = _apart(heights, row)
    assert all(row / 2 - 1e-5 <= height <= 1 - row / 2 + 1e-5 for height in placed)
    assert (np.diff(sorted(placed)) >= row - 1e-5).all()
    order = np.argsort(heights, kind="stable")
    assert (np.diff(np.array(placed)[order]) > 0).all()
