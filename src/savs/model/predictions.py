"""Answers to many examples, and answers that abstain: sets of classes, flags, examples unlike all shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from savs.classifiers.conformal import ConformalSets, OutOfDistributionDetector, ThresholdAtFPR
from savs.data import Label
from savs.errors import ItemError

__all__ = ["Predictions", "AbstentionPolicy", "Abstentions"]


# What a model says of many examples, some of which could not be read.

# Answers that hold back: sets of classes, alarms with a bounded rate, examples unlike all shots.


@dataclass(frozen=True)
class Abstentions:
    """What holds back some answers; each entry None if it was not asked for.

    Attributes
    ----------
    sets : list of list of label, or None
        Every class that an example may be.
    alarms : list of list of label, or None
        The classes whose alarm goes off.
    out_of_distribution : ndarray of bool, shape (n_examples,), or None
        Which examples lie too far from all shots.
    """

    sets: list[list[Label]] | None = None
    flags: list[list[Label]] | None = None
    out_of_distribution: NDArray[np.bool_] | None = None


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
    cautions : Cautions
        What holds back some of the answers, as far as it was asked for.
    """

    indices: NDArray[np.intp]
    labels: list[Label]
    proba: NDArray[np.float64]
    errors: list[ItemError]
    abstentions: Abstentions = field(default_factory=Abstentions)


@dataclass(frozen=True)
class AbstentionPolicy:
    """Thresholds from held-out shots, as `SAVModel.abstention_policy` makes them.

    Attributes
    ----------
    classes : list of label
        Columns of probabilities.
    sets : ConformalSets or None
    alarms : dict of label to AlarmThreshold
    detector : UnknownDetector or None
    """

    classes: list[Label]
    sets: ConformalSets | None = None
    flags: Mapping[Label, ThresholdAtFPR] = field(default_factory=dict)
    detector: OutOfDistributionDetector | None = None

    def judge(self, features: NDArray[np.float32], probabilities: NDArray[np.float64]) -> Abstentions:
        """Return what holds back the answers for rows of the heads in use and their probabilities."""
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
