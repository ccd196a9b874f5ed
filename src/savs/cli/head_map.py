"""A small layer x head map for the terminal: darker is better, kept heads are marked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savs.features import HeadLayout

__all__ = ["head_map", "head_map_lines"]

UNICODE = (" ░▒▓█", "◆")
ASCII = (" .:=#", "*")
WIDTH = 80


def head_map(layout: HeadLayout, scores: Sequence[int]) -> list[list[int | None]]:
    """Return scores as one list per layer, None where a layer has fewer heads or none."""
    n_columns = max(head.index for head in layout.heads) + 1
    n_rows = max(head.layer for head in layout.heads) + 1
    rows: list[list[int | None]] = [[None] * n_columns for _ in range(n_rows)]
    for head, score in zip(layout.heads, scores, strict=True):
        rows[head.layer][head.index] = int(score)
    return rows


def head_map_lines(
    layout: HeadLayout, scores: Sequence[int], kept: Collection[tuple[int, int]], *, unicode: bool
) -> list[str]:
    """Return the map as lines of text: one row per layer, then a legend.

    A head takes two characters where they fit into eighty columns, else one; a kept head's first one is the
    mark.
    """
    shades, mark = UNICODE if unicode else ASCII
    low, high = min(scores), max(scores)
    rows = head_map(layout, scores)
    wide = 2 if 6 + 2 * len(rows[0]) <= WIDTH else 1
    lines = []
    for layer, row in enumerate(rows):
        cells = (
            (mark * ((layer, index) in kept) + _shade(score, low, high, shades) * wide)[:wide]
            for index, score in enumerate(row)
        )
        lines.append(f"{layer:>4}  {''.join(cells)}".rstrip())
    legend = f"{mark} kept; {shades[1]} {low} to {shades[-1]} {high} hits"
    return ["layer (down) x head (across)", *lines, legend]


def _shade(score: int | None, low: int, high: int, shades: str) -> str:
    if score is None:
        return "-"
    return shades[-1] if high == low else shades[round((score - low) / (high - low) * (len(shades) - 1))]
