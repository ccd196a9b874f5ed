"""One picture of the demo's results: bars of all methods, a confusion matrix, examples, head maps."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.demo.outcome import METHODS, Exhibit, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_results"]

COLOURS = {
    "sav": "#D55E00",
    "auto": "#E69F00",
    "zero_shot": "#0072B2",
    "last_layer": "#56B4E9",
    "pixels": "#999999",
    "majority": "#DDDDDD",
}
"""Okabe and Ito's palette, which colour-blind readers tell apart; grey for what needs no backbone."""

_ORDER = ("sav", "auto", "last_layer", "zero_shot", "pixels", "majority")
_KEPT = "#D55E00"
_SIDE, _CARD, _GAP = 64, 76, 4
_INK = "#222222"


def draw_results(outcomes: Sequence[Outcome], file: Path, *, n_draws: int) -> None:
    """Write the picture as PNG, about 1600 x 960 pixels.

    Parameters
    ----------
    outcomes : sequence of Outcome
        One per task, at most five or so; the first one's confusion matrix is shown.
    file : Path
        Where to write.
    n_draws : int
        Number of draws behind the means, for the caption.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(
        {"font.family": "DejaVu Sans", "font.size": 11, "text.color": _INK, "axes.edgecolor": "#888888"}
    ):
        figure = Figure(figsize=(16, 9.6), dpi=100, facecolor="white")
        FigureCanvasAgg(figure)
        _draw_all(figure, outcomes, n_draws)
        figure.savefig(file, metadata={"Software": None})


def _draw_all(figure: Figure, outcomes: Sequence[Outcome], n_draws: int) -> None:
    first = outcomes[0]
    figure.text(0.03, 0.958, "Sparse Attention Vectors on pictures and questions", size=19, weight="bold")
    figure.text(
        0.03,
        0.924,
        f"{first.shots} labelled examples per class, {len(first.heads)} of {first.layout.n_heads} heads "
        f"kept, no training; mean accuracy and 95 % interval over {n_draws} draws of the examples",
        size=12,
        color="#555555",
    )
    upper = figure.add_gridspec(
        1, 2, left=0.045, right=0.985, top=0.86, bottom=0.54, width_ratios=(2.75, 1), wspace=0.13
    )
    _bars(figure.add_subplot(upper[0, 0]), outcomes)
    _confusion(figure.add_subplot(upper[0, 1]), first)
    lower = figure.add_gridspec(
        2,
        len(outcomes),
        left=0.045,
        right=0.94,
        top=0.425,
        bottom=0.095,
        height_ratios=(1, 1.35),
        hspace=0.3,
        wspace=0.13,
    )
    for column, outcome in enumerate(outcomes):
        _strip(figure, lower[0, column], outcome)
        image = _head_map(figure.add_subplot(lower[1, column]), outcome, labelled=column == 0)
    bar = figure.colorbar(image, cax=figure.add_axes((0.952, 0.095, 0.009, 0.17)), ticks=image.get_clim())
    bar.ax.set_yticklabels(["lowest", "highest"], size=9)
    bar.ax.tick_params(length=0)
    figure.text(
        0.045,
        0.018,
        "Maps: how many shots of the first draw each head alone gets right, from black to white in each map; "
        "framed: the heads that are kept and vote.",
        size=10,
        color="#555555",
    )


def _bars(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    width = 0.142
    for number, method in enumerate(_ORDER):
        places = np.arange(len(outcomes)) + (number - (len(_ORDER) - 1) / 2) * width
        values = np.array([outcome.accuracy[method].mean for outcome in outcomes]) * 100
        ends = np.array([outcome.accuracy[method].interval for outcome in outcomes]).T * 100
        errors = np.abs(ends - values)
        axes.bar(places, values, width * 0.92, color=COLOURS[method], label=METHODS[method], zorder=2)
        axes.errorbar(places, values, yerr=errors, fmt="none", ecolor=_INK, elinewidth=1, capsize=2, zorder=3)
        for place, value, top in zip(places, values, ends[1], strict=True):
            weight = "bold" if method in ("sav", "auto") else "normal"
            axes.text(place, max(value, top) + 1.5, f"{value:.0f}", ha="center", size=9, weight=weight)
    axes.set_xticks(range(len(outcomes)), [outcome.title for outcome in outcomes], size=11)
    axes.set_ylim(0, 109)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel("accuracy, %")
    axes.grid(axis="y", color="#E6E6E6", zorder=0)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(_ORDER), frameon=False, handlelength=1.1
    )


def _confusion(axes: Axes, outcome: Outcome) -> None:
    counts = outcome.confusion
    shares: NDArray[Any] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        colour = "white" if share > 0.55 else _INK
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", size=8, color=colour)
    names = [str(name) for name in outcome.classes]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=10)
    axes.set_xlabel("answer of SAVs", size=10)
    axes.set_ylabel("truth", size=10)
    axes.set_title(f"{outcome.title}: first draw, % of each row", size=11, loc="center", pad=8)
    axes.spines[:].set_visible(False)


def _strip(figure: Figure, place: Any, outcome: Outcome) -> None:
    """Draw a few test items of one task with truth and answer."""
    exhibits = _that_fit(outcome.exhibits)
    grid = place.subgridspec(1, max(1, len(exhibits)), wspace=0.08)
    whole = figure.add_subplot(place)
    whole.set_axis_off()
    whole.set_title(outcome.title, size=12, weight="bold", loc="left", pad=8)
    for column, exhibit in enumerate(exhibits):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(_side_by_side(exhibit), interpolation="nearest")
        if exhibit.text:
            note = textwrap.fill(exhibit.text, 10)
            axes.text(_CARD / 2 + _SIDE + _GAP, _SIDE / 2, note, ha="center", va="center", size=9)
        axes.set_anchor("N")
        axes.set_xticks([])
        axes.set_yticks([])
        right = exhibit.truth == exhibit.answer
        for spine in axes.spines.values():
            spine.set(color="#009E73" if right else "#CC79A7", linewidth=2)
        axes.set_xlabel(_caption(exhibit, right), size=9, labelpad=4, linespacing=1.25)


def _that_fit(exhibits: Sequence[Exhibit]) -> Sequence[Exhibit]:
    wide = any(exhibit.text or len(exhibit.pictures) > 1 for exhibit in exhibits)
    return exhibits[:2] if wide else exhibits[:4]


def _caption(exhibit: Exhibit, right: bool) -> str:
    return f"✓ {exhibit.answer}" if right else f"✗ {exhibit.answer}\nnot {exhibit.truth}"


def _side_by_side(exhibit: Exhibit) -> NDArray[np.uint8]:
    """Join the pictures, and a blank card for the note, shape (64, total width, 3)."""
    pictures = [np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE))) for picture in exhibit.pictures]
    if exhibit.text:
        pictures.append(np.full((_SIDE, _CARD, 3), (255, 248, 220), dtype=np.uint8))
    gap = np.full((_SIDE, _GAP, 3), 255, dtype=np.uint8)
    pieces = [piece for picture in pictures for piece in (gap, picture)][1:]
    return np.concatenate(pieces, axis=1)


def _head_map(axes: Axes, outcome: Outcome, *, labelled: bool) -> Any:
    """Draw the share of shots that each head got right, layer by head; the kept ones framed."""
    from matplotlib.patches import Rectangle

    layout = outcome.layout
    width = max(head.index for head in layout.heads) + 1
    grid = np.full((layout.n_layers, width), np.nan)
    shares = outcome.head_scores / (outcome.shots * len(outcome.classes)) * 100
    for head, share in zip(layout.heads, shares, strict=True):
        grid[head.layer, head.index] = share
    image = axes.imshow(grid, cmap="Greys_r", origin="lower", aspect="auto")
    for head in outcome.heads:
        corner = (head.index - 0.42, head.layer - 0.42)
        axes.add_patch(Rectangle(corner, 0.84, 0.84, fill=False, edgecolor=_KEPT, linewidth=2))
    axes.set_title(
        f"heads: {shares.min():.0f} to {shares.max():.0f} % of shots right", size=10, loc="left", pad=5
    )
    axes.set_xticks(range(0, width, 2))
    axes.set_yticks(range(0, layout.n_layers))
    axes.tick_params(length=0, labelsize=9, labelleft=labelled)
    axes.set_xlabel("head", size=10)
    if labelled:
        axes.set_ylabel("layer", size=10)
    axes.spines[:].set_visible(False)
    return image
