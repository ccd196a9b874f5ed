"""Class centroids and cosine similarities that do not depend on the order of the shots.

Rounding in a floating-point sum depends on the order of its terms. Where the shots of a class nearly
cancel, that rounding is all that is left of the centroid, and the order of the training file would decide
labels. So sums are made exact: every value is split into parts on two common grids, coarse enough that sums
of grid points are exact.

Matrix products round differently for different shapes, so the last bits of a cosine depend on the batch.
Cosines that are equal on paper then differ by about 1e-15, and a bare argmax would pick a class by chance.
Cosines within `TIE_TOLERANCE` of a head's largest one therefore count as tied, and a tie goes to the first
class. The tolerance is far above float64 rounding (about 1e-14 at 10 000 columns) and far below the spacing
of float32 features (6e-8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.layout import HeadGroup, HeadLayout

# Exact scaling by powers of two: no sum or square overflows, underflows or depends on a head's scale.

_LARGEST_EXPONENT = 1023


def power_of_two_scale(peak: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the powers of two that bring magnitudes of at most `peak` to at most 1.

    A product with a power of two is exact, so ``x * scale`` has the direction of ``x`` to the last bit.

    Parameters
    ----------
    peak : ndarray of float64, any shape
        Largest magnitudes, finite; 0 gives 1.

    Returns
    -------
    ndarray of float64, same shape
        ``peak * scale`` is in [0.5, 1), or smaller where `peak` is subnormal.

    Examples
    --------
    >>> power_of_two_scale(np.array([0.0, 3.0, 0.1]))
    array([1.  , 0.25, 8.  ])
    """
    exponent = np.frexp(peak)[1]
    return np.asarray(np.ldexp(1.0, np.minimum(-exponent, _LARGEST_EXPONENT)), dtype=np.float64)


# Class centroids: the plain mean of each class's shots, the same to the last bit in any order of the shots.

TABLE_SLICE = 1 << 18
"""How many float64 values of a table of shots by classes are worked on at once (2 MiB)."""

_CENTROID_CHUNK = 1 << 17
"""How many float64 values are worked on at once (1 MiB): what fits the cache is twice as fast."""


def class_centroids(
    features: NDArray[np.floating], codes: NDArray[np.intp], n_classes: int
) -> NDArray[np.float64]:
    """Return the mean feature row of each class ([SAV] section 3: no normalization before the mean).

    Parameters
    ----------
    features : ndarray of float, shape (n_examples, width)
        Finite feature rows.
    codes : ndarray of int, shape (n_examples,)
        Class index of each row; every class has at least one.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of float64, shape (n_classes, width)
        The means. They do not depend on the order of the rows.

    Examples
    --------
    >>> class_centroids(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 0, 1]), 2)
    array([[2., 3.],
           [5., 6.]])
    """
    means = np.empty((n_classes, features.shape[1]))
    for code in range(n_classes):
        rows = np.flatnonzero(codes == code)
        step = max(1, _CENTROID_CHUNK // len(rows))
        for start in range(0, features.shape[1], step):
            columns = slice(start, start + step)
            means[code, columns] = _exact_mean(features[rows, columns].astype(np.float64))
    return means


def _exact_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return column means of an array that may be overwritten."""
    n_values = len(values)
    scale = power_of_two_scale(np.maximum(values.max(axis=0), -values.min(axis=0)))
    values *= scale
    total = _exact_sum(values, n_values.bit_length())
    return np.asarray(total / n_values / scale, dtype=np.float64)


def _exact_sum(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Return column sums of at most ``2**bits`` rows with magnitudes up to 1; `values` is overwritten.

    Adding and subtracting ``1.5 * 2**bits`` rounds a value to a multiple of ``2**(bits - 52)``, and sums of
    ``2**bits`` such multiples are exact. What the rounding left over is summed likewise on a finer grid;
    what is left then lies below ``2**(2 * bits - 106)`` of the column's largest value and is dropped.
    (Reproducible summation by pre-rounding: Demmel and Nguyen, ARITH 2013, section 4.)
    """
    total = np.zeros(values.shape[1])
    bound = 1.0
    for _ in range(2):
        grid = np.ldexp(1.5, bits) * bound
        rounded = values + grid
        rounded -= grid
        total += rounded.sum(axis=0)
        values -= rounded
        bound *= float(np.ldexp(1.0, bits - 53))
    return total


# Cosine similarity of every head vector to every class centroid, and the rule for ties.

TIE_TOLERANCE = 1e-12
"""Cosines this close to the largest one are tied with it."""

_SIMILARITY_CHUNK = 1 << 20
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
        step = max(1, _SIMILARITY_CHUNK // (n_heads * (head_dim + n_classes)))
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
    return reciprocal(np.sqrt(np.einsum("...d,...d->...", vectors, vectors)))


def reciprocal(values: NDArray[Any]) -> NDArray[Any]:
    """Return 1 / x of values that are not negative, and 0 where x is 0; the dtype stays."""
    inverse: NDArray[Any] = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    return inverse
