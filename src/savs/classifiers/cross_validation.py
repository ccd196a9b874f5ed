"""What accuracy to expect on new examples, estimated from the shots alone, without another forward pass.

Scores on the shots themselves flatter: each shot is part of its own centroid, and the heads were picked on
it. Here one shot of every class is left out at a time, centroids, scores and heads are found again without
them, and the left-out shots are predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.features import HeadLayout
from savs.heads.classifier import SAVClassifier
from savs.heads.intervals import left_out_interval
from savs.heads.labels import check_label_types, encode_labels
from savs.heads.probabilities import brier_score, expected_calibration_error

__all__ = ["Estimate", "estimate_accuracy", "leave_one_out_folds", "summarise_left_out"]

_FEW_IN_ALL = 30
_FEW_PER_CLASS = 5


@dataclass(frozen=True)
class Estimate:
    """Leave-one-shot-out estimate of a classifier's accuracy.

    Attributes
    ----------
    accuracy : float
        Share of the left-out shots that were predicted right.
    macro_f1 : float
        Mean F1 over the classes that had shots left out.
    n : int
        Number of left-out shots.
    interval : tuple of float
        95 % interval of the accuracy of the classifier on all shots, wider than for as many independent
        examples; see `savs.heads.intervals.left_out_interval`. It is one of new examples of the same kind,
        and holds for many tasks together, not for each.
    note : str or None
        What the number cannot support, in one line.
    ece : float or None
        Expected calibration error of the probabilities of the left-out shots, where there are probabilities.
    brier : float or None
        Their Brier score, 0 to 2.
    """

    accuracy: float
    macro_f1: float
    n: int
    interval: tuple[float, float]
    note: str | None = None
    ece: float | None = None
    brier: float | None = None

    def __post_init__(self) -> None:
        low, high = self.interval  # a list after a round trip through JSON
        object.__setattr__(self, "interval", (low, high))


def estimate_accuracy(
    features: NDArray[np.floating],
    labels: ArrayLike,
    *,
    n_heads: int = 20,
    layout: HeadLayout | None = None,
    seed: int = 0,
    max_folds: int = 20,
) -> Estimate | None:
    """Estimate the accuracy of `SAVClassifier` on new examples by leaving out one shot per class at a time.

    Parameters
    ----------
    features : ndarray of float, shape (n_examples, width)
        Feature rows of the shots.
    labels : array-like, shape (n_examples,)
        Their labels.
    n_heads, layout
        As for `SAVClassifier`.
    seed : int, default=0
        Decides which shots are left out together.
    max_folds : int, default=20
        Largest number of refits; a class with more shots has only so many left out.

    Returns
    -------
    Estimate or None
        None where no class has two shots.

    Raises
    ------
    DataError
        If labels are unusable or of fewer than two classes.
    ValueError
        If there are not as many rows as labels, or `SAVClassifier` refuses them.

    Examples
    --------
    >>> import numpy as np
    >>> features = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    >>> estimate = estimate_accuracy(features, list("aaabbb"))
    >>> estimate.accuracy, estimate.n
    (1.0, 6)
    """
    rows, codes = np.asarray(features), _codes(labels)
    if len(rows) != len(codes):
        raise ValueError(f"{len(rows)} feature rows, but {len(codes)} labels")
    truth, answers = [], []
    for held_out in leave_one_out_folds(codes, seed, max_folds):
        kept = np.ones(len(codes), dtype=bool)
        kept[held_out] = False
        classifier = SAVClassifier(n_heads=n_heads, layout=layout).fit(rows[kept], codes[kept])
        truth.append(codes[held_out])
        answers.append(classifier.predict(rows[held_out]))
    if not truth:
        return None
    return summarise_left_out(np.concatenate(truth), np.concatenate(answers), codes, max_folds=max_folds)


def leave_one_out_folds(codes: NDArray[np.intp], seed: int, max_folds: int) -> list[NDArray[np.intp]]:
    """Return which examples each fold leaves out: one of every class that still has one to spare.

    Parameters
    ----------
    codes : ndarray of int, shape (n_examples,)
        Class indices. A class with one example is never left out.
    seed : int
        Decides the order within each class.
    max_folds : int
        Largest number of folds.

    Examples
    --------
    >>> [sorted(fold.tolist()) for fold in leave_one_out_folds(np.array([0, 1, 1]), seed=0, max_folds=5)]
    [[1], [2]]
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
    orders = [rng.permutation(rows) for rows in members if len(rows) > 1]
    n_folds = min(max_folds, max((len(order) for order in orders), default=0))
    return [np.array([order[j] for order in orders if j < len(order)]) for j in range(n_folds)]


def _codes(labels: ArrayLike) -> NDArray[np.intp]:
    if not isinstance(labels, np.ndarray):
        check_label_types(labels)  # type: ignore[arg-type]
    return encode_labels(np.asarray(labels))[1]


def summarise_left_out(
    truth: NDArray[np.intp],
    answers: NDArray[np.intp],
    codes: NDArray[np.intp],
    probabilities: NDArray[np.float64] | None = None,
    *,
    max_folds: int = 5,
) -> Estimate:
    """Return the estimate from predictions of left-out shots.

    Parameters
    ----------
    truth, answers : ndarray of int, shape (n_left_out,)
        True and predicted class indices.
    codes : ndarray of int, shape (n_shots,)
        Class indices of all shots.
    probabilities : ndarray of float64, shape (n_left_out, n_classes), optional
        Predicted probabilities.
    max_folds : int, default=5
        Largest number of folds in which shots were left out; there are no more than shots of the largest
        class.
    """
    correct, counts = int(np.count_nonzero(truth == answers)), np.bincount(codes)
    return Estimate(
        accuracy=correct / len(truth),
        macro_f1=float(np.mean([_f1(truth == code, answers == code) for code in np.unique(truth)])),
        n=len(truth),
        interval=left_out_interval(correct, len(truth), max(2, min(max_folds, int(counts.max())))),
        note=_note(truth, counts),
        ece=None if probabilities is None else expected_calibration_error(probabilities, truth),
        brier=None if probabilities is None else brier_score(probabilities, truth),
    )


def _f1(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> float:
    return 2 * float(np.sum(truth & answers)) / float(np.sum(truth) + np.sum(answers))


def _note(truth: NDArray[np.intp], shots: NDArray[np.intp]) -> str | None:
    remarks = []
    fewest = int(np.bincount(truth)[np.unique(truth)].min())
    if len(truth) < _FEW_IN_ALL or fewest < _FEW_PER_CLASS:
        remarks.append(
            f"{len(truth)} left-out shots, {fewest} in the smallest class, are too few to support a claim"
        )
    if alone := int(np.count_nonzero(shots == 1)):
        remarks.append(f"{alone} of {len(shots)} classes have one shot and were not tested")
    return "; ".join(remarks) or None
