"""Digests of columns: quick enough to be checked on every read.

A column of n rows is taken as words of 8 bytes (4, 2 or 1 where its row is no multiple of 8). The digest is
the sha256 of its shape, of the exclusive or of all rows, word by word, and of every row's sum modulo 2^64.
Whatever happens within one row changes the first, rows that change places change the second: flipped bits,
zeroed blocks and torn writes show. Against somebody who wants to deceive there is the sha256 over the whole
part, its name.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["column_digest"]


def column_digest(rows: NDArray[Any]) -> str:
    """Return the digest of rows, shape (n_rows, width), each without gaps, as 64 hexadecimal digits."""
    n_rows, n_bytes = rows.shape[0], rows.shape[1] * rows.itemsize
    word = next(size for size in (8, 4, 2, 1) if n_bytes % size == 0)
    words = rows.view(f"<u{word}")
    digest = hashlib.sha256(f"{n_rows} {n_bytes} ".encode())
    digest.update(np.bitwise_xor.reduce(words, axis=0))
    digest.update(np.add.reduce(words, axis=1, dtype=np.uint64))
    return digest.hexdigest()
