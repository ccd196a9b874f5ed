"""Head scores: how many shots each head classifies right ([SAV] section 3, in-sample)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from savs.features import HeadLayout
from savs.heads.similarity import nearest_classes, similarity_blocks

__all__ = ["head_scores"]


def head_scores(
    features: NDArray[np.floating],
    codes: NDArray[np.intp],
    centroids: NDArray[np.float64],
    layout: HeadLayout,
) -> NDArray[np.int64]:
    """Return each head's number of hits, less the hits that sole shots have by construction.

    A hit is a shot whose nearest centroid, of all centroids of that head, is its own class's. The shot is
    part of its centroid: this is the published rule. The only shot of a class IS its centroid, so its
    similarity is 1 whatever the head does; counting that would be a vote for itself. One hit per such class
    is therefore taken off every head's score. A head that gives a zero vector for a sole shot, or that
    cannot tell it from an earlier class, loses that point instead of gaining none. The amount taken off is
    the same for all heads, so their order is the published one in every case.

    Parameters
    ----------
    features : ndarray of float, shape (n_examples, width)
        Finite feature rows of the shots.
    codes : ndarray of int, shape (n_examples,)
        Their class indices.
    centroids : ndarray of float64, shape (n_classes, width)
        From `savs.heads.centroids.class_centroids`.
    layout : HeadLayout
        Which columns belong to which head.

    Returns
    -------
    ndarray of int64, shape (n_heads,)
        Scores in layout order, from minus the number of sole shots to the number of other shots.

    Examples
    --------
    >>> shots = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> layout = HeadLayout.uniform(n_layers=1, n_heads=1, head_dim=2)
    >>> head_scores(shots, np.array([0, 0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]), layout)
    array([2])
    """
    hits = np.zeros(layout.n_heads, dtype=np.int64)
    for rows, positions, similarities in similarity_blocks(features, centroids, layout):
        hits[positions] += (nearest_classes(similarities) == codes[rows]).sum(axis=1)
    return hits - np.count_nonzero(np.bincount(codes) == 1)
