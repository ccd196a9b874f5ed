"""`PromptEnsembleClassifier`: one classifier for each of several prompts, their probabilities averaged.

The same examples are read with several prompts, and each prompt gives a feature row. Side by side they are
one row: the heads of the first prompt, of the second and so on, then the last-layer states in the same order.
In the layout of such rows, `PromptRows.layout`, the layers of each prompt come behind those of the one
before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted, validate_data

from savs.classifiers import methods
from savs.classifiers._support_set import Shots
from savs.classifiers.base import (
    HeadClassifier,
    HeadOpinions,
    State,
    arrays_of_part,
    arrays_of_parts,
    estimator_key,
)
from savs.classifiers.ensemble import ensemble_weights, mix
from savs.classifiers.methods import Method, classifier_from_state
from savs.layout import Head, HeadLayout

__all__ = [
    "PromptEnsembleClassifier",
    "PromptMethod",
    "PromptRows",
    "check_takes_prompts",
    "mean_losses",
    "mixed_out_of_fold",
    "prompt_weights",
    "restored",
    "unregistered_part",
]


# Rows of several prompts side by side, and their layout.


def check_takes_prompts(method: Method, n_prompts: int) -> None:
    """Refuse several prompts for a method, or a setting of it, that answers one.

    Parameters
    ----------
    method : Method
        With its settings.
    n_prompts : int
        How many prompts there are.

    Raises
    ------
    ValueError
        If there are several, and the method reads the likelihoods of the class names or answers early.
    """
    if n_prompts < 2:
        return
    if method.needs_options:
        raise ValueError(
            f"method {method.name!r} reads the likelihoods of class names after one prompt, not several"
        )
    if method.exit_early is not None:
        raise ValueError("exit_early goes with one prompt, not with several")


@dataclass(frozen=True)
class PromptRows:
    """Which columns of a row belong to which prompt.

    Attributes
    ----------
    one : HeadLayout
        Of the row of one prompt.
    n_prompts : int
        How many there are.
    n_layers : int
        By how much the layers of a prompt are behind those of the one before: layers of the decoder.
    """

    one: HeadLayout
    n_prompts: int
    n_layers: int

    @classmethod
    def of(cls, one: HeadLayout, n_prompts: int) -> Self:
        """Return the rows of some prompts, each of which gives a whole row of the backbone."""
        return cls(one, n_prompts, one.n_layers if one.state is None else one.state[0])

    @property
    def layout(self) -> HeadLayout:
        """The layout of the rows of all prompts side by side."""
        heads = tuple(head for prompt in range(self.n_prompts) for head in self.moved(self.one.heads, prompt))
        state = None
        if self.one.state is not None:
            state = self.n_prompts * self.n_layers, self.n_prompts * self.one.state[1]
        return HeadLayout(heads, self.one.dims * self.n_prompts, state)

    def moved(self, heads: Sequence[tuple[int, int]], prompt: int) -> list[Head]:
        """Return what heads of the backbone are called in the rows of all prompts.

        Parameters
        ----------
        heads : sequence of (layer, index)
            Without the last-layer state.
        prompt : int
            Which prompt's, from 0.
        """
        return [Head(layer + prompt * self.n_layers, index) for layer, index in heads]

    def columns(self, prompt: int) -> NDArray[np.intp]:
        """Return the columns of one prompt: its heads, and its state where the rows hold it."""
        width = self.one.heads_width
        found = np.arange(prompt * width, (prompt + 1) * width, dtype=np.intp)
        if self.one.state is None:
            return found
        size, start = self.one.state[1], self.n_prompts * width
        return np.concatenate([found, np.arange(start + prompt * size, start + (prompt + 1) * size)])

    def joined(self, rows: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
        """Return the rows of all prompts side by side.

        Parameters
        ----------
        rows : sequence of ndarray of float, each of shape (n_examples, one.width)
            For each prompt.
        """
        width = self.one.heads_width
        states = [part[:, width:] for part in rows] if self.one.state is not None else []
        return np.hstack([*(part[:, :width] for part in rows), *states])


# How much each prompt counts, from held-out shots.


def mean_losses(logs: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """Return the mean log loss of each prompt over the shots that could be held out.

    Parameters
    ----------
    logs : ndarray of float64, shape (n_prompts, n_shots, n_classes)
        Log probabilities of held-out shots; rows of NaN were not held out.
    codes : ndarray of int, shape (n_shots,)
        True classes.

    Returns
    -------
    ndarray of float64, shape (n_prompts,), or None
        None where no shot was held out.
    """
    tested = np.isfinite(logs).all(axis=(0, 2))
    if not tested.any():
        return None
    return np.asarray(-logs[:, tested, codes[tested]].mean(axis=1))


def prompt_weights(logs: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the weight of each prompt, proportional to ``exp(-4 loss)``, sum 1.

    Parameters
    ----------
    logs, codes
        As for `mean_losses`. Where no shot was held out, all weights are equal.

    Returns
    -------
    ndarray of float64, shape (n_prompts,)

    Examples
    --------
    >>> logs = np.log([[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> prompt_weights(logs, np.array([0])).round(3)
    array([0.913, 0.087])
    """
    losses = mean_losses(logs, codes)
    return np.full(len(logs), 1 / len(logs)) if losses is None else ensemble_weights(losses)


def mixed_out_of_fold(
    logs: NDArray[np.float64], codes: NDArray[np.intp], folds: Sequence[NDArray[np.intp]]
) -> NDArray[np.float64]:
    """Return the log of the mean probability of held-out shots, weights taken from the other folds.

    Parameters
    ----------
    logs : ndarray of float64, shape (n_prompts, n_shots, n_classes)
        Log probabilities of each shot under each prompt's classifier, fitted without the shot's fold.
    codes : ndarray of int, shape (n_shots,)
        True classes.
    folds : sequence of ndarray of int
        Which shots were left out together. A shot's own fold does not say how much the prompts count for it.

    Returns
    -------
    ndarray of float64, shape (n_shots, n_classes)
        NaN for shots that no fold leaves out.
    """
    mixed = np.full(logs.shape[1:], np.nan)
    for fold in folds:
        others = logs.copy()
        others[:, fold] = np.nan
        mixed[fold] = mix(list(logs[:, fold]), prompt_weights(others, codes))
    return mixed


# `PromptEnsembleClassifier`: on rows of all prompts side by side.


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """The folds of a fit and the heads in use of each refit; a key of `Shots.memo` for the probabilities."""

    folds: list[NDArray[np.intp]]
    kept: list[list[Head]]

    def is_of(self, folds: Sequence[NDArray[np.intp]]) -> bool:
        pairs = zip(self.folds, folds, strict=False)
        return len(self.folds) == len(folds) and all(np.array_equal(one, other) for one, other in pairs)


class PromptEnsembleClassifier(HeadClassifier):
    """Weighted mean of the probabilities of one classifier per prompt.

    Each classifier is what it would be with its prompt alone. The weights are proportional to
    ``exp(-4 loss)``, the rule of `EnsembleClassifier`; the loss is the mean log loss of held-out shots under
    classifiers fitted without them, every choice repeated (`HeadClassifier.out_of_fold_log_proba`). With one
    shot per class nothing can be held out, and all prompts count alike.

    Parameters
    ----------
    estimators : sequence of HeadClassifier
        One per prompt, unfitted; their own layouts are not looked at.
    n_layers : int
        As in `PromptRows`.
    layout : HeadLayout, optional
        Of the rows: `PromptRows.layout`.

    Attributes
    ----------
    estimators_ : list of HeadClassifier
        The fitted classifiers, in the order of the prompts.
    weights_ : ndarray of float64, shape (n_prompts,)
        Their weights, sum 1.
    heads_ : list of Head
        Every head that some prompt uses, once for each prompt: what is read of one prompt is read of all.
    backbone_heads_ : list of Head
        The same heads as the backbone knows them, each once.
    """

    estimators_: list[HeadClassifier]
    weights_: NDArray[np.float64]

    def __init__(
        self, estimators: Sequence[HeadClassifier], n_layers: int, layout: HeadLayout | None = None
    ) -> None:
        self.estimators = estimators
        self.n_layers = n_layers
        self.layout = layout

    @property
    def needs_state(self) -> bool:
        """Whether rows should hold the last-layer state."""
        return any(estimator.needs_state for estimator in self.estimators)

    @property
    def state_is_optional(self) -> bool:
        """Whether rows without the last-layer state can be used."""
        return all(estimator.state_is_optional for estimator in self.estimators)

    @property
    def is_calibrated(self) -> bool:  # type: ignore[override]
        """Whether the averaged probabilities estimate probabilities."""
        return all(estimator.is_calibrated for estimator in self.estimators)

    @property
    def backbone_layout_(self) -> HeadLayout:
        """The layout of the row of one prompt."""
        return self._rows.one

    @property
    def backbone_heads_(self) -> list[Head]:
        """The heads that some prompt uses, by layer and index; the last-layer state is last."""
        return self._used(self.estimators_)

    def fit_shots(self, classes: NDArray[Any], shots: Shots) -> Self:
        """Learn a classifier for each prompt, and how much it counts; see `HeadClassifier.fit_shots`.

        Parameters
        ----------
        classes : ndarray, shape (n_classes,)
            The classes, sorted.
        shots : Shots
            Finite rows of all prompts side by side, class indices and layout.

        Returns
        -------
        PromptEnsembleClassifier
            The fitted classifier itself.

        Raises
        ------
        ValueError
            If the layout is not that of as many prompts as there are estimators.
        """
        parts = self.shots_of_each(shots)
        self.estimators_ = [
            clone(estimator).set_params(layout=part.layout).fit_shots(classes, part)
            for estimator, part in zip(self.estimators, parts, strict=True)
        ]
        self._held_out = held_out = _HeldOut(self.cross_validation_folds(shots), [])
        logs = self._log_proba_of_each(parts, held_out.folds, held_out.kept)
        shots.memo[held_out] = logs
        losses = mean_losses(logs, shots.codes)
        self._keep(classes, shots.layout, prompt_weights(logs, shots.codes))
        self.selection_report_ = {"prompts": self._reports(losses)}
        return self

    @property
    def can_fit_class_names(self) -> bool:
        """Whether `fit_class_names` works: where it does for every prompt."""
        return all(estimator.can_fit_class_names for estimator in self.estimators)

    def fit_class_names(self, classes: ArrayLike) -> Self:
        """Learn from the class names alone; all prompts count alike.

        Parameters
        ----------
        classes : array-like, shape (n_classes,)
            The classes, sorted.

        Raises
        ------
        ValueError
            If a method needs shots, or no layout was given.
        """
        if not isinstance(self.layout, HeadLayout):
            raise ValueError("class names alone do not say what the rows hold; give the layout")
        one = self._one_of(self.layout)
        self.estimators_ = [
            clone(estimator).set_params(layout=one).fit_class_names(classes) for estimator in self.estimators
        ]
        weights = np.full(len(self.estimators_), 1 / len(self.estimators_))
        self._keep(self.estimators_[0].classes_, self.layout, weights)
        self.selection_report_ = {"prompts": self._reports(None)}
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the weighted mean of the prompts' probabilities, shape (n_examples, n_classes)."""
        shares = [estimator.predict_proba(part) for estimator, part in self._asked(X)]
        return np.asarray(sum(weight * share for weight, share in zip(self.weights_, shares, strict=True)))

    def decision_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the log of the mean probability, clipped from below, shape (n_examples, n_classes)."""
        return mix([estimator.decision_log_proba(part) for estimator, part in self._asked(X)], self.weights_)

    def head_opinions(self, X: ArrayLike) -> HeadOpinions | None:
        """Return what each head in use answers under each prompt, the first prompt's heads first.

        None where the heads of some prompt do not vote one by one.
        """
        found = [estimator.head_opinions(part) for estimator, part in self._asked(X)]
        opinions = [one for one in found if one is not None]
        if len(opinions) < len(found) or len({one.unit for one in opinions}) > 1:
            return None
        return HeadOpinions.from_scores(np.concatenate([one.scores for one in opinions]), opinions[0].unit)

    def log_proba_of_each(self, X: ArrayLike) -> list[NDArray[np.float64]]:
        """Return the log probabilities of each prompt's classifier, each of shape (n_examples, n_classes)."""
        return [estimator.decision_log_proba(part) for estimator, part in self._asked(X)]

    def parts(self, rows: NDArray[np.floating]) -> list[NDArray[np.floating]]:
        """Return the rows of each prompt, for its own classifier, from rows of all side by side."""
        return [rows[:, self._rows.columns(prompt)] for prompt in range(len(self.estimators_))]

    def cross_validation_folds(self, shots: Shots) -> list[NDArray[np.intp]]:
        """Return which shots each fold leaves out; see `HeadClassifier.cross_validation_folds`."""
        first: HeadClassifier = clone(self.estimators[0])
        return first.cross_validation_folds(self.shots_of_each(shots)[0])

    def out_of_fold_log_proba(
        self,
        shots: Shots,
        folds: Sequence[NDArray[np.intp]],
        kept: list[list[Head]] | None = None,
    ) -> NDArray[np.float64]:
        """Return log probabilities of held-out shots; see `HeadClassifier.out_of_fold_log_proba`.

        Each prompt's classifier is fitted again without each fold, and the prompts count by what they are
        worth on the shots of the other folds.

        Parameters
        ----------
        shots : Shots
            Rows of all prompts side by side.
        folds, kept
            As for `HeadClassifier.out_of_fold_log_proba`.
        """
        held_out = getattr(self, "_held_out", None)
        if held_out is None or held_out not in shots.memo or not held_out.is_of(folds):
            held_out = _HeldOut(list(folds), [])
            shots.memo[held_out] = self._log_proba_of_each(self.shots_of_each(shots), folds, held_out.kept)
        if kept is not None:
            kept.extend(held_out.kept)
        return mixed_out_of_fold(shots.memo[held_out], shots.codes, folds)

    def to_state(self) -> State:
        """Return everything a prediction needs; see `HeadClassifier.to_state`."""
        check_is_fitted(self)
        states = [estimator.to_state() for estimator in self.estimators_]
        arrays = arrays_of_parts({str(prompt): state for prompt, state in enumerate(states)})
        return State(
            {"weights": self.weights_, **arrays},
            {
                "estimator": estimator_key(type(self)),
                "parameters": {"n_layers": self.n_layers},
                "classes": self.classes_.tolist(),
                "estimators": [state.settings for state in states],
            },
        )

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the fitted estimator that `to_state` described.

        Raises
        ------
        ValueError
            If the state is of another estimator, incomplete or impossible.
        """
        arrays, settings = state
        if settings.get("estimator") != estimator_key(cls):
            raise ValueError(f"this is the state of {settings.get('estimator')!r}, not of {cls.__name__}")
        fitted = [
            classifier_from_state(State(arrays_of_part(arrays, str(prompt)), one))
            for prompt, one in enumerate(settings["estimators"])
        ]
        n_layers, weights = settings["parameters"]["n_layers"], arrays["weights"]
        _check_parts(fitted, n_layers, weights, settings["classes"], set(arrays))
        rows = PromptRows(fitted[0].layout_, len(fitted), n_layers)
        made = cls([clone(one) for one in fitted], n_layers, rows.layout)
        made.estimators_, made.selection_report_ = fitted, {}
        made._keep(fitted[0].classes_, rows.layout, weights)
        return made

    def _keep(self, classes: NDArray[Any], layout: HeadLayout, weights: NDArray[np.float64]) -> None:
        self.classes_, self.layout_, self.n_features_in_ = classes, layout, layout.width
        self.weights_, self.head_scores_ = weights, None
        used = self.backbone_heads_
        heads = [head for head in used if not head.is_state]
        self.heads_ = [head for prompt in range(len(weights)) for head in self._rows.moved(heads, prompt)]
        if used[-1].is_state and layout.state_head is not None:
            self.heads_.append(layout.state_head)

    def _slice_heads(self, positions: NDArray[np.intp]) -> None:  # noqa: ARG002
        """Restrict each prompt's classifier to its part of `layout_`, which is the new one already."""
        heads = [head for head in self.layout_.heads if head.layer < self.n_layers]
        state = self.estimators_[0].layout_.state_head
        if self.layout_.state is not None and state is not None:
            heads.append(state)
        self.estimators_ = [estimator.restrict_to(heads) for estimator in self.estimators_]
        if self._rows.layout != self.layout_:
            raise ValueError("the rows must hold the same heads of all prompts, in the same order")

    @property
    def _rows(self) -> PromptRows:
        return PromptRows(self.estimators_[0].layout_, len(self.estimators_), self.n_layers)

    def _one_of(self, layout: HeadLayout) -> HeadLayout:
        """Return the layout of one prompt's rows; `ValueError` if the given one is not of all prompts."""
        n = len(self.estimators)
        heads = [head for head in layout.heads if head.layer < self.n_layers]
        state = None if layout.state is None else (self.n_layers, layout.state[1] // n)
        one = HeadLayout(tuple(heads), layout.dims[: len(heads)], state)
        if PromptRows(one, n, self.n_layers).layout != layout:
            raise ValueError(f"the layout must be that of the rows of {n} prompts side by side")
        return one

    def shots_of_each(self, shots: Shots) -> list[Shots]:
        """Return the shots as each prompt's classifier gets them.

        Raises
        ------
        ValueError
            If the layout is not that of as many prompts as there are estimators.
        """
        rows = PromptRows(self._one_of(shots.layout), len(self.estimators), self.n_layers)
        return [
            Shots(
                np.ascontiguousarray(shots.rows[:, rows.columns(prompt)]),
                shots.codes,
                shots.n_classes,
                rows.one,
            )
            for prompt in range(rows.n_prompts)
        ]

    def _log_proba_of_each(
        self, parts: Sequence[Shots], folds: Sequence[NDArray[np.intp]], kept: list[list[Head]]
    ) -> NDArray[np.float64]:
        """Return log probabilities of held-out shots, (n_prompts, n_shots, n_classes), and heads in use."""
        in_use: list[list[list[Head]]] = [[] for _ in parts]
        logs = [
            clone(estimator).set_params(layout=part.layout).out_of_fold_log_proba(part, folds, used)
            for estimator, part, used in zip(self.estimators, parts, in_use, strict=True)
        ]
        shift = self.n_layers + 1  # the state of each prompt is another one, too
        kept += [
            [
                Head(layer + prompt * shift, index)
                for prompt, heads in enumerate(fold)
                for layer, index in heads
            ]
            for fold in zip(*in_use, strict=True)
        ]
        return np.stack(logs)

    def _reports(self, losses: NDArray[np.float64] | None) -> list[dict[str, Any]]:
        return [
            {
                "weight": float(self.weights_[prompt]),
                "log_loss": None if losses is None else float(losses[prompt]),
                **estimator.selection_report_,
            }
            for prompt, estimator in enumerate(self.estimators_)
        ]

    def _used(self, estimators: Sequence[HeadClassifier]) -> list[Head]:
        used = {head for estimator in estimators for head in estimator.heads_}
        return sorted(used, key=lambda head: (head.is_state, head))

    def _asked(self, X: ArrayLike) -> list[tuple[HeadClassifier, NDArray[np.floating]]]:
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        return list(zip(self.estimators_, self.parts(rows), strict=True))


def _check_parts(
    fitted: Sequence[HeadClassifier],
    n_layers: int,
    weights: NDArray[Any],
    classes: Sequence[Any],
    names: set[str],
) -> None:
    known = {"weights", *(name for name in names if name.partition("/")[0].isdecimal())}
    checks = (
        len(fitted) > 1 and all(int(name.partition("/")[0]) < len(fitted) for name in known - {"weights"}),
        names == known,
        type(n_layers) is int and n_layers >= max(one.layout_.n_layers for one in fitted),
        all(one.layout_ == fitted[0].layout_ for one in fitted),
        all(one.classes_.tolist() == list(classes) for one in fitted),
        weights.shape == (len(fitted),) and weights.dtype == np.float64,
        bool(np.isfinite(weights).all() and (weights >= 0).all() and np.isclose(weights.sum(), 1)),
    )
    if not all(checks):
        raise ValueError(f"check {checks.index(False)} of a classifier of several prompts failed")


# A method for each of several prompts, and reading any classifier back.


@dataclass(frozen=True)
class PromptMethod:
    """A method that is fitted once for each of several prompts.

    Attributes
    ----------
    method : Method
        What is fitted for each prompt.
    rows : PromptRows
        What the rows hold.
    """

    method: Method
    rows: PromptRows

    def make(
        self, layout: HeadLayout, classes: NDArray[Any], prototypes: NDArray[np.float32] | None = None
    ) -> PromptEnsembleClassifier:
        """Return the unfitted estimator, as `Method.make` does.

        Parameters
        ----------
        layout : HeadLayout
            Of the rows of all prompts side by side.
        classes : ndarray, shape (n_classes,)
            Sorted, for priors by class.
        prototypes : ndarray of float32, shape (n_classes, width), optional
            Rows of the classes' text prompts, of all prompts side by side.
        """
        of_each = [
            None if prototypes is None else prototypes[:, self.rows.columns(prompt)]
            for prompt in range(self.rows.n_prompts)
        ]
        estimators = [self.method.make(self.rows.one, classes, own) for own in of_each]
        return PromptEnsembleClassifier(estimators, self.rows.n_layers, layout)


def restored(state: State) -> HeadClassifier:
    """Return the fitted classifier, of one prompt or of several, whose `to_state` this is.

    Raises
    ------
    NotRegisteredError
        A `ValueError`, if a class belongs to no registered method.
    ValueError
        If the state is incomplete or impossible.
    """
    if state.settings.get("estimator") == estimator_key(PromptEnsembleClassifier):
        return PromptEnsembleClassifier.from_state(state)
    return classifier_from_state(state)


def unregistered_part(classifier: HeadClassifier) -> type[HeadClassifier] | None:
    """Return the class of a classifier, or of a method inside it, that could not be read back; or None."""
    several = isinstance(classifier, PromptEnsembleClassifier)
    parts = classifier.estimators_ if several else [classifier]
    return next((kind for kind in map(methods.unregistered_part, parts) if kind is not None), None)
