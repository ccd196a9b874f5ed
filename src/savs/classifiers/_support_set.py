"""`Shots`: the labeled feature rows of a fit, and how every rule walks over them, some heads at a time.

All rules are computed from the same walk: blocks of heads of one width, as float64 arrays
``(n_block_heads, n_rows, head_dim)`` that fit the cache. Each head is scaled by a power of two so that no
square overflows; the scale is that of the shots and belongs to the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.classifiers import _numerics
from savs.classifiers._numerics import power_of_two_scale
from savs.layout import Head, HeadGroup, HeadLayout

_BLOCK_VALUES = 1 << 19
"""How many float64 values of head vectors are held at once (4 MiB); one head at least."""


_LARGE_TABLE = 1 << 22
"""A table of more scores than this is large: 32 MiB in float64, for each head."""


class HeadBlock(NamedTuple):
    """Some heads of one width.

    Attributes
    ----------
    positions : ndarray of int, shape (n_block_heads,)
        Where they stand in the layout.
    vectors : ndarray of float64, shape (n_block_heads, n_rows, head_dim)
        Their vectors; a copy that may be overwritten.
    """

    positions: NDArray[np.intp]
    vectors: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shots:
    """Labeled feature rows.

    Attributes
    ----------
    rows : ndarray of float, shape (n_shots, width)
        Finite feature rows.
    codes : ndarray of int, shape (n_shots,)
        Class index of each; every class occurs.
    n_classes : int
        Number of classes.
    layout : HeadLayout
        Which columns belong to which head.
    memo : dict
        What several rules need of these shots, computed once: head losses, kernels.
    """

    rows: NDArray[np.floating]
    codes: NDArray[np.intp]
    n_classes: int
    layout: HeadLayout
    memo: dict[Any, NDArray[np.float64]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """Shots of each class, shape (n_classes,)."""
        return np.bincount(self.codes, minlength=self.n_classes)

    @cached_property
    def heads_only(self) -> Shots:
        """The same shots without the last-layer state and options; these themselves where they have none."""
        if self.layout.parts == self.layout.heads:
            return self
        layout = self.layout.without_state()
        return Shots(self.rows[:, : layout.width], self.codes, self.n_classes, layout, self.memo)

    @cached_property
    def states(self) -> Shots:
        """The same shots with the last-layer state alone, as one ordinary head.

        Raises
        ------
        ValueError
            If the rows hold none.
        """
        head = self.layout.state_head
        if head is None:
            raise ValueError("the rows hold no last-layer state; give a layout `with_state` and such rows")
        rows = self.rows[:, self.layout.columns(head)]
        return Shots(rows, self.codes, self.n_classes, HeadLayout((Head(0, 0),), (rows.shape[1],)))

    @cached_property
    def option_log_likelihood(self) -> NDArray[np.float64]:
        """Log likelihood of each class name behind each shot, shape (n_shots, n_classes).

        Raises
        ------
        ValueError
            If the rows hold none.
        """
        head = self.layout.options_head
        if head is None or self.layout.options != (head.layer, self.n_classes):
            raise ValueError(
                "the rows hold no likelihoods of the class names; give a layout `with_options` and such rows"
            )
        return np.asarray(self.rows[:, self.layout.columns(head)], dtype=np.float64)

    @cached_property
    def membership(self) -> NDArray[np.float64]:
        """One-hot labels, shape (n_shots, n_classes)."""
        return np.eye(self.n_classes)[self.codes]

    @cached_property
    def can_be_held_out(self) -> NDArray[np.bool_]:
        """Which shots have another one of their class, shape (n_shots,); a sole one may not score itself."""
        return np.asarray(self.counts[self.codes] > 1)

    def class_sums(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of head vectors by class, (n_block_heads, n_classes, head_dim)."""
        order = np.argsort(self.codes, kind="stable")
        starts = np.searchsorted(self.codes[order], np.arange(self.n_classes))
        return np.asarray(np.add.reduceat(vectors[:, order], starts, axis=1))

    def blocks(self, positions: NDArray[np.intp] | None = None) -> Iterator[HeadBlock]:
        """Walk over all heads, or over those at `positions` of the layout."""
        return head_blocks(self.rows, self.layout, positions)

    def blocks_of(self, heads: Sequence[Head]) -> Iterator[HeadBlock]:
        """Walk over some heads; positions are those in the list, and no copy of all their columns is made."""
        return head_blocks(self.rows, self.layout.select(heads), columns=self.layout.column_indices(heads))

    @property
    def is_large(self) -> bool:
        """Whether a table of scores, shots by classes, is held in float32 and made some shots at a time."""
        return len(self.codes) * self.n_classes > _LARGE_TABLE

    def row_slices(self) -> Iterator[slice]:
        """Yield the shots in one slice, or in slices whose scores fit the cache where the table is large."""
        n_shots = len(self.codes)
        step = max(1, _numerics.TABLE_SLICE // self.n_classes) if self.is_large else n_shots
        for start in range(0, n_shots, step):
            yield slice(start, min(start + step, n_shots))

    def without(self, rows: NDArray[np.intp]) -> Shots:
        """Return the shots without some; classes keep their indices, and each must keep a shot."""
        kept = np.ones(len(self.codes), dtype=bool)
        kept[rows] = False
        return Shots(self.rows[kept], self.codes[kept], self.n_classes, self.layout)


def head_blocks(
    rows: NDArray[np.floating],
    layout: HeadLayout,
    positions: NDArray[np.intp] | None = None,
    columns: NDArray[np.intp] | None = None,
) -> Iterator[HeadBlock]:
    """Walk over the heads of feature rows, a block of bounded size at a time.

    Parameters
    ----------
    rows : ndarray of float, shape (n_rows, width)
        Feature rows.
    layout : HeadLayout
        Their layout.
    positions : ndarray of int, optional
        Only the heads that stand here.
    columns : ndarray of int, shape (layout.width,), optional
        Where in `rows` the columns of the layout are; the first ones by default.
    """
    wanted = None if positions is None else np.isin(np.arange(layout.n_heads), positions)
    for group in layout.groups:
        kept = slice(None) if wanted is None else wanted[group.positions]
        places, spots = group.positions[kept], group.columns[kept]
        spots = spots if columns is None else columns[spots]
        step = max(1, _BLOCK_VALUES // max(1, len(rows) * group.columns.shape[1]))
        for start in range(0, len(places), step):
            piece = HeadGroup(places[start : start + step], spots[start : start + step])
            yield HeadBlock(piece.positions, _vectors(rows, piece.columns))


def unit_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors of length 1 along the last axis; a zero vector stays zero.

    Examples
    --------
    >>> unit_vectors(np.array([[3e200, 4e200], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    peaks = np.abs(vectors).max(axis=-1, keepdims=True, initial=0.0)
    scaled = vectors * power_of_two_scale(peaks)
    norms = np.sqrt(np.einsum("...d,...d->...", scaled, scaled))[..., None]
    return np.asarray(np.divide(scaled, norms, out=np.zeros_like(scaled), where=norms > 0))


def _vectors(rows: NDArray[np.floating], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    n_heads, head_dim = columns.shape
    flat = columns.ravel()
    # A slice is read faster than a list of columns.
    adjacent = int(flat[-1] - flat[0]) + 1 == len(flat) and bool((np.diff(flat) == 1).all())
    picked = rows[:, flat[0] : flat[-1] + 1] if adjacent else rows[:, flat]
    split = picked.reshape(len(rows), n_heads, head_dim).transpose(1, 0, 2)
    return np.array(split, dtype=np.float64, order="C")


# Which shots are left out together.


def leave_one_out_folds(codes: NDArray[np.intp], seed: int, max_folds: int) -> list[NDArray[np.intp]]:
    """Return which examples each fold leaves out: one of every class that still has one to spare.

    Parameters
    ----------
    codes : ndarray of int, shape (n_examples,)
        Class indices. A class with one example is never left out.
    seed : int
        Decides the order within each class.
    max_folds : int
        Largest number of folds.

    Examples
    --------
    >>> [sorted(fold.tolist()) for fold in leave_one_out_folds(np.array([0, 1, 1]), seed=0, max_folds=5)]
    [[1], [2]]
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
    orders = [rng.permutation(rows) for rows in members if len(rows) > 1]
    n_folds = min(max_folds, max((len(order) for order in orders), default=0))
    return [np.array([order[j] for order in orders if j < len(order)]) for j in range(n_folds)]


def nested_folds(codes: NDArray[np.intp], max_folds: int, seed: int = 0) -> list[NDArray[np.intp]]:
    """Return which shots each fold leaves out; every class keeps at least one shot in every fold.

    Parameters
    ----------
    codes : ndarray of int, shape (n_shots,)
        Class indices.
    max_folds : int
        Largest number of folds, at least 2. A class with fewer shots than that has one left out per fold.
    seed : int, default=0
        Decides which shots go together.

    Examples
    --------
    >>> [len(fold) for fold in nested_folds(np.array([0, 0, 0, 0, 1, 1, 2]), 2)]
    [3, 3]
    """
    single = leave_one_out_folds(codes, seed, int(np.bincount(codes).max()))
    folds = [np.concatenate(single[start::max_folds]) for start in range(min(max_folds, len(single)))]
    return [fold for fold in folds if len(fold)]
