"""One part of a store: an immutable Parquet file, named by its content.

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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.features.store.description import KEY_BYTES, Column, Description
from savs.features.store.digests import column_digest
from savs.features.store.files import open_regular
from savs.features.store.parquet import MAGIC, Chunk, footer, page_header

__all__ = [
    "SUFFIX",
    "BadPartError",
    "Part",
    "check_part",
    "facts_text",
    "is_part_name",
    "open_part",
    "part_footer",
]

SUFFIX = ".parquet"
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
_LARGEST_REST = 64 * 2**20
_WRITER = "savs"
_FACTS = b'{"store": "'
_TAIL = 4 + len(MAGIC)


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
        raise BadPartError("it is no Parquet file or was cut short")
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
