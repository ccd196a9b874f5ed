"""The largest class for every query: what a method must beat to have learned anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from savs.baselines.result import BaselineResult
from savs.heads.labels import check_label_types

__all__ = ["majority_class"]


def majority_class(labels: ArrayLike, n_queries: int) -> BaselineResult:
    """Predict the most frequent class of the shots; the first in sorted order where several are.

    Parameters
    ----------
    labels : array-like, shape (n_shots,)
        Labels of the shots; at least one.
    n_queries : int
        Number of predictions.

    Raises
    ------
    DataError
        If labels are of mixed or unusable types.
    ValueError
        If there are no labels.

    Examples
    --------
    >>> majority_class(["dog", "cat", "dog"], 2).labels
    ['dog', 'dog']
    """
    check_label_types(labels)  # type: ignore[arg-type]
    classes, counts = np.unique(np.asarray(labels), return_counts=True)
    if not len(classes):
        raise ValueError("the majority class needs at least one label, got 0")
    return BaselineResult("majority", [classes[counts.argmax()].item()] * n_queries, [])
