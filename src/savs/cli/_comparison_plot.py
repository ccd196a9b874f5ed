"""The plot of a comparison: accuracy and log loss of every method against the number of shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from savs.cli._tables import whole_output
from savs.evaluation.contenders import BASELINES
from savs.evaluation.results import PUBLISHED, Overall
from savs.figures import DASHES, INK, MARKERS, PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, THEIRS = "#D55E00", "#0072B2"
OTHERS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666")
"""Okabe and Ito's colors, which color-blind readers can distinguish, and a gray."""
LABEL_SIZE, LABEL_ROW = 9, 12.5
"""Size of the methods' names and the least distance of two of them, in points."""


class Point(NamedTuple):
    """A mean at a number of shots, with its interval."""

    shots: int
    mean: float
    interval: tuple[float, float] | None


def draw_comparison(
    figures: Mapping[int, Mapping[str, Overall]], file: Path, *, n_data: int, n_draws: int
) -> None:
    """Write the plot as PNG or SVG, by the end of the file's name.

    Parameters
    ----------
    figures : mapping of int to mapping of str to Overall
        By number of shots and method, as `savs.evaluation.results.overall` returns them.
    file : Path
        Where to write; an older file stays until the new one is complete.
    n_data, n_draws : int
        Numbers of datasets and draws behind the means, for the caption.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for by_name in figures.values() for name in by_name))
    accuracy, losses = ({name: _points(figures, name, metric) for name in names} for metric in _PANELS)
    kind = file.suffix.lower().removeprefix(".")
    with rc_context(
        {"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "svg.hashsalt": "savs"}
    ):
        height = max(6.0, 0.27 * len(names) + 1.5)
        figure = Figure(figsize=(14, height), dpi=110, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        row = LABEL_ROW / (0.83 * 72 * height)  # the panels have about that share of the figure
        _draw_panel(left, accuracy, names, "accuracy, %", row)
        _draw_panel(right, losses, names, "log loss", row)
        figure.suptitle(_caption(n_data, n_draws), fontsize=11)
        stamp = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        with whole_output(file) as stream:
            figure.savefig(stream, format=kind, metadata=stamp)


_PANELS = ("accuracy", "log_loss")


def _caption(n_data: int, n_draws: int) -> str:
    if n_draws == 1:
        return (
            "One draw of the shots" if n_data == 1 else f"Mean over {n_data} datasets, one draw of the shots"
        )
    data = "" if n_data == 1 else f"{n_data} datasets and "
    return f"Mean over {data}{n_draws} draws of the shots, with 95 % intervals over draws"


def _points(figures: Mapping[int, Mapping[str, Overall]], name: str, metric: str) -> list[Point]:
    """Return what is known of a method, by number of shots; accuracies in percent."""
    found = []
    for shots, by_name in sorted(figures.items()):
        one = by_name.get(name)
        figure = None if one is None else one if metric == "accuracy" else one.log_loss
        if figure is None or figure.mean is None:
            continue
        scale = 100 if metric == "accuracy" else 1
        interval = figure.interval and (scale * figure.interval[0], scale * figure.interval[1])
        found.append(Point(shots, scale * figure.mean, interval))
    return found


def _draw_panel(
    axes: Axes, curves: Mapping[str, Sequence[Point]], names: Sequence[str], title: str, row: float
) -> None:
    """Draw a line per method, its name at the right end; log loss on a logarithmic axis."""
    shots = sorted({point.shots for points in curves.values() for point in points})
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xticks([_place(count) for count in shots], [str(count) for count in shots])
    axes.set_xlabel("shots per class")
    axes.grid(axis="y", color=PALE)
    axes.tick_params(which="both", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if not shots:
        axes.text(0.5, 0.5, "no method gives probabilities", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    if title == "log loss":
        _use_log_scale(axes, curves)
    left, right = _place(shots[0]), _place(shots[-1])
    span = max(right - left, 1.0)
    # Points at one number of shots would hide each other; there they stand side by side.
    aside = 0.6 * span / len(names) if len(shots) == 1 else 0.0
    for place, (name, points) in enumerate(curves.items()):
        if points:
            _draw_line(axes, _look(name, names), points, aside * place, bold=_is_emphasized(name))
    end = right + aside * (len(names) - 1)
    axes.set_xlim(left - 0.04 * span, end + 0.36 * (end - left or span))
    axes.autoscale_view(scalex=False)
    _label_lines(axes, curves, names, end + 0.09 * (end - left or span), row, aside)


def _place(shots: int) -> float:
    return float(np.log1p(shots))


def _use_log_scale(axes: Axes, curves: Mapping[str, Sequence[Point]]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    means = [max(point.mean, 1e-3) for points in curves.values() for point in points]
    axes.set_yscale("log")
    axes.set_ylim(0.8 * min(means), 1.25 * max(means))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_line(
    axes: Axes, look: Mapping[str, Any], points: Sequence[Point], aside: float, *, bold: bool
) -> None:
    axes.plot([_place(point.shots) + aside for point in points], [point.mean for point in points], **look)
    known = [(_place(point.shots) + aside, *point.interval) for point in points if point.interval]
    if not known:
        return
    where, lows, highs = zip(*known, strict=True)
    if bold and len(known) > 1:
        axes.fill_between(where, lows, highs, color=look["color"], alpha=0.18, linewidth=0)
    else:
        axes.vlines(where, lows, highs, color=look["color"], linewidth=1, alpha=1.0 if bold else 0.45)


def _is_emphasized(name: str) -> bool:
    return name == PUBLISHED or name.partition("_")[0] == "auto"


def _look(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Return color, dashes, marker and width of a method's line: no two of the same look among 35."""
    if _is_emphasized(name):
        autos = [other for other in names if _is_emphasized(other) and other != PUBLISHED]
        dash = "-" if name == PUBLISHED else DASHES[autos.index(name) % len(DASHES)]
        color = THEIRS if name == PUBLISHED else OURS
        return {"color": color, "linestyle": dash, "linewidth": 3.2, "marker": "o", "zorder": 4}
    if name in BASELINES:
        place = list(BASELINES).index(name)
        return {
            "color": "#777777",
            "linestyle": DASHES[1 + place % 3],
            "linewidth": 1.4,
            "marker": (".", *MARKERS)[place // 3 % (1 + len(MARKERS))],
            "markersize": 4,
            "zorder": 2,
        }
    rest = [other for other in names if not _is_emphasized(other) and other not in BASELINES]
    place = rest.index(name)
    return {
        "color": OTHERS[place % len(OTHERS)],
        "linestyle": DASHES[place // len(OTHERS) % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 4,
        "linewidth": 1.3,
        "zorder": 3,
    }


def _label_lines(
    axes: Axes,
    curves: Mapping[str, Sequence[Point]],
    names: Sequence[str],
    start: float,
    row: float,
    aside: float,
) -> None:
    """Write each method's name from `start` on, beside the end of its line, apart from the other names."""
    ends = {
        name: (_place(points[-1].shots) + aside * place, points[-1].mean)
        for place, (name, points) in enumerate(curves.items())
        if points
    }
    from_axes = axes.transAxes.inverted()
    heights = [float(from_axes.transform(axes.transData.transform(end))[1]) for end in ends.values()]
    row = min(row, 1 / len(heights))
    for (name, end), height in zip(ends.items(), _apart(heights, row), strict=True):
        y = float((axes.transAxes + axes.transData.inverted()).transform((0, height))[1])
        color = _look(name, names)["color"]
        axes.plot([end[0], start], [end[1], y], color=color, linewidth=0.6, alpha=0.7, zorder=1)
        weight = "bold" if _is_emphasized(name) else "normal"
        axes.annotate(
            name,
            xy=(start, y),
            xytext=(2, 0),
            textcoords="offset points",
            color=color,
            fontweight=weight,
            fontsize=LABEL_SIZE,
            va="center",
            annotation_clip=False,
        )


def _apart(heights: Sequence[float], row: float) -> list[float]:
    """Return heights between 0 and 1 that keep the order and are at least a row apart, near the given ones.

    Examples
    --------
    >>> _apart([0.5, 0.5, 0.9], 0.1)
    [0.45, 0.55, 0.9]
    """
    order = np.argsort(heights, kind="stable")
    # Groups of labels that touch: each is centered on the mean of the heights its labels ask for.
    groups: list[list[float]] = []
    for wanted in (heights[place] for place in order):
        groups.append([wanted])
        while len(groups) > 1 and _top(groups[-2], row) > _bottom(groups[-1], row) + 1e-12:
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = [_bottom(group, row) + row * (i + 0.5) for group in groups for i in range(len(group))]
    found = np.empty(len(heights))
    found[order] = placed
    return [float(round(value, 6)) for value in found]


def _bottom(group: Sequence[float], row: float) -> float:
    """Return where a group of labels begins: around its mean, but between 0 and 1."""
    size = row * len(group)
    return float(np.clip(np.mean(group) - size / 2, 0, max(0.0, 1 - size)))


def _top(group: Sequence[float], row: float) -> float:
    return _bottom(group, row) + row * len(group)
