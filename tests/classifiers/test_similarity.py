from __future__ import annotations

import numpy as np
import pytest

from savs.classifiers import _numerics as module
from savs.classifiers._numerics import cosine_similarities, nearest_classes
from savs.layout import HeadLayout

LAYOUTS = [
    HeadLayout.uniform(2, 3, 4),
    HeadLayout.from_layers([(0, 2, 3), (1, 1, 8), (3, 2, 3)]),
    HeadLayout.uniform(1, 1, 9),
]


def loop(rows, centroids, layout):
    out = np.zeros((len(rows), layout.n_heads, len(centroids)))
    for i, j, c in np.ndindex(*out.shape):
        columns = layout.columns(layout.heads[j])
        a, b = rows[i, columns].astype(np.float64), centroids[c, columns]
        if a.any() and b.any():
            out[i, j, c] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return out


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
@pytest.mark.parametrize("layout", LAYOUTS)
def test__cosine_similarities__any_layout_and_chunk__equal_plain_loop(layout, chunk, monkeypatch):
    monkeypatch.setattr(module, "_SIMILARITY_CHUNK", chunk)
    monkeypatch.setattr(module, "_CACHED_VALUES", chunk)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7, layout.width)).astype(np.float32)
    centroids = rng.standard_normal((3, layout.width))
    rows[2], centroids[1, layout.columns(layout.heads[0])] = 0, 0
    expected = loop(rows, centroids, layout)
    assert np.abs(cosine_similarities(rows, centroids, layout) - expected).max() < 1e-14
    fortran = cosine_similarities(np.asfortranarray(rows), np.asfortranarray(centroids), layout)
    assert np.abs(fortran - expected).max() < 1e-14


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-160, 1e160, 1e307])
def test__cosine_similarities__extreme_magnitudes__no_overflow(scale):
    rows = np.array([[1.0, 1.0, 0.0]]) * scale
    cosines = cosine_similarities(
        rows, np.array([[1.0, 0, 0], [1, 1, 0]]) * scale, HeadLayout.uniform(1, 1, 3)
    )
    assert np.allclose(cosines, [[[np.sqrt(0.5), 1.0]]], atol=1e-15)


def test__fault_20__zero_vectors__similarity_zero():
    layout = HeadLayout.uniform(1, 1, 2)
    assert not cosine_similarities(np.zeros((1, 2)), np.eye(2), layout).any()
    assert not cosine_similarities(np.eye(2), np.zeros((3, 2)), layout).any()


def test__nearest_classes__within_tolerance__first_class():
    rows = np.array([[0.3, 0.3 + 5e-13], [0.3, 0.3 + 5e-12], [0.3 + 5e-12, 0.3], [-0.3, -0.3]])
    assert nearest_classes(rows).tolist() == [0, 1, 0, 0]
