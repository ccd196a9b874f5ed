"""`MultiLabelClassifier`: several labels per example, one-vs-rest over one set of heads."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from savs.classifiers.base import HeadClassifier
from savs.classifiers.head_scoring import rank_heads
from savs.classifiers.head_voting import HeadVoteClassifier
from savs.errors import DataError

__all__ = ["MultiLabelClassifier"]


class MultiLabelClassifier(BaseEstimator):  # type: ignore[misc]
    """One yes/no classifier per label.

    Parameters
    ----------
    classifier : HeadClassifier
        Fitted once per label. A `HeadVoteClassifier` with a number of heads reads the same heads for all
        labels: those with the best mean score over the labels.

    Attributes
    ----------
    classifiers_ : list of HeadClassifier
        One per label, with classes 0 and 1.
    n_features_in_ : int
        Number of columns of X.
    """

    classifiers_: list[HeadClassifier]
    n_features_in_: int

    def __init__(self, classifier: HeadClassifier) -> None:
        self.classifier = classifier

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Learn from the shots.

        Parameters
        ----------
        X : array-like of float, shape (n_shots, width)
            Feature rows.
        Y : array-like of bool or 0/1, shape (n_shots, n_labels)
            Which labels each shot has.

        Raises
        ------
        DataError
            If `Y` is no such table, or a label is on all shots or on none.
        """
        table = np.asarray(Y)
        if table.ndim != 2 or not np.isin(table, (0, 1)).all():
            raise DataError("labels must be a table of 0 and 1, one row per shot and one column per label")
        table = table.astype(np.int64)
        constant = [column for column in range(table.shape[1]) if len(np.unique(table[:, column])) < 2]
        if constant:
            raise DataError(f"label {constant[0]} is on all shots or on none; it cannot be learned")
        fitted = [clone(self.classifier).fit(X, column) for column in table.T]
        if isinstance(self.classifier, HeadVoteClassifier) and isinstance(self.classifier.n_heads, int):
            heads = _common_heads(fitted, self.classifier.n_heads)
            fitted = [clone(self.classifier).set_params(heads=heads).fit(X, column) for column in table.T]
        self.classifiers_, self.n_features_in_ = fitted, fitted[0].n_features_in_
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each label, shape (n_examples, n_labels)."""
        check_is_fitted(self)
        return np.stack([one.predict_proba(X)[:, 1] for one in self.classifiers_], axis=1)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return which labels each example has, 0 or 1, shape (n_examples, n_labels)."""
        return np.asarray(self.predict_proba(X) > 0.5, dtype=np.int64)


def _common_heads(fitted: list[Any], count: int) -> list[Any]:
    scores = np.stack([one.head_scores_ for one in fitted], axis=1)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    layout = fitted[0].layout_
    return [layout.heads[position] for position in rank_heads(scores, layout)[:count]]
