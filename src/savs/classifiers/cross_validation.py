"""What accuracy to expect of a classifier on new examples, from the shots alone.

Scores on the shots themselves are too high: each shot is part of its own centroid, and the heads were chosen
with it. Here some shots of every class are left out at a time, the estimator is fitted again from scratch
without them (selection of heads, weights, penalties and temperatures included), and predicts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array

from savs.classifiers._item_scores import ItemScores
from savs.classifiers._support_set import Shots, leave_one_out_folds, nested_folds
from savs.classifiers._validation import check_finite, encode_labels, label_array, resolve_layout
from savs.classifiers.base import HeadClassifier
from savs.layout import Head

__all__ = [
    "cross_validated_interval",
    "wilson_interval",
    "Estimate",
    "leave_one_out_folds",
    "summarize_out_of_fold",
    "estimate_classifier",
    "estimate_from_shots",
    "cross_val_log_proba",
    "nested_folds",
]


# How sure an accuracy is: the Wilson interval, and what is left of it where shots were left out in folds.

_Z95 = 1.959963984540054


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share (Wilson, JASA 1927).

    Parameters
    ----------
    correct : int
        How many were right.
    n : int
        Of how many independent ones; 0 gives (0, 1).

    Raises
    ------
    ValueError
        Unless ``0 <= correct <= n``.

    Examples
    --------
    >>> low, high = wilson_interval(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.596, 0.982)
    """
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n} is not a share")
    return (0.0, 1.0) if n == 0 else _wilson(correct / n, n)


def cross_validated_interval(correct: int, n: int, n_folds: int) -> tuple[float, float]:
    """Return a 95 % interval for the accuracy of the classifier on all shots, from held-out shots.

    Two things make the Wilson interval of the held-out shots too narrow, and too low:

    - The fits share shots, so their errors go together. The variance of a mean over k folds is not p(1-p)/n
      but larger by 1 + k * n_test / n_train = 1 + k / (k - 1) (Nadeau and Bengio, Machine Learning 2003,
      section 4); the Wilson interval is taken for n divided by that.
    - Each fit has only (k - 1) / k of the shots. Of a large error e, the shots that are left out may take
      their share: (k - 1) / k of e is left. Small errors may fall exponentially with the shots, so that
      e to the power of k / (k - 1) is left. The upper end allows for the smaller of the two.

    Parameters
    ----------
    correct : int
        How many held-out shots were right.
    n : int
        How many were left out; 0 gives (0, 1).
    n_folds : int
        In how many folds, at least 2.

    Raises
    ------
    ValueError
        Unless ``0 <= correct <= n`` and ``n_folds >= 2``.

    Examples
    --------
    >>> low, high = cross_validated_interval(36, 40, 5)
    >>> round(low, 3), round(high, 3)
    (0.684, 0.99)
    """
    if not 0 <= correct <= n or n_folds < 2:
        raise ValueError(f"{correct} correct of {n} in {n_folds} folds is not a share")
    if n == 0:
        return 0.0, 1.0
    rest = (n_folds - 1) / n_folds
    low, high = _wilson(correct / n, n / (1 + 1 / rest))
    return low, 1 - min(rest * (1 - high), (1 - high) ** (1 / rest))


def _wilson(share: float, n: float) -> tuple[float, float]:
    z2 = _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)


# What accuracy to expect on new examples, estimated from the shots alone, without another forward pass.

_FEW_IN_ALL = 30
_FEW_PER_CLASS = 5


@dataclass(frozen=True)
class Estimate:
    """Estimate of a classifier's accuracy on new examples, from held-out shots.

    Attributes
    ----------
    accuracy : float
        Share of the held-out shots that were predicted right.
    macro_f1 : float
        Mean F1 over the classes that had shots left out.
    n : int
        Number of held-out shots.
    interval : tuple of float
        95 % interval of the accuracy of the classifier on all shots, wider than for as many independent
        examples; see `cross_validated_interval`. It is one of new examples of the same kind,
        and holds for many tasks together, not for each.
    note : str or None
        What the number cannot support, in one line.
    ece : float or None
        Expected calibration error of the probabilities of the held-out shots, where there are probabilities.
    brier : float or None
        Their Brier score, 0 to 2.
    log_loss : float or None
        Their log loss; a probability below 1e-9 counts as that. None for one that was saved before this was
        noted.
    n_shots : int or None
        Number of all shots; None for one that was saved before this was noted.
    n_untested_classes : int
        Classes with one shot, which cannot be left out: nothing is known of how they are answered.
    """

    accuracy: float
    macro_f1: float
    n: int
    interval: tuple[float, float]
    note: str | None = None
    ece: float | None = None
    brier: float | None = None
    log_loss: float | None = None
    n_shots: int | None = None
    n_untested_classes: int = 0

    def __post_init__(self) -> None:
        low, high = self.interval  # a list after a round trip through JSON
        object.__setattr__(self, "interval", (low, high))

    @property
    def covers_all_classes(self) -> bool:
        """Whether every class was tested; else the accuracy is that of the others, and no headline."""
        return not self.n_untested_classes

    def __repr__(self) -> str:
        low, high = self.interval
        figures = f"accuracy={self.accuracy:.3f}, interval=({low:.3f}, {high:.3f}), n={self.n}"
        if not self.covers_all_classes:
            figures = f"without classes of one shot ({self.n_untested_classes}): {figures}"
        return f"Estimate({figures}{'' if self.note is None else f', note={self.note!r}'})"


def summarize_out_of_fold(
    truth: NDArray[np.intp],
    answers: NDArray[np.intp],
    codes: NDArray[np.intp],
    probabilities: NDArray[np.float64] | None = None,
    *,
    max_folds: int = 5,
) -> Estimate:
    """Return the estimate from predictions of held-out shots.

    Parameters
    ----------
    truth, answers : ndarray of int, shape (n_held_out,)
        True and predicted class indices.
    codes : ndarray of int, shape (n_shots,)
        Class indices of all shots.
    probabilities : ndarray of float64, shape (n_held_out, n_classes), optional
        Predicted probabilities.
    max_folds : int, default=5
        Largest number of folds in which shots were left out; there are no more than shots of the largest
        class.
    """
    correct, counts = int(np.count_nonzero(truth == answers)), np.bincount(codes)
    figures = {} if probabilities is None else ItemScores.of(probabilities, truth, answers).figures()
    return Estimate(
        accuracy=correct / len(truth),
        macro_f1=float(np.mean([_f1(truth == code, answers == code) for code in np.unique(truth)])),
        n=len(truth),
        interval=cross_validated_interval(correct, len(truth), max(2, min(max_folds, int(counts.max())))),
        note=_note(truth, counts),
        **figures,
        n_shots=len(codes),
        n_untested_classes=int(np.count_nonzero(counts == 1)),
    )


def _f1(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> float:
    return 2 * float(np.sum(truth & answers)) / float(np.sum(truth) + np.sum(answers))


def _note(truth: NDArray[np.intp], shots: NDArray[np.intp]) -> str | None:
    remarks = []
    fewest = int(np.bincount(truth)[np.unique(truth)].min())
    if len(truth) < _FEW_IN_ALL or fewest < _FEW_PER_CLASS:
        remarks.append(
            f"{len(truth)} held-out shots, {fewest} in the smallest class, are too few to support a claim"
        )
    possible = int(shots[shots > 1].sum())
    if len(truth) < possible:
        remarks.append(f"the method leaves out {len(truth)} of the {possible} shots that could be")
    if alone := int(np.count_nonzero(shots == 1)):
        remarks.append(f"{alone} of {len(shots)} classes have one shot and were not tested")
    return "; ".join(remarks) or None


# What accuracy to expect of any estimator on new examples, from the shots alone.


def estimate_classifier(
    classifier: HeadClassifier, X: ArrayLike, y: ArrayLike, *, max_folds: int = 5
) -> Estimate | None:
    """Return the accuracy to expect of a classifier on new examples, from the shots it is (to be) fitted on.

    Parameters
    ----------
    classifier : HeadClassifier
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
    >>> from savs.classifiers.ensemble import make_base_estimator
    >>> rows = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    >>> estimate = estimate_classifier(make_base_estimator("mean_proba"), rows, list("aaabbb"))
    >>> estimate.accuracy, estimate.n
    (1.0, 6)
    """
    rows = check_array(X, dtype=[np.float64, np.float32], ensure_all_finite=False)
    classes, codes = encode_labels(np.asarray(label_array(y)))
    if len(rows) != len(codes):
        raise ValueError(f"{len(rows)} feature rows, but {len(codes)} labels")
    layout = resolve_layout(classifier.layout, rows.shape[1])
    check_finite(rows, layout)
    shots = Shots(rows, codes, len(classes), layout)
    return estimate_from_shots(cross_val_log_proba(classifier, shots, max_folds), codes, max_folds)


def cross_val_log_proba(
    classifier: HeadClassifier,
    shots: Shots,
    max_folds: int = 5,
    heads: list[list[Head]] | None = None,
) -> NDArray[np.float64]:
    """Return log probabilities of every shot under the classifier fitted again without it and some others.

    Parameters
    ----------
    classifier : HeadClassifier
        Fitted or not; copies are fitted.
    shots : Shots
        The shots.
    max_folds : int, default=5
        Number of refits, at least 2.
    heads : list, optional
        The heads in use of each refit are appended to it, see `HeadClassifier.out_of_fold_log_proba`.

    Returns
    -------
    ndarray of float64, shape (n_shots, n_classes)
        Rows of shots that are alone in their class are NaN. Every choice that a fit makes is repeated.
    """
    if isinstance(max_folds, bool) or not isinstance(max_folds, int) or max_folds < 2:
        raise ValueError(f"max_folds must be an integer of at least 2, got {max_folds!r}")
    return classifier.out_of_fold_log_proba(shots, nested_folds(shots.codes, max_folds), heads)


def estimate_from_shots(
    log_probabilities: NDArray[np.float64], codes: NDArray[np.intp], max_folds: int = 5
) -> Estimate | None:
    """Return the estimate from log probabilities of held-out shots; None where no shot was left out.

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
    return summarize_out_of_fold(codes[tested], answers, codes, shares, max_folds=max_folds)
