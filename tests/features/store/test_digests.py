from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.features.store.digests import column_digest


def plain_digest(rows: np.ndarray) -> str:
    """The definition in docs/store.md, in plain loops."""
    lines = [row.tobytes() for row in rows]
    size = next(size for size in (8, 4, 2, 1) if len(lines[0]) % size == 0)
    words = [
        [int.from_bytes(line[i : i + size], "little") for i in range(0, len(line), size)] for line in lines
    ]
    digest = hashlib.sha256(f"{len(lines)} {len(lines[0])} ".encode())
    for column in zip(*words, strict=True):
        total = 0
        for word in column:
            total ^= word
        digest.update(total.to_bytes(size, "little"))
    for line in words:
        digest.update((sum(line) % 2**64).to_bytes(8, "little"))
    return digest.hexdigest()


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f2", "<f4"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 8), (3, 32)])
def test__column_digest__is_the_definition(dtype, shape):
    rows = np.random.default_rng(0).integers(
        0, 256, (shape[0], shape[1] * np.dtype(dtype).itemsize), np.uint8
    )
    values = rows.view(dtype)
    assert column_digest(values) == plain_digest(values)


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
