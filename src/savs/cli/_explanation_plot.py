"""The plot of an explanation: the effect of each tile and word on the answer, and the class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from savs.data import Example
from savs.figures import INK
from savs.media import Image, Video

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from savs.model import Explanation, Occlusion

FOR, AGAINST = "#D55E00", "#0072B2"
"""Okabe and Ito's vermilion and blue, which color-blind readers can distinguish."""
MOST_BARS = 12


def draw_explanation(found: Explanation, example: Example, file: Path) -> None:
    """Write the plot as PNG.

    Parameters
    ----------
    found : Explanation
        Of the example.
    example : Example
        Its images are drawn under their tiles.
    file : Path
        Where to write; an older file is replaced.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_part = _tiles_by_part(found.occlusion)
    still = [image for image in example.images if not isinstance(image, Video)]
    images = dict(zip(by_part, still, strict=False))
    with rc_context({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK}):
        figure = Figure(figsize=(3.4 * len(images) + 6.2, 6.4), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        _draw(figure, found, by_part, images)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Software": None}, facecolor="white", format="png")


def _draw(
    figure: Figure, found: Explanation, by_part: dict[int, list[Occlusion]], images: dict[int, Image]
) -> None:
    from savs.media import load_image

    columns = len(images) + 1
    grid = figure.add_gridspec(2, columns, width_ratios=[1] * len(images) + [1.5])
    for column, (part, image) in enumerate(images.items()):
        pixels = np.asarray(load_image(image))
        _draw_image(figure.add_subplot(grid[0, column]), pixels)
        _draw_tiles(figure.add_subplot(grid[1, column]), pixels, by_part[part])
    words = [one for one in found.occlusion if one.where.kind == "words"]
    if words:
        _draw_words(figure.add_subplot(grid[0, -1]), words)
    _draw_shares(figure.add_subplot(grid[1 if words else slice(None), -1]), found)
    figure.suptitle(f"Answer: {found.label}", fontsize=13, fontweight="bold")


def _tiles_by_part(pieces: Sequence[Occlusion]) -> dict[int, list[Occlusion]]:
    found: dict[int, list[Occlusion]] = {}
    for one in sorted(pieces, key=lambda piece: piece.where.part):
        if one.where.kind == "tile":
            found.setdefault(one.where.part, []).append(one)
    return found


def _draw_image(axes: Axes, pixels: NDArray[np.uint8]) -> None:
    axes.imshow(pixels)
    axes.set_axis_off()


def _draw_tiles(axes: Axes, pixels: NDArray[np.uint8], pieces: Sequence[Occlusion]) -> None:
    from matplotlib.patches import Rectangle

    largest = max(abs(one.drop) for one in pieces) or 1.0
    axes.imshow(
        170 + pixels.mean(axis=2) / 3, cmap="gray", vmin=0, vmax=255
    )  # pale, so that the colors stand out
    for one in pieces:
        left, top, right, bottom = one.where.box
        strength = 0.85 * abs(one.drop) / largest
        color = FOR if one.drop > 0 else AGAINST
        box = Rectangle(
            (left - 0.5, top - 0.5), right - left, bottom - top, alpha=strength, facecolor=color, linewidth=0
        )
        axes.add_patch(box)
    axes.set_title(
        f"tiles: orange supports the answer,\nblue opposes it (at most {largest:.2f})", fontsize=10
    )
    axes.set_axis_off()


def _draw_words(axes: Axes, pieces: Sequence[Occlusion]) -> None:
    largest = max(abs(one.drop) for one in pieces) or 1.0
    chosen = sorted(pieces, key=lambda one: -abs(one.drop))[:MOST_BARS]
    chosen.sort(key=lambda one: one.where.box)
    names = [one.where.text if len(one.where.text) < 24 else one.where.text[:21] + "..." for one in chosen]
    places = np.arange(len(chosen))
    drops = [one.drop for one in chosen]
    axes.barh(places, drops, color=[FOR if drop > 0 else AGAINST for drop in drops])
    axes.set_yticks(places, [name.replace("$", r"\$") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(-1.05 * largest, 1.05 * largest)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title("words: drop of the log probability without them", fontsize=10)


def _draw_shares(axes: Axes, found: Explanation) -> None:
    ranked = sorted(found.proba.items(), key=lambda pair: -pair[1])[:MOST_BARS]
    names = [str(label).replace("$", r"\$") for label, _ in ranked]
    places = np.arange(len(ranked))
    axes.barh(places, [share for _, share in ranked], color="#999999", height=0.7)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    votes = f"; {len(found.heads)} heads vote" if found.heads else ""
    axes.set_title(f"probability of each class{votes}", fontsize=10)
