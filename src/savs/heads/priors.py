"""How probable each class is before a query is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_priors"]


def class_priors(priors: object, counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the prior probability of each class.

    Parameters
    ----------
    priors : "uniform", "empirical" or array-like of float
        Equal, as frequent as among the shots, or given in the order of the sorted classes.
    counts : ndarray of int, shape (n_classes,)
        Shots of each class.

    Raises
    ------
    ValueError
        If given priors are not one positive number per class.
    """
    if isinstance(priors, str):
        if priors == "uniform":
            return np.full(len(counts), 1 / len(counts))
        if priors == "empirical":
            return np.asarray(counts / counts.sum())
        raise ValueError(f"priors must be 'uniform', 'empirical' or one number per class, got {priors!r}")
    given = np.asarray(priors, dtype=np.float64)
    if given.shape != counts.shape or not (np.isfinite(given) & (given > 0)).all():
        raise ValueError(f"priors must be {len(counts)} positive numbers, one per class")
    return np.asarray(given / given.sum())
