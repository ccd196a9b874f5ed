"""Figures of arrays: head scores, confusions, calibration, curves; matplotlib figures (``savs[plots]``).

No figure is shown or registered with pyplot: a notebook displays what a function returns, and
``figure.savefig("heads.png")`` writes it. Colors are those of Okabe and Ito, which color-blind readers can
distinguish.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs._optional import import_optional
from savs.classifiers import wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Point", "plot_confusion", "plot_heads", "plot_reliability", "plot_shots"]

# The style that all plots of savs share.

INK, PALE, GRAY = "#222222", "#E6E6E6", "#777777"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's colors, which color-blind readers can distinguish."""
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BASELINES = ("majority", "last_layer", "random heads")
ON_PALE = "#212121"
"""Of text on pale cells, which stay pale on a dark page."""
KEPT = "#D55E00"
"""The outline of kept heads."""
N_BINS = 10


class Point(NamedTuple):
    """A mean with its interval, at a place of a curve.

    Attributes
    ----------
    x : float
        Such as the number of shots.
    mean : float
        From 0 to 1.
    low, high : float or None
        Ends of the interval; None where there is none.
    """

    x: float
    mean: float
    low: float | None = None
    high: float | None = None


def new_figure(width: float, height: float, *, size: float = 11, dpi: int = 100) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes in the style of savs.

    Parameters
    ----------
    width, height : float
        In inches.
    size : float, default=11
        Of the text, in points.
    dpi : int, default=100
        Dots per inch.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    import_optional("matplotlib")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"font.family": "DejaVu Sans", "font.size": size, "text.color": INK}):
        figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(which="both", length=0)
    return figure, axes


def plot_heads(
    heads: Sequence[tuple[int, int]],
    scores: ArrayLike | None = None,
    kept: Collection[tuple[int, int]] = (),
    *,
    score_name: str = "score",
    title: str | None = None,
) -> Figure:
    """Return a map of layers and heads: scores as color, kept heads outlined.

    Parameters
    ----------
    heads : sequence of (layer, index)
        All heads of the backbone. Layers may differ in their number of heads; layers without any, as hybrid
        models have, stay empty.
    scores : array-like of float, shape (n_heads,), optional
        Score of each head; without it, only kept heads are marked.
    kept : collection of (layer, index)
        The heads in use.
    score_name : str, default="score"
        Title of the color bar.
    title : str, optional
        Title of the figure.

    Returns
    -------
    Figure
        Layers from bottom to top, as the backbone runs through them.

    Raises
    ------
    ValueError
        If there is no head, `scores` is not one number per head, or a kept head is none of them.

    Examples
    --------
    >>> figure = plot_heads([(0, 0), (0, 1), (1, 0)], [3, 9, 5], kept=[(0, 1)])
    """
    import_optional("matplotlib")
    from matplotlib.ticker import MaxNLocator

    places = [(int(layer), int(index)) for layer, index in heads]
    if not places:
        raise ValueError("there are no heads to draw")
    strange = sorted({(int(layer), int(index)) for layer, index in kept} - set(places))
    if strange:
        raise ValueError(f"kept head {strange[0]} is none of the {len(places)} heads")
    values = _grid(places, scores)
    n_layers, n_heads = values.shape
    width = min(max(4.2, 0.19 * n_heads + 1.6), 16)
    cell = (width - 1.5) / n_heads
    height = min(max(2.4, cell * min(1.0, 24 / n_layers) * n_layers + 1.2), 12)
    figure, axes = new_figure(width, height, size=9)
    if scores is not None:
        drawn = axes.imshow(
            values, cmap="Blues", vmin=_pale(values), origin="lower", aspect="auto", interpolation="none"
        )
        bar = figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label(score_name, parse_math=False)
    axes.set_xlim(-0.6, n_heads - 0.4)
    axes.set_ylim(-0.6, n_layers - 0.4)
    _outline(axes, places, color=PALE, width=0.6)
    _outline(axes, [(int(layer), int(index)) for layer, index in kept], color=KEPT, width=1.8)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    if title is not None:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    return figure


def _grid(places: Sequence[tuple[int, int]], scores: ArrayLike | None) -> NDArray[np.float64]:
    """Return scores by layer and index, NaN where there is no head."""
    layers, indices = np.array(places).T
    grid = np.full((layers.max() + 1, indices.max() + 1), np.nan)
    if scores is not None:
        found = np.asarray(scores, dtype=np.float64)
        if found.shape != (len(places),):
            raise ValueError(f"there are {len(places)} heads, and scores of shape {found.shape}")
        grid[layers, indices] = found
    return grid


def _pale(values: NDArray[np.float64]) -> float:
    """Return the smallest value of the colors: below the lowest score, which is not white."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low - 0.1 * (high - low)


def _outline(axes: Axes, places: Sequence[tuple[int, int]], *, color: str, width: float) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    boxes = [Rectangle((index - 0.5, layer - 0.5), 1, 1) for layer, index in places]
    axes.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=color, linewidth=width))


def plot_confusion(
    counts: ArrayLike,
    labels: Sequence[object],
    answers: Sequence[object] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Return a confusion matrix: a row per true label, a column per answer.

    Parameters
    ----------
    counts : array-like of int, shape (n_labels, n_answers)
        Items of each label that got each answer.
    labels : sequence, length n_labels
        Names of the rows.
    answers : sequence, length n_answers, optional
        Names of the columns; by default `labels`.
    title : str, optional
        Title of the figure.

    Returns
    -------
    Figure
        Colors are shares of the row; up to 15 labels have their counts written in.

    Raises
    ------
    ValueError
        If the shape is not that of the names, or there are no labels.
    """
    table = np.asarray(counts)
    columns = labels if answers is None else answers
    if table.shape != (len(labels), len(columns)) or not table.size:
        raise ValueError(f"counts of shape {table.shape} for {len(labels)} labels and {len(columns)} answers")
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros(table.shape), where=totals > 0)
    rows = len(labels)
    side = min(max(3.2, 0.36 * rows + 1.6), 11)
    figure, axes = new_figure(max(4.2, side * len(columns) / rows if rows > 3 else 4.2), side, size=9)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.1, aspect="auto", interpolation="none")
    if rows <= 15:
        for row, column in np.argwhere(table > 0).tolist():
            color = "white" if shares[row, column] > 0.6 else ON_PALE
            axes.text(column, row, f"{table[row, column]}", ha="center", va="center", color=color)
    turned: dict[str, Any] = (
        {"rotation": 90} if len(columns) > 6 or max(len(str(one)) for one in columns) > 10 else {}
    )
    if len(labels) <= 60:
        axes.set_xticks(range(len(columns)), [_short(one) for one in columns], parse_math=False, **turned)
        axes.set_yticks(range(rows), [_short(one) for one in labels], parse_math=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer")
    axes.set_ylabel("true label")
    if title is not None:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    return figure


def plot_reliability(confidences: ArrayLike, correct: ArrayLike, *, title: str | None = None) -> Figure:
    """Return a reliability diagram: how often answers of a given probability are right.

    Parameters
    ----------
    confidences : array-like of float, shape (n_items,)
        Probability of each answer, from 0 to 1.
    correct : array-like of bool, shape (n_items,)
        Whether it is right.
    title : str, optional
        Title of the figure.

    Returns
    -------
    Figure
        Ten bins of equal width, as in the expected calibration error; a point's size is its number of items,
        its line the 95 % interval (Wilson 1927).

    Raises
    ------
    ValueError
        If there are no items, the shapes differ, or a confidence is no probability.
    """
    sure, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=bool)
    if sure.shape != right.shape or sure.ndim != 1 or not len(sure):
        raise ValueError(f"confidences of shape {sure.shape} and answers of shape {right.shape}")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("a confidence is not between 0 and 1")
    figure, axes = new_figure(4.2, 3.6, size=9)
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=1.2)
    bins = np.minimum((N_BINS * sure).astype(int), N_BINS - 1)
    for place in np.unique(bins).tolist():
        inside = bins == place
        mean, n = float(right[inside].mean()), int(inside.sum())
        where = float(sure[inside].mean())
        axes.vlines([where], *wilson_interval(int(right[inside].sum()), n), color=COLORS[0], linewidth=1.2)
        axes.scatter(
            [where], [mean], s=20 + 260 * n / len(sure), color=COLORS[0], zorder=3, edgecolor="white"
        )
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{value} %" for value in range(0, 101, 20)])
    axes.set_yticks(np.linspace(0, 1, 6), [f"{value} %" for value in range(0, 101, 20)])
    axes.grid(axis="y", color=PALE)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("share that is right")
    if title is not None:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    return figure


def plot_shots(
    curves: Mapping[str, Sequence[Point]],
    *,
    x_name: str = "shots per class",
    logarithmic: bool = True,
    title: str | None = None,
) -> Figure:
    """Return curves of accuracy with their intervals, against the number of shots or anything else.

    Parameters
    ----------
    curves : mapping of str to sequence of Point
        By name; accuracies from 0 to 1, drawn in percent.
    x_name : str, default="shots per class"
        Title of the x axis.
    logarithmic : bool, default=True
        Whether the x axis is logarithmic; all x are above 0 then.
    title : str, optional
        Title of the figure.

    Raises
    ------
    ValueError
        If no curve has a point, or an x is not above 0 on a logarithmic axis.

    Examples
    --------
    >>> figure = plot_shots({"sav": [Point(1, 0.6, 0.5, 0.7), Point(20, 0.9, 0.88, 0.92)]})
    """
    figure, axes = new_figure(4.2, 3.2 + 0.17 * (len(curves) // 2), size=9)
    draw_curves(axes, curves, logarithmic=logarithmic)
    axes.set_xlabel(x_name, parse_math=False)
    axes.set_ylabel("accuracy, %")
    legend = figure.legend(loc="outside lower center", ncols=2, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    if title is not None:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    return figure


def draw_curves(axes: Axes, curves: Mapping[str, Sequence[Point]], *, logarithmic: bool) -> None:
    """Draw a line per curve, in percent, with one tick for each x; see `plot_shots`."""
    values = sorted({float(point.x) for points in curves.values() for point in points})
    if not values or (logarithmic and values[0] <= 0):
        raise ValueError("there is no point to draw, or an x is not above 0")
    places = dict(zip(values, np.log(values) if logarithmic else values, strict=True))
    span = max(places.values()) - min(places.values()) or 1.0
    for number, (name, points) in enumerate(curves.items()):
        # Side by side, so that intervals do not hide each other.
        aside = min(0.006, 0.04 / len(curves)) * span * (number - (len(curves) - 1) / 2)
        where = [places[float(point.x)] + aside for point in points]
        look = line_look(number, name)
        axes.plot(where, [100 * point.mean for point in points], label=name, **look)
        known = [
            (x, point.low, point.high)
            for x, point in zip(where, points, strict=True)
            if point.low is not None and point.high is not None
        ]
        if known:
            xs, lows, highs = zip(*known, strict=True)
            axes.vlines(xs, 100 * np.array(lows), 100 * np.array(highs), color=look["color"], linewidth=1.2)
    shown = _apart(list(places.values()), 0.05 * span)
    axes.set_xticks([list(places.values())[i] for i in shown], [f"{values[i]:g}" for i in shown])
    axes.set_xlim(min(places.values()) - 0.04 * span, max(places.values()) + 0.04 * span)
    axes.grid(axis="y", color=PALE)


def line_look(place: int, name: str) -> dict[str, Any]:
    """Return color, dashes and marker of a curve; baselines are gray."""
    if name in BASELINES:
        dash = DASHES[1 + BASELINES.index(name) % 3]
        return {"color": GRAY, "linestyle": dash, "marker": "", "linewidth": 1.6}
    return {
        "color": COLORS[place % len(COLORS)],
        "linestyle": DASHES[place // len(COLORS) % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 6,
        "linewidth": 2.0,
    }


def _apart(places: Sequence[float], least: float) -> list[int]:
    """Return which ticks to label, so that labels do not touch: the last one always.

    Examples
    --------
    >>> _apart([0.0, 1.0, 1.9, 2.0], 0.5)
    [0, 1, 3]
    """
    kept = [len(places) - 1]
    for i in range(len(places) - 2, -1, -1):
        if places[kept[-1]] - places[i] >= least:
            kept.append(i)
    return kept[::-1]


def _short(label: object, most: int = 20) -> str:
    text = str(label)
    return text if len(text) <= most else f"{text[: most - 1]}…"
