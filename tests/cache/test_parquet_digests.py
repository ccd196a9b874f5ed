from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.cache._parquet import column_digest


def test__column_digest__known_value__is_xxh3_of_128_bits():
    """The test vector of the reference implementation for no bytes, and one made with `xxhsum -H2`."""
    assert column_digest(np.zeros((0, 4), np.float32)) == "99aa06d3014798d86001c324468d497f"
    assert column_digest(np.frombuffer(b"a", np.uint8).reshape(1, 1)) == "a96faf705af16834e6c632b61e964e1f"


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f2", "<f4"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 8), (3, 32)])
def test__column_digest__any_dtype_and_shape__is_of_its_bytes(dtype, shape):
    rows = np.random.default_rng(0).integers(
        0, 256, (shape[0], shape[1] * np.dtype(dtype).itemsize), np.uint8
    )
    values = rows.view(dtype)
    assert column_digest(values) == xxhash.xxh3_128(b"".join(row.tobytes() for row in values)).hexdigest()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test__column_digest__damage__changes(data):
    n_rows, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    rows = np.random.default_rng(1).integers(0, 256, (n_rows, width), np.uint8)
    before, damaged = column_digest(rows), rows.copy()
    kind = data.draw(st.sampled_from(["bit", "zeros", "swap"]))
    at = data.draw(st.integers(0, rows.size - 1))
    if kind == "bit":
        damaged.ravel()[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "zeros":
        damaged.ravel()[at : at + data.draw(st.integers(1, rows.size))] = 0
    else:
        damaged = damaged[::-1].copy()
    assert (column_digest(damaged) == before) == np.array_equal(damaged, rows)
