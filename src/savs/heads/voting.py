"""Votes of the kept heads: counts, shares, and the tie rule.

Each kept head votes for one class, and the class with most votes wins. Between classes with equally many
votes the one that the best-ranked head among their voters chose wins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["decision_values", "vote_counts", "vote_shares"]


def vote_counts(votes: NDArray[np.intp], n_classes: int) -> NDArray[np.int64]:
    """Return how many heads voted for each class.

    Parameters
    ----------
    votes : ndarray of int, shape (n_examples, n_kept_heads)
        Class index that each head chose.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of int64, shape (n_examples, n_classes)
        Counts; each row sums to the number of kept heads.
    """
    counts = np.zeros((len(votes), n_classes), dtype=np.int64)
    rows = np.arange(len(votes))
    for choices in votes.T:
        counts[rows, choices] += 1
    return counts


def vote_shares(votes: NDArray[np.intp], n_classes: int) -> NDArray[np.float64]:
    """Return the share of the heads that voted for each class, shape (n_examples, n_classes)."""
    return np.asarray(vote_counts(votes, n_classes) / votes.shape[1], dtype=np.float64)


def decision_values(votes: NDArray[np.intp], n_classes: int) -> NDArray[np.float64]:
    """Return vote counts plus a bonus below one that settles ties, so that the largest value wins.

    The bonus of a class is ``(k - r) / (k + 1)``, where ``r`` is the rank from 0 of the best head that
    voted for it and ``k`` the number of heads; a class without votes has 0. No two classes with votes have
    the same value.

    Parameters
    ----------
    votes : ndarray of int, shape (n_examples, n_kept_heads)
        Class index that each head chose, best head first.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of float64, shape (n_examples, n_classes)
        Decision values.

    Examples
    --------
    >>> decision_values(np.array([[2, 1, 1, 2]]), 3)
    array([[0. , 2.6, 2.8]])
    """
    n_heads = votes.shape[1]
    values = np.zeros((len(votes), n_classes))
    rows = np.arange(len(votes))
    for rank in reversed(range(n_heads)):  # the best-ranked voter writes last
        values[rows, votes[:, rank]] = (n_heads - rank) / (n_heads + 1)
    return values + vote_counts(votes, n_classes)
