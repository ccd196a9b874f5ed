"""Class centroids: the plain mean of each class's shots, the same to the last bit in any order of the shots.

Rounding in a floating-point sum depends on the order of its terms. Where the shots of a class nearly
cancel, that rounding is all that is left of the centroid, and the order of the training file would decide
labels. So sums are made exact: every value is split into parts on two common grids, coarse enough that sums
of grid points are exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from savs.heads.scaling import power_of_two_scale

__all__ = ["class_centroids"]

_CHUNK_VALUES = 1 << 17
"""How many float64 values are worked on at once (1 MiB): what fits the cache is twice as fast."""


def class_centroids(
    features: NDArray[np.floating], codes: NDArray[np.intp], n_classes: int
) -> NDArray[np.float64]:
    """Return the mean feature row of each class ([SAV] section 3: no normalisation before the mean).

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
        step = max(1, _CHUNK_VALUES // len(rows))
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
