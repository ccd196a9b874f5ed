from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from savs.classifiers import _numerics as module
from savs.classifiers._numerics import class_centroids


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 4)),
        elements=st.floats(-(2.0**20), 2.0**20, width=32),
    )
)
def test__class_centroids__float32__is_the_exact_mean(rows):
    found = class_centroids(rows, np.zeros(len(rows), dtype=np.intp), 1)[0]
    for column, mean in zip(rows.T, found.tolist(), strict=True):
        exact = sum(Fraction(float(x)) for x in column) / len(column)
        slack = Fraction(2) ** -52 * abs(exact) + Fraction(2) ** -80 * Fraction(float(np.abs(column).max()))
        assert abs(Fraction(mean) - exact) <= slack


@pytest.mark.parametrize("exponent", [-1060, -300, 0, 300, 1020])
def test__class_centroids__any_order_any_magnitude__same_bits(exponent):
    rng = np.random.default_rng(0)
    rows = np.ldexp(rng.standard_normal((50, 30)) * 10.0 ** rng.integers(-8, 1, (50, 30)), exponent)
    codes = np.zeros(50, dtype=np.intp)
    once = class_centroids(rows, codes, 1)
    assert np.isfinite(once).all()
    for _ in range(5):
        assert np.array_equal(class_centroids(rows[rng.permutation(50)], codes, 1), once)


def test__class_centroids__plain_sum__would_depend_on_order():
    rows = np.array([0.1, 0.2, -0.3, 1e10, -1e10, 0.7])[:, None]
    plain = {float(np.add.reduce(list(rows[order, 0]))) for order in ([0, 1, 2, 3, 4, 5], [3, 0, 4, 1, 5, 2])}
    assert len(plain) == 2


def test__class_centroids__values_that_cancel__exactly_zero():
    rows = np.random.default_rng(1).standard_normal((20, 7)).astype(np.float32)
    both = np.concatenate([rows, -rows])[np.random.default_rng(2).permutation(40)]
    assert not class_centroids(both, np.zeros(40, dtype=np.intp), 1).any()


def test__class_centroids__column_chunks__change_nothing(monkeypatch):
    rows = np.random.default_rng(1).standard_normal((20, 50))
    codes = np.arange(20) % 3
    whole = class_centroids(rows, codes, 3)
    monkeypatch.setattr(module, "_CENTROID_CHUNK", 16)
    assert np.array_equal(class_centroids(rows, codes, 3), whole)
