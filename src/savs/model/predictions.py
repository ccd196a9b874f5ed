"""Answers to many examples, and answers that abstain: sets of classes, flags, examples unlike all shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.classifiers.conformal import ConformalSets, OutOfDistributionDetector, ThresholdAtFPR
from savs.data import Label
from savs.errors import ItemError

__all__ = ["MultiLabelPredictions", "Predictions", "AbstentionPolicy", "Abstentions"]


@dataclass(frozen=True)
class Abstentions:
    """Reasons to abstain from some answers; an entry that was not asked for is None.

    Attributes
    ----------
    sets : list of list of label, or None
        The prediction set of each example: every class that it may be.
    flags : list of list of label, or None
        The flagged classes of each example: those whose probability is above their threshold.
    out_of_distribution : ndarray of bool, shape (n_examples,), or None
        Which examples lie too far from all shots.
    """

    sets: list[list[Label]] | None = None
    flags: list[list[Label]] | None = None
    out_of_distribution: NDArray[np.bool_] | None = None

    __repr__ = short_repr


@dataclass(frozen=True)
class Predictions:
    """Answers for the examples that could be read, and the errors of the others.

    Attributes
    ----------
    indices : ndarray of int, shape (n_ok,)
        Which example each answer belongs to, ascending.
    labels : list of label
        The answers.
    proba : ndarray of float64, shape (n_ok, n_classes)
        As `SAVModel.predict_proba`, columns in the order of ``classes_``.
    errors : list of ItemError
        One per example that could not be read, with its id.
    abstentions : Abstentions
        Reasons to abstain from some of the answers, as far as they were asked for.
    n_layers : ndarray of int, shape (n_ok,), or None
        How many layers of the decoder each answer needs, of a model that answers early (``exit_early``).
    """

    indices: NDArray[np.intp]
    labels: list[Label]
    proba: NDArray[np.float64]
    errors: list[ItemError]
    abstentions: Abstentions = field(default_factory=Abstentions)
    n_layers: NDArray[np.intp] | None = None

    __repr__ = short_repr


@dataclass(frozen=True)
class MultiLabelPredictions:
    """Answers of several labels for the examples that could be read, and the errors of the others.

    Attributes
    ----------
    indices : ndarray of int, shape (n_ok,)
        Which example each answer belongs to, ascending.
    labels : list of list of label
        The labels of each example.
    proba : ndarray of float64, shape (n_ok, n_labels)
        As `MultiLabelModel.predict_proba`, columns in the order of ``labels_``.
    errors : list of ItemError
        One per example that could not be read, with its id.
    """

    indices: NDArray[np.intp]
    labels: list[list[Label]]
    proba: NDArray[np.float64]
    errors: list[ItemError]


@dataclass(frozen=True)
class AbstentionPolicy:
    """Thresholds from held-out shots, as `SAVModel.abstention_policy` makes them.

    Attributes
    ----------
    classes : list of label
        The classes, in the order of the columns of probabilities.
    sets : ConformalSets or None
        Thresholds of the prediction sets.
    flags : mapping of label to ThresholdAtFPR
        Threshold of each flagged class; empty if none was asked for.
    detector : OutOfDistributionDetector or None
        Finds the examples that lie too far from all shots.
    """

    classes: list[Label]
    sets: ConformalSets | None = None
    flags: Mapping[Label, ThresholdAtFPR] = field(default_factory=dict)
    detector: OutOfDistributionDetector | None = None

    __repr__ = short_repr

    def judge(self, features: NDArray[np.float32], probabilities: NDArray[np.float64]) -> Abstentions:
        """Return prediction sets, flags and out-of-distribution marks, as far as the policy has them.

        Parameters
        ----------
        features : ndarray of float32, shape (n_examples, width of the heads in use)
            Feature rows of the heads in use.
        probabilities : ndarray of float64, shape (n_examples, n_classes)
            Class probabilities of the same examples, with columns in the order of `classes`.

        Returns
        -------
        Abstentions
            None in each entry that the policy does not have.
        """
        return Abstentions(
            sets=None if self.sets is None else self._named(self.sets.contains(probabilities)),
            flags=self._named(self._flagged(probabilities)) if self.flags else None,
            out_of_distribution=None if self.detector is None else self._unknown(features),
        )

    def _flagged(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        limits = [self.flags[label].threshold if label in self.flags else np.inf for label in self.classes]
        return np.asarray(probabilities > np.array(limits))

    def _unknown(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        if self.detector is None or not len(features):
            return np.zeros(len(features), dtype=bool)
        return self.detector.is_out_of_distribution(features)

    def _named(self, inside: NDArray[np.bool_]) -> list[list[Label]]:
        return [_picked(self.classes, row) for row in inside.tolist()]


def _picked(classes: Sequence[Label], row: Sequence[bool]) -> list[Label]:
    return [label for label, wanted in zip(classes, row, strict=True) if wanted]
