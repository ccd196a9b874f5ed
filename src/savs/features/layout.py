"""`HeadLayout`: which columns of a feature row belong to which attention head.

A feature row is the concatenation of head vectors, by layer and then by head index. Head widths may differ
between layers. This module knows neither models nor labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Head", "HeadGroup", "HeadLayout"]


class Head(NamedTuple):
    """An attention head: decoder layer and index within the layer, both from 0."""

    layer: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


class HeadGroup(NamedTuple):
    """Heads of one width.

    Attributes
    ----------
    positions : ndarray of int, shape (n_group_heads,)
        Where the group's heads stand in the layout.
    columns : ndarray of int, shape (n_group_heads, head_dim)
        Their columns in a feature row.
    """

    positions: NDArray[np.intp]
    columns: NDArray[np.intp]


@dataclass(frozen=True)
class HeadLayout:
    """The heads of a feature row, in column order.

    Parameters
    ----------
    heads : tuple of Head
        The heads, in column order, each once.
    dims : tuple of int
        Width of each head's vector.

    Raises
    ------
    ValueError
        If the two lengths differ, a head stands twice, there is none, or a width is not positive.

    Examples
    --------
    >>> layout = HeadLayout.uniform(n_layers=2, n_heads=2, head_dim=3)
    >>> layout.width, layout.n_heads, layout.columns(Head(1, 0))
    (12, 4, slice(6, 9, None))
    """

    heads: tuple[Head, ...]
    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.heads or len(self.heads) != len(self.dims):
            raise ValueError(
                f"a layout needs one width per head: {len(self.heads)} heads, {len(self.dims)} widths"
            )
        if len(set(self.heads)) != len(self.heads):
            raise ValueError("a head stands twice in the layout")
        if min(self.dims) < 1 or min(min(head) for head in self.heads) < 0:
            raise ValueError("head widths must be positive, layers and indices not negative")

    @classmethod
    def uniform(cls, n_layers: int, n_heads: int, head_dim: int) -> HeadLayout:
        """Return the layout of a decoder whose layers all have `n_heads` heads of `head_dim` columns."""
        return cls.from_layers((layer, n_heads, head_dim) for layer in range(n_layers))

    @classmethod
    def from_layers(cls, layers: Iterable[tuple[int, int, int]]) -> HeadLayout:
        """Return the layout of ``(layer, n_heads, head_dim)`` triples, in their order."""
        triples = list(layers)
        heads = tuple(Head(layer, index) for layer, count, _ in triples for index in range(count))
        return cls(heads, tuple(dim for _, count, dim in triples for _ in range(count)))

    @property
    def n_heads(self) -> int:
        """Number of heads in all layers together."""
        return len(self.heads)

    @property
    def n_layers(self) -> int:
        """Number of layers up to the deepest one that has a head here."""
        return max(head.layer for head in self.heads) + 1

    @property
    def width(self) -> int:
        """Number of columns of a feature row."""
        return sum(self.dims)

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(int(start) for start in np.cumsum((0, *self.dims))[:-1])

    @cached_property
    def _positions(self) -> dict[Head, int]:
        return {head: position for position, head in enumerate(self.heads)}

    def position(self, head: tuple[int, int]) -> int:
        """Return where a head stands; `KeyError` if it is not here."""
        return self._positions[Head(*head)]

    def columns(self, head: tuple[int, int]) -> slice:
        """Return the columns of one head."""
        position = self.position(head)
        start = self._starts[position]
        return slice(start, start + self.dims[position])

    def select(self, heads: Sequence[tuple[int, int]]) -> HeadLayout:
        """Return the layout of rows that hold only the given heads, in the given order."""
        return HeadLayout(
            tuple(Head(*head) for head in heads), tuple(self.dims[self.position(h)] for h in heads)
        )

    def column_indices(self, heads: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
        """Return the columns of the given heads, concatenated in the given order."""
        ranges = [self.columns(head) for head in heads]
        return np.concatenate([np.arange(r.start, r.stop, dtype=np.intp) for r in ranges])

    @cached_property
    def groups(self) -> tuple[HeadGroup, ...]:
        """The heads grouped by width, widths ascending: one group when all heads are equally wide."""
        dims, starts = np.asarray(self.dims), np.asarray(self._starts)
        return tuple(
            HeadGroup(positions, starts[positions][:, None] + np.arange(dim))
            for dim in np.unique(dims)
            for positions in [np.flatnonzero(dims == dim)]
        )

    def to_json(self) -> list[list[int]]:
        """Return ``[[layer, index, head_dim], ...]``."""
        return [[head.layer, head.index, dim] for head, dim in zip(self.heads, self.dims, strict=True)]

    @classmethod
    def from_json(cls, rows: Sequence[Sequence[int]]) -> HeadLayout:
        """Return the layout that `to_json` wrote; `ValueError` if it is not one."""
        if not all(len(row) == 3 and all(type(value) is int for value in row) for row in rows):
            raise ValueError("a layout is a list of [layer, index, head_dim] integers")
        return cls(tuple(Head(row[0], row[1]) for row in rows), tuple(row[2] for row in rows))
