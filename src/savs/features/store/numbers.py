"""float32 rows to stored rows and back, bit for bit: what a dtype cannot hold exactly is refused.

bfloat16 has no NumPy type; it is kept as its 16 bits, the upper half of a float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DTYPES", "STORED", "pack", "unpack"]

STORED: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
}
"""How the values of each dtype lie in a part."""

DTYPES = tuple(STORED)
"""The dtypes of a store."""


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
    """Write stored values into a float32 array of the same shape."""
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
    # The processor turns signalling NaNs into quiet ones; their bits are moved by hand.
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
