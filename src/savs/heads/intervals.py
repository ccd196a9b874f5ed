"""How sure an accuracy is: the Wilson interval, and what is left of it where shots were left out in folds."""

from __future__ import annotations

from math import sqrt

__all__ = ["left_out_interval", "wilson_interval"]

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
    return (0.0, 1.0) if n == 0 else _wilson(correct / n, n)


def left_out_interval(correct: int, n: int, n_folds: int) -> tuple[float, float]:
    """Return a 95 % interval for the accuracy of the classifier on all shots, from left-out shots.

    Two things make the Wilson interval of the left-out shots too narrow, and too low:

    - The fits share shots, so their errors go together. The variance of a mean over k folds is not p(1-p)/n
      but larger by 1 + k * n_test / n_train = 1 + k / (k - 1) (Nadeau and Bengio, Machine Learning 2003,
      section 4); the Wilson interval is taken for n divided by that.
    - Each fit has only (k - 1) / k of the shots. Errors shrink with the shots, at best in proportion: the
      upper end allows for an error of (k - 1) / k of its own.

    Parameters
    ----------
    correct : int
        How many left-out shots were right.
    n : int
        How many were left out; 0 gives (0, 1).
    n_folds : int
        In how many folds, at least 2.

    Raises
    ------
    ValueError
        Unless ``0 <= correct <= n`` and ``n_folds >= 2``.

    Examples
    --------
    >>> low, high = left_out_interval(36, 40, 5)
    >>> round(low, 3), round(high, 3)
    (0.684, 0.979)
    """
    if not 0 <= correct <= n or n_folds < 2:
        raise ValueError(f"{correct} correct of {n} in {n_folds} folds is not a share")
    if n == 0:
        return 0.0, 1.0
    rest = (n_folds - 1) / n_folds
    low, high = _wilson(correct / n, n / (1 + 1 / rest))
    return low, 1 - rest * (1 - high)


def _wilson(share: float, n: float) -> tuple[float, float]:
    z2 = _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)
