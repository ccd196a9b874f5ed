"""`FeatureStore`: feature rows on disk, so that no forward pass is paid twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._posix import require_posix
from savs._reprs import short_repr
from savs.cache._canaries import Canaries
from savs.cache._description import FILE_NAME, KEY_BYTES, Description, read_description, write_description
from savs.cache._files import locked, remove_stale
from savs.cache._parquet import LARGEST_PAGE
from savs.cache._part_catalog import PARTS, BadPart, PartCatalog, check_folder, fetch, is_folder
from savs.cache._parts import Job
from savs.cache._pruning import Pruned, prune
from savs.cache._writing import LOCK, Writer, unwritable
from savs.errors import StoreError
from savs.layout import HeadLayout

if TYPE_CHECKING:
    from typing import Self

__all__ = ["FeatureStore", "StoredRows"]

_PART_ROWS, _PART_BYTES = 256, 128 * 2**20
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

    def __repr__(self) -> str:
        return short_repr(self)


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
    canaries : savs.cache._canaries.Canaries
        Which code computed the rows.
    """

    def __init__(
        self,
        folder: Path,
        description: Description,
        *,
        on_full: Literal["warn", "raise"] = "warn",
        part_rows: int | None = None,
    ) -> None:
        require_posix("a feature store")
        if on_full not in {"warn", "raise"}:
            raise ValueError(f"on_full is 'warn' or 'raise', not {on_full!r}")
        most = min(_MOST_PART_ROWS, LARGEST_PAGE // max(c.n_bytes for c in description.columns.values()))
        if part_rows is not None and not 1 <= part_rows <= most:
            raise ValueError(f"part_rows must be from 1 to {most}, not {part_rows}")
        self.folder = folder
        self.description = description
        self.part_rows = part_rows or max(1, min(_PART_ROWS, _PART_BYTES // description.row_bytes))
        self.canaries = Canaries(folder, description)
        self._shelf = PartCatalog(folder, description)
        self._writer = Writer(folder, description, self._shelf, self.part_rows, on_full)

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
            What decides the vectors; `savs.cache._keys.store_identity` takes it from a backbone.
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
            it cannot be created.
        ValueError
            If an option is none of those above.
        """
        path = Path(folder)
        asked = Description(dict(fingerprint), layout, dtype, states_width)
        store = cls(path, asked, on_full=on_full, part_rows=part_rows)
        check_folder(path)
        failure: OSError | None = None
        try:
            (path / PARTS).mkdir(parents=True, exist_ok=True)
            if read_description(path) is None:
                write_description(path, asked)
        except OSError as error:
            failure = error
        there = read_description(path)
        if there is not None and there.id != asked.id:
            # The same backbone, recorded by other libraries: parts carry what was recorded.
            there.check_same(asked, path)
            store = cls(path, there, on_full=on_full, part_rows=part_rows)
        if failure is not None:
            store._writer.cannot_write(failure)
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
        description = read_description(self.folder)
        if description is not None:
            description.check_same(self.description, self.folder)
        parts = self.folder / PARTS
        if parts.exists() and not parts.is_dir():
            raise StoreError(f"cannot read {parts}: it is not a folder")
        remove_stale(self.folder)
        remove_stale(parts)
        self._shelf.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    @property
    def caching(self) -> bool:
        """False once the store could not be written and the run goes on without it."""
        return self._writer.caching

    @property
    def space(self) -> int:
        """How many more rows the part that is being filled takes."""
        return self._writer.space

    @property
    def waiting_seconds(self) -> float:
        """How long the oldest row that is not written yet has been waiting; 0 if there is none."""
        return self._writer.waiting_seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, {len(self)} rows, {self.description.layout!r})"

    def __len__(self) -> int:
        """Return the number of keys in parts; rows that are not written yet do not count."""
        return len(self._shelf.places)

    def keys(self) -> list[bytes]:
        """Return the keys of all rows in parts, each once, in the order in which parts are read fastest."""
        self._shelf.refresh()
        parts = sorted(self._shelf.parts.values(), key=lambda part: part.path.name)
        return list(dict.fromkeys(key for part in parts for key in part.keys))

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
        return [key for key in wanted if not self._writer.has(key, states)]

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
        self._writer.fill(job)
        fetch(self._shelf, job)
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
        self._writer.take(rows, features, states)

    def flush(self) -> None:
        """Write the rows that are waiting as one part.

        Raises
        ------
        StoreError
            If it cannot be written and ``on_full="raise"``; the rows are still waiting then.
        """
        self._writer.flush()

    def info(self) -> dict[str, Any]:
        """Return what the store holds.

        Returns
        -------
        dict
            ``rows`` (different keys), ``parts``, ``bytes`` (of the parts), ``layers``, ``fingerprint``,
            ``dtype``, ``states_width``, ``duplicates`` (rows that stand elsewhere too), ``quarantined``
            (damaged parts) and ``environments`` (versions, attention kernel, device and dtype whose vectors
            these are).
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
            "environments": self.canaries.environments(),
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
            raise unwritable(self.folder, error) from error

    def _check_states(self) -> int:
        """Return the width of final hidden states; `ValueError` if the store has none."""
        if self.description.states_width is None:
            raise ValueError("the store holds no final hidden states: open it with states_width")
        return self.description.states_width


def _checked(keys: Sequence[bytes]) -> list[bytes]:
    for index, key in enumerate(keys):
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise ValueError(f"key {index} is not a sha256 digest of {KEY_BYTES} bytes")
    return list(keys)


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, int]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {values.shape}")
