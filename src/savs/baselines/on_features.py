"""Baselines on rows that are already read: the largest class, and class means of the final hidden state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers import SAVClassifier
from savs.classifiers._validation import label_array
from savs.data import Label

__all__ = ["BaselineResult", "majority_class", "last_layer"]


# What every baseline returns.


@dataclass(frozen=True)
class BaselineResult:
    """Predictions of one baseline.

    Attributes
    ----------
    name : str
        Which baseline.
    labels : list of label or None
        One per query, in order; None where the answer names no class.
    answers : list of str
        What the model said, for baselines that generate; else empty.
    proba : ndarray of float64, shape (n_queries, n_classes), or None
        Probabilities, for baselines that have them; rows sum to 1. Two results are compared without them.
    classes : list of label or None
        The classes of the columns of `proba`.
    """

    name: str
    labels: list[Label | None]
    answers: list[str] = field(default_factory=list)
    proba: NDArray[np.float64] | None = field(default=None, compare=False)
    classes: list[Label] | None = field(default=None, compare=False)

    @property
    def unparsed(self) -> list[int]:
        """Positions of the queries without a label."""
        return [position for position, label in enumerate(self.labels) if label is None]


# The largest class for every query: what a method must beat to have learned anything.


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
    classes, counts = np.unique(np.asarray(label_array(labels)), return_counts=True)
    if not len(classes):
        raise ValueError("the majority class needs at least one label, got 0")
    return BaselineResult("majority", [classes[counts.argmax()].item()] * n_queries)


# Nearest class mean by cosine on the decoder's last-layer state: SAVs without heads.


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
    return BaselineResult("last_layer", classifier.predict(query_states).tolist())
