"""How sure an accuracy is: the Wilson interval."""

from __future__ import annotations

from math import sqrt

__all__ = ["wilson_interval"]

_Z95 = 1.959963984540054


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share (Wilson, JASA 1927).

    Parameters
    ----------
    correct : int
        How many were right.
    n : int
        Of how many independent ones; 0 gives (0, 1).

    Raises
    ------
    ValueError
        Unless ``0 <= correct <= n``.

    Examples
    --------
    >>> low, high = wilson_interval(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.596, 0.982)
    """
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n} is not a share")
    if n == 0:
        return 0.0, 1.0
    share, z2 = correct / n, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if correct == 0 else low), (1.0 if correct == n else high)
