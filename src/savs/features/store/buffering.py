"""Rows on their way into a part: kept by column, so that a part is written as it lies in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.features.store.description import KEY_BYTES, Description

__all__ = ["Buffer", "as_key_column"]


class Buffer:
    """Rows of one part to be.

    Parameters
    ----------
    description : Description
    capacity : int
        Rows of a full part.
    with_states : bool
        Whether the rows have final hidden states.

    Attributes
    ----------
    rows : dict of bytes to int
        The row of each key.
    """

    def __init__(self, description: Description, capacity: int, with_states: bool) -> None:
        self.capacity = capacity
        self.with_states = with_states
        self.rows: dict[bytes, int] = {}
        self._columns = {
            column.name: np.empty((capacity, column.width), column.dtype)
            for column in description.columns.values()
            if with_states or column.name != "states"
        }

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def space(self) -> int:
        """How many more rows fit."""
        return self.capacity - len(self.rows)

    def add(self, keys: Sequence[bytes], columns: Mapping[str, NDArray[Any]]) -> None:
        """Take rows in, as they are stored: keys that are not here yet, at most `space` of them."""
        start, stop = len(self.rows), len(self.rows) + len(keys)
        self._columns["key"][start:stop] = as_key_column(keys)
        for name, values in columns.items():
            self._columns[name][start:stop] = values
        self.rows.update(zip(keys, range(start, stop), strict=True))

    def column(self, name: str) -> NDArray[Any]:
        """Return a column's values of all rows, shape (n_rows, width)."""
        return self._columns[name][: len(self.rows)]

    def columns(self, without: set[bytes]) -> dict[str, NDArray[Any]]:
        """Return all columns by name, less the rows of the given keys; empty if no row is left."""
        kept = [row for key, row in self.rows.items() if key not in without]
        if len(kept) == len(self.rows):
            return {name: self.column(name) for name in self._columns}
        return {name: self.column(name)[kept] for name in self._columns} if kept else {}

    def clear(self) -> None:
        """Forget all rows."""
        self.rows.clear()


def as_key_column(keys: Sequence[bytes]) -> NDArray[np.uint8]:
    """Return keys as an array of shape (n_keys, 32)."""
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), KEY_BYTES)
