"""Exact scaling by powers of two: no sum or square overflows, underflows or depends on a head's scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["power_of_two_scale"]

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
