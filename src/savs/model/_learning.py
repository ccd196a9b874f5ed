"""From a support set to a fitted classifier, and what to expect of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.classifiers import Estimate, HeadClassifier
from savs.classifiers._support_set import Shots
from savs.classifiers._validation import check_finite, encode_labels
from savs.classifiers.cascade import CascadeClassifier
from savs.classifiers.cross_validation import estimate_from_shots
from savs.classifiers.head_sets import stability
from savs.classifiers.prompt_ensemble import PromptEnsembleClassifier
from savs.classifiers.semi_supervised import checked_for_unlabelled, use_unlabelled
from savs.data import DataWarning, Label
from savs.layout import EarlyExit, Head, HeadLayout
from savs.model._support_set import SupportSet

# From a support set to a fitted classifier, and what to expect of it. No forward pass happens here.


class Maker(Protocol):
    """What makes an unfitted estimator: a `Method`, or one for each of several prompts."""

    def make(self, layout: HeadLayout, classes: NDArray[Any], prototypes: Any = None) -> HeadClassifier:
        """Return it; see `Method.make`."""


@dataclass(frozen=True, eq=False)
class Learned:
    """The result of a fit.

    Attributes
    ----------
    classifier : HeadClassifier
        On rows of all heads.
    out_of_fold : ndarray of float64, shape (n_shots, n_classes)
        Log probabilities of each shot, in the order of the support set, under the classifier fitted again
        without it and some others, every choice repeated; NaN rows could not be left out.
    estimate : Estimate or None
        From those; None where no shot could be left out.
    report : dict
        ``head_stability``: mean overlap (Jaccard) of the heads in use between the fits without some shots,
        None where it is not known; and what an automatic choice compared.
    """

    classifier: HeadClassifier
    out_of_fold: NDArray[np.float64]
    estimate: Estimate | None
    report: dict[str, Any]

    __repr__ = short_repr

    @cached_property
    def restricted(self) -> HeadClassifier:
        """The classifier on rows of the heads in use: a forward pass may end at the deepest of them."""
        return self.classifier.restrict_to(self.classifier.heads_)

    @property
    def exits(self) -> Sequence[EarlyExit]:
        """The depths at which a forward pass may end for some examples; most methods have none."""
        return self.restricted.exits() if isinstance(self.restricted, CascadeClassifier) else ()

    def layers_passed(self, features: NDArray[np.float32]) -> NDArray[np.intp] | None:
        """Return the layers that each answer needs; None for a method that never answers early.

        Parameters
        ----------
        features : ndarray of float32, shape (n_examples, width of the heads in use)
            Feature rows of the heads in use.
        """
        if not isinstance(self.restricted, CascadeClassifier):
            return None
        return self.restricted.layers_passed(features) if len(features) else np.empty(0, np.intp)


def shots_of(support: SupportSet, layout: HeadLayout) -> tuple[NDArray[Any], Shots]:
    """Return the classes, sorted, and the shots as the numerics take them."""
    rows = support.known_rows()
    classes, codes = encode_labels(np.asarray(support.labels))
    return classes, Shots(rows, codes, len(classes), layout)


def learn(
    method: Maker,
    support: SupportSet,
    layout: HeadLayout,
    prototypes: NDArray[np.float32] | None = None,
    unlabelled: NDArray[np.float32] | None = None,
) -> Learned:
    """Fit the method, and again without each fold of shots.

    Parameters
    ----------
    method : Maker
        What to fit.
    support : SupportSet
        With rows.
    layout : HeadLayout
        Of the rows.
    prototypes : ndarray of float32, shape (n_classes, width), optional
        Rows of the classes' text prompts, for methods that read them.
    unlabelled : ndarray of float32, shape (n_items, width), optional
        Rows of unlabelled items, see `savs.classifiers.semi_supervised`.

    Raises
    ------
    DataError
        If the labels cannot be used, or the method cannot use unlabelled items.
    ActivationError
        If a row holds NaN or an infinite value.
    ValueError
        If the method's settings do not fit the shots.
    """
    classes, shots = shots_of(support, layout)
    check_finite(shots.rows, layout)
    classifier = method.make(layout, classes, prototypes).fit_shots(classes, shots)
    folds = classifier.cross_validation_folds(shots)
    kept: list[list[Head]] = []
    out_of_fold = classifier.out_of_fold_log_proba(shots, folds, kept)
    _warn_of_idle_scores(classifier, shots)
    if unlabelled is not None:
        check_finite(unlabelled, layout)
        classifier, out_of_fold, _ = use_unlabelled(
            checked_for_unlabelled(classifier), unlabelled, out_of_fold, shots.codes, folds
        )
    estimate = estimate_from_shots(out_of_fold, shots.codes, len(folds))
    report = {"head_stability": stability(kept), **classifier.selection_report_}
    return Learned(classifier, out_of_fold, estimate, report)


def _warn_of_idle_scores(classifier: HeadClassifier, shots: Shots) -> None:
    """Say when the head scores pick nothing."""
    if isinstance(classifier, PromptEnsembleClassifier):  # all prompts have the same method
        classifier, shots = classifier.estimators_[0], classifier.shots_of_each(shots)[0]
    wanted = classifier.get_params(deep=False).get("n_heads")
    if isinstance(wanted, int) and wanted > shots.layout.n_heads:
        warnings.warn(
            f"n_heads is {wanted}, but the backbone has {shots.layout.n_heads} heads: all of them vote, none "
            "is picked",
            DataWarning,
            stacklevel=4,
        )
    scores = classifier.head_scores_
    if scores is not None and shots.counts.max() == 1 and not np.ptp(scores):
        warnings.warn(
            "every class has one shot: no head can be scored, so the first ones vote, whatever they see; "
            "give two shots per class or more, or use another method, such as auto",
            DataWarning,
            stacklevel=4,
        )


def learn_class_names(
    method: Maker,
    layout: HeadLayout,
    classes: Sequence[Label],
    prototypes: NDArray[np.float32] | None = None,
) -> Learned:
    """Fit the method on class names alone.

    Parameters
    ----------
    method : Maker
        Whose estimator `can_fit_class_names`.
    layout : HeadLayout
        Of the rows.
    classes : sequence of label
        Sorted, each once.
    prototypes : ndarray of float32, shape (n_classes, width), optional
        Rows of the sorted classes' text prompts, for methods that read them.
    """
    names = np.asarray(classes)
    classifier = method.make(layout, names, prototypes).fit_class_names(names)
    return Learned(classifier, np.empty((0, len(names))), None, {})
