"""Baselines on rows that are already read: the largest class, class means, nearest shots, linear probes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers import SAVClassifier
from savs.classifiers._numerics import similarity_blocks
from savs.classifiers._support_set import unit_vectors
from savs.classifiers._validation import check_finite, encode_labels, label_array, resolve_layout
from savs.data import Label
from savs.errors import DataError
from savs.layout import HeadLayout

__all__ = [
    "BaselineResult",
    "all_heads",
    "knn",
    "last_layer",
    "logistic_probe",
    "majority_class",
    "ridge_probe",
]

Rows = NDArray[np.floating[Any]]


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
    labels = classifier.predict(query_states).tolist() if len(query_states) else []
    return BaselineResult("last_layer", labels)


# Nearest class mean by cosine on all heads at once: SAVs that choose no heads.

_CHUNK = 512
"""Queries that are worked on at once."""


def all_heads(rows: Rows, labels: ArrayLike, query_rows: Rows, layout: HeadLayout) -> BaselineResult:
    """Predict the class whose mean over all heads together has the largest cosine with the query.

    Every head's vector is scaled to length 1, so that all heads count alike, and all are put side by side.

    Parameters
    ----------
    rows : ndarray of float, shape (n_shots, width)
        Feature rows of the shots; columns behind the heads are not read.
    labels : array-like, shape (n_shots,)
        Labels of the shots.
    query_rows : ndarray of float, shape (n_queries, width)
        Feature rows of the queries.
    layout : HeadLayout
        Which columns belong to which head.

    Raises
    ------
    DataError
        If labels are unusable or of fewer than two classes.
    ValueError
        If the shapes do not belong together or a value is not finite.

    Examples
    --------
    >>> layout = HeadLayout.uniform(n_layers=1, n_heads=2, head_dim=2)
    >>> rows = np.array([[1.0, 0, 9, 0], [0, 1, 0, 9]])
    >>> all_heads(rows, ["cat", "dog"], np.array([[5.0, 1, 0, 1], [3, 1, 1, 0]]), layout).labels
    ['dog', 'cat']
    """
    rows, codes, classes, query_rows = _checked(rows, labels, query_rows, layout)
    layout = layout.without_state()
    classifier = SAVClassifier(n_heads=1).fit(_unit_heads(rows, layout), codes)
    found: list[int] = []
    for start in range(0, len(query_rows), _CHUNK):
        found += classifier.predict(_unit_heads(query_rows[start : start + _CHUNK], layout)).tolist()
    return BaselineResult("all_heads", [classes[code] for code in found])


def _unit_heads(rows: Rows, layout: HeadLayout) -> NDArray[np.float64]:
    units = np.empty((len(rows), layout.width))
    for group in layout.groups:
        units[:, group.columns] = unit_vectors(rows[:, group.columns].astype(np.float64))
    return units


# The nearest shots by mean cosine over all heads vote; how many is chosen on the shots.

NEIGHBOR_COUNTS = (1, 3, 5, 9, 15, 25)
"""Numbers of neighbors that are tried; those of all shots but one and more are left out."""

_DECIMALS = 12
"""Similarities that agree to so many decimals are tied: the rest is rounding."""


def knn(rows: Rows, labels: ArrayLike, query_rows: Rows, layout: HeadLayout) -> BaselineResult:
    """Predict the most frequent class among the k shots with the largest mean cosine over all heads.

    k is the one of `NEIGHBOR_COUNTS` that gets most shots right when each is left out, the smallest where
    several do. Among classes with equally many of the k shots, the one whose nearest shot is nearer wins.

    Parameters
    ----------
    rows : ndarray of float, shape (n_shots, width)
        Feature rows of the shots; columns behind the heads are not read.
    labels : array-like, shape (n_shots,)
        Labels of the shots.
    query_rows : ndarray of float, shape (n_queries, width)
        Feature rows of the queries.
    layout : HeadLayout
        Which columns belong to which head.

    Returns
    -------
    BaselineResult
        `proba` are the shares of the classes among the k shots.

    Raises
    ------
    DataError
        If labels are unusable or of fewer than two classes.
    ValueError
        If the shapes do not belong together or a value is not finite.

    Examples
    --------
    >>> layout = HeadLayout.uniform(n_layers=1, n_heads=1, head_dim=2)
    >>> rows = np.array([[1.0, 0], [9, 1], [0, 1], [1, 9]])
    >>> found = knn(rows, ["cat", "cat", "dog", "dog"], np.array([[5.0, 1]]), layout)
    >>> found.labels, found.classes, found.proba.tolist()
    (['cat'], ['cat', 'dog'], [[1.0, 0.0]])
    """
    rows, codes, classes, query_rows = _checked(rows, labels, query_rows, layout)
    layout = layout.without_state()
    among_shots = _mean_cosines(rows, rows, layout)
    np.fill_diagonal(among_shots, -np.inf)
    counts = [k for k in NEIGHBOR_COUNTS if k < len(rows)]
    right = [int((_vote(among_shots, codes, len(classes), k)[0] == codes).sum()) for k in counts]
    n_neighbors = counts[int(np.argmax(right))]
    cosines = _mean_cosines(query_rows, rows, layout)
    winners, shares = _vote(cosines, codes, len(classes), n_neighbors)
    return BaselineResult("knn", [classes[code] for code in winners.tolist()], [], shares, classes)


def _mean_cosines(queries: Rows, shots: Rows, layout: HeadLayout) -> NDArray[np.float64]:
    """Return the mean over the heads of the cosines of queries with shots, (n_queries, n_shots)."""
    total = np.zeros((len(queries), len(shots)))
    targets = shots[:, : layout.width].astype(np.float64)
    for block in similarity_blocks(queries[:, : layout.width], targets, layout):
        total[block.rows] += block.similarities.sum(axis=0)
    return total / layout.n_heads


def _vote(
    cosines: NDArray[np.float64], codes: NDArray[np.intp], n_classes: int, n_neighbors: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the winning classes and the classes' shares of the nearest shots.

    Shots at the same distance stand in the order of their classes, so the order of the shots is without
    effect.
    """
    rounded = cosines.round(_DECIMALS)
    order = np.lexsort((np.broadcast_to(codes, rounded.shape), -rounded), axis=-1)[:, :n_neighbors]
    nearest = codes[order]
    shares = (nearest[..., None] == np.arange(n_classes)).sum(axis=1) / n_neighbors
    places = np.argmax(np.take_along_axis(shares, nearest, axis=1) == shares.max(axis=1)[:, None], axis=1)
    return nearest[np.arange(len(nearest)), places], shares


# Linear probes: ridge and logistic regression on all columns, standardized.

RIDGE_STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 4))
"""Values of alpha that are tried, for shots of mean squared length 1."""

LOGISTIC_STRENGTHS = tuple(10.0**exponent for exponent in range(-2, 5))
"""Values of C that are tried, for shots of mean squared length 1."""

_FOLDS = 5

_ROUNDING = 1e-10
"""A spread of a column that is smaller, relative to its largest value, is rounding."""


def ridge_probe(
    rows: Rows, labels: ArrayLike, query_rows: Rows, layout: HeadLayout | None = None
) -> BaselineResult:
    """Predict with a ridge regression on the classes, its strength by leave-one-out on the shots.

    scikit-learn's `RidgeClassifierCV` on all columns, standardized by the shots.

    Parameters
    ----------
    rows : ndarray of float, shape (n_shots, width)
        Feature rows of the shots: all heads, and the last-layer state where they have it.
    labels : array-like, shape (n_shots,)
        Labels of the shots.
    query_rows : ndarray of float, shape (n_queries, width)
        Feature rows of the queries.
    layout : HeadLayout, optional
        Which columns belong to which head, for messages.

    Raises
    ------
    DataError
        If labels are unusable or of fewer than two classes.
    ValueError
        If the shapes do not belong together or a value is not finite.
    """
    from sklearn.linear_model import RidgeClassifierCV

    rows, codes, classes, query_rows = _checked(rows, labels, query_rows, layout)
    space = _ShotSpace.of(rows)
    probe = RidgeClassifierCV(alphas=RIDGE_STRENGTHS).fit(space.coordinates, codes)
    winners = [code for part in space.chunks(query_rows) for code in probe.predict(part).tolist()]
    return BaselineResult("ridge_probe", [classes[code] for code in winners])


def logistic_probe(
    rows: Rows, labels: ArrayLike, query_rows: Rows, layout: HeadLayout | None = None
) -> BaselineResult:
    """Predict with a logistic regression, its strength by cross-validation on the shots.

    scikit-learn's `LogisticRegression` on all columns, standardized by the shots. C is the one of
    `LOGISTIC_STRENGTHS` with the smallest log loss on held-out shots, in as many folds as the smallest class
    has shots, five at most; it is 1 where a class has a single shot.

    Parameters
    ----------
    rows : ndarray of float, shape (n_shots, width)
        Feature rows of the shots: all heads, and the last-layer state where they have it.
    labels : array-like, shape (n_shots,)
        Labels of the shots.
    query_rows : ndarray of float, shape (n_queries, width)
        Feature rows of the queries.
    layout : HeadLayout, optional
        Which columns belong to which head, for messages.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    DataError
        If labels are unusable or of fewer than two classes.
    ValueError
        If the shapes do not belong together or a value is not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    rows, codes, classes, query_rows = _checked(rows, labels, query_rows, layout)
    space = _ShotSpace.of(rows)
    probe: Any = LogisticRegression(max_iter=10_000)
    n_folds = min(_FOLDS, int(np.bincount(codes).min()))
    if n_folds > 1:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
        probe = GridSearchCV(probe, {"C": LOGISTIC_STRENGTHS}, scoring="neg_log_loss", cv=folds)
    probe.fit(space.coordinates, codes)
    proba = np.concatenate(
        [np.empty((0, len(classes))), *(probe.predict_proba(part) for part in space.chunks(query_rows))]
    )
    labels_found: list[Label | None] = [classes[code] for code in proba.argmax(axis=1).tolist()]
    return BaselineResult("logistic_probe", labels_found, [], proba, classes)


@dataclass(frozen=True)
class _ShotSpace:
    """Standardized shots in the space that they span, where they have no more columns than there are shots.

    A linear model with a squared penalty has its weights there, so nothing is lost, and a row of a hundred
    thousand columns costs no more than one of a hundred.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    basis: NDArray[np.float64] | None
    coordinates: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Rows) -> _ShotSpace:
        mean = rows.mean(axis=0, dtype=np.float64)
        spread = rows.std(axis=0, dtype=np.float64)
        # The spread of a column that is the same in all shots is rounding: queries divided by it explode.
        varies = spread > _ROUNDING * np.abs(rows).max(axis=0)
        scale = np.divide(1.0, spread * np.sqrt(rows.shape[1]), out=np.zeros_like(spread), where=varies)
        standardized = (rows - mean) * scale
        if rows.shape[1] <= len(rows):
            return cls(mean, scale, None, standardized)
        basis = np.linalg.svd(standardized, full_matrices=False)[2]
        return cls(mean, scale, basis, standardized @ basis.T)

    def chunks(self, rows: Rows) -> Iterator[NDArray[np.float64]]:
        for start in range(0, len(rows), _CHUNK):
            standardized = (rows[start : start + _CHUNK] - self.mean) * self.scale
            yield standardized if self.basis is None else standardized @ self.basis.T


def _checked(
    rows: Rows, labels: ArrayLike, query_rows: Rows, layout: HeadLayout | None
) -> tuple[Rows, NDArray[np.intp], list[Label], Rows]:
    """Return rows, class indices of the shots, the classes and the rows of the queries."""
    rows, query_rows = np.asarray(rows), np.asarray(query_rows)
    if rows.ndim != 2 or query_rows.ndim != 2 or rows.shape[1] != query_rows.shape[1]:
        raise ValueError(f"shots and queries need as many columns, got {rows.shape} and {query_rows.shape}")
    names = np.asarray(label_array(labels))
    if len(names) != len(rows):
        raise ValueError(f"{len(rows)} rows of shots, but {len(names)} labels")
    if not len(names):
        raise DataError("a baseline on features needs shots, got 0")
    classes, codes = encode_labels(names)
    known = resolve_layout(layout, rows.shape[1])
    check_finite(rows, known)
    check_finite(query_rows, known)
    return rows, codes, classes.tolist(), query_rows
