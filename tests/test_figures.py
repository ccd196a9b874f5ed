"""Figures are drawn from arrays, hold what they were given, and leave pyplot alone."""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure

from savs import SAVModel
from savs.backbones.fake import FakeBackbone
from savs.errors import DataError
from savs.figures import Point, plot_confusion, plot_heads, plot_reliability, plot_shots


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    stream = BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(stream, format="svg")
    return stream.getvalue().decode()


def test__plot_heads__layers_of_unequal_size__shows_scores_where_there_are_heads() -> None:
    heads = [(0, 0), (0, 1), (0, 2), (2, 0)]
    figure = plot_heads(heads, [1, 2, 3, 9], kept=[(2, 0)], title="$5 a head$")
    axes = figure.axes[0]
    shown = np.asarray(axes.images[0].get_array().filled(np.nan))
    expected = np.array([[1, 2, 3], [np.nan] * 3, [9, np.nan, np.nan]])
    np.testing.assert_array_equal(shown, expected)
    everything, kept = axes.collections
    assert len(everything.get_paths()) == 4
    (outline,) = kept.get_paths()
    assert outline.get_extents().bounds == pytest.approx((-0.5, 1.5, 1, 1))
    assert "$5 a head$" in _svg(figure)


def test__plot_heads__without_scores__marks_kept_heads_alone() -> None:
    figure = plot_heads([(0, 0), (0, 1)], kept=[(0, 1)])
    assert len(figure.axes) == 1
    assert not figure.axes[0].images


@pytest.mark.parametrize(
    ("heads", "scores", "kept", "message"),
    [
        ([], None, [], "no heads"),
        ([(0, 0)], [1, 2], [], "1 heads, and scores of shape"),
        ([(0, 0)], [1], [(0, 5)], r"kept head \(0, 5\)"),
    ],
)
def test__plot_heads__what_does_not_fit__is_refused(heads, scores, kept, message) -> None:
    with pytest.raises(ValueError, match=message):
        plot_heads(heads, scores, kept)


def test__plot_confusion__counts__are_written_and_colored_by_row() -> None:
    figure = plot_confusion([[3, 1], [0, 0]], ["<b>cat</b>", "$x$"], ["cat", "no answer"])
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert sorted(text.get_text() for text in axes.texts) == ["1", "3"]
    assert "&lt;b&gt;cat&lt;/b&gt;" in _svg(figure)
    assert "$x$" in _svg(figure)


def test__plot_confusion__wrong_shape__is_refused() -> None:
    with pytest.raises(ValueError, match="counts of shape"):
        plot_confusion([[1, 2]], ["a", "b"])


def test__plot_reliability__bins__show_the_share_that_is_right() -> None:
    figure = plot_reliability([0.55, 0.57, 1.0, 0.05], [True, False, True, False])
    points = [tuple(one.get_offsets()[0]) for one in figure.axes[0].collections if len(one.get_offsets())]
    found = sorted((float(x), float(y)) for x, y in points if not (x == 0 and y == 0))
    np.testing.assert_allclose(found, [(0.05, 0.0), (0.56, 0.5), (1.0, 1.0)])


@pytest.mark.parametrize(
    ("confidences", "correct"), [([], []), ([0.5], [True, False]), ([1.5], [True]), ([np.nan], [True])]
)
def test__plot_reliability__what_is_no_probability__is_refused(confidences, correct) -> None:
    with pytest.raises(ValueError, match="confidence"):
        plot_reliability(confidences, correct)


def test__plot_shots__curves__are_in_percent_with_their_intervals() -> None:
    curves = {"sav": [Point(1, 0.5), Point(10, 0.9, 0.8, 1.0)], "majority": [Point(1, 0.25), Point(10, 0.25)]}
    axes = plot_shots(curves).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[50, 90], [25, 25]]
    (interval,) = axes.collections
    assert interval.get_segments()[0][:, 1].tolist() == [80, 100]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "10"]


def test__plot_shots__places_from_zero_on__need_a_linear_axis() -> None:
    curves = {"sav": [Point(0, 0.9), Point(40, 0.5)]}
    with pytest.raises(ValueError, match="not above 0"):
        plot_shots(curves)
    assert plot_shots(curves, logarithmic=False).axes[0].get_xlim()[0] < 0


TEXTS = ["red", "crimson", "scarlet", "blue", "navy", "azure"]
LABELS = ["warm"] * 3 + ["cold"] * 3


@pytest.mark.parametrize(("method", "n_heads"), [("sav", 8), ("kernel_ridge", None), ("hec_v", 8)])
def test__model_figures__fitted_model__show_what_it_knows_of_the_shots(method, n_heads) -> None:
    model = SAVModel(FakeBackbone(), method=method, n_heads=n_heads).fit(TEXTS, LABELS)
    held_out = model.held_out_shots_
    assert len(held_out.shots) == 6
    assert held_out.correct.mean() == pytest.approx(model.estimate_.accuracy)
    counts = np.array([int(text.get_text()) for text in model.plot_confusion().axes[0].texts])
    assert counts.sum() == 6
    assert model.plot_reliability().axes[0].get_ylabel() == "share that is right"
    axes = model.plot_heads().axes
    assert len(axes) == (1 if model.head_scores_ is None else 2)


def test__model_figures__no_class_with_two_shots__are_refused_by_name() -> None:
    model = SAVModel(FakeBackbone(), method="kernel_ridge").fit(["red", "blue"], ["warm", "cold"])
    with pytest.raises(DataError, match="no shot was held out"):
        model.plot_confusion()


def test__figures__drawing__does_not_import_pyplot() -> None:
    before = "matplotlib.pyplot" in sys.modules
    plot_heads([(0, 0)], [1])
    assert ("matplotlib.pyplot" in sys.modules) == before
