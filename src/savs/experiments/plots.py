"""The plots of experiments: readable at a width of 900 pixels, also without colors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from savs.figures import COLORS, GRAY, INK, ON_PALE, PALE, Point, draw_curves, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from savs.experiments.results import Experiment
    from savs.experiments.shortcuts import ShortcutAudit

__all__ = ["curves_of", "draw_audit", "draw_experiment"]

_WIDTH = 9.0


def draw_experiment(found: Experiment) -> Figure:
    """Return the plot of an experiment: a line per method, or a table of colors for transfer.

    Parameters
    ----------
    found : Experiment
        What to draw.
    """
    draws = len({row.draw for row in found.rows})
    over = "one draw of the shots" if draws == 1 else f"mean of {draws} draws of the shots, 95 % intervals"
    title = f"{found.task}: accuracy, %"
    if found.kind == "transfer":
        return _matrix(found, title, over)
    figure, axes = _figure(5.2)
    if found.kind == "interleaved":
        _bars(axes, found)
    else:
        _lines(axes, found)
    _titles(axes, title, _with_shots(found, over))
    axes.set_xlabel(found.x_name)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def _figure(height: float) -> tuple[Figure, Axes]:
    return new_figure(_WIDTH, height)


def _titles(axes: Axes, title: str, under: str) -> None:
    axes.set_title(f"{title}\n", loc="left", fontsize=13, fontweight="bold")
    axes.text(0, 1.02, under, transform=axes.transAxes, fontsize=10, color=GRAY, va="bottom")


def _with_shots(found: Experiment, over: str) -> str:
    shots = found.settings.get("shots")
    return f"{shots} shots per class, {over}" if isinstance(shots, int) else over


def _lines(axes: Axes, found: Experiment) -> None:
    """Draw a line per series; numbers of shots and heads on a logarithmic axis."""
    draw_curves(axes, curves_of(found), logarithmic=found.kind != "noise")


def curves_of(found: Experiment) -> dict[str, list[Point]]:
    """Return the points of every series, as `savs.figures.plot_shots` takes them; places are numbers."""
    summary = found.summary()
    return {
        name: [
            Point(float(one["x"]), one["mean"], one["low"], one["high"])
            for one in summary
            if one["series"] == name and one["mean"] is not None
        ]
        for name in found.series
    }


def _bars(axes: Axes, found: Experiment) -> None:
    """Draw a group of bars for each place, one bar per series."""
    names, summary = found.series, found.summary()
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        by_x = {one["x"]: one for one in summary if one["series"] == name and one["mean"] is not None}
        for place, x in enumerate(found.x_values):
            one = by_x.get(x)
            where = place + width * (number - (len(names) - 1) / 2)
            if one is None:
                axes.text(where, 1, "n/a", ha="center", va="bottom", color=GRAY, fontsize=9)
            else:
                _bar(axes, where, 0.92 * width, one, COLORS[number % len(COLORS)])
        axes.bar([0], [0], color=COLORS[number % len(COLORS)], label=name)
    axes.set_xticks(range(len(found.x_values)), [str(x) for x in found.x_values])
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 20))
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=PALE)


def _bar(axes: Axes, where: float, width: float, one: dict[str, Any], color: str) -> None:
    mean, top = 100 * one["mean"], 100 * (one["high"] if one["high"] is not None else one["mean"])
    axes.bar([where], [mean], width, color=color)
    if one["low"] is not None:
        axes.vlines([where], [100 * one["low"]], [top], color=INK, linewidth=1.4)
    axes.text(where, top + 1, f"{mean:.0f}", ha="center", va="bottom", fontsize=9)


def _matrix(found: Experiment, title: str, over: str) -> Figure:
    """Draw a table: a row per series, a column per target, colored by accuracy."""
    names, targets = found.series, [str(x) for x in found.x_values]
    figure, axes = _figure(max(3.2, 0.62 * len(names) + 2.2))
    cells = {(one["series"], one["x"]): one for one in found.summary()}
    means = np.full((len(names), len(targets)), np.nan)
    for row, name in enumerate(names):
        for column, target in enumerate(targets):
            one = cells.get((name, target))
            if one is not None and one["mean"] is not None:
                means[row, column] = 100 * one["mean"]
    low, high = (0.0, 100.0) if np.isnan(means).all() else (np.nanmin(means), np.nanmax(means))
    # The lowest one stays visible, and dark enough are only cells with white figures.
    axes.imshow(means, cmap="Blues", vmin=low - 20, vmax=high + 15, aspect="auto")
    dark = low - 20 + 0.6 * (high - low + 35)
    for row, name in enumerate(names):
        for column, target in enumerate(targets):
            _cell(axes, row, column, cells.get((name, target)), dark, own=name == f"heads of {target}")
    axes.set_xticks(range(len(targets)), targets)
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    _titles(axes, title, _with_shots(found, over).replace("95 % intervals", "± half of the 95 % interval"))
    axes.set_xlabel(f"{found.x_name} (bold: heads that the dataset chose itself)")
    return figure


def _cell(axes: Axes, row: int, column: int, one: dict[str, Any] | None, dark: float, *, own: bool) -> None:
    if one is None or one["mean"] is None:
        axes.text(column, row, "-", ha="center", va="center", color=GRAY)
        return
    text = f"{100 * one['mean']:.1f}"
    if one["low"] is not None:
        text += f" ± {50 * (one['high'] - one['low']):.1f}"
    color = "white" if 100 * one["mean"] > dark else ON_PALE
    axes.text(
        column, row, text, ha="center", va="center", color=color, fontweight="bold" if own else "normal"
    )


def draw_audit(found: ShortcutAudit) -> Figure:
    """Return the plot of a shortcut audit: a bar per control, and the most frequent class as a line.

    Parameters
    ----------
    found : ShortcutAudit
        What to draw.
    """
    *lines, majority = found.summary()
    figure, axes = _figure(0.55 * len(lines) + 1.9)
    for place, one in enumerate(lines):
        if one["mean"] is None:
            why = f"not applicable: {_short(one['reason'])}"
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(1, place, why, va="center", color=GRAY, fontsize=10, bbox=ground, zorder=3)
            continue
        color = COLORS[0] if one["control"] == "unchanged" else COLORS[1]
        axes.barh([place], [100 * one["mean"]], 0.7, color=color)
        top = one["mean"] if one["high"] is None else one["high"]
        if one["low"] is not None:
            axes.hlines([place], [100 * one["low"]], [100 * top], color=INK, linewidth=1.4)
        axes.text(100 * top + 1, place, f"{100 * one['mean']:.1f}", va="center", fontsize=10)
    axes.axvline(100 * majority["mean"], color=GRAY, linestyle="--", linewidth=1.6)
    axes.text(100 * majority["mean"], -0.55, " majority", color=GRAY, fontsize=10, va="bottom")
    axes.set_yticks(range(len(lines)), [one["control"].replace("_", " ") for one in lines])
    axes.set_ylim(len(lines) - 0.4, -0.9)
    axes.set_xlim(0, 110)
    axes.set_xticks(range(0, 101, 20))
    draws = majority["n_draws"]
    over = "one draw of the shots" if draws == 1 else f"mean of {draws} draws of the shots, 95 % intervals"
    title = f"{found.task}: shortcut audit of {found.method}, accuracy, %"
    _titles(axes, title, f"{found.shots} shots per class, {over}")
    return figure


def _short(reason: Any, most: int = 70) -> str:
    text = str(reason)
    return text if len(text) <= most else f"{text[: most - 1]}…"
