"""What accuracy to expect of any estimator on new examples, from the shots alone.

Shots are left out, some of every class at a time, the estimator is fitted again from scratch without them
(selection of heads, weights, penalties and temperatures included) and predicts them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_array

from savs.features import Head
from savs.heads.base import HeadClassifier
from savs.heads.classifier import SAVClassifier
from savs.heads.estimate import Estimate, leave_one_out_folds, summarise_left_out
from savs.heads.labels import check_label_types, encode_labels
from savs.heads.rows import check_finite, resolve_layout
from savs.heads.shots import Shots

__all__ = [
    "estimate_classifier",
    "estimate_from_shots",
    "left_out_log_probabilities",
    "left_out_of",
    "nested_folds",
]


def estimate_classifier(
    classifier: HeadClassifier | SAVClassifier, X: ArrayLike, y: ArrayLike, *, max_folds: int = 5
) -> Estimate | None:
    """Return the accuracy to expect of a classifier on new examples, from the shots it is (to be) fitted on.

    Parameters
    ----------
    classifier : HeadClassifier or SAVClassifier
        Fitted or not; copies are fitted, it is not changed.
    X : array-like of float, shape (n_shots, width)
        Feature rows of the shots, of the classifier's layout.
    y : array-like, shape (n_shots,)
        Their labels.
    max_folds : int, default=5
        Number of refits, at least 2.

    Returns
    -------
    Estimate or None
        None where no class has two shots.

    Raises
    ------
    DataError, ActivationError, ValueError
        As the classifier's `fit`; `ValueError` for fewer folds.

    Examples
    --------
    >>> from savs.heads.experts import make_expert
    >>> rows = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    >>> estimate = estimate_classifier(make_expert("soft"), rows, list("aaabbb"))
    >>> estimate.accuracy, estimate.n
    (1.0, 6)
    """
    if not isinstance(y, np.ndarray):
        check_label_types(y)  # type: ignore[arg-type]
    rows = check_array(X, dtype=[np.float64, np.float32], ensure_all_finite=False)
    classes, codes = encode_labels(np.asarray(y))
    if len(rows) != len(codes):
        raise ValueError(f"{len(rows)} feature rows, but {len(codes)} labels")
    layout = resolve_layout(classifier.layout, rows.shape[1])
    check_finite(rows, layout)
    shots = Shots(rows, codes, len(classes), layout)
    return estimate_from_shots(left_out_of(classifier, shots, max_folds), codes, max_folds)


def left_out_of(
    classifier: HeadClassifier | SAVClassifier,
    shots: Shots,
    max_folds: int = 5,
    heads: list[list[Head]] | None = None,
) -> NDArray[np.float64]:
    """Return log probabilities of every shot under the classifier fitted again without it and some others.

    Every choice that a fit makes is repeated. Shape (n_shots, n_classes); rows of shots that are alone in
    their class are NaN. `heads` takes the heads in use of each fit, where the classifier has no folds of its
    own.
    """
    if isinstance(max_folds, bool) or not isinstance(max_folds, int) or max_folds < 2:
        raise ValueError(f"max_folds must be an integer of at least 2, got {max_folds!r}")
    folds = nested_folds(shots.codes, max_folds)
    repeated = getattr(classifier, "left_out_log_probabilities", None)  # a choice that knows how to
    if repeated is not None:
        return np.asarray(repeated(shots, folds))
    return left_out_log_probabilities(classifier, shots, folds, heads)


def nested_folds(codes: NDArray[np.intp], max_folds: int, seed: int = 0) -> list[NDArray[np.intp]]:
    """Return which shots each fold leaves out; every class keeps at least one shot in every fold.

    Parameters
    ----------
    codes : ndarray of int, shape (n_shots,)
        Class indices.
    max_folds : int
        Largest number of folds, at least 2. A class with fewer shots than that has one left out per fold.
    seed : int, default=0
        Decides which shots go together.

    Examples
    --------
    >>> [len(fold) for fold in nested_folds(np.array([0, 0, 0, 0, 1, 1, 2]), 2)]
    [3, 3]
    """
    single = leave_one_out_folds(codes, seed, int(np.bincount(codes).max()))
    folds = [np.concatenate(single[start::max_folds]) for start in range(min(max_folds, len(single)))]
    return [fold for fold in folds if len(fold)]


def left_out_log_probabilities(
    classifier: HeadClassifier | SAVClassifier,
    shots: Shots,
    folds: Sequence[NDArray[np.intp]],
    heads: list[list[Head]] | None = None,
) -> NDArray[np.float64]:
    """Return log probabilities of the left-out shots under an estimator that is fitted without them.

    Parameters
    ----------
    classifier : HeadClassifier or SAVClassifier
        Copies of it are fitted.
    shots : Shots
        The shots.
    folds : sequence of ndarray of int
        Which shots are left out together.
    heads : list, optional
        Takes the heads in use of each fit.

    Returns
    -------
    ndarray of float64, shape (n_shots, n_classes)
        NaN for shots that no fold leaves out.
    """
    logs = np.full((len(shots.codes), shots.n_classes), np.nan)
    classes = np.arange(shots.n_classes)
    for fold in folds:
        fitted = clone(classifier).set_params(layout=shots.layout)._fit_codes(classes, shots.without(fold))
        left_out = shots.rows[fold]
        if heads is not None:
            heads.append(fitted.heads_)
        published = isinstance(fitted, SAVClassifier)
        logs[fold] = fitted.log_shares(left_out) if published else fitted.predict_log_proba(left_out)
    return logs


def estimate_from_shots(
    log_probabilities: NDArray[np.float64], codes: NDArray[np.intp], max_folds: int = 5
) -> Estimate | None:
    """Return the estimate from log probabilities of left-out shots; None where no shot was left out.

    Parameters
    ----------
    log_probabilities : ndarray of float64, shape (n_shots, n_classes)
        NaN rows were not left out.
    codes : ndarray of int, shape (n_shots,)
        True classes.
    max_folds : int, default=5
        Largest number of folds in which shots were left out.
    """
    tested = np.isfinite(log_probabilities).all(axis=1)
    if not tested.any():
        return None
    answers, shares = log_probabilities[tested].argmax(axis=1), np.exp(log_probabilities[tested])
    return summarise_left_out(codes[tested], answers, codes, shares, max_folds=max_folds)
