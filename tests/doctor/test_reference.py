"""Differences against plain loops in float64, and what counts as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.backbones._canary import tolerance
from savs.doctor._reference import compare, flips
from savs.layout import HeadLayout

RAGGED = HeadLayout.from_layers([(0, 2, 3), (1, 1, 5)])


def by_loops(layout: HeadLayout, rows: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    worst, cosine = 0.0, 1.0
    for head in layout.heads:
        columns = layout.columns(head)
        scale = max(abs(float(value)) for row in reference for value in row[columns])
        for row, expected in zip(rows.astype(float), reference.astype(float), strict=True):
            a, b = row[columns], expected[columns]
            worst = max(worst, *(abs(x - y) / scale for x, y in zip(a, b, strict=True)))
            lengths = sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5
            cosine = min(cosine, sum(x * y for x, y in zip(a, b, strict=True)) / lengths)
    return worst, cosine


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6), noise=st.sampled_from([1e-6, 1e-2, 1.0]), scale=st.sampled_from([1e-3, 50])
)
def test__compare__any_rows__equals_plain_loops(seed, noise, scale) -> None:
    rng = np.random.default_rng(seed)
    reference = (scale * rng.normal(size=(4, RAGGED.width))).astype(np.float32)
    rows = (reference + noise * scale * rng.normal(size=reference.shape)).astype(np.float32)
    found = compare(RAGGED, rows, reference)
    worst, cosine = by_loops(RAGGED, rows, reference)
    assert found.max_difference == pytest.approx(worst, rel=1e-6)
    assert found.min_cosine == pytest.approx(cosine, rel=1e-6)


def test__compare__one_head_wrong_among_large_ones__is_not_drowned() -> None:
    reference = np.ones((2, RAGGED.width), np.float32)
    reference[:, RAGGED.columns((0, 1))] = 0.05
    rows = reference.copy()
    rows[1, RAGGED.columns((0, 1))] *= -1
    found = compare(RAGGED, rows, reference)
    assert found.max_difference == pytest.approx(2.0)
    assert found.min_cosine == pytest.approx(-1.0)


def test__fault_20__zero_vectors__no_nan() -> None:
    zero = np.zeros((2, RAGGED.width), np.float32)
    same = compare(RAGGED, zero, zero)
    assert (same.max_difference, same.min_cosine) == (0.0, 1.0)
    other = compare(RAGGED, zero, np.ones_like(zero))
    assert (other.max_difference, other.min_cosine) == (1.0, 0.0)


def test__flips__rows_of_another_class__each_counted() -> None:
    shots = np.asarray([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    layout = HeadLayout.uniform(1, 1, 2)
    labels = ["a", "a", "b", "b"]
    assert flips(layout, shots, labels, (shots, shots)) == 0
    changed = shots[[2, 1, 2, 0]]
    assert flips(layout, shots, labels, (changed, shots)) == 2


def test__tolerance__looser_with_fewer_digits() -> None:
    found = [tolerance(dtype, "cpu") for dtype in ("float32", "float16", "bfloat16")]
    assert found == sorted(found)
    assert found[0] == 1e-4
    assert tolerance("float32", "cuda") > found[0]
    assert tolerance("float8_e4m3fn", "cuda") == found[2]
