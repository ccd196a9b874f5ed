"""Answers with a promise: sets of classes, thresholds for flags, and examples unlike all shots."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._labels import class_index
from savs.classifiers.conformal import (
    OutOfDistributionDetector,
    ThresholdAtFPR,
    conformal_sets,
    threshold_at_fpr,
)
from savs.data import DataWarning, Label
from savs.errors import DataError
from savs.model._fitted import FittedModel
from savs.model.predictions import AbstentionPolicy


class AbstainingModel(FittedModel):
    """What held-out shots say about answers to new examples."""

    def predict_set(self, examples: Sequence[Any], alpha: float = 0.1) -> list[list[Label]]:
        """Return the classes that each example may be; a class is missed at a rate of at most `alpha`.

        Class-conditional conformal sets from held-out shots (`conformal_sets`): among examples of any one
        class, at most the share `alpha` gets a set without it. A set may be empty.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        alpha : float, default=0.1
            Largest share of misses, between 0 and 1.

        Warns
        -----
        DataWarning
            If a class has too few shots for the alpha; it is in every set then.
        """
        abstention_policy = self.abstention_policy(sets=alpha)
        features = self._kept_features(examples)
        return abstention_policy.judge(features, np.exp(self._log_proba(features))).sets or []

    def abstention_policy(
        self,
        *,
        sets: float | None = None,
        flags: Mapping[Label, float] | None = None,
        out_of_distribution: float | None = None,
    ) -> AbstentionPolicy:
        """Return thresholds for `predict`, computed once.

        Parameters
        ----------
        sets : float, optional
            Error level of the sets, see `predict_set`.
        flags : mapping of label to float, optional
            False positive rate of each flagged class, see `threshold_at_fpr`.
        out_of_distribution : float, optional
            Quantile of known examples, see `is_out_of_distribution`.

        Raises
        ------
        DataError
            If the shots are too few for a rate or quantile, or their rows are needed and were not saved.
        """
        labels: list[Label] = self.classes_.tolist()
        codes = self._support.codes(labels)
        of_sets = None if sets is None else conformal_sets(self.out_of_fold_log_proba_, codes, sets)
        if of_sets is not None and of_sets.note is not None:
            warnings.warn(of_sets.note, DataWarning, stacklevel=3)
        thresholds = {label: self.threshold_at_fpr(label, rate) for label, rate in (flags or {}).items()}
        detector = None if out_of_distribution is None else self._detector(out_of_distribution)
        return AbstentionPolicy(labels, of_sets, thresholds, detector)

    def threshold_at_fpr(self, label: Label, fpr: float) -> ThresholdAtFPR:
        """Return the probability above which a class is flagged, for a false positive rate.

        Parameters
        ----------
        label : label
            The class to flag, such as ``"harmful"``.
        fpr : float
            Largest share of examples of the other classes that may be flagged.

        Returns
        -------
        ThresholdAtFPR
            Compare its ``threshold`` with `predict_proba`'s column of the class.

        Raises
        ------
        DataError
            If there is no such class, or the shots are too few to promise the rate.
        """
        labels = self.classes_.tolist()
        index = class_index(label, labels)
        if index is None:
            raise DataError(f"there is no class {label!r}; there are {', '.join(map(repr, labels))}")
        codes = self._support.codes(labels)
        return threshold_at_fpr(self.out_of_fold_log_proba_, codes, index, fpr)

    def is_out_of_distribution(self, examples: Sequence[Any], quantile: float = 0.95) -> NDArray[np.bool_]:
        """Return which examples are farther from all shots than the shots are from each other.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        quantile : float, default=0.95
            Share of examples like the shots that count as known.

        Raises
        ------
        DataError
            If the shots are too few for the quantile, or their rows were not saved.
        """
        return self._detector(quantile).is_out_of_distribution(self._kept_features(examples, whole=True))

    def _detector(self, quantile: float) -> OutOfDistributionDetector:
        self._shots_with_rows()
        rows = self._kept_shot_rows()
        if rows is None:
            raise DataError("out-of-distribution detection needs shots, and the model has none")
        return OutOfDistributionDetector(quantile, self.row_layout_.select(self.classifier_.heads_)).fit(rows)
