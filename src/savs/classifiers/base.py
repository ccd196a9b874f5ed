"""`HeadClassifier`, the protocol of all classifiers on head vectors, and its base with calibrated scores."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from savs._labels import warn_of_unknown_labels
from savs.classifiers._numerics import nearest_classes
from savs.classifiers._probabilities import (
    class_priors,
    fit_temperature,
    is_log_proba_table,
    log_softmax,
    untested_temperature,
)
from savs.classifiers._support_set import Shots, nested_folds
from savs.classifiers._validation import (
    check_finite,
    check_finite_from,
    encode_labels,
    label_array,
    resolve_layout,
)
from savs.layout import Head, HeadLayout

__all__ = [
    "CalibratedHeadClassifier",
    "FittedScores",
    "HeadClassifier",
    "HeadOpinions",
    "State",
    "estimator_key",
    "plain_parameters",
]

_CHUNK_VALUES = 1 << 22
"""How many float64 values of features and scores a prediction holds at once (32 MiB)."""

_FOLDS = 5

_VERY_LONG = 2e11
"""Values times classes from which on a refit takes hours, so that only two are made."""


class FittedScores(NamedTuple):
    """What a subclass learns from the shots.

    Attributes
    ----------
    out_of_fold : ndarray of float64, shape (n_shots, n_classes)
        Score of each shot from the others.
    heads : list of Head
        The heads that new rows are read at, best first.
    arrays : dict of str to ndarray
        Everything else that scoring needs, by name.
    """

    out_of_fold: NDArray[np.float64]
    heads: list[Head]
    arrays: dict[str, NDArray[Any]]


class State(NamedTuple):
    """A fitted estimator as plain data: arrays by name, and JSON-able settings."""

    arrays: dict[str, NDArray[Any]]
    settings: dict[str, Any]


def arrays_of_parts(parts: Mapping[str, State]) -> dict[str, NDArray[Any]]:
    """Return the arrays of several estimators as those of one, as ``part/name``."""
    return {f"{part}/{name}": array for part, state in parts.items() for name, array in state.arrays.items()}


def arrays_of_part(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    """Return one estimator's arrays out of those that `arrays_of_parts` joined."""
    start = f"{part}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


class HeadOpinions(NamedTuple):
    """What each head in use answers for some rows.

    Attributes
    ----------
    scores : ndarray of float64, shape (n_kept_heads, n_rows, n_classes)
        In the order of the classifier's ``heads_``.
    votes : ndarray of int, shape (n_kept_heads, n_rows)
        Index of the class with the largest score; ties go to the first.
    margins : ndarray of float64, shape (n_kept_heads, n_rows)
        Score of that class minus the next one's.
    unit : str
        What the scores are: ``"cosine"`` or ``"probability"``.
    """

    scores: NDArray[np.float64]
    votes: NDArray[np.intp]
    margins: NDArray[np.float64]
    unit: str

    @classmethod
    def from_scores(cls, scores: NDArray[np.float64], unit: str) -> HeadOpinions:
        """Return votes and margins of scores.

        Parameters
        ----------
        scores : ndarray of float64, shape (n_kept_heads, n_rows, n_classes)
            Score of each class from each head.
        unit : str
            What the scores are.
        """
        best_two = np.sort(scores, axis=2)[:, :, -2:]
        return cls(scores, nearest_classes(scores), best_two[:, :, 1] - best_two[:, :, 0], unit)


class HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Base of all classifiers on head vectors, and all that the other packages know about them.

    Subclasses that turn scores into calibrated probabilities derive from `CalibratedHeadClassifier` and write
    two methods. Subclasses of this class itself write `fit_shots`, `predict_proba`, `to_state` and
    `from_state`. `register_method` gives a subclass a name.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted.
    heads_ : list of Head
        The heads in use, best first; behind them ``layout_.state_head`` if the last-layer state is in
        use, and ``layout_.options_head`` if the likelihoods of the class names are.
    layout_ : HeadLayout
        The layout of the rows.
    head_scores_ : ndarray, shape (layout_.n_heads,), or None
        Score of each head in layout order; None where heads are not ranked.
    selection_report_ : dict
        JSON-able: what an automatic choice compared, chose, and why. Empty for other methods.
    n_features_in_ : int
        Number of columns of X.
    """

    classes_: NDArray[Any]
    heads_: list[Head]
    layout_: HeadLayout
    head_scores_: NDArray[Any] | None
    selection_report_: dict[str, Any]
    n_features_in_: int
    layout: HeadLayout | tuple[int, int, int] | None

    max_shots: int | None = None
    """A fit refuses more shots than this; None: any number."""

    n_heads_words: tuple[str, ...] = ()
    """Words that the parameter ``n_heads`` takes besides positive integers."""

    published_as: str | None = None
    """Title and reference of the method for model cards, where it is one that was published."""

    is_calibrated = True
    """Whether `predict_proba` estimates probabilities; shares of votes do not."""

    @property
    def n_heads_kept(self) -> int | None:
        """How many of the best-scored heads a fit keeps; None for methods that do not keep a fixed number."""
        n_heads = self.get_params(deep=False).get("n_heads")
        return n_heads if isinstance(n_heads, int) else None

    @property
    def backbone_heads_(self) -> list[Head]:
        """`heads_` as the backbone knows them; rows of several prompts hold each several times."""
        return self.heads_

    @property
    def backbone_layout_(self) -> HeadLayout:
        """The layout of a row of the backbone; `layout_`, unless rows hold several prompts."""
        return self.layout_

    @property
    def needs_state(self) -> bool:
        """Whether feature rows should hold the last-layer state behind the heads."""
        return False

    @property
    def state_is_optional(self) -> bool:
        """Whether a fit works on rows without the last-layer state, too."""
        return not self.needs_state

    @property
    def needs_options(self) -> bool:
        """Whether feature rows must end in the log likelihood of each class name, in order.

        Such rows have a layout `with_options`; `Backbone.option_log_likelihood` gives the numbers.
        """
        return False

    @property
    def needs_prototypes(self) -> bool:
        """Whether the parameter ``prototypes`` must hold a row for the text prompt of each class."""
        return False

    @property
    def can_fit_class_names(self) -> bool:
        """Whether `fit_class_names` works: a classifier from class names alone, without shots."""
        return False

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from the shots.

        Parameters
        ----------
        X : array-like of float, shape (n_shots, width)
            Feature rows.
        y : array-like of str, int or bool, shape (n_shots,)
            Labels, all of one type. A float array of whole numbers is also accepted, as everywhere in
            scikit-learn.

        Returns
        -------
        HeadClassifier
            Itself.

        Raises
        ------
        DataError
            If the labels are of mixed or unusable types, or of fewer than two classes.
        ActivationError
            If X has a NaN or an infinite value; names the row and the head.
        ValueError
            If X does not fit the layout or `y`, or a parameter is out of its range.
        """
        y = label_array(y)  # before NumPy merges 1 and "1"
        rows, labels = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_all_finite=False)
        layout = resolve_layout(self.layout, rows.shape[1])
        check_finite(rows, layout)
        classes, codes = encode_labels(labels)
        return self.fit_shots(classes, Shots(rows, codes, len(classes), layout))

    @abstractmethod
    def fit_shots(self, classes: NDArray[Any], shots: Shots) -> Self:
        """Learn from shots that are checked and encoded; results are remembered in ``shots.memo``.

        Parameters
        ----------
        classes : ndarray, shape (n_classes,)
            The classes, sorted.
        shots : Shots
            Finite rows, class indices and layout; the parameter `layout` is not looked at.
        """

    def fit_class_names(self, classes: ArrayLike) -> Self:  # noqa: ARG002
        """Learn from the class names alone; only where `can_fit_class_names`.

        Parameters
        ----------
        classes : array-like, shape (n_classes,)
            The classes, sorted.

        Raises
        ------
        ValueError
            If the method needs shots.
        """
        raise ValueError(f"{type(self).__name__} needs shots; class names alone are not enough")

    @abstractmethod
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return probabilities, shape (n_examples, n_classes)."""

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of `predict_proba`, shape (n_examples, n_classes)."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def decision_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return finite log probabilities of which the largest is the answer, shape (n_examples, n_classes).

        Thresholds, conformal sets and estimates are computed from these. They are `predict_log_proba` except
        where that may be infinite or tied.
        """
        return self.predict_log_proba(X)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row, shape (n_examples,); ties go to the first class."""
        winners = nearest_classes(self.decision_log_proba(X))
        return np.asarray(self.classes_[winners])

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy on labeled rows.

        Parameters
        ----------
        X : array-like of float, shape (n_examples, n_features_in_)
            Feature rows.
        y : array-like, shape (n_examples,)
            True labels.
        sample_weight : array-like of float, shape (n_examples,), optional
            Weight of each row.

        Warns
        -----
        DataWarning
            If some of `y` are not classes; they count as wrong.
        """
        labels = label_array(y)
        share = float(super().score(X, labels, sample_weight))
        given, classes = np.ravel(labels).tolist(), self.classes_.tolist()
        if not set(given) <= set(classes):
            warn_of_unknown_labels(given, classes)
        return share

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return values of which the largest is the answer: log probabilities, or votes.

        Returns
        -------
        ndarray of float64, shape (n_examples, n_classes), or (n_examples,) for two classes
            For two classes, the second one's value minus the first one's, as scikit-learn wants it.
        """
        values = self._decision_values(X)
        return values if len(self.classes_) > 2 else values[:, 1] - values[:, 0]

    def _decision_values(self, X: ArrayLike) -> NDArray[np.float64]:
        return self.decision_log_proba(X)

    def head_opinions(self, X: ArrayLike) -> HeadOpinions | None:  # noqa: ARG002
        """Return what each head in use answers; None where heads do not vote one by one.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features_in_)
            Feature rows.
        """
        return None

    def cross_validation_folds(self, shots: Shots) -> list[NDArray[np.intp]]:
        """Return which shots each fold of an accuracy estimate leaves out.

        Five folds, or two where a refit takes very long; each class keeps a shot in each fold.
        """
        return nested_folds(shots.codes, _FOLDS if _work(shots) < _VERY_LONG else 2)

    def out_of_fold_log_proba(
        self,
        shots: Shots,
        folds: Sequence[NDArray[np.intp]],
        kept: list[list[Head]] | None = None,
    ) -> NDArray[np.float64]:
        """Return log probabilities of held-out shots under copies that are fitted without them.

        Every choice that a fit makes is repeated in each fold.

        Parameters
        ----------
        shots : Shots
            The shots.
        folds : sequence of ndarray of int
            Which shots are left out together.
        kept : list, optional
            The heads in use of each refit are appended to it.

        Returns
        -------
        ndarray of float64, shape (n_shots, n_classes)
            NaN for shots that no fold leaves out.
        """
        logs = np.full((len(shots.codes), shots.n_classes), np.nan)
        classes = np.arange(shots.n_classes)
        for fold in folds:
            fitted = clone(self).set_params(layout=shots.layout).fit_shots(classes, shots.without(fold))
            if kept is not None:
                kept.append(fitted.heads_)
            logs[fold] = fitted.decision_log_proba(shots.rows[fold])
        return logs

    def restrict_to(self, heads: Sequence[tuple[int, int]]) -> Self:
        """Return the same fitted classifier for rows that hold only some heads.

        Its arrays are shared or sliced, nothing is computed again. For ``restrict_to(heads_)`` a query's
        forward pass may end at the deepest head in use.

        Parameters
        ----------
        heads : sequence of (layer, index)
            The heads of the rows, in column order: at least `heads_`; the last-layer state last.

        Raises
        ------
        ValueError
            If a head in use is missing.
        """
        check_is_fitted(self)
        whole = tuple(heads) == self.layout_.parts
        layout = self.layout_ if whole else self.layout_.select(heads)
        missing = set(self.heads_) - set(layout.parts)
        if missing:
            first = min(missing)
            raise ValueError(f"layer {first.layer}, head {first.index} is in use and cannot be left out")
        made = copy(self)
        made.__dict__.pop("feature_names_in_", None)
        made.layout = made.layout_ = layout
        made.n_features_in_ = layout.width
        if not whole:
            positions = [self.layout_.position(head) for head in layout.heads]
            made._slice_heads(np.array(positions, dtype=np.intp))
        return made

    def _slice_heads(self, positions: NDArray[np.intp]) -> None:
        """Keep what belongs to the heads at `positions` of the layout that the arrays were learned on."""
        if self.head_scores_ is not None:
            self.head_scores_ = self.head_scores_[positions]

    def prediction_bytes(self) -> int:
        """Return the size of what predictions need: arrays, and settings as JSON."""
        arrays, settings = self.restrict_to(self.heads_).to_state()
        return sum(array.nbytes for array in arrays.values()) + len(json.dumps(settings))

    @abstractmethod
    def to_state(self) -> State:
        """Return everything a prediction needs: arrays by name, and JSON-able settings.

        The settings hold `estimator_key` as ``"estimator"``, and ``"classes"``.
        """

    @classmethod
    @abstractmethod
    def from_state(cls, state: State) -> Self:
        """Return the fitted estimator that `to_state` described.

        Raises
        ------
        ValueError
            If the state is of another estimator, incomplete or impossible.
        """

    def _kept_rows(self, X: ArrayLike) -> tuple[NDArray[np.floating], HeadLayout]:
        """Return the columns of the heads in use, checked, and their layout."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        if tuple(self.heads_) == self.layout_.parts:
            layout = self.layout_
        else:
            layout = self.layout_.select(self.heads_)
            rows = np.take(rows, self.layout_.column_indices(self.heads_), axis=1)
        check_finite(rows, layout)
        return rows, layout


class CalibratedHeadClassifier(HeadClassifier):
    """Base of classifiers whose scores are turned into calibrated probabilities.

    A subclass stores ``layout`` and ``priors`` in its ``__init__`` and writes `_learn`, from shots to
    `FittedScores`, and `_raw_scores`, from rows of the heads in use to scores.

    Attributes
    ----------
    temperature_ : float
        What scores are divided by, fitted on leave-one-out scores; where no class has two shots, it gives the
        shots themselves log odds of 4.
    out_of_fold_log_proba_ : ndarray of float64, shape (n_shots, n_classes)
        Calibrated log probabilities of each shot from the other shots; rows of sole shots of
        their class are NaN. Heads, weights and temperature were chosen with the shot: see
        `out_of_fold_log_proba` for log probabilities that repeat those choices.
    """

    temperature_: float
    out_of_fold_log_proba_: NDArray[np.float64]
    log_priors_: NDArray[np.float64]
    arrays_: dict[str, NDArray[Any]]
    priors: str | ArrayLike

    @abstractmethod
    def _learn(self, shots: Shots) -> FittedScores:
        """Learn from the shots."""

    @abstractmethod
    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        """Score rows that hold the heads in use, in the order of `heads_`; `layout` is theirs."""

    def fit_shots(self, classes: NDArray[Any], shots: Shots) -> Self:
        """Learn from checked and encoded shots; see `HeadClassifier.fit_shots`.

        Parameters
        ----------
        classes : ndarray, shape (n_classes,)
            The classes, sorted.
        shots : Shots
            Finite rows, class indices and layout.

        Returns
        -------
        CalibratedHeadClassifier
            The fitted classifier itself.

        Raises
        ------
        ValueError
            If a parameter of the classifier is out of range.
        """
        priors = class_priors(self.priors, shots.counts)
        self.head_scores_, self.selection_report_ = None, {}
        fitted = self._learn(shots if self.needs_state or self.needs_options else shots.heads_only)
        kept = shots.can_be_held_out
        self.classes_, self.layout_, self.n_features_in_ = classes, shots.layout, shots.layout.width
        self.heads_, self.arrays_ = fitted.heads, fitted.arrays
        self.log_priors_ = np.log(priors)
        self.out_of_fold_log_proba_ = np.full(fitted.out_of_fold.shape, np.nan)
        if kept.any():
            self.temperature_ = self._temperature(fitted.out_of_fold[kept], shots.codes[kept])
            self.out_of_fold_log_proba_[kept] = self._calibrated(fitted.out_of_fold[kept])
        else:
            self.temperature_ = self._untested_temperature(shots)
        return self

    def _keep_without_shots(
        self, classes: NDArray[Any], layout: HeadLayout, heads: list[Head], arrays: dict[str, NDArray[Any]]
    ) -> None:
        """Take what was learned from class names alone; `ValueError` unless they are two or more, sorted."""
        if len(classes) < 2 or not (classes[:-1] < classes[1:]).all():
            raise ValueError("classes must be at least two, sorted, each once")
        self.classes_, self.layout_, self.n_features_in_ = classes, layout, layout.width
        self.head_scores_, self.selection_report_ = None, {}
        self.heads_, self.arrays_, self.temperature_ = heads, arrays, 1.0
        self.out_of_fold_log_proba_ = np.empty((0, len(classes)))
        self.log_priors_ = np.full(len(classes), -np.log(len(classes)))

    def _temperature(self, scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
        return fit_temperature(scores, codes)

    def _untested_temperature(self, shots: Shots) -> float:
        """Return the temperature where no shot can be held out: from the scores of the shots themselves."""
        own = shots if self.needs_state or self.needs_options else shots.heads_only
        layout, columns = own.layout.select(self.heads_), own.layout.column_indices(self.heads_)
        step = self._rows_at_once(layout, shots.n_classes)
        scores = [
            self._raw_scores(own.rows[start : start + step, columns], layout)
            for start in range(0, len(own.rows), step)
        ]
        return untested_temperature(np.concatenate(scores), shots.codes)

    @staticmethod
    def _rows_at_once(layout: HeadLayout, n_classes: int) -> int:
        """Return how many rows are scored together."""
        return max(1, _CHUNK_VALUES // (layout.width + layout.n_heads * n_classes))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape (n_examples, n_classes)."""
        return np.asarray(np.exp(self.predict_log_proba(X)))

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of `predict_proba`, shape (n_examples, n_classes)."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        whole = tuple(self.heads_) == self.layout_.parts
        layout = self.layout_ if whole else self.layout_.select(self.heads_)
        columns = None if whole else self.layout_.column_indices(self.heads_)
        logs = np.empty((len(rows), len(self.classes_)))
        step = self._rows_at_once(layout, len(self.classes_))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            part = part if columns is None else part[:, columns]
            check_finite_from(part, layout, start)
            logs[start : start + step] = self._calibrated(self._raw_scores(part, layout))
        return logs

    def to_state(self) -> State:
        """Return everything a prediction needs; see `HeadClassifier.to_state`."""
        check_is_fitted(self)
        arrays = {
            "out_of_fold": self.out_of_fold_log_proba_,
            "log_priors": self.log_priors_,
            **self._state_arrays(),
        }
        return State(
            arrays,
            {
                "estimator": estimator_key(type(self)),
                "parameters": plain_parameters(self.get_params(deep=False)),
                "classes": self.classes_.tolist(),
                "classes_dtype": self.classes_.dtype.str if self.classes_.dtype != object else "O",
                "layout": self.layout_.to_json(),
                "heads": [list(head) for head in self.heads_],
                "temperature": self.temperature_,
                **self._state_settings(),
            },
        )

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the fitted estimator that `to_state` described.

        Raises
        ------
        ValueError
            If the state is of another estimator or incomplete.
        """
        arrays, settings = state
        if settings.get("estimator") != estimator_key(cls):
            raise ValueError(f"this is the state of {settings.get('estimator')!r}, not of {cls.__name__}")
        missing = {"classes", "layout", "heads", "temperature", "parameters"} - set(settings)
        missing |= {"out_of_fold", "log_priors"} - set(arrays)
        if missing:
            raise ValueError(f"the state lacks {', '.join(sorted(missing))}")
        layout = HeadLayout.from_json(settings["layout"])
        made = cls(**{**settings["parameters"], "layout": layout})
        dtype = settings["classes_dtype"]
        made.classes_ = np.array(settings["classes"], dtype=object if dtype == "O" else dtype)
        made.layout_, made.n_features_in_ = layout, layout.width
        made.heads_ = [Head(*head) for head in settings["heads"]]
        made.temperature_ = float(settings["temperature"])
        made.out_of_fold_log_proba_, made.log_priors_ = arrays["out_of_fold"], arrays["log_priors"]
        made.head_scores_, made.selection_report_ = None, {}
        made._restore(arrays, settings)
        made._check_numbers()
        return made

    def _check_numbers(self) -> None:
        n_classes = len(self.classes_)
        if not (
            np.isfinite(self.temperature_)
            and self.temperature_ > 0
            and self.log_priors_.shape == (n_classes,)
            and self.log_priors_.dtype == np.float64
            and np.isfinite(self.log_priors_).all()
            and is_log_proba_table(self.out_of_fold_log_proba_, n_classes)
        ):
            raise ValueError("temperature, priors and held-out log probabilities must be finite numbers")

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        return {f"rule.{name}": array for name, array in self.arrays_.items()}

    def _state_settings(self) -> dict[str, Any]:
        return {}

    def _restore(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.arrays_ = {
            name.removeprefix("rule."): array for name, array in arrays.items() if name.startswith("rule.")
        }

    def _calibrated(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log probabilities under the fitted temperature and the class priors."""
        return log_softmax(scores / self.temperature_ + self.log_priors_)


def estimator_key(kind: type[HeadClassifier]) -> str:
    """Return what a saved state calls an estimator: its class name, with its module outside of savs."""
    if kind.__module__.startswith("savs."):
        return kind.__name__
    return f"{kind.__module__}:{kind.__qualname__}"


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an estimator as JSON-able data, without its layout."""
    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        if name == "layout":
            continue
        if isinstance(value, np.ndarray | np.generic):
            plain[name] = value.tolist()
        elif isinstance(value, Sequence) and not isinstance(value, str):
            plain[name] = [list(one) if isinstance(one, tuple) else one for one in value]
        else:
            plain[name] = value
    return plain


def _work(shots: Shots) -> float:
    return float(shots.rows.size) * shots.n_classes
