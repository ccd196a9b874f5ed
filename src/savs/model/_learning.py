"""From a support set to a fitted classifier, and what to expect of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone, Extraction
from savs.classifiers import Estimate, HeadClassifier, Method
from savs.classifiers._support_set import Shots
from savs.classifiers._validation import check_finite, encode_labels
from savs.classifiers.cross_validation import estimate_from_shots
from savs.classifiers.head_sets import stability
from savs.data import DataWarning, Example, Label, Text, as_examples
from savs.errors import BackboneError
from savs.layout import Head, HeadLayout
from savs.model._support_set import SupportSet

# Class names as text prompts, for methods that read them through the same heads as the examples.

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


def class_prompts(classes: Sequence[Label], prompt: str | None) -> list[Example]:
    r"""Return a text-only example for each class: its name, then the question put to the examples.

    [HEC] arXiv:2603.24181: "You are given an image of a {class}", a new line, the prompt. Placeholders for an
    example's own text or columns are left out of the prompt, as a class has none.

    Examples
    --------
    >>> [example.text for example in class_prompts(["cat"], "What is it? {question}")]
    ['You are given an image of a cat\nWhat is it?']
    """
    question = "" if prompt is None else _PLACEHOLDER.sub("", prompt).strip()
    texts = [f"You are given an image of a {label}\n{question}".strip() for label in classes]
    return as_examples([[Text(text)] for text in texts])


# Feature rows from a backbone: head vectors, and the final hidden state where a classifier uses it.


def read_rows(
    backbone: Backbone,
    examples: Sequence[Example],
    heads: Sequence[Head] | None = None,
    *,
    state: bool = False,
    state_is_optional: bool = False,
    max_errors: int = 0,
    progress: bool = False,
) -> Extraction:
    """Return rows of the given heads, followed by the state if that is wanted or the last head stands for it.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    examples : sequence of Example
        With their prompt.
    heads : sequence of Head, optional
        All heads of the backbone by default; the last one may be a layout's ``state_head``.
    state : bool, default=False
        Append the state to the rows of all heads.
    state_is_optional : bool, default=False
        Return rows without it from a backbone that gives no state.
    max_errors, progress
        As for `Backbone.extract`.

    Raises
    ------
    ItemError
        When more than `max_errors` examples cannot be read.
    BackboneError
        If the backbone has no final hidden state to give.
    """
    if heads is not None and len(heads) and heads[-1].is_state:
        heads, state = heads[:-1], True
    alone = heads is not None and not len(heads)
    asked = [backbone.layout.heads[0]] if alone else heads
    if not state:
        return backbone.extract(examples, asked, max_errors=max_errors, progress=progress)
    found = backbone.extract(examples, asked, max_errors=max_errors, progress=progress, states=True)
    if found.states is None and state_is_optional and not alone:
        return found
    if found.states is None:
        raise BackboneError("the backbone gives no final hidden states; use another method")
    features = found.states if alone else np.hstack([found.features, found.states])
    return replace(found, features=features, states=None)


# From a support set to a fitted classifier, and what to expect of it. No forward pass happens here.


@dataclass(frozen=True)
class Learned:
    """What a fit gives.

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


def shots_of(support: SupportSet, layout: HeadLayout) -> tuple[NDArray[Any], Shots]:
    """Return the classes, sorted, and the shots as the numerics take them."""
    rows = support.known_rows()
    classes, codes = encode_labels(np.asarray(support.labels))
    return classes, Shots(rows, codes, len(classes), layout)


def learn(
    method: Method, support: SupportSet, layout: HeadLayout, prototypes: NDArray[np.float32] | None = None
) -> Learned:
    """Fit the method, and again without each fold of shots.

    Parameters
    ----------
    method : Method
        What to fit.
    support : SupportSet
        With rows.
    layout : HeadLayout
        Of the rows.
    prototypes : ndarray of float32, shape (n_classes, width), optional
        Rows of the classes' text prompts, for methods that read them.

    Raises
    ------
    DataError
        If the labels cannot be used.
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
    estimate = estimate_from_shots(out_of_fold, shots.codes, len(folds))
    report = {"head_stability": stability(kept), **classifier.selection_report_}
    return Learned(classifier, out_of_fold, estimate, report)


def _warn_of_idle_scores(classifier: HeadClassifier, shots: Shots) -> None:
    """Say when the head scores pick nothing."""
    wanted = classifier.get_params(deep=False).get("n_heads")
    if isinstance(wanted, int) and wanted > shots.layout.n_heads:
        warnings.warn(
            f"n_heads is {wanted}, but the backbone has {shots.layout.n_heads} heads: all of them vote, none "
            "is picked",
            DataWarning,
            stacklevel=4,
        )
    if classifier.head_scores_ is not None and shots.counts.max() == 1:
        warnings.warn(
            "every class has one shot: no head can be scored, so the first ones vote, whatever they see; "
            "give two shots per class or more",
            DataWarning,
            stacklevel=4,
        )
