"""One part of a store: an immutable Parquet file, named by the sha256 of its bytes.

Columns are fixed-size binary values, one for each row: plain, uncompressed, without nulls, one page each. The
values of a column therefore are the last ``n_rows * width`` bytes of its chunk, and are read from there
directly: decoding Parquet lists costs several times as much as reading. Their digests stand in the file's
metadata; values are used only after they have been checked, so that damage anywhere, in the footer too,
shows.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from savs.features.store.description import KEY_BYTES, Column, Description
from savs.features.store.digests import column_digest
from savs.features.store.files import reached, whole_file, write_all

__all__ = ["SUFFIX", "BadPartError", "Part", "file_digest", "is_part_name", "open_part", "write_part"]

SUFFIX = ".parquet"
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
_LARGEST_PAGE_HEADER = 4096


class BadPartError(Exception):
    """A part is damaged or no part of this store; the message says how."""


@dataclass(frozen=True)
class Part:
    """A part that was opened and whose keys were checked.

    Attributes
    ----------
    path : Path
    n_rows, n_bytes : int
    keys : tuple of bytes
        One for each row.
    starts : mapping of str to int
        Where each column's values begin in the file.
    digests : mapping of str to str
        Of each column's values.
    """

    path: Path
    n_rows: int
    n_bytes: int
    keys: tuple[bytes, ...]
    starts: Mapping[str, int]
    digests: Mapping[str, str]

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


def write_part(folder: Path, description: Description, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Write a part and return its path, when it is durable.

    Parameters
    ----------
    folder : Path
    description : Description
    columns : mapping of str to ndarray
        C-contiguous arrays of shape (n_rows, width) by column name, as they are stored: all columns of the
        description, ``states`` only if these rows have them.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it.
    """
    specs = [spec for name, spec in description.columns.items() if name in columns]
    digests = {spec.name: column_digest(columns[spec.name]) for spec in specs}
    table = pa.Table.from_arrays(
        [_binary(columns[spec.name], spec) for spec in specs], schema=_schema(description, specs, digests)
    )
    with whole_file(folder) as (descriptor, finish):
        sink = _HashedFile(descriptor)
        try:
            _encode(table, sink)
            reached("encoded")
        finally:
            sink.close()
        return finish(sink.hexdigest() + SUFFIX)


def open_part(path: Path, description: Description) -> Part:
    """Open a part, check that it is one of this store, and read its keys.

    Raises
    ------
    BadPartError
        If it is damaged or something else.
    OSError
        If it is gone or may not be read.
    """
    with path.open("rb", buffering=0) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        metadata = _footer(file)
        specs = _specs(metadata, description)
        digests = _digests(metadata, description)
        starts = {spec.name: _start(metadata, number, spec, n_bytes) for number, spec in enumerate(specs)}
        if digests.keys() != starts.keys():
            raise BadPartError("its digests are not those of its columns")
        part = Part(path, metadata.num_rows, n_bytes, (), starts, digests)
        keys = part.read(file.fileno(), description.columns["key"]).tobytes()
    split = tuple(keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES))
    return Part(path, part.n_rows, n_bytes, split, starts, digests)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _HashedFile:
    """What the Parquet encoder writes to: a file whose bytes are hashed on another thread on their way."""

    closed = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._written = 0
        self._sha256 = hashlib.sha256()
        self._pieces: queue.Queue[bytes | None] = queue.Queue(maxsize=4)
        self._thread = threading.Thread(target=self._hash, name="savs-store-sha256", daemon=True)
        self._thread.start()

    def _hash(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._sha256.update(piece)

    def write(self, piece: bytes) -> int:
        self._pieces.put(piece)
        write_all(self._descriptor, piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._pieces.put(None)
            self._thread.join()

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _encode(table: pa.Table, sink: _HashedFile) -> None:
    # One page for each column, whatever its size.
    options = {
        "row_group_size": len(table),
        "data_page_size": 2**31 - 1,
        "write_batch_size": len(table),
        "compression": "none",
        "use_dictionary": False,
        "write_statistics": False,
        "version": "2.6",
        "data_page_version": "1.0",
    }
    pq.write_table(table, pa.PythonFile(sink, mode="w"), **options)


def _binary(values: NDArray[Any], spec: Column) -> pa.FixedSizeBinaryArray:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(values))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(spec.n_bytes), len(values), buffers)


def _schema(description: Description, specs: list[Column], digests: Mapping[str, str]) -> pa.Schema:
    fields = [pa.field(spec.name, pa.binary(spec.n_bytes), nullable=False) for spec in specs]
    facts = {"store": description.id, "dtype": description.dtype, "digests": digests}
    return pa.schema(fields, metadata={"savs": json.dumps(facts)})


def _footer(file: Any) -> Any:
    try:
        metadata = pq.read_metadata(file)
    except OSError as error:
        if error.errno is not None:
            raise
        raise BadPartError("it is no Parquet file or was cut short") from None
    except (pa.ArrowException, ValueError, MemoryError, OverflowError):
        raise BadPartError("it is no Parquet file or was cut short") from None
    if metadata.num_row_groups != 1 or metadata.num_rows < 1:
        raise BadPartError("it has no rows, or not all in one group")
    return metadata


def _specs(metadata: Any, description: Description) -> list[Column]:
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    wanted = list(description.columns)
    if names not in (wanted, [name for name in wanted if name != "states"]):
        raise BadPartError("its columns are not those of this store")
    return [description.columns[name] for name in names]


def _digests(metadata: Any, description: Description) -> dict[str, str]:
    try:
        facts = json.loads((metadata.metadata or {})[b"savs"])
        store, digests = facts["store"], {str(name): str(value) for name, value in facts["digests"].items()}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise BadPartError("no savs wrote it, or its metadata is damaged") from None
    if store != description.id:
        raise BadPartError("it belongs to another store")
    return digests


def _start(metadata: Any, number: int, spec: Column, n_bytes: int) -> int:
    """Return where a column's values begin, after checking that they can be where the footer says."""
    try:
        schema, chunk = metadata.schema.column(number), metadata.row_group(0).column(number)
        length, offset = chunk.total_compressed_size, chunk.data_page_offset
        plain = (
            schema.physical_type == "FIXED_LEN_BYTE_ARRAY"
            and schema.length == spec.n_bytes
            and schema.max_definition_level == 0
            and chunk.compression == "UNCOMPRESSED"
            and not chunk.has_dictionary_page
            and chunk.num_values == metadata.num_rows
        )
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        raise BadPartError("its footer is damaged") from None
    header = length - metadata.num_rows * spec.n_bytes
    if not plain or not 0 < header <= _LARGEST_PAGE_HEADER or offset < 4 or offset + length > n_bytes:
        raise BadPartError(f"column {spec.name} is not stored as savs does")
    return int(offset + header)


def _read_into(descriptor: int, memory: NDArray[np.uint8], offset: int) -> None:
    left = memory.data
    while left:
        count = os.preadv(descriptor, [left], offset)
        if count == 0:
            raise BadPartError("it was cut short")
        left, offset = left[count:], offset + count
