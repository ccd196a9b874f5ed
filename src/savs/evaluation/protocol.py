"""Repeated draws: several methods on the same random shots and the same test examples, several times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs._labels import key_of
from savs.classifiers._validation import count_classes, encode_labels, label_array
from savs.errors import DataError
from savs.evaluation.metrics import Difference, interval_over_draws, paired_bootstrap

__all__ = ["DrawResults", "Method", "draw_rows", "on_features", "run_draws"]

Rows = NDArray[np.intp]
Method = Callable[[Rows, Rows], Sequence[Any] | NDArray[Any]]
"""From rows of the shots and rows of the test examples to predicted labels of the latter."""


@dataclass(frozen=True)
class DrawResults:
    """Which test examples each method got right in each draw.

    Attributes
    ----------
    correct : dict of str to list of ndarray of bool
        Per method and draw, in the order of the test rows.
    test_rows : list of ndarray of int
        The test rows of each draw.
    """

    correct: dict[str, list[NDArray[np.bool_]]]
    test_rows: list[Rows]

    def accuracies(self, name: str) -> list[float]:
        """Return a method's accuracy in each draw."""
        return [float(right.mean()) for right in self.correct[name]]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return mean accuracy, interval over draws (None for one) and accuracies per method, JSON-able."""
        figures = {name: self.accuracies(name) for name in self.correct}
        return {
            name: {"mean": float(np.mean(values)), "interval": interval_over_draws(values), "draws": values}
            for name, values in figures.items()
        }

    def difference(self, name: str, other: str, draw: int = 0, *, seed: int = 0) -> Difference:
        """Return how much more accurate one method is than another in one draw.

        Parameters
        ----------
        name, other : str
            The two methods.
        draw : int, default=0
            Which draw.
        seed : int, default=0
            Seed of the resamples.

        Returns
        -------
        Difference
            Accuracy of `name` minus that of `other`, with its interval over test examples; see
            `savs.evaluation.paired_bootstrap`.
        """
        return paired_bootstrap(self.correct[name][draw], self.correct[other][draw], seed=seed)


def run_draws(
    labels: ArrayLike, methods: Mapping[str, Method], *, shots: int, draws: int = 5, seed: int = 0
) -> DrawResults:
    """Run every method on the same `draws` random draws of the shots; all other examples are the test.

    Parameters
    ----------
    labels : array-like, shape (n_examples,)
        Labels of the whole pool.
    methods : mapping of str to Method
        From (shot rows, test rows) to predicted labels; `on_features` makes one of an estimator.
    shots : int
        Shots per class.
    draws : int, default=5
        Number of draws.
    seed : int, default=0
        Of the draws.

    Raises
    ------
    DataError
        If a class has no example left for the test, or labels are unusable.
    ValueError
        If a method does not return one label per test row.

    Examples
    --------
    >>> labels = np.array(["cat", "dog"] * 4)
    >>> methods = {"always cat": lambda shot_rows, test_rows: ["cat"] * len(test_rows)}
    >>> run_draws(labels, methods, shots=2, draws=2).accuracies("always cat")
    [0.5, 0.5]
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    names = _label_array(labels)
    splits = [draw_rows(names, shots, (seed, draw)) for draw in range(draws)]
    correct = {
        name: [_right(name, method(train, test), names[test]) for train, test in splits]
        for name, method in methods.items()
    }
    return DrawResults(correct, [test for _, test in splits])


def draw_rows(
    labels: ArrayLike, shots: int, seed: int | Sequence[int], *, leave: int = 1
) -> tuple[Rows, Rows]:
    """Draw `shots` rows of each class at random; all other rows are left for the test.

    With the same seed, a draw of fewer shots is a subset of a draw of more shots.

    Parameters
    ----------
    labels : array-like, shape (n_examples,)
        Labels of the whole pool.
    shots : int
        Shots per class.
    seed : int or sequence of int
        Seed of the draw, as for `numpy.random.default_rng`.
    leave : int, default=1
        How many rows of each class must be left; 0 if the test set is a separate one.

    Returns
    -------
    shot_rows, test_rows : ndarray of int
        The rows drawn and all other rows, each ascending.

    Raises
    ------
    DataError
        If a class has fewer than `shots` + `leave` examples, or labels are unusable.
    ValueError
        If `shots` is below 1.

    Examples
    --------
    >>> shot_rows, test_rows = draw_rows(["a", "b", "a", "b", "b"], 1, seed=0)
    >>> len(shot_rows), len(test_rows)
    (2, 3)
    """
    if shots < 1:
        raise ValueError(f"shots must be at least 1, got {shots}")
    classes, codes = encode_labels(_label_array(labels))
    if np.bincount(codes).min() < shots + leave:
        lack = "leave no test example of some class" if leave else "are more than some class has"
        raise DataError(f"{shots} shots {lack}: {count_classes(classes, codes)}")
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(
        [rng.permutation(np.flatnonzero(codes == code))[:shots] for code in range(len(classes))]
    )
    is_shot = np.zeros(len(codes), dtype=bool)
    is_shot[drawn] = True
    return np.flatnonzero(is_shot), np.flatnonzero(~is_shot)


def on_features(features: NDArray[Any], labels: ArrayLike, fit: Callable[..., Any]) -> Method:
    """Return the method that fits on the shots' feature rows and predicts those of the test.

    Parameters
    ----------
    features : ndarray, shape (n_examples, width)
        Feature rows of the whole pool.
    labels : array-like, shape (n_examples,)
        Labels of the whole pool.
    fit : callable
        From (X, y) to something with ``predict``, such as ``SAVClassifier(layout=layout).fit``.
    """
    names = _label_array(labels)

    def method(train: Rows, test: Rows) -> NDArray[Any]:
        return np.asarray(fit(features[train], names[train]).predict(features[test]))

    return method


def _label_array(labels: ArrayLike) -> NDArray[Any]:
    return np.asarray(label_array(labels))


def _right(name: str, answers: Sequence[Any] | NDArray[Any], truth: NDArray[Any]) -> NDArray[np.bool_]:
    if len(answers) != len(truth):
        raise ValueError(f"method {name!r} gave {len(answers)} predictions for {len(truth)} test examples")
    pairs = zip(answers, truth.tolist(), strict=True)
    return np.array([key_of(answer) == key_of(label) for answer, label in pairs], dtype=bool)
