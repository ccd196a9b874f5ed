"""`HeadClassifier`: what all estimators on head vectors share, from input checks to probabilities.

A subclass says how scores come from the shots (`_fit_shots`) and how new rows are scored
(`_raw_scores`); this module turns scores into calibrated probabilities, labels and saved states.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from savs.classifiers._numerics import nearest_classes
from savs.classifiers._probabilities import class_priors, fit_temperature, log_softmax
from savs.classifiers._support_set import Shots
from savs.classifiers._validation import (
    check_finite,
    check_finite_from,
    check_label_types,
    encode_labels,
    resolve_layout,
)
from savs.layout import Head, HeadLayout

__all__ = ["FittedScores", "HeadClassifier", "State"]

_CHUNK_VALUES = 1 << 22
"""How many float64 values of features and scores a prediction holds at once (32 MiB)."""


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


class HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the estimators on head vectors.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted.
    heads_ : list of Head
        The heads in use, best first; behind them ``layout_.state_head`` if the last-layer state is in use.
    layout_ : HeadLayout
        The layout in use.
    temperature_ : float
        What scores are divided by, fitted on leave-one-out scores.
    out_of_fold_log_proba_ : ndarray of float64, shape (n_shots, n_classes)
        Calibrated log probabilities of each shot under what the other shots say; rows of sole shots of
        their class are NaN. Heads, weights and temperature were chosen with the shot: see
        `savs.classifiers.cross_validation` for an estimate that repeats those choices.
    n_features_in_ : int
        Number of columns of X.
    """

    classes_: NDArray[Any]
    heads_: list[Head]
    layout_: HeadLayout
    temperature_: float
    out_of_fold_log_proba_: NDArray[np.float64]
    n_features_in_: int
    layout: HeadLayout | tuple[int, int, int] | None
    priors: str | ArrayLike

    _reads_state = False
    """Whether the last-layer state is handed on to `_fit_shots` where rows hold it."""

    max_shots: int | None = None
    """A fit refuses more shots than this."""

    @abstractmethod
    def _fit_shots(self, shots: Shots) -> FittedScores:
        """Learn from the shots."""

    @abstractmethod
    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        """Score rows that hold the heads in use, in the order of `heads_`; `layout` is theirs."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from the shots.

        Parameters
        ----------
        X : array-like of float, shape (n_shots, width)
            Feature rows.
        y : array-like of str, int or bool, shape (n_shots,)
            Labels, all of one type. A float array of whole numbers is taken too, as everywhere in
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
        if y is not None and not isinstance(y, np.ndarray):
            check_label_types(y)  # type: ignore[arg-type]  # before NumPy merges 1 and "1"
        rows, labels = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_all_finite=False)
        layout = resolve_layout(self.layout, rows.shape[1])
        check_finite(rows, layout)
        classes, codes = encode_labels(labels)
        return self._fit_codes(classes, Shots(rows, codes, len(classes), layout))

    def _fit_codes(self, classes: NDArray[Any], shots: Shots) -> Self:
        priors = class_priors(self.priors, shots.counts)
        fitted = self._fit_shots(shots if self._reads_state else shots.heads_only)
        kept = shots.can_be_held_out
        self.classes_, self.layout_, self.n_features_in_ = classes, shots.layout, shots.layout.width
        self.heads_, self.arrays_ = fitted.heads, fitted.arrays
        self.log_priors_ = np.log(priors)
        self.temperature_ = self._temperature(fitted.out_of_fold[kept], shots.codes[kept])
        out_of_fold = np.full(fitted.out_of_fold.shape, np.nan)
        if kept.any():
            out_of_fold[kept] = self._calibrated(fitted.out_of_fold[kept])
        self.out_of_fold_log_proba_ = out_of_fold
        return self

    def _temperature(self, scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
        return fit_temperature(scores, codes)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row, shape (n_examples,); ties go to the first class."""
        winners = nearest_classes(self._log_probabilities(X))
        return np.asarray(self.classes_[winners])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape (n_examples, n_classes)."""
        return np.asarray(np.exp(self._log_probabilities(X)))

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of `predict_proba`."""
        return self._log_probabilities(X)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return log probabilities, so that the largest wins.

        Returns
        -------
        ndarray of float64, shape (n_examples, n_classes), or (n_examples,) for two classes
            For two classes, the second one's value minus the first one's, as scikit-learn wants it.
        """
        values = self._log_probabilities(X)
        return values if len(self.classes_) > 2 else values[:, 1] - values[:, 0]

    def for_kept_heads(self) -> Self:
        """Return the same classifier for rows that hold only `heads_`, in their order."""
        check_is_fitted(self)
        state = self.to_state()
        layout = self.layout_.select(self.heads_)
        return type(self).from_state(State(state.arrays, {**state.settings, "layout": layout.to_json()}))

    def to_state(self) -> State:
        """Return everything a prediction needs: arrays by name, and JSON-able settings."""
        check_is_fitted(self)
        arrays = {
            "out_of_fold": self.out_of_fold_log_proba_,
            "log_priors": self.log_priors_,
            **self._state_arrays(),
        }
        return State(
            arrays,
            {
                "estimator": type(self).__name__,
                "parameters": _plain_parameters(self.get_params(deep=False)),
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
        if settings.get("estimator") != cls.__name__:
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
        made._restore(arrays, settings)
        return made

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        return {f"rule.{name}": array for name, array in self.arrays_.items()}

    def _state_settings(self) -> dict[str, Any]:
        return {}

    def _restore(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.arrays_ = {
            name.removeprefix("rule."): array for name, array in arrays.items() if name.startswith("rule.")
        }

    def _log_probabilities(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        layout = self.layout_.select(self.heads_)
        columns = None if layout == self.layout_ else self.layout_.column_indices(self.heads_)
        logs = np.empty((len(rows), len(self.classes_)))
        step = max(1, _CHUNK_VALUES // (layout.width + layout.n_heads * len(self.classes_)))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            part = part if columns is None else part[:, columns]
            check_finite_from(part, layout, start)
            logs[start : start + step] = self._calibrated(self._raw_scores(part, layout))
        return logs

    def _calibrated(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log probabilities under the fitted temperature and the class priors."""
        return log_softmax(scores / self.temperature_ + self.log_priors_)


def _plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
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
