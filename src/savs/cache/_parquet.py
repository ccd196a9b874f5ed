"""Columns of a part as bytes: values packed bit for bit, digests, Parquet page headers and footer.

bfloat16 has no NumPy type; it is kept as its 16 bits, the upper half of a float32.

XXH3 with 128 bits over the column's bytes as they lie in the part. Flipped bits, zeroed blocks, rows that
change places and torn writes show. It is not a defense against somebody who may write the store and wants to
deceive: no checksum that lies beside its data is.

Only what a part needs: one row group, required columns of fixed-size binary values, plain, uncompressed, one
data page each. The encoders of pyarrow copy every value twice on the way; with the few dozen bytes made here
the values are written from where they lie. Fields and numbers: parquet.thrift of apache/parquet-format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

STORED: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
}
"""How the values of each dtype lie in a part."""
DTYPES = tuple(STORED)
"""The dtypes of a store."""
MAGIC = b"PAR1"
LARGEST_PAGE = 2**31 - 1
"""Bytes that the values of a column may take: page sizes are 32-bit integers."""
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_FIXED_LEN_BYTE_ARRAY, _REQUIRED, _PLAIN, _RLE, _UNCOMPRESSED, _DATA_PAGE = 7, 0, 0, 3, 0, 0
Field = tuple[int, int, bytes]  # number, type, encoded value


def pack(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return values as they are stored.

    Parameters
    ----------
    values : ndarray, shape (n_rows, width)
        float32; or float16 for a store of float16 or float32; or uint16 bits for a store of bfloat16.
    dtype : str
        One of `DTYPES`.

    Raises
    ------
    TypeError
        If the values are of another type.
    ValueError
        If a value would change; it names the first such row.
    """
    stored = STORED[dtype]
    if values.dtype == stored:
        return values
    if values.dtype == np.float16 and dtype == "float32":
        return _widen_half(values)
    if values.dtype != np.float32:
        raise TypeError(f"a store of {dtype} takes float32 or its own type, not {values.dtype}")
    packed = _upper_half(values) if dtype == "bfloat16" else _narrow(values)
    _check_exact(values, packed, dtype)
    return packed


def unpack(stored: NDArray[Any], dtype: str, out: NDArray[np.float32]) -> None:
    """Write stored values into a float32 array of the same shape.

    Parameters
    ----------
    stored : ndarray, shape (n_rows, width)
        As it lies in a part.
    dtype : str
        One of `DTYPES`.
    out : ndarray of float32, shape (n_rows, width)
        Where the values go.
    """
    if dtype == "float32":
        out[...] = stored
    elif dtype == "float16":
        out[...] = _widen_half(stored)
    else:
        out[...] = (stored.astype("<u4") << 16).view("<f4")


def _check_exact(values: NDArray[Any], packed: NDArray[Any], dtype: str) -> None:
    back = np.empty(values.shape, np.float32)
    unpack(packed, dtype, back)
    same = back.view(np.uint32) == np.ascontiguousarray(values).view(np.uint32)
    if not same.all():
        row = int(np.flatnonzero(~same.all(axis=1))[0])
        raise ValueError(f"row {row} holds values that {dtype} cannot hold; open a store of dtype='float32'")


def _upper_half(values: NDArray[Any]) -> NDArray[np.uint16]:
    bits: NDArray[np.uint16] = (np.ascontiguousarray(values).view(np.uint32) >> 16).astype("<u2")
    return bits


def _widen_half(values: NDArray[Any]) -> NDArray[np.float32]:
    wide: NDArray[np.float32] = values.astype(np.float32)
    # The processor turns signaling NaNs into quiet ones; their bits are moved by hand.
    odd = np.isnan(wide)
    if odd.any():
        bits = np.ascontiguousarray(values).view(np.uint16)[odd].astype(np.uint32)
        wide.view(np.uint32)[odd] = ((bits & 0x8000) << 16) | 0x7F800000 | ((bits & 0x3FF) << 13)
    return wide


def _narrow(values: NDArray[Any]) -> NDArray[np.float16]:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow: NDArray[np.float16] = values.astype(np.float16)
    odd = np.isnan(values)
    if odd.any():
        bits = np.ascontiguousarray(values).view(np.uint32)[odd]
        narrow.view(np.uint16)[odd] = ((bits >> 16) & 0x8000) | 0x7C00 | ((bits >> 13) & 0x3FF)
    return narrow


def column_digest(rows: NDArray[Any]) -> str:
    """Return the digest of rows, shape (n_rows, width), C-contiguous, as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(rows.reshape(-1).view(np.uint8).data)


class Chunk(NamedTuple):
    """A column that was written.

    Attributes
    ----------
    name : str
    width : int
        Bytes of one value.
    offset : int
        Where its page header begins in the file.
    n_header : int
        Bytes of the page header.
    """

    name: str
    width: int
    offset: int
    n_header: int


@lru_cache(maxsize=256)
def page_header(n_rows: int, n_bytes: int) -> bytes:
    """Return what stands before the values of a column, `n_bytes` in all."""
    values = _struct([_i32(1, n_rows), _i32(2, _PLAIN), _i32(3, _RLE), _i32(4, _RLE)])
    return _struct([_i32(1, _DATA_PAGE), _i32(2, n_bytes), _i32(3, n_bytes), (5, _STRUCT, values)])


def footer(chunks: Sequence[Chunk], n_rows: int, metadata: Mapping[str, str], writer: str) -> bytes:
    """Return what stands after the last column, to the end of the file.

    Parameters
    ----------
    chunks : sequence of Chunk
        One per column.
    n_rows : int
        Rows of the part.
    metadata : mapping of str to str
        Key-value entries of the file.
    writer : str
        Name of the program.
    """
    root = _struct([_binary(4, b"schema"), _i32(5, len(chunks))])
    n_bytes = sum(chunk.n_header + n_rows * chunk.width for chunk in chunks)
    group = _struct(
        [
            (1, _LIST, _list(_STRUCT, [_column_chunk(chunk, n_rows) for chunk in chunks])),
            _i64(2, n_bytes),
            _i64(3, n_rows),
        ]
    )
    pairs = [_struct([_binary(1, key.encode()), _binary(2, text.encode())]) for key, text in metadata.items()]
    body = _struct(
        [
            _i32(1, 2),
            (2, _LIST, _list(_STRUCT, [root, *map(_schema_element, chunks)])),
            _i64(3, n_rows),
            (4, _LIST, _list(_STRUCT, [group])),
            (5, _LIST, _list(_STRUCT, pairs)),
            _binary(6, writer.encode()),
        ]
    )
    return body + len(body).to_bytes(4, "little") + MAGIC


@lru_cache(maxsize=1024)
def _schema_element(chunk: Chunk) -> bytes:
    return _struct(
        [
            _i32(1, _FIXED_LEN_BYTE_ARRAY),
            _i32(2, chunk.width),
            _i32(3, _REQUIRED),
            _binary(4, chunk.name.encode()),
        ]
    )


@lru_cache(maxsize=1024)
def _column_chunk(chunk: Chunk, n_rows: int) -> bytes:
    n_bytes = chunk.n_header + n_rows * chunk.width
    metadata = _struct(
        [
            _i32(1, _FIXED_LEN_BYTE_ARRAY),
            (2, _LIST, _list(_I32, [_zigzag(_PLAIN), _zigzag(_RLE)])),
            (3, _LIST, _list(_BINARY, [_text(chunk.name.encode())])),
            _i32(4, _UNCOMPRESSED),
            _i64(5, n_rows),
            _i64(6, n_bytes),
            _i64(7, n_bytes),
            _i64(9, chunk.offset),
        ]
    )
    # The format wants 0 where the metadata stands in the footer only.
    return _struct([_i64(2, 0), (3, _STRUCT, metadata)])


def _i32(number: int, value: int) -> Field:
    return number, _I32, _zigzag(value)


def _i64(number: int, value: int) -> Field:
    return number, _I64, _zigzag(value)


def _binary(number: int, value: bytes) -> Field:
    return number, _BINARY, _text(value)


def _struct(fields: Iterable[Field]) -> bytes:
    """Return fields in ascending order with their headers: the distance to the last number, the type."""
    encoded, last = bytearray(), 0
    for number, kind, value in fields:
        encoded.append((number - last) << 4 | kind)
        encoded += value
        last = number
    return bytes(encoded) + b"\0"


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    n = len(items)
    head = bytes([n << 4 | kind]) if n < 15 else bytes([0xF0 | kind]) + _varint(n)
    return head + b"".join(items)


def _text(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
