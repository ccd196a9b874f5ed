"""Which columns of a part a reader needs, and where their values go in its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.features.layout import HeadLayout
from savs.features.store.description import (
    Column,
    Description,
    Selection,
    compact,
    layer_columns,
    layer_name,
)
from savs.features.store.numbers import unpack

__all__ = ["Job"]

Read = Callable[[Column], NDArray[Any]]


@dataclass(frozen=True)
class _Copy:
    """Values `source` of a stored column go to columns `target` of an array."""

    column: Column
    source: Selection
    target: Selection
    out: NDArray[np.float32]


class Job:
    """Rows that a reader wants.

    Parameters
    ----------
    description : Description
        The store's.
    keys : list of bytes
    wanted : HeadLayout
        The heads to read.
    states : bool
        Whether to read the final hidden states too.

    Attributes
    ----------
    features : ndarray of float32, shape (n_keys, width)
    states : ndarray of float32, shape (n_keys, states_width), or None
    found : ndarray of bool, shape (n_keys,)
        The rows that are there; the others hold anything.
    """

    def __init__(self, description: Description, keys: list[bytes], wanted: HeadLayout, states: bool) -> None:
        self.keys = keys
        self.features = np.empty((len(keys), wanted.width), np.float32)
        self.found = np.zeros(len(keys), bool)
        self.states: NDArray[np.float32] | None = None
        self._dtype = description.dtype
        self._copies = list(_needed(description, wanted, self.features))
        if states:
            column = description.columns["states"]
            self.states = np.empty((len(keys), column.width), np.float32)
            whole = slice(0, column.width)
            self._copies.append(_Copy(column, whole, whole, self.states))

    @property
    def n_bytes(self) -> int:
        """Bytes that all wanted rows take."""
        return self.features.nbytes + (0 if self.states is None else self.states.nbytes)

    @property
    def widest(self) -> int:
        """Bytes that a row of the widest column takes."""
        return max(copy.column.n_bytes for copy in self._copies)

    def fill(self, pairs: Sequence[tuple[int, int]], read: Read) -> None:
        """Read rows, and mark them as found when all their columns are there.

        Parameters
        ----------
        pairs : sequence of (row, position)
            Which stored rows, and where they go.
        read : callable
            Returns all rows of a stored column, shape (n_rows, width), valid until it is called again.
        """
        which = compact(np.asarray([row for row, _ in pairs], dtype=np.intp))
        positions = compact(np.asarray([position for _, position in pairs], dtype=np.intp))
        for copy in self._copies:
            self._put(read(copy.column)[which][:, copy.source], positions, copy)
        self.found[positions] = True

    def _put(self, values: NDArray[Any], positions: Selection, copy: _Copy) -> None:
        if isinstance(positions, slice) and isinstance(copy.target, slice):
            unpack(values, self._dtype, copy.out[positions, copy.target])
            return
        wide = np.empty(values.shape, np.float32)
        unpack(values, self._dtype, wide)
        at, columns = (np.arange(n)[s] for n, s in zip(copy.out.shape, (positions, copy.target), strict=True))
        copy.out[np.ix_(at, columns)] = wide

    def finish(self) -> None:
        """Put NaN where nothing was found."""
        for values in (self.features, self.states):
            if values is not None:
                values[~self.found] = np.nan


def _needed(description: Description, wanted: HeadLayout, out: NDArray[np.float32]) -> list[_Copy]:
    """Return what must be copied for rows of the wanted heads: only the layers in which they are."""
    within = np.empty(description.layout.width, np.intp)
    for columns in description.layers.values():
        within[columns] = np.arange(len(columns))
    stored = description.layout.column_indices(wanted.heads)
    return [
        _Copy(description.columns[layer_name(layer)], compact(within[stored[target]]), compact(target), out)
        for layer, target in layer_columns(wanted).items()
    ]
