"""Digests of columns: as quick as memory, so that they are checked on every read.

XXH3 with 128 bits over the column's bytes as they lie in the part. Flipped bits, zeroed blocks, rows that
change places and torn writes show. It is no defence against somebody who may write the store and wants to
deceive: no checksum that lies beside its data is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

__all__ = ["column_digest"]


def column_digest(rows: NDArray[Any]) -> str:
    """Return the digest of rows, shape (n_rows, width), C-contiguous, as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(rows.reshape(-1).view(np.uint8).data)
