"""What unlabelled items add to a fitted classifier: how often each class should be answered.

With one or two shots per class, the line between two classes runs halfway between single examples, far from
where the items thin out. Unlabelled items show which class a classifier prefers whatever it sees. One offset
per class takes that out; means, heads and weights stay those of the shots.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.classifiers._probabilities import log_softmax
from savs.classifiers.base import CalibratedHeadClassifier, HeadClassifier
from savs.errors import DataError

__all__ = ["PRIOR_ITEMS", "WithUnlabelled", "checked_for_unlabelled", "class_offsets", "use_unlabelled"]

PRIOR_ITEMS = 10.0
"""How much an offset of 0 is believed beside the items; see `class_offsets`."""

STRENGTHS = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Shares of the offsets that held-out shots choose from."""

_STEPS, _TINY = 100, 1e-12

_Table = NDArray[np.float64]


class WithUnlabelled(NamedTuple):
    """A classifier that has seen unlabelled items, and what is known of it.

    Attributes
    ----------
    classifier : CalibratedHeadClassifier
        A copy of the fitted one; its ``log_priors_`` hold the offsets.
    out_of_fold : ndarray of float64, shape (n_shots, n_classes)
        Log probabilities of held-out shots, with the offsets.
    report : dict
        JSON-able: ``n``, how many items; ``strength``, the share of the offsets in use; ``offsets``, what is
        added to the log probability of each class; ``log_loss_before``, ``log_loss`` of held-out shots, None
        where none can be held out.
    """

    classifier: CalibratedHeadClassifier
    out_of_fold: _Table
    report: dict[str, Any]


def checked_for_unlabelled(estimator: HeadClassifier, name: str | None = None) -> CalibratedHeadClassifier:
    """Return an estimator that can use unlabelled items: one with calibrated scores.

    Parameters
    ----------
    estimator : HeadClassifier
        Fitted or not.
    name : str, optional
        Of the method, for the message; by default that of the class.

    Raises
    ------
    DataError
        If it is another one, such as the published rule.
    """
    if isinstance(estimator, CalibratedHeadClassifier):
        return estimator
    raise DataError(
        f"method {(name or type(estimator).__name__)!r} cannot use unlabelled items, as its scores are not "
        "calibrated; take one such as 'auto'"
    )


def class_offsets(log_proba: _Table, shares: _Table, prior_items: float = PRIOR_ITEMS) -> _Table:
    """Return what to add to log probabilities so that the mean over the items meets the classes' shares.

    Parameters
    ----------
    log_proba : ndarray of float64, shape (n_items, n_classes)
        Log probabilities of unlabelled items; their order does not matter.
    shares : ndarray of float64, shape (n_classes,)
        The share of the items that each class should have, sum 1.
    prior_items : float, default=10.0
        Precision of the normal prior of the offsets, whose mean is 0.

    Returns
    -------
    ndarray of float64, shape (n_classes,)
        The offsets b, with sum 0: the one minimum of
        ``sum_i log sum_c exp(l_ic + b_c) - n_items sum_c shares_c b_c + prior_items / 2 sum_c b_c^2``.

    Notes
    -----
    Where the gradient is zero, ``sum_i p_ic(b) + prior_items b_c = n_items shares_c``: without the prior,
    the mean probability of each class is its share, as in class mass normalization (Zhu, Ghahramani and
    Lafferty, ICML 2003). With it, few items move little. Found by Newton's method with halved steps.
    """
    logs = log_proba[np.lexsort(log_proba.T)]
    wanted = len(logs) * shares
    offsets = np.zeros(logs.shape[1])
    value = _objective(logs, offsets, wanted, prior_items)
    for _ in range(_STEPS):
        proba = np.exp(log_softmax(logs + offsets))
        mass = proba.sum(axis=0)
        slope = mass - wanted + prior_items * offsets
        curve = np.diag(mass + prior_items) - proba.T @ proba
        step = np.linalg.solve(curve, slope)
        gain, size = float(slope @ step), 1.0
        while size > _TINY:
            tried = offsets - size * step
            found = _objective(logs, tried, wanted, prior_items)
            if found <= value - 0.25 * size * gain:
                break
            size /= 2
        else:
            break
        offsets, value = tried, found
        if gain < _TINY * len(logs):
            break
    return np.asarray(offsets - offsets.mean())


def _objective(logs: _Table, offsets: _Table, wanted: _Table, prior_items: float) -> float:
    moved = logs + offsets
    top = moved.max(axis=1)
    total = (top + np.log(np.exp(moved - top[:, None]).sum(axis=1))).sum()
    return float(total - wanted @ offsets + prior_items / 2 * offsets @ offsets)


def use_unlabelled(
    classifier: CalibratedHeadClassifier,
    rows: NDArray[np.floating],
    out_of_fold: _Table,
    codes: NDArray[np.intp],
    folds: Sequence[NDArray[np.intp]],
) -> WithUnlabelled:
    """Return a fitted classifier with the offsets that unlabelled items ask for.

    The classes' shares among the items are taken to be the classifier's priors. Held-out shots choose how
    much of the offsets is used, and nothing where any part of them makes their log loss larger; without
    held-out shots all of it.

    Parameters
    ----------
    classifier : CalibratedHeadClassifier
        Fitted; stays as it is.
    rows : ndarray of float, shape (n_items, width)
        Feature rows of the unlabelled items, all columns of the classifier's layout.
    out_of_fold : ndarray of float64, shape (n_shots, n_classes)
        Log probabilities of held-out shots without the offsets; NaN rows could not be left out.
    codes : ndarray of int, shape (n_shots,)
        Class of each shot.
    folds : sequence of ndarray of int
        Which shots were left out together. Each fold gets the strength that the other folds choose.
    """
    priors = classifier.log_priors_
    offsets = class_offsets(classifier.predict_log_proba(rows), np.exp(priors) / np.exp(priors).sum())
    known = np.isfinite(out_of_fold).all(axis=1)
    strength = _strength(out_of_fold[known], codes[known], offsets)
    changed = copy(classifier)
    changed.log_priors_ = priors + strength * offsets
    changed.out_of_fold_log_proba_ = log_softmax(classifier.out_of_fold_log_proba_ + strength * offsets)
    moved = np.full(out_of_fold.shape, np.nan)
    for fold in folds:
        others = known & ~np.isin(np.arange(len(codes)), fold)
        chosen = _strength(out_of_fold[others], codes[others], offsets)
        moved[fold] = log_softmax(out_of_fold[fold] + chosen * offsets)
    report = {
        "n": len(rows),
        "strength": strength,
        "offsets": (strength * offsets + 0.0).tolist(),  # 0.0, not -0.0
        "log_loss_before": _loss(out_of_fold[known], codes[known]),
        "log_loss": _loss(moved[known], codes[known]),
    }
    changed.selection_report_ = {**classifier.selection_report_, "unlabelled": report}
    return WithUnlabelled(changed, moved, report)


def _strength(logs: _Table, codes: NDArray[np.intp], offsets: _Table) -> float:
    """Return the share of the offsets with the lowest log loss of held-out shots; of equals the largest."""
    if not len(codes):
        return STRENGTHS[0]
    losses = [_loss(log_softmax(logs + share * offsets), codes) or 0.0 for share in STRENGTHS]
    return STRENGTHS[int(np.argmin(losses))]


def _loss(logs: _Table, codes: NDArray[np.intp]) -> float | None:
    return float(-logs[np.arange(len(codes)), codes].mean()) if len(codes) else None
