"""`SAVClassifier`: the published rule ([SAV] section 3) as a scikit-learn estimator on feature rows.

Each kept head votes for one class, and the class with most votes wins. Between classes with equally many
votes the one that the best-ranked head among their voters chose wins.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from savs.classifiers._numerics import (
    class_centroids,
    cosine_similarities,
    nearest_classes,
    similarity_blocks,
)
from savs.classifiers._probabilities import PROBABILITY_FLOOR
from savs.classifiers._support_set import Shots, nested_folds
from savs.classifiers._validation import label_array
from savs.classifiers.base import HeadClassifier, HeadOpinions, State, estimator_key
from savs.layout import Head, HeadLayout

__all__ = [
    "head_scores",
    "check_n_heads",
    "select_heads",
    "decision_values",
    "vote_counts",
    "vote_shares",
    "SAVClassifier",
]


# Head scores: how many shots each head classifies right ([SAV] section 3, in-sample).


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
        From `savs.classifiers._numerics.class_centroids`.
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


# Head selection: the k best heads; equal scores go to the lower (layer, head).


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


# Votes of the kept heads: counts, shares, and the tie rule.


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
    """Return the share of the heads that voted for each class.

    Parameters
    ----------
    votes : ndarray of int, shape (n_examples, n_kept_heads)
        Class index that each head chose.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of float64, shape (n_examples, n_classes)
        Shares between 0 and 1; each row sums to 1.
    """
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


# `SAVClassifier`: the published rule ([SAV] section 3) as a scikit-learn estimator on feature rows.

_MAX_FOLDS = 20

_LONG = 2e10
"""Values times classes from which on a refit takes minutes."""


class SAVClassifier(HeadClassifier):
    """Few-shot classifier by majority vote of the best attention heads (Sparse Attention Vectors).

    `fit` takes the mean vector of each class for each head, scores every head by how many shots lie nearest
    (by cosine) to their own class's mean, and keeps the `n_heads` best. `predict` lets each kept head vote
    for the class with the nearest mean.

    Parameters
    ----------
    n_heads : int, default=20
        How many heads to keep; all of them where the layout has fewer.
    layout : HeadLayout, (n_layers, n_heads, head_dim) or None, default=None
        Which columns of X belong to which head. None takes the whole row as one head, which makes this a
        nearest-class-mean classifier by cosine.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted.
    heads_ : list of Head
        The kept heads, best first.
    head_scores_ : ndarray of int64, shape (layout_.n_heads,)
        Score of every head in layout order; see `savs.classifiers.sav.head_scores`.
    centroids_ : ndarray of float64, shape (n_classes, width of the kept heads)
        Class means of the kept heads, in the order of `heads_`.
    layout_ : HeadLayout
        The layout in use.
    n_features_in_ : int
        Number of columns of X.

    Notes
    -----
    Ties are settled so that neither the order of the examples nor the batch decides: equal head scores go
    to the lower (layer, index); equal vote counts to the class that the best-ranked head among their voters
    chose; equal cosines (within `savs.classifiers._numerics.TIE_TOLERANCE`, 1e-12) to the first class of
    `classes_`. A zero vector has similarity 0 to everything. All arithmetic is in float64.

    The only shot of a class may not vote for its own class in head scoring: every score is lowered by one per
    such class, which leaves the order of the heads as published.

    References
    ----------
    Mitra et al., "Sparse Attention Vectors" (arXiv 2412.00142), ICCV 2025 as "Enhancing Few-Shot
    Vision-Language Classification with Large Multimodal Model Features", section 3.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 0, 5, 5], [1, 1, 5, 5], [0, 1, 5, 5], [-1, 1, 5, 5]])
    >>> y = ["cat", "cat", "dog", "dog"]
    >>> classifier = SAVClassifier(n_heads=1, layout=(1, 2, 2)).fit(X, y)
    >>> classifier.heads_, classifier.head_scores_
    ([Head(layer=0, index=0)], array([4, 2]))
    >>> classifier.predict([[3.0, 1, 5, 5], [-2, 1, 5, 5]]).tolist()
    ['cat', 'dog']
    """

    classes_: NDArray[Any]
    heads_: list[Head]
    head_scores_: NDArray[np.int64]
    centroids_: NDArray[np.float64]
    layout_: HeadLayout
    n_features_in_: int

    published_as = "Sparse Attention Vectors, published rule (arXiv 2412.00142)"
    is_calibrated = False

    def __init__(self, n_heads: int = 20, layout: HeadLayout | tuple[int, int, int] | None = None) -> None:
        self.n_heads = n_heads
        self.layout = layout

    def fit_shots(self, classes: NDArray[Any], shots: Shots) -> Self:
        """Learn centroids and head scores, and select the heads; see `HeadClassifier.fit_shots`.

        Parameters
        ----------
        classes : ndarray, shape (n_classes,)
            The classes, sorted.
        shots : Shots
            Finite rows, class indices and layout.

        Returns
        -------
        SAVClassifier
            The fitted classifier itself.

        Raises
        ------
        ValueError
            If `n_heads` is not a positive integer.
        """
        n_heads, layout = check_n_heads(self.n_heads), shots.layout
        centroids = class_centroids(shots.rows, shots.codes, shots.n_classes)
        scores = head_scores(shots.rows, shots.codes, centroids, layout)
        heads = select_heads(scores, layout, n_heads)
        return self._keep(classes, heads, scores, centroids[:, layout.column_indices(heads)], layout)

    @classmethod
    def from_parts(
        cls,
        *,
        classes: ArrayLike,
        heads: Sequence[tuple[int, int]],
        head_scores: ArrayLike,
        centroids: ArrayLike,
        layout: HeadLayout,
        n_heads: int | None = None,
    ) -> Self:
        """Return a fitted classifier from what `fit` learned, without the shots.

        Parameters
        ----------
        classes : array-like, shape (n_classes,)
            `classes_`, sorted, at least two.
        heads : sequence of (layer, index)
            `heads_`, best first.
        head_scores : array-like of int, shape (layout.n_heads,)
            `head_scores_`.
        centroids : array-like of float64, shape (n_classes, width of the kept heads)
            `centroids_`.
        layout : HeadLayout
            `layout_`.
        n_heads : int, optional
            The parameter `n_heads`; the number of kept heads by default.

        Raises
        ------
        ValueError
            If the parts do not belong together: wrong shapes, classes unsorted or repeated, a value that is
            not finite, heads that are not the best by score.

        Examples
        --------
        >>> import numpy as np
        >>> classifier = SAVClassifier().fit(np.eye(3), [7, 8, 9])
        >>> names = ("classes", "heads", "head_scores", "centroids", "layout")
        >>> again = SAVClassifier.from_parts(**{name: getattr(classifier, f"{name}_") for name in names})
        >>> again.predict(np.eye(3)).tolist()
        [7, 8, 9]
        """
        kept = [Head(*head) for head in heads]
        names, scores, means = (
            np.asarray(label_array(classes)),
            np.asarray(head_scores),
            np.asarray(centroids, np.float64),
        )
        _check_parts(names, kept, scores, means, layout)
        classifier = cls(n_heads=len(kept) if n_heads is None else check_n_heads(n_heads), layout=layout)
        return classifier._keep(names, kept, scores.astype(np.int64), means, layout)

    def cross_validation_folds(self, shots: Shots) -> list[NDArray[np.intp]]:
        """Return which shots each fold of an accuracy estimate leaves out.

        All shots in up to 20 folds, one of every class in each where there are no more than 20; fewer folds
        where a refit takes minutes.
        """
        if float(shots.rows.size) * shots.n_classes < _LONG:
            return nested_folds(shots.codes, _MAX_FOLDS)
        return super().cross_validation_folds(shots)

    def prediction_bytes(self) -> int:
        """Return the size of what predictions need: centroids, and classes and heads as JSON."""
        return int(self.centroids_.nbytes) + len(json.dumps([self.classes_.tolist(), self.heads_]))

    def to_state(self) -> State:
        """Return everything a prediction needs: arrays by name, and JSON-able settings."""
        check_is_fitted(self)
        arrays = {"head_scores": self.head_scores_, "centroids": self.centroids_}
        return State(
            arrays,
            {
                "estimator": estimator_key(type(self)),
                "parameters": {"n_heads": self.n_heads},
                "classes": self.classes_.tolist(),
                "layout": self.layout_.to_json(),
                "heads": [list(head) for head in self.heads_],
            },
        )

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the estimator that `to_state` described; `ValueError` for any other."""
        arrays, settings = state
        if settings.get("estimator") != estimator_key(cls) or set(arrays) != {"head_scores", "centroids"}:
            raise ValueError(f"this is not the state of {cls.__name__}")
        return cls.from_parts(
            classes=settings["classes"],
            heads=settings["heads"],
            head_scores=arrays["head_scores"],
            centroids=arrays["centroids"],
            layout=HeadLayout.from_json(settings["layout"]),
            n_heads=settings["parameters"]["n_heads"],
        )

    def votes(self, X: ArrayLike) -> NDArray[np.intp]:
        """Return the class index that each kept head votes for.

        Parameters
        ----------
        X : array-like of float, shape (n_examples, n_features_in_)
            Feature rows.

        Returns
        -------
        ndarray of int, shape (n_examples, n_kept_heads)
            Indices into `classes_`, best head first.
        """
        rows, kept = self._kept_rows(X)
        votes = np.empty((len(rows), kept.n_heads), dtype=np.intp)
        for block, positions, similarities in similarity_blocks(rows, self.centroids_, kept):
            votes[block, positions] = nearest_classes(similarities).T
        return votes

    def head_opinions(self, X: ArrayLike) -> HeadOpinions:
        """Return the cosines of each kept head, see `HeadClassifier.head_opinions`."""
        rows, kept = self._kept_rows(X)
        return HeadOpinions.from_scores(
            cosine_similarities(rows, self.centroids_, kept).transpose(1, 0, 2), "cosine"
        )

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class with most votes for each row of X, shape (n_examples,)."""
        winners = self._decision_values(X).argmax(axis=1)
        return np.asarray(self.classes_[winners])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the share of the kept heads that voted for each class, shape (n_examples, n_classes).

        Where two classes have equal shares, `predict` knows which one wins; these shares do not say.
        """
        return vote_shares(self.votes(X), len(self.classes_))

    def decision_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return logarithms of vote shares after the bonus that settles ties, so that the largest wins.

        Shares below 1e-9 count as that. Shape (n_examples, n_classes); rows of the exponentials sum to 1.
        """
        values = np.maximum(self._decision_values(X), PROBABILITY_FLOOR)
        return cast("NDArray[np.float64]", np.log(values / values.sum(axis=1, keepdims=True)))

    def _decision_values(self, X: ArrayLike) -> NDArray[np.float64]:
        return decision_values(self.votes(X), len(self.classes_))

    def _keep(
        self,
        classes: NDArray[Any],
        heads: list[Head],
        scores: NDArray[np.int64],
        centroids: NDArray[np.float64],
        layout: HeadLayout,
    ) -> Self:
        self.classes_, self.heads_, self.head_scores_ = classes, heads, scores
        self.centroids_, self.layout_, self.n_features_in_ = centroids, layout, layout.width
        self.selection_report_ = {}
        return self


def _check_parts(
    classes: NDArray[Any],
    heads: list[Head],
    scores: NDArray[Any],
    centroids: NDArray[np.float64],
    layout: HeadLayout,
) -> None:
    if classes.ndim != 1 or len(classes) < 2 or not (classes[:-1] < classes[1:]).all():
        raise ValueError("classes must be at least two, sorted, each once")
    if scores.shape != (layout.n_heads,) or scores.dtype.kind != "i":
        raise ValueError(
            f"head scores must be {layout.n_heads} integers, got {scores.dtype} of shape {scores.shape}"
        )
    if not heads or heads != select_heads(scores, layout, len(heads)):
        raise ValueError("the kept heads are not the best ones by their scores")
    shape = (len(classes), layout.select(heads).width)
    if centroids.shape != shape or not np.isfinite(centroids).all():
        raise ValueError(f"centroids must be finite, of shape {shape}, got shape {centroids.shape}")
