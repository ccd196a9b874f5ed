"""`FeatureStore`: feature rows on disk, so that no forward pass is paid twice."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.errors import StoreError
from savs.features.layout import HeadLayout
from savs.features.store.buffering import Buffer, as_key_column
from savs.features.store.description import (
    FILE_NAME,
    KEY_BYTES,
    Description,
    compact,
    layer_name,
    read_description,
    write_description,
)
from savs.features.store.files import locked, remove_stale
from savs.features.store.numbers import pack
from savs.features.store.parquet import LARGEST_PAGE
from savs.features.store.parts import BadPartError, Part, write_part
from savs.features.store.pruning import Pruned, prune
from savs.features.store.reading import Job
from savs.features.store.shelf import PARTS, BadPart, Shelf, StoreWarning, check_folder, is_folder

if TYPE_CHECKING:
    from typing import Self

__all__ = ["FeatureStore", "StoredRows"]

LOCK = ".lock"
_PART_ROWS, _PART_BYTES = 256, 128 * 2**20
_THREADS, _WORTH_THREADS = 4, 16 * 2**20
_MOST_PART_ROWS = 2**14


class StoredRows(NamedTuple):
    """Rows of a store.

    Attributes
    ----------
    features : ndarray of float32, shape (n_keys, width)
        One row for each key, NaN where it was not found.
    found : ndarray of bool, shape (n_keys,)
        Which keys the store has.
    states : ndarray of float32, shape (n_keys, states_width), or None
        Final hidden states, if they were asked for.
    """

    features: NDArray[np.float32]
    found: NDArray[np.bool_]
    states: NDArray[np.float32] | None


class FeatureStore:
    """Feature rows by key, in a folder of immutable Parquet parts; see `open` and `existing`.

    Any number of processes may read, append and prune at once. One object belongs to one thread. As a context
    manager it writes what is left at the end, also after an exception.

    Attributes
    ----------
    folder : Path
    description : Description
        Whose features these are, of which heads, in which dtype.
    part_rows : int
        Rows of a full part: what a killed process computes again at most.
    caching : bool
        False once the store could not be written and the run goes on without it.
    """

    def __init__(
        self,
        folder: Path,
        description: Description,
        *,
        on_full: Literal["warn", "raise"] = "warn",
        part_rows: int | None = None,
    ) -> None:
        if on_full not in {"warn", "raise"}:
            raise ValueError(f"on_full is 'warn' or 'raise', not {on_full!r}")
        most = min(_MOST_PART_ROWS, LARGEST_PAGE // max(c.n_bytes for c in description.columns.values()))
        if part_rows is not None and not 1 <= part_rows <= most:
            raise ValueError(f"part_rows must be from 1 to {most}, not {part_rows}")
        self.folder = folder
        self.description = description
        self.part_rows = part_rows or max(1, min(_PART_ROWS, _PART_BYTES // description.row_bytes))
        self.caching = True
        self._on_full = on_full
        self._shelf = Shelf(folder, description)
        self._buffer: Buffer | None = None
        self._since = 0.0

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        fingerprint: Mapping[str, Any],
        layout: HeadLayout,
        *,
        dtype: str = "float32",
        states_width: int | None = None,
        on_full: Literal["warn", "raise"] = "warn",
        part_rows: int | None = None,
    ) -> Self:
        """Open a store, or begin one.

        Parameters
        ----------
        folder : path
            Made if it is not there.
        fingerprint : mapping of str to JSON value
            What decides the vectors; `savs.backbones.keys.store_identity` takes it from a backbone.
        layout : HeadLayout
            All heads of the backbone.
        dtype : {"float32", "float16", "bfloat16"}
            In which values are kept. Rows are refused, not rounded, if it cannot hold them.
        states_width : int, optional
            Width of the final hidden states, if the store may hold them.
        on_full : {"warn", "raise"}
            If the store cannot be written: warn once and go on without it, or stop with `StoreError`.
        part_rows : int, optional
            Rows of a full part; by default 256, fewer if that is more than 128 MiB.

        Raises
        ------
        StoreMismatchError
            If the folder holds features of another fingerprint, layout or dtype.
        StoreError
            If the folder holds something else or its ``store.json`` is damaged, or, with ``on_full="raise"``,
            it cannot be made.
        ValueError
            If an option is none of those above.
        """
        path = Path(folder)
        store = cls(
            path,
            Description(dict(fingerprint), layout, dtype, states_width),
            on_full=on_full,
            part_rows=part_rows,
        )
        check_folder(path)
        try:
            (path / PARTS).mkdir(parents=True, exist_ok=True)
            if read_description(path) is None:
                write_description(path, store.description)
        except OSError as error:
            store._cannot_write(error)
        store._begin()
        return store

    @classmethod
    def existing(cls, folder: str | os.PathLike[str]) -> Self:
        """Open a store that is there, whatever backbone it belongs to.

        Raises
        ------
        StoreError
            If there is none or its ``store.json`` is damaged.
        """
        path = Path(folder)
        description = read_description(path) if is_folder(path) else None
        if description is None:
            raise StoreError(f"{path} is not a feature store: expected a folder with {FILE_NAME}")
        store = cls(path, description, on_full="raise")
        store._begin()
        return store

    def _begin(self) -> None:
        found = read_description(self.folder)
        if found is not None:
            found.check_same(self.description, self.folder)
        remove_stale(self.folder)
        remove_stale(self.folder / PARTS)
        self._shelf.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    @property
    def space(self) -> int:
        """How many more rows the part that is being filled takes."""
        return self.part_rows if self._buffer is None else self._buffer.space

    @property
    def waiting_seconds(self) -> float:
        """How long the oldest row that is not written yet has been waiting; 0 if there is none."""
        waits = self._buffer is not None and len(self._buffer)
        return time.monotonic() - self._since if waits else 0.0

    def __len__(self) -> int:
        """Return the number of keys in parts; rows that are not written yet do not count."""
        return len(self._shelf.places)

    def missing(self, keys: Sequence[bytes], *, states: bool = False) -> list[bytes]:
        """Return the keys that the store does not have, each once, in their order.

        Parameters
        ----------
        keys : sequence of bytes
            sha256 digests, 32 bytes each.
        states : bool, default=False
            Whether a row without a final hidden state counts as missing.
        """
        self._shelf.refresh()
        wanted = dict.fromkeys(_checked(keys))
        return [key for key in wanted if not self._has(key, states)]

    def get(
        self,
        keys: Sequence[bytes],
        heads: Sequence[tuple[int, int]] | None = None,
        *,
        states: bool = False,
    ) -> StoredRows:
        """Return the rows of keys; only the layers of the wanted heads are read.

        A part that turns out to be damaged is set aside with a `StoreWarning`, and its keys are not found.

        Parameters
        ----------
        keys : sequence of bytes
            sha256 digests, 32 bytes each; the same one may stand several times.
        heads : sequence of (layer, index), optional
            The heads wanted, in this order; all by default.
        states : bool, default=False
            Return the final hidden states too; a row without one is not found.

        Returns
        -------
        StoredRows
            ``features, found, states``: one row for each key.

        Raises
        ------
        KeyError
            If there is no such head.
        ValueError
            If a key is not 32 bytes, or states are wanted from a store without them.
        """
        if states:
            self._check_states()
        layout = self.description.layout if heads is None else self.description.layout.select(heads)
        job = Job(self.description, _checked(keys), layout, states)
        self._shelf.refresh()
        self._from_buffer(job)
        while places := self._places(job):
            self._from_parts(places, job)
        job.finish()
        return StoredRows(job.features, job.found, job.states)

    def append(
        self,
        keys: Sequence[bytes],
        features: NDArray[Any],
        states: NDArray[Any] | None = None,
    ) -> None:
        """Take rows in; they are written when they fill a part, by `flush`, and when a ``with`` block ends.

        Parameters
        ----------
        keys : sequence of bytes
            sha256 digests, 32 bytes each. Keys that the store has already are passed over.
        features : ndarray of float32, shape (n_keys, width)
            Rows of all heads; also float16 for a store of float16 or float32, or uint16 bits for one of
            bfloat16.
        states : ndarray, shape (n_keys, states_width), optional
            Final hidden states.

        Raises
        ------
        ValueError
            If a shape is wrong, a key is not 32 bytes, or the store's dtype cannot hold a value exactly.
        TypeError
            If the values are of another type.
        StoreError
            If a part cannot be written and ``on_full="raise"``.
        """
        rows, features = _checked(keys), np.asarray(features)
        _check_shape("features", features, (len(rows), self.description.layout.width))
        if states is not None:
            states = np.asarray(states)
            _check_shape("states", states, (len(rows), self._check_states()))
        new = self._new(rows, states is not None)
        while new and self.caching:
            buffer = self._buffer_for(states is not None)
            batch, new = new[: buffer.space], new[buffer.space :]
            taken = compact(np.asarray(batch, dtype=np.intp))
            columns = self._packed(features[taken], None if states is None else states[taken])
            batch_keys = [rows[index] for index in batch]
            if len(batch) == self.part_rows and self._written(batch_keys, columns):
                continue
            if not len(buffer):
                self._since = time.monotonic()
            buffer.add(batch_keys, columns)
            if not buffer.space:
                self.flush()

    def flush(self) -> None:
        """Write the rows that are waiting as one part.

        Raises
        ------
        StoreError
            If it cannot be written and ``on_full="raise"``; the rows are still waiting then.
        """
        buffer = self._buffer
        if buffer is None or not len(buffer):
            return
        try:
            with locked(self.folder / LOCK):
                self._shelf.refresh()
                present = {key for key in buffer.rows if self._stored(key, buffer.with_states)}
                columns = buffer.columns(present)
                if columns:
                    self._shelf.take_in(write_part(self._shelf.folder, self.description, columns))
        except OSError as error:
            self._cannot_write(error)
        buffer.clear()

    def _written(self, keys: list[bytes], columns: Mapping[str, NDArray[Any]]) -> bool:
        """Write rows that fill a part from where they lie; False if they must go through the buffer."""
        try:
            with locked(self.folder / LOCK):
                self._shelf.refresh()
                if any(self._stored(key, "states" in columns) for key in keys):
                    return False
                whole = {"key": as_key_column(keys), **columns}
                self._shelf.take_in(write_part(self._shelf.folder, self.description, whole))
        except OSError:
            # The buffer keeps them, tries once more and says why it cannot.
            return False
        return True

    def info(self) -> dict[str, Any]:
        """Return what the store holds.

        Returns
        -------
        dict
            ``rows`` (different keys), ``parts``, ``bytes`` (of the parts), ``layers``, ``fingerprint``,
            ``dtype``, ``states_width``, ``duplicates`` (rows that stand elsewhere too) and ``quarantined``
            (damaged parts).
        """
        self._shelf.refresh()
        parts = self._shelf.parts.values()
        return {
            "rows": len(self),
            "parts": len(parts),
            "bytes": sum(part.n_bytes for part in parts),
            "layers": len(self.description.layers),
            "fingerprint": dict(self.description.fingerprint),
            "dtype": self.description.dtype,
            "states_width": self.description.states_width,
            "duplicates": sum(part.n_rows for part in parts) - len(self),
            "quarantined": len(self._shelf.quarantined()),
        }

    def verify(self, advance: Callable[[int], object] = lambda _n_bytes: None) -> list[BadPart]:
        """Read every byte of every part, set damaged ones aside, and return all that this object has found.

        Parameters
        ----------
        advance : callable
            Told the number of bytes after each part.
        """
        self._shelf.verify(advance)
        return list(self._shelf.bad)

    def prune(self) -> Pruned:
        """Take out duplicates, put small parts together, delete damaged parts and what killed processes left.

        Raises
        ------
        StoreError
            If the store cannot be written; no row is lost.
        """
        self.flush()
        try:
            with locked(self.folder / LOCK):
                return prune(self._shelf, self.part_rows)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _stored(self, key: bytes, states: bool) -> bool:
        place = self._shelf.places.get(key)
        return place is not None and (place[0].has_states or not states)

    def _has(self, key: bytes, states: bool) -> bool:
        buffer = self._buffer
        waiting = buffer is not None and key in buffer.rows and (buffer.with_states or not states)
        return waiting or self._stored(key, states)

    def _new(self, keys: Sequence[bytes], states: bool) -> list[int]:
        """Return the positions of the keys that the store does not have, each once."""
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        return sorted(index for key, index in first.items() if not self._has(key, states))

    def _buffer_for(self, states: bool) -> Buffer:
        if self._buffer is not None and self._buffer.with_states is not states:
            self.flush()
            self._buffer = None
        if self._buffer is None:
            self._buffer = Buffer(self.description, self.part_rows, states)
        return self._buffer

    def _packed(self, features: NDArray[Any], states: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
        packed = pack(features, self.description.dtype)
        columns = {layer_name(layer): packed[:, compact(of)] for layer, of in self.description.layers.items()}
        if states is not None:
            columns["states"] = pack(states, self.description.dtype)
        return columns

    def _places(self, job: Job) -> list[tuple[Part, list[tuple[int, int]]]]:
        """Return, part by part, the (row, position) pairs that are left to read."""
        grouped: dict[str, tuple[Part, list[tuple[int, int]]]] = {}
        for position in np.flatnonzero(~job.found):
            place = self._shelf.places.get(job.keys[position])
            if place is not None and (job.states is None or place[0].has_states):
                part, row = place
                grouped.setdefault(part.path.name, (part, []))[1].append((row, int(position)))
        return list(grouped.values())

    def _from_parts(self, places: list[tuple[Part, list[tuple[int, int]]]], job: Job) -> None:
        """Read rows of parts, several at a time; one that cannot be read is out of the index afterwards."""
        most = _THREADS if job.n_bytes > _WORTH_THREADS else 1
        n_threads = min(len(places), os.cpu_count() or 1, most)
        if n_threads == 1:
            errors = [_read_part(part, pairs, job) for part, pairs in places]
        else:
            with ThreadPoolExecutor(n_threads, thread_name_prefix="savs-store-read") as pool:
                errors = list(pool.map(lambda place: _read_part(place[0], place[1], job), places))
        for (part, _), error in zip(places, errors, strict=True):
            self._note(part, error)

    def _note(self, part: Part, error: BadPartError | OSError | None) -> None:
        if isinstance(error, BadPartError):
            self._shelf.set_aside(part.path.name, str(error))
        elif isinstance(error, FileNotFoundError):
            # Pruned by another process: the rows are in a new part.
            self._shelf.forget([part.path.name])
            self._shelf.refresh()
        elif error is not None:
            self._shelf.ignore(part.path.name, f"it cannot be read: {error.strerror or error}")

    def _from_buffer(self, job: Job) -> None:
        buffer = self._buffer
        if buffer is None or (job.states is not None and not buffer.with_states):
            return
        pairs = [(buffer.rows[key], index) for index, key in enumerate(job.keys) if key in buffer.rows]
        if pairs:
            job.fill(pairs, lambda column: buffer.column(column.name))

    def _check_states(self) -> int:
        """Return the width of final hidden states; `ValueError` if the store has none."""
        if self.description.states_width is None:
            raise ValueError("the store holds no final hidden states: open it with states_width")
        return self.description.states_width

    def _cannot_write(self, error: OSError) -> None:
        if self._on_full == "raise":
            raise _unwritable(self.folder, error) from error
        if self.caching:
            self.caching = False
            warnings.warn(
                f"{_unwritable(self.folder, error)}; the run goes on and keeps no more features",
                StoreWarning,
                stacklevel=3,
            )


def _read_part(part: Part, pairs: list[tuple[int, int]], job: Job) -> BadPartError | OSError | None:
    """Read rows of a part and return why they cannot be read, if so."""
    try:
        with part.path.open("rb", buffering=0) as file:
            scratch = np.empty(part.n_rows * job.widest, np.uint8)
            job.fill(pairs, lambda column: part.read(file.fileno(), column, scratch))
    except (BadPartError, OSError) as error:
        return error
    return None


def _checked(keys: Sequence[bytes]) -> list[bytes]:
    for index, key in enumerate(keys):
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise ValueError(f"key {index} is not a sha256 digest of {KEY_BYTES} bytes")
    return list(keys)


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, int]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {values.shape}")


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write the feature store {folder}: {error.strerror or error}")
