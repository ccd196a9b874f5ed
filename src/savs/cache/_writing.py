"""Rows on their way into parts: packed, gathered by column, written under the store's lock."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from savs.cache._description import KEY_BYTES, Description, compact, layer_name
from savs.cache._files import locked
from savs.cache._parquet import pack
from savs.cache._part_catalog import PartCatalog, StoreWarning
from savs.cache._parts import Job, write_part
from savs.errors import StoreError

LOCK = ".lock"


class Writer:
    """Takes rows in and writes them as whole parts.

    Parameters
    ----------
    folder : Path
        The store's.
    description : Description
    catalog : PartCatalog
        Told of every part that is written.
    part_rows : int
        Rows of a full part.
    on_full : {"warn", "raise"}
        What to do if the store cannot be written.

    Attributes
    ----------
    caching : bool
        False once the store could not be written and the run goes on without it.
    """

    def __init__(
        self,
        folder: Path,
        description: Description,
        catalog: PartCatalog,
        part_rows: int,
        on_full: Literal["warn", "raise"],
    ) -> None:
        self.caching = True
        self._folder, self._description, self._catalog = folder, description, catalog
        self._part_rows, self._on_full = part_rows, on_full
        self._buffer: Buffer | None = None
        self._since = 0.0

    @property
    def space(self) -> int:
        """How many more rows the part that is being filled takes."""
        return self._part_rows if self._buffer is None else self._buffer.space

    @property
    def waiting_seconds(self) -> float:
        """How long the oldest row that is not written yet has been waiting; 0 if there is none."""
        waits = self._buffer is not None and len(self._buffer)
        return time.monotonic() - self._since if waits else 0.0

    def take(self, keys: Sequence[bytes], features: NDArray[Any], states: NDArray[Any] | None) -> None:
        """Take in the rows that the store does not have; as `FeatureStore.append`, with shapes that fit.

        Parameters
        ----------
        keys : sequence of bytes
            One for each row.
        features : ndarray of float32, shape (n_rows, width)
            Head vectors.
        states : ndarray of float32, shape (n_rows, states_width), or None
            Final hidden states.
        """
        new = self._new(keys, states is not None)
        while new and self.caching:
            buffer = self._buffer_for(states is not None)
            batch, new = new[: buffer.space], new[buffer.space :]
            selection = compact(np.asarray(batch, dtype=np.intp))
            columns = self._packed(features[selection], None if states is None else states[selection])
            batch_keys = [keys[index] for index in batch]
            if len(batch) == self._part_rows and self._written(batch_keys, columns):
                continue
            if not len(buffer):
                self._since = time.monotonic()
            buffer.add(batch_keys, columns)
            if not buffer.space:
                self.flush()

    def flush(self) -> None:
        """Write the rows that are waiting as one part; as `FeatureStore.flush`."""
        buffer = self._buffer
        if buffer is None or not len(buffer):
            return
        try:
            with locked(self._folder / LOCK):
                self._catalog.refresh()
                present = {key for key in buffer.rows if self._stored(key, buffer.with_states)}
                columns = buffer.columns(present)
                if columns:
                    self._catalog.take_in(write_part(self._catalog.folder, self._description, columns))
        except OSError as error:
            self.cannot_write(error)
        buffer.clear()

    def _written(self, keys: list[bytes], columns: Mapping[str, NDArray[Any]]) -> bool:
        """Write rows that fill a part from where they lie; False if they must go through the buffer."""
        try:
            with locked(self._folder / LOCK):
                self._catalog.refresh()
                if any(self._stored(key, "states" in columns) for key in keys):
                    return False
                whole = {"key": as_key_column(keys), **columns}
                self._catalog.take_in(write_part(self._catalog.folder, self._description, whole))
        except OSError:
            # The buffer keeps them, tries once more and says why it cannot.
            return False
        return True

    def _stored(self, key: bytes, states: bool) -> bool:
        place = self._catalog.places.get(key)
        return place is not None and (place[0].has_states or not states)

    def has(self, key: bytes, states: bool) -> bool:
        """Return whether a row is in a part, or waits to be written."""
        buffer = self._buffer
        waiting = buffer is not None and key in buffer.rows and (buffer.with_states or not states)
        return waiting or self._stored(key, states)

    def _new(self, keys: Sequence[bytes], states: bool) -> list[int]:
        """Return the positions of the keys that the store does not have, each once."""
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        return sorted(index for key, index in first.items() if not self.has(key, states))

    def _buffer_for(self, states: bool) -> Buffer:
        if self._buffer is not None and self._buffer.with_states is not states:
            self.flush()
            self._buffer = None
        if self._buffer is None:
            self._buffer = Buffer(self._description, self._part_rows, states)
        return self._buffer

    def _packed(self, features: NDArray[Any], states: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
        packed = pack(features, self._description.dtype)
        columns = {
            layer_name(layer): packed[:, compact(of)] for layer, of in self._description.layers.items()
        }
        if states is not None:
            columns["states"] = pack(states, self._description.dtype)
        return columns

    def fill(self, job: Job) -> None:
        """Give a job the rows that wait to be written."""
        buffer = self._buffer
        if buffer is None or (job.states is not None and not buffer.with_states):
            return
        pairs = [(buffer.rows[key], index) for index, key in enumerate(job.keys) if key in buffer.rows]
        if pairs:
            job.fill(pairs, lambda column: buffer.column(column.name))

    def cannot_write(self, error: OSError) -> None:
        """Warn once and stop keeping rows, or raise `StoreError`."""
        if self._on_full == "raise":
            raise unwritable(self._folder, error) from error
        if self.caching:
            self.caching = False
            warnings.warn(
                f"{unwritable(self._folder, error)}; the run goes on and keeps no more features",
                StoreWarning,
                stacklevel=4,
            )


def unwritable(folder: Path, error: OSError) -> StoreError:
    """Return the error for a store that cannot be written."""
    return StoreError(f"cannot write the feature store {folder}: {error.strerror or error}")


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
