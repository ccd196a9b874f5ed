"""A rule fitted to every head of a layout: parameters as named arrays, scores of new rows block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.features import Head, HeadLayout
from savs.heads.rules import HeadRule, Parameters
from savs.heads.shots import Shots, head_blocks

__all__ = ["fit_every_head", "score_every_head"]


def fit_every_head(rule: HeadRule, shots: Shots, heads: Sequence[Head]) -> dict[str, NDArray[Any]]:
    """Return the rule's parameters of the given heads as ``"<group>.<name>"`` arrays.

    The group is the place of the heads' width among their widths; the heads of a group come in their order.
    """
    found: dict[str, list[NDArray[np.float64]]] = {}
    dims = [group.columns.shape[1] for group in shots.layout.select(heads).groups]
    for block in shots.blocks_of(heads):
        group = dims.index(block.vectors.shape[2])
        for name, array in rule.fit(block.vectors, shots).items():
            found.setdefault(f"{group}.{name}", []).append(array)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def score_every_head(
    rule: HeadRule,
    arrays: dict[str, NDArray[Any]],
    rows: NDArray[np.floating],
    layout: HeadLayout,
    codes: NDArray[np.intp],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield positions of heads and their scores of the rows, shape (n_block_heads, n_rows, n_classes)."""
    dims = [group.columns.shape[1] for group in layout.groups]
    done = [0] * len(dims)
    for positions, vectors in head_blocks(rows, layout):
        group = dims.index(vectors.shape[2])
        piece = slice(done[group], done[group] + len(positions))
        done[group] += len(positions)
        yield positions, rule.scores(vectors, _piece(arrays, group, piece), codes)


def _piece(arrays: dict[str, NDArray[Any]], group: int, piece: slice) -> Parameters:
    prefix = f"{group}."
    return {
        name.removeprefix(prefix): array[piece] for name, array in arrays.items() if name.startswith(prefix)
    }
