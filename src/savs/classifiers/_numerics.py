"""Cosine similarity of every head vector to every class centroid, and the rule for ties.

Matrix products round differently for different shapes, so the last bits of a cosine depend on the batch.
Cosines that are equal on paper then differ by about 1e-15, and a bare argmax would pick a class by chance.
Cosines within `TIE_TOLERANCE` of a head's largest one therefore count as tied, and a tie goes to the first
class. The tolerance is far above float64 rounding (about 1e-14 at 10 000 columns) and far below the spacing
of float32 features (6e-8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.features import HeadGroup, HeadLayout
from savs.heads.scaling import power_of_two_scale

__all__ = ["TIE_TOLERANCE", "SimilarityBlock", "cosine_similarities", "nearest_classes", "similarity_blocks"]

TIE_TOLERANCE = 1e-12
"""Cosines this close to the largest one are tied with it."""

_CHUNK_VALUES = 1 << 20
"""How many float64 values of features and similarities are held at once (8 MiB)."""

_CACHED_VALUES = 1 << 17
"""How many float64 values of centroids the examples are compared with at once (1 MiB)."""


class SimilarityBlock(NamedTuple):
    """Similarities of some examples for the heads of one width.

    Attributes
    ----------
    rows : slice
        The examples.
    positions : ndarray of int, shape (n_group_heads,)
        Where the heads stand in the layout.
    similarities : ndarray of float64, shape (n_group_heads, n_rows, n_classes)
        Cosines; 0 where either vector is zero.
    """

    rows: slice
    positions: NDArray[np.intp]
    similarities: NDArray[np.float64]


def similarity_blocks(
    features: NDArray[np.floating], centroids: NDArray[np.float64], layout: HeadLayout
) -> Iterator[SimilarityBlock]:
    """Yield cosine similarities in blocks of bounded size.

    Parameters
    ----------
    features : ndarray of float, shape (n_examples, width)
        Finite feature rows.
    centroids : ndarray of float64, shape (n_classes, width)
        One row per class.
    layout : HeadLayout
        Which columns belong to which head.
    """
    n_examples, n_classes = len(features), len(centroids)
    for group in _cache_sized(layout.groups, n_classes):
        targets = _unit_centroids(centroids, group)
        n_heads, head_dim = group.columns.shape
        step = max(1, _CHUNK_VALUES // (n_heads * (head_dim + n_classes)))
        for start in range(0, n_examples, step):
            rows = slice(start, min(start + step, n_examples))
            vectors = _head_vectors(features[rows], group)
            yield SimilarityBlock(rows, group.positions, _cosines(vectors, targets))


def cosine_similarities(
    features: NDArray[np.floating], centroids: NDArray[np.float64], layout: HeadLayout
) -> NDArray[np.float64]:
    """Return the cosine of every head vector with every class centroid of that head.

    Parameters
    ----------
    features : ndarray of float, shape (n_examples, width)
        Finite feature rows.
    centroids : ndarray of float64, shape (n_classes, width)
        One row per class.
    layout : HeadLayout
        Which columns belong to which head.

    Returns
    -------
    ndarray of float64, shape (n_examples, n_heads, n_classes)
        Cosines; 0 where either vector is zero.

    Examples
    --------
    >>> layout = HeadLayout.uniform(n_layers=1, n_heads=2, head_dim=2)
    >>> centroids = np.array([[1.0, 0, 1, 0], [0, 9, 0, 1]])
    >>> cosine_similarities(np.array([[3.0, 4.0, 0.0, 0.0]]), centroids, layout)
    array([[[0.6, 0.8],
            [0. , 0. ]]])
    """
    cosines = np.empty((len(features), layout.n_heads, len(centroids)))
    for rows, positions, block in similarity_blocks(features, centroids, layout):
        cosines[rows, positions] = block.transpose(1, 0, 2)
    return cosines


def nearest_classes(similarities: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the first class whose similarity ties with the largest one.

    Parameters
    ----------
    similarities : ndarray of float64, shape (..., n_classes)
        Cosines.

    Returns
    -------
    ndarray of int, shape (...)
        Class indices.

    Examples
    --------
    >>> nearest_classes(np.array([[0.1, 0.5, 0.5], [0.5, 0.5 + 1e-15, 0.1]]))
    array([1, 0])
    """
    best = similarities.max(axis=-1, keepdims=True)
    return np.asarray((similarities >= best - TIE_TOLERANCE).argmax(axis=-1), dtype=np.intp)


def _cache_sized(groups: Iterable[HeadGroup], n_classes: int) -> Iterator[HeadGroup]:
    """Cut groups of heads so that the centroids of each piece stay in the cache while the examples pass."""
    for positions, columns in groups:
        step = max(1, _CACHED_VALUES // (columns.shape[1] * n_classes))
        for start in range(0, len(positions), step):
            piece = slice(start, start + step)
            yield HeadGroup(positions[piece], columns[piece])


def _unit_centroids(centroids: NDArray[np.float64], group: HeadGroup) -> NDArray[np.float64]:
    """Return centroids of length 1 (or 0) as (n_group_heads, head_dim, n_classes)."""
    vectors = centroids[:, group.columns].transpose(1, 0, 2)
    scaled = vectors * power_of_two_scale(np.abs(vectors).max(axis=-1, initial=0.0))[..., None]
    return np.asarray((scaled * _inverse_norms(scaled)[..., None]).transpose(0, 2, 1), dtype=np.float64)


def _head_vectors(rows: NDArray[np.floating], group: HeadGroup) -> NDArray[np.float64]:
    """Return a float64 copy as (n_group_heads, n_rows, head_dim)."""
    n_heads, head_dim = group.columns.shape
    columns = group.columns.ravel()
    # A slice is read faster than a list of columns.
    adjacent = int(columns[-1] - columns[0]) + 1 == len(columns)
    picked = rows[:, columns[0] : columns[-1] + 1] if adjacent else rows[:, columns]
    return picked.astype(np.float64, order="C").reshape(len(rows), n_heads, head_dim).transpose(1, 0, 2)


def _cosines(vectors: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n_group_heads, n_rows, n_classes) cosines; `vectors` is overwritten."""
    peaks = np.maximum(vectors.max(axis=-1), -vectors.min(axis=-1))
    vectors *= power_of_two_scale(peaks)[..., None]
    cosines = vectors @ targets
    cosines *= _inverse_norms(vectors)[..., None]
    return np.asarray(cosines, dtype=np.float64)


def _inverse_norms(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))
    inverse: NDArray[np.float64] = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return inverse
