"""One part of a store: an immutable Parquet file, named by its content; how it is written, checked and read.

Columns are fixed-size binary values, one for each row: plain, uncompressed, without nulls, one page each. The
values of a column therefore are the last ``n_rows * width`` bytes of its chunk; they are written from the
memory in which they lie and read from there directly: what Parquet encoders do costs several times as much as
the disk. Their digests stand in the footer, and values are used only after they have been checked. The name
is the sha256 of all other bytes of the file, the footer with the digests among them, so that damage anywhere
shows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.cache._description import (
    KEY_BYTES,
    Column,
    Description,
    Selection,
    compact,
    layer_columns,
    layer_name,
)
from savs.cache._files import crash_point, open_regular, whole_file, write_all
from savs.cache._parquet import MAGIC, Chunk, column_digest, footer, page_header, unpack
from savs.layout import HeadLayout

SUFFIX = ".parquet"
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
_LARGEST_REST = 64 * 2**20
_WRITER = "savs"
_FACTS = b'{"store": "'
_TAIL = 4 + len(MAGIC)
_WORTH_A_THREAD = 2**19
Read = Callable[[Column], NDArray[Any]]


class BadPartError(Exception):
    """A part is damaged or no part of this store; the message says how."""


@dataclass(frozen=True)
class Part:
    """A part that was opened and whose keys were checked.

    Attributes
    ----------
    path : Path
    n_rows, n_bytes : int
    key_bytes : bytes
        The keys of all rows, one after the other.
    starts : mapping of str to int
        Where each column's values begin in the file.
    digests : mapping of str to str
        Of each column's values.
    """

    path: Path
    n_rows: int
    n_bytes: int
    key_bytes: bytes
    starts: Mapping[str, int]
    digests: Mapping[str, str]

    @property
    def keys(self) -> tuple[bytes, ...]:
        """One for each row."""
        return tuple(self.key(row) for row in range(self.n_rows))

    def key(self, row: int) -> bytes:
        """Return the key of a row."""
        return self.key_bytes[KEY_BYTES * row : KEY_BYTES * (row + 1)]

    @property
    def has_states(self) -> bool:
        """Whether it holds final hidden states."""
        return "states" in self.starts

    def read(self, descriptor: int, column: Column, scratch: NDArray[np.uint8] | None = None) -> NDArray[Any]:
        """Return a column's values, shape (n_rows, width), as they are stored.

        Parameters
        ----------
        descriptor : int
            The open file.
        column : Column
        scratch : ndarray of uint8, optional
            Memory to use, at least as long as the column; overwritten by the next read.

        Raises
        ------
        BadPartError
            If they are not what was written.
        """
        n_bytes = self.n_rows * column.n_bytes
        memory = np.empty(n_bytes, np.uint8) if scratch is None else scratch[:n_bytes]
        _read_into(descriptor, memory, self.starts[column.name])
        values = memory.view(column.dtype).reshape(self.n_rows, column.width)
        if column_digest(values) != self.digests[column.name]:
            raise BadPartError(f"the values of column {column.name} were altered")
        return values


def is_part_name(name: str) -> bool:
    """Return whether a file is named like a part."""
    return _NAME.fullmatch(name) is not None


def open_part(path: Path, description: Description) -> Part:
    """Open a part, check that it is one of this store, and read its keys.

    Parameters
    ----------
    path : Path
        Its file.
    description : Description
        The store's; a part of another store is bad.

    Raises
    ------
    BadPartError
        If it is damaged or something else.
    OSError
        If it is gone or may not be read.
    """
    with open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        end = _footer(file.fileno(), n_bytes)
        facts = _facts(end)
        digests = _digests(facts, description)
        chunks, n_rows = _chunks(description, digests, n_bytes - len(end))
        # What no savs wrote is not interpreted: Parquet readers end the whole process on some footers.
        if end != part_footer(chunks, n_rows, facts):
            raise BadPartError("its footer is damaged, or no savs wrote it")
        starts = {chunk.name: chunk.offset + chunk.n_header for chunk in chunks}
        part = Part(path, n_rows, n_bytes, b"", starts, digests)
        keys = part.read(file.fileno(), description.columns["key"]).tobytes()
    return replace(part, key_bytes=keys)


def check_part(part: Part, description: Description) -> None:
    """Read every byte of a part.

    Raises
    ------
    BadPartError
        If it is not what was written.
    OSError
        If it is gone or may not be read.
    """
    rest, end = hashlib.sha256(), 0
    with part.path.open("rb", buffering=0) as file:
        for name, start in part.starts.items():
            rest.update(_bytes_between(file.fileno(), end, start))
            column = description.columns[name]
            part.read(file.fileno(), column)
            end = start + part.n_rows * column.n_bytes
        rest.update(_bytes_between(file.fileno(), end, part.n_bytes))
    if rest.hexdigest() != part.path.stem:
        raise BadPartError("the sha256 of its headers and footer is not its name")


def facts_text(description: Description, digests: Mapping[str, str]) -> str:
    """Return the JSON that savs puts into a footer.

    Parameters
    ----------
    description : Description
    digests : mapping of str to str
        Of each column's values, in the order of the columns.
    """
    return json.dumps({"store": description.id, "dtype": description.dtype, "digests": dict(digests)})


def part_footer(chunks: list[Chunk], n_rows: int, facts: str) -> bytes:
    """Return the footer of a part with these columns and `facts_text`."""
    return footer(chunks, n_rows, {"savs": facts}, _WRITER)


def _footer(descriptor: int, n_bytes: int) -> bytes:
    """Return the end of the file, from the footer on."""
    tail = _bytes_between(descriptor, max(0, n_bytes - _TAIL), n_bytes)
    length = _TAIL + int.from_bytes(tail[: _TAIL - len(MAGIC)], "little")
    if tail[-len(MAGIC) :] != MAGIC or not _TAIL < length <= min(n_bytes, _LARGEST_REST):
        raise BadPartError("it is not a Parquet file, or it was cut short")
    return _bytes_between(descriptor, n_bytes - length, n_bytes)


def _facts(end: bytes) -> str:
    """Return the JSON that savs put into this footer."""
    try:
        text = end[end.index(_FACTS) :].decode("latin-1")
        return text[: json.JSONDecoder().raw_decode(text)[1]]
    except (ValueError, RecursionError):
        raise BadPartError("no savs wrote it, or its metadata is damaged") from None


def _digests(text: str, description: Description) -> dict[str, str]:
    try:
        facts = json.loads(text)
        store, digests = facts["store"], {str(name): str(value) for name, value in facts["digests"].items()}
    except (KeyError, TypeError, AttributeError):
        raise BadPartError("no savs wrote it, or its metadata is damaged") from None
    if store != description.id:
        raise BadPartError("it belongs to another store")
    if text != facts_text(description, digests):
        raise BadPartError("no savs wrote it, or its metadata is damaged")
    return digests


def _chunks(description: Description, digests: Mapping[str, str], n_bytes: int) -> tuple[list[Chunk], int]:
    """Return where the columns are in a part whose footer begins at `n_bytes`, and the number of rows."""
    wanted = list(description.columns)
    names = list(digests)
    if names not in (wanted, [name for name in wanted if name != "states"]):
        raise BadPartError("its columns are not those of this store")
    widths = [description.columns[name].n_bytes for name in names]
    # Headers are a few bytes each: the first guess is too high by their share, if at all.
    for n_rows in range(n_bytes // sum(widths), 0, -1):
        chunks, offset = [], len(MAGIC)
        for name, width in zip(names, widths, strict=True):
            header = len(page_header(n_rows, n_rows * width))
            chunks.append(Chunk(name, width, offset, header))
            offset += header + n_rows * width
        if offset == n_bytes:
            return chunks, n_rows
        if offset < n_bytes:
            break
    raise BadPartError("its length is not that of whole rows")


def _bytes_between(descriptor: int, start: int, stop: int) -> bytes:
    # Between columns there are page headers only; what lies further apart no savs wrote.
    if not 0 <= stop - start <= _LARGEST_REST:
        raise BadPartError("its columns do not follow each other")
    memory = np.empty(stop - start, np.uint8)
    _read_into(descriptor, memory, start)
    return memory.tobytes()


def _read_into(descriptor: int, memory: NDArray[np.uint8], offset: int) -> None:
    left = memory.data
    while left:
        count = os.preadv(descriptor, [left], offset)
        if count == 0:
            raise BadPartError("it was cut short")
        left, offset = left[count:], offset + count


def write_part(folder: Path, description: Description, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Write a part and return its path, when it is durable.

    Parameters
    ----------
    folder : Path
    description : Description
    columns : mapping of str to ndarray
        Arrays of shape (n_rows, width) by column name, in the stored dtype: all columns of the description,
        ``states`` only if these rows have them.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it.
    """
    specs = [spec for name, spec in description.columns.items() if name in columns]
    with whole_file(folder) as (descriptor, finish):
        rest = hashlib.sha256()
        for piece, is_value in _pieces(description, specs, columns):
            if not is_value:
                rest.update(piece)
            write_all(descriptor, piece)
        crash_point("encoded")
        return finish(rest.hexdigest() + SUFFIX)


def _pieces(
    description: Description, specs: list[Column], columns: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[bytes | memoryview, bool]]:
    """Yield the bytes of a part in order, and whether they are values."""
    n_rows = len(columns["key"])
    chunks: list[Chunk] = []
    digests: dict[str, str] = {}
    offset = len(MAGIC)
    yield MAGIC, False
    for spec, (values, digests[spec.name]) in zip(specs, _digested(specs, columns), strict=True):
        header = page_header(n_rows, values.nbytes)
        yield header, False
        yield values.reshape(-1).view(np.uint8).data, True
        chunks.append(Chunk(spec.name, spec.n_bytes, offset, len(header)))
        offset += len(header) + values.nbytes
    yield part_footer(chunks, n_rows, facts_text(description, digests)), False


def _digested(specs: list[Column], columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[NDArray[Any], str]]:
    """Yield each column's values without gaps, valid until the next, and their digest."""
    # One column at a time goes through memory that stays in the processor's cache.
    widest = max(len(columns[spec.name]) * spec.n_bytes for spec in specs)
    memories = np.empty((2, widest), np.uint8)

    def prepare(number: int) -> tuple[NDArray[Any], str]:
        spec = specs[number]
        values = _gathered(columns[spec.name], spec, memories[number % 2])
        return values, column_digest(values)

    if widest < _WORTH_A_THREAD:
        yield from map(prepare, range(len(specs)))
        return
    # While one column is written, another thread makes the next one ready.
    with ThreadPoolExecutor(1, thread_name_prefix="savs-store-write") as pool:
        ahead = pool.submit(prepare, 0)
        for number in range(len(specs)):
            ready = ahead.result()
            if number + 1 < len(specs):
                ahead = pool.submit(prepare, number + 1)
            yield ready


def _gathered(values: NDArray[Any], spec: Column, scratch: NDArray[np.uint8]) -> NDArray[Any]:
    """Return values without gaps, in `scratch` if they have any."""
    if values.flags.c_contiguous:
        return values
    whole = scratch[: len(values) * spec.n_bytes].view(spec.dtype).reshape(values.shape)
    whole[...] = values
    return whole


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
