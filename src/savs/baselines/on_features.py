"""Nearest class mean by cosine on the decoder's last-layer state: SAVs without heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.baselines.result import BaselineResult
from savs.heads import SAVClassifier

__all__ = ["last_layer"]


def last_layer(
    states: NDArray[np.floating[Any]], labels: ArrayLike, query_states: NDArray[np.floating[Any]]
) -> BaselineResult:
    """Predict the class whose mean state has the largest cosine with the query's state.

    Parameters
    ----------
    states : ndarray of float, shape (n_shots, hidden_size)
        From `savs.backbones.base.Backbone.last_layer_states`.
    labels : array-like, shape (n_shots,)
        Labels of the shots.
    query_states : ndarray of float, shape (n_queries, hidden_size)
        States of the queries.

    Raises
    ------
    DataError
        If labels are unusable or of fewer than two classes.
    ValueError
        If the shapes do not belong together or a value is not finite.

    Examples
    --------
    >>> last_layer(np.eye(2), ["cat", "dog"], np.array([[2.0, 1.0], [1.0, 2.0]])).labels
    ['cat', 'dog']
    """
    classifier = SAVClassifier(n_heads=1).fit(states, labels)
    return BaselineResult("last_layer", classifier.predict(query_states).tolist(), [])
