"""`HeadLayout`: which columns of a feature row belong to which attention head.

A feature row is the concatenation of head vectors, by layer and then by head index. Head widths may differ
between layers. The decoder's last-layer state may follow them, and then the log likelihoods of the class
names; these are no heads, and only methods that ask for them read them. This module knows neither models nor
labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["EarlyExit", "Head", "HeadGroup", "HeadLayout"]

_STATE_INDEX, _OPTIONS_INDEX = -1, -2
_WIDEST = 2**24  # columns; the widest decoders have a million


class Head(NamedTuple):
    """An attention head: decoder layer and index within the layer, both from 0.

    Index -1 stands for the decoder's last-layer state and -2 for the log likelihoods of the class names, both
    of a layer that is the number of layers.
    """

    layer: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    @property
    def is_state(self) -> bool:
        """Whether this is the last-layer state and no head."""
        return self.index == _STATE_INDEX

    @property
    def is_options(self) -> bool:
        """Whether these are the log likelihoods of the class names and no head."""
        return self.index == _OPTIONS_INDEX

    @property
    def place(self) -> tuple[int, int, int]:
        """What columns are sorted by: heads by layer and index, then the state, then the options."""
        return max(0, -self.index), self.layer, self.index


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
class EarlyExit:
    """A depth at which some rows are answered, so that nothing deeper has to be computed for them.

    Attributes
    ----------
    heads : tuple of Head
        What the answer is computed from, in column order.
    n_layers : int
        Layers up to the deepest of them.
    is_answered : callable
        Given finite rows of these heads, float32 of shape (n_rows, width), returns which are answered here,
        bool of shape (n_rows,).
    """

    heads: tuple[Head, ...]
    n_layers: int
    is_answered: Callable[[NDArray[np.float32]], NDArray[np.bool_]]


@dataclass(frozen=True)
class HeadLayout:
    """The heads of a feature row, in column order.

    Parameters
    ----------
    heads : tuple of Head
        The heads, in column order, each once.
    dims : tuple of int
        Width of each head's vector.
    state : (layer, width) or None, default=None
        The last-layer state in the columns behind the heads: the decoder's number of layers and the state's
        width. `heads`, `n_heads`, `position` and `groups` are about heads only; `width`, `columns`,
        `column_indices` and `select` know the state too, as `state_head`.
    options : (layer, n_classes) or None, default=None
        The log likelihoods of the class names in the last columns: the decoder's number of layers and the
        number of classes. Known like the state, as `options_head`.

    Raises
    ------
    ValueError
        If the two lengths differ, a head stands twice, there is neither head nor state, or a width is not
        positive, or all together are more than a row of features can have.

    Examples
    --------
    >>> layout = HeadLayout.uniform(n_layers=2, n_heads=2, head_dim=3)
    >>> layout.width, layout.n_heads, layout.columns(Head(1, 0))
    (12, 4, slice(6, 9, None))
    >>> layout = layout.with_state(8)
    >>> layout.width, layout.n_heads, layout.state_head, layout.columns(layout.state_head)
    (20, 4, Head(layer=2, index=-1), slice(12, 20, None))
    >>> layout.with_options(3).columns(layout.with_options(3).options_head)
    slice(20, 23, None)
    """

    heads: tuple[Head, ...]
    dims: tuple[int, ...]
    state: tuple[int, int] | None = None
    options: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not (self.heads or self.state or self.options) or len(self.heads) != len(self.dims):
            raise ValueError(
                f"a layout needs one width per head: {len(self.heads)} heads, {len(self.dims)} widths"
            )
        if len(set(self.heads)) != len(self.heads):
            raise ValueError("a head stands twice in the layout")
        if min(self.dims, default=1) < 1 or min((min(head) for head in self.heads), default=0) < 0:
            raise ValueError("head widths must be positive, layers and indices not negative")
        if self.state is not None and (self.state[0] < max(self.n_layers, 1) or self.state[1] < 1):
            raise ValueError("the state comes after the last layer and its width is positive")
        if self.options is not None and (self.options[0] < max(self.n_layers, 1) or self.options[1] < 2):
            raise ValueError("the options come after the last layer, and there are two classes or more")
        if self.width > _WIDEST:
            raise ValueError(f"a row has at most {_WIDEST} columns")

    def __repr__(self) -> str:
        layers = len({head.layer for head in self.heads})
        state = "" if self.state is None else ", last-layer state"
        options = "" if self.options is None else f", likelihoods of {self.options[1]} class names"
        heads = f"{self.n_heads} heads in {layers} layers"
        return f"{type(self).__name__}({heads}{state}{options}, {self.width} columns)"

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

    def with_state(self, hidden_size: int, layer: int | None = None) -> HeadLayout:
        """Return the layout of rows in which the last-layer state follows the heads.

        Parameters
        ----------
        hidden_size : int
            Width of the state.
        layer : int, optional
            The decoder's number of layers, where its last ones have no heads here; `n_layers` by default.
        """
        state = (self.n_layers if layer is None else layer, hidden_size)
        return HeadLayout(self.heads, self.dims, state, self.options)

    def with_options(self, n_classes: int, layer: int | None = None) -> HeadLayout:
        """Return the layout of rows that end in the log likelihood of each class name.

        Parameters
        ----------
        n_classes : int
            Number of classes.
        layer : int, optional
            The decoder's number of layers, as for `with_state`; that of the state by default.
        """
        if layer is None:
            layer = self.n_layers if self.state is None else self.state[0]
        return HeadLayout(self.heads, self.dims, self.state, (layer, n_classes))

    def without_state(self) -> HeadLayout:
        """Return the layout of the head columns alone, also without options; `ValueError` without heads."""
        if not self.heads:
            raise ValueError("the rows hold no heads, only the last-layer state or options")
        return self if self.parts == self.heads else HeadLayout(self.heads, self.dims)

    @property
    def state_head(self) -> Head | None:
        """What stands for the last-layer state in lists of heads; None where rows do not hold it."""
        return None if self.state is None else Head(self.state[0], _STATE_INDEX)

    @property
    def options_head(self) -> Head | None:
        """What stands for the class names' log likelihoods in lists of heads; None where rows hold none."""
        return None if self.options is None else Head(self.options[0], _OPTIONS_INDEX)

    @property
    def _others(self) -> tuple[Head, ...]:
        return tuple(head for head in (self.state_head, self.options_head) if head is not None)

    @property
    def parts(self) -> tuple[Head, ...]:
        """The heads, then the state and the options where rows hold them: all that `select` can pick."""
        return (*self.heads, *self._others) if self._others else self.heads

    @property
    def n_heads(self) -> int:
        """Number of heads in all layers together."""
        return len(self.heads)

    @property
    def n_layers(self) -> int:
        """Number of layers up to the deepest one that has a head here."""
        return max((head.layer for head in self.heads), default=-1) + 1

    @cached_property
    def heads_width(self) -> int:
        """Number of columns that belong to heads."""
        return sum(self.dims)

    @property
    def width(self) -> int:
        """Number of columns of a feature row."""
        return self.heads_width + sum(extra[1] for extra in (self.state, self.options) if extra)

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(int(start) for start in np.cumsum((0, *self.dims))[:-1])

    @cached_property
    def _positions(self) -> dict[Head, int]:
        return {head: position for position, head in enumerate(self.heads)}

    def position(self, head: tuple[int, int]) -> int:
        """Return where a head stands; `KeyError` if it is not here."""
        return self._positions[_as_head(head)]

    def columns(self, head: tuple[int, int]) -> slice:
        """Return the columns of one head, of the state or of the options; `KeyError` if it is not here."""
        if self.state is not None and _as_head(head) == self.state_head:
            return slice(self.heads_width, self.heads_width + self.state[1])
        if self.options is not None and _as_head(head) == self.options_head:
            return slice(self.width - self.options[1], self.width)
        position = self.position(head)
        start = self._starts[position]
        return slice(start, start + self.dims[position])

    def select(self, heads: Sequence[tuple[int, int]]) -> HeadLayout:
        """Return the layout of rows that hold only the given heads, in the given order.

        The state and the options may be among them, as the last ones.

        Raises
        ------
        KeyError
            If a head is not here.
        ValueError
            If there is none, one stands twice or is no pair of whole numbers, or the state stands elsewhere.
        """
        chosen = _as_heads(heads)
        others = tuple(head for head in self._others if head in chosen)
        if others and chosen[-len(others) :] != others:
            raise ValueError("the last-layer state stands behind all heads, the options behind that")
        chosen = chosen[: len(chosen) - len(others)]
        dims = tuple(self.dims[self.position(head)] for head in chosen)
        return HeadLayout(
            chosen,
            dims,
            self.state if self.state_head in others else None,
            self.options if self.options_head in others else None,
        )

    def column_indices(self, heads: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
        """Return the columns of the given heads (state and options among them), in the given order."""
        ranges = [self.columns(head) for head in _as_heads(heads)]
        return np.concatenate(
            [np.arange(r.start, r.stop, dtype=np.intp) for r in ranges] or [np.empty(0, np.intp)]
        )

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
        """Return ``[[layer, index, head_dim], ...]``.

        At the end stand the state as ``[n_layers, -1, width]`` and the options as
        ``[n_layers, -2, n_classes]``.
        """
        rows = [[head.layer, head.index, dim] for head, dim in zip(self.heads, self.dims, strict=True)]
        extras = ((self.state, _STATE_INDEX), (self.options, _OPTIONS_INDEX))
        return rows + [[extra[0], index, extra[1]] for extra, index in extras if extra is not None]

    @classmethod
    def from_json(cls, rows: Sequence[Sequence[int]]) -> HeadLayout:
        """Return the layout that `to_json` wrote; `ValueError` if it is not one."""
        if not all(len(row) == 3 and all(type(value) is int for value in row) for row in rows):
            raise ValueError("a layout is a list of [layer, index, head_dim] integers")
        left = list(rows)
        extras: list[tuple[int, int] | None] = []
        for extra in (_OPTIONS_INDEX, _STATE_INDEX):
            found = left.pop() if left and left[-1][1] == extra else None
            extras.insert(0, None if found is None else (found[0], found[2]))
        return cls(tuple(Head(row[0], row[1]) for row in left), tuple(row[2] for row in left), *extras)


def _as_heads(heads: Iterable[tuple[int, int]]) -> tuple[Head, ...]:
    if isinstance(heads, str) or not isinstance(heads, Iterable):
        raise ValueError(f"a list of (layer, index) pairs is needed, not {heads!r:.80}")
    return tuple(map(_as_head, heads))


def _as_head(head: tuple[int, int]) -> Head:
    try:
        layer, position = head
        return Head(index(layer), index(position))
    except (TypeError, ValueError):
        raise ValueError(f"a head is a pair (layer, index) of whole numbers, not {head!r:.80}") from None
