"""Head selection: the k best heads; equal scores go to the lower (layer, head)."""

from __future__ import annotations

import numbers

import numpy as np
from numpy.typing import NDArray

from savs.features import Head, HeadLayout

__all__ = ["check_n_heads", "select_heads"]


def select_heads(scores: NDArray[np.int64], layout: HeadLayout, n_heads: int) -> list[Head]:
    """Return the best heads, best first.

    Parameters
    ----------
    scores : ndarray of int, shape (layout.n_heads,)
        Head scores in layout order, higher is better.
    layout : HeadLayout
        The heads; their order in the layout does not matter.
    n_heads : int
        How many to keep; all of them where there are fewer.

    Examples
    --------
    >>> select_heads(np.array([3, 5, 5]), HeadLayout.uniform(3, 1, 8), 2)
    [Head(layer=1, index=0), Head(layer=2, index=0)]
    """
    ranked = sorted(zip((-scores).tolist(), layout.heads, strict=True))
    return [head for _, head in ranked[:n_heads]]


def check_n_heads(n_heads: object) -> int:
    """Return a number of heads as int; `ValueError` unless it is an integer of at least 1."""
    if isinstance(n_heads, bool) or not isinstance(n_heads, numbers.Integral) or n_heads < 1:
        raise ValueError(f"n_heads must be an integer of at least 1, got {n_heads!r}")
    return int(n_heads)
