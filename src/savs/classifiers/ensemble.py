"""`EnsembleClassifier`: the mean of several classifiers' calibrated probabilities, and which may take part.

Leave-one-out likelihoods of good methods differ by less than their noise, so averaging beats picking one;
weights that follow them gently take out what clearly does not work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from savs.classifiers._probabilities import log_softmax
from savs.classifiers._support_set import Shots
from savs.classifiers.base import (
    CalibratedHeadClassifier,
    FittedScores,
    State,
    arrays_of_part,
    arrays_of_parts,
)
from savs.classifiers.head_scoring import soft_weights
from savs.classifiers.head_voting import HeadVoteClassifier
from savs.classifiers.kernel import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.classifiers.last_state import LastStateClassifier
from savs.classifiers.option_likelihood import OptionLikelihoodClassifier
from savs.layout import HeadLayout

__all__ = [
    "DEFAULT_ESTIMATORS",
    "BASE_ESTIMATORS",
    "OPTION_ESTIMATORS",
    "ONE_SHOT_ESTIMATORS",
    "FEW_SHOT_ESTIMATORS",
    "STATE_ESTIMATORS",
    "are_few",
    "default_estimators",
    "shares_before_losses",
    "make_base_estimator",
    "mixture_temperature",
    "EnsembleClassifier",
    "ensemble_weights",
    "fit_base_estimators",
    "mix",
    "usable_estimators",
]


# Single methods by name, as ensembles and the command line ask for them.


def _votes(**settings: Any) -> Callable[..., CalibratedHeadClassifier]:
    return lambda **common: HeadVoteClassifier(**settings, **common)


def _ridge(**settings: Any) -> Callable[..., CalibratedHeadClassifier]:
    return lambda **common: KernelRidgeClassifier(**settings, **common)


def _discriminant(**settings: Any) -> Callable[..., CalibratedHeadClassifier]:
    return lambda **common: KernelDiscriminantClassifier(**settings, **common)


BASE_ESTIMATORS: dict[str, Callable[..., CalibratedHeadClassifier]] = {
    "votes": _votes(rule="cosine", scoring="in_sample", voting="majority"),
    "sav_loo": _votes(rule="cosine", voting="majority"),
    "mean_proba": _votes(rule="cosine"),
    "mean_proba_all": _votes(rule="cosine", n_heads="all"),
    "calm": _votes(rule="cosine", voting="class_conditional"),
    "hec_v": _votes(rule="hec_v", scoring="in_sample"),
    "hec_v_loo": _votes(rule="gaussian"),
    "gaussian_oas": _votes(rule="oas"),
    "nearest_shot": _votes(rule="nearest"),
    "tip": _votes(rule="near"),
    "kernel_ridge": _ridge(),
    "kernel_ridge_rbf": _ridge(kernel="rbf"),
    "lda": _discriminant(),
    "lda_uncentered": _discriminant(centering="none", sharpness=8.0, weighting="error"),
    "lda_scaled": _discriminant(centering="after", sharpness=8.0, weighting="error"),
    "last_state": lambda **common: LastStateClassifier(**common),
    "option_likelihood": lambda **common: OptionLikelihoodClassifier(**common),
}
"""Makers by name, each called with ``layout`` and optionally ``priors``; from simple to complex."""

DEFAULT_ESTIMATORS = ("hec_v_loo", "kernel_ridge", "lda_scaled")
"""What ensembles are made of from three shots of every class on; docs/methods.md has the measurements."""

ONE_SHOT_ESTIMATORS = ("hec_v_loo", "kernel_ridge")
"""What ensembles are made of where every class has one shot, so that nothing can be held out."""

FEW_SHOT_ESTIMATORS = ("lda",)
"""What ensembles are made of where some class has one or two shots.

Regression of labels and scaled heads lose classes of fewer shots than others."""

_FOR_ANY_NUMBER = "hec_v_loo"
"""What reads the heads where nothing else can use so many shots."""

_ENOUGH_SHOTS = 3

STATE_ESTIMATORS = ("last_state",)
"""What reads the last-layer state, and joins ensembles where rows hold it."""


OPTION_ESTIMATORS = ("option_likelihood",)
"""What reads the likelihoods of the class names, and joins ensembles where rows hold them."""


def are_few(shots: Shots) -> bool:
    """Return whether some class has fewer than three shots: losses of held-out shots say little then."""
    return bool(shots.counts.min() < _ENOUGH_SHOTS)


def default_estimators(shots: Shots) -> tuple[str, ...]:
    """Return what ensembles are made of for these shots and rows of their layout."""
    of_heads: tuple[str, ...] = FEW_SHOT_ESTIMATORS if are_few(shots) else DEFAULT_ESTIMATORS
    if not shots.can_be_held_out.any():
        of_heads = ONE_SHOT_ESTIMATORS
    of_state = () if shots.layout.state is None else STATE_ESTIMATORS
    return (*of_heads, *of_state, *(() if shots.layout.options is None else OPTION_ESTIMATORS))


def shares_before_losses(names: Sequence[str], shots: Shots) -> NDArray[np.float64]:
    """Return how much default estimators count before their losses are looked at, shape (n_names,), sum 1.

    All count alike from three shots of every class on. With fewer, losses say little, and what they read
    counts alike: all on heads together, the last-layer state, and the likelihoods of the class names.

    Parameters
    ----------
    names : sequence of str
        As `usable_estimators` returns them.
    shots : Shots
        The shots.
    """
    kinds = [name if name in STATE_ESTIMATORS + OPTION_ESTIMATORS else "heads" for name in names]
    shares = np.array([1 / kinds.count(kind) if are_few(shots) else 1.0 for kind in kinds])
    return np.asarray(shares / shares.sum())


def make_base_estimator(
    name: str,
    layout: HeadLayout | tuple[int, int, int] | None = None,
    priors: str | ArrayLike | None = None,
) -> CalibratedHeadClassifier:
    """Return an unfitted base estimator by name.

    Parameters
    ----------
    name : str
        One of `BASE_ESTIMATORS`.
    layout : HeadLayout, (n_layers, n_heads, head_dim) or None, default=None
        Which columns belong to which head.
    priors : "uniform", "empirical" or array-like of float, optional
        Class priors; the estimator's own by default.

    Raises
    ------
    ValueError
        If there is no such name.
    """
    if name not in BASE_ESTIMATORS:
        raise ValueError(f"no method {name!r}; there are {', '.join(BASE_ESTIMATORS)}")
    common: dict[str, Any] = {"layout": layout} if priors is None else {"layout": layout, "priors": priors}
    return BASE_ESTIMATORS[name](**common)


# `EnsembleClassifier`: the mean of several classifiers' calibrated probabilities.

_MIXED_FLOOR = 1e-12

_SHARPNESS = 4.0

_SHARPER, _SHARPER_PRIOR = 1.25, 30.0
_LOG_EXPONENTS = (-1.5, 1.5)


class EnsembleClassifier(CalibratedHeadClassifier):
    """Mean of the calibrated probabilities of several methods on the same shots.

    Parameters
    ----------
    estimators : sequence of str or None, default=None
        Names from `BASE_ESTIMATORS`. None: the `default_estimators`, without those that cannot use this many
        shots.
    weighting : {"likelihood", "uniform"}, default="likelihood"
        "likelihood": proportional to ``exp(-4 loss)``, the loss being the mean log loss of held-out shots,
        times the `shares_before_losses` of default estimators.
        "uniform": all equal.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    estimators_ : dict of str to HeadClassifier
        The fitted methods.
    weights_ : dict of str to float
        Their weights, summing to 1.
    skipped_ : dict of str to str
        The reason for each default estimator that is skipped because it cannot use this many shots.
    """

    estimators_: dict[str, CalibratedHeadClassifier]
    weights_: dict[str, float]
    skipped_: dict[str, str]

    @property
    def needs_state(self) -> bool:
        """Whether rows should hold the last-layer state: by default, or where one that reads it is named."""
        return self.estimators is None or bool(set(self.estimators) & set(STATE_ESTIMATORS))

    @property
    def needs_options(self) -> bool:
        """Whether rows must end in the likelihoods of the class names: where one that reads them is named."""
        return bool(set(self.estimators or ()) & set(OPTION_ESTIMATORS))

    @property
    def state_is_optional(self) -> bool:
        """Whether rows without the last-layer state can be used: unless a method that reads it is named."""
        return self.estimators is None or not self.needs_state

    def __init__(
        self,
        estimators: Sequence[str] | None = None,
        *,
        weighting: str = "likelihood",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.estimators = estimators
        self.weighting = weighting
        self.layout = layout
        self.priors = priors

    def _learn(self, shots: Shots) -> FittedScores:
        if self.weighting not in ("uniform", "likelihood"):
            raise ValueError(f"weighting must be 'uniform' or 'likelihood', got {self.weighting!r}")
        names, self.skipped_ = usable_estimators(self.estimators, shots)
        self.estimators_ = fit_base_estimators(names, shots)
        weights = np.full(len(names), 1 / len(names))
        if self.weighting == "likelihood":
            weights = self._shares(names, shots)
            if shots.can_be_held_out.any():
                weights = ensemble_weights(_losses(self.estimators_, shots), weights)
        self.weights_ = dict(zip(self.estimators_, weights.tolist(), strict=True))
        return self._mixed_scores(shots)

    def _shares(self, names: Sequence[str], shots: Shots) -> NDArray[np.float64]:
        """Return what weights are before losses: equal for estimators that were named."""
        if self.estimators is not None:
            return np.full(len(names), 1 / len(names))
        return shares_before_losses(names, shots)

    def _temperature(self, scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
        return mixture_temperature(scores, codes)

    def _untested_temperature(self, shots: Shots) -> float:  # noqa: ARG002
        """Return 1: the probabilities that are mixed have temperatures already."""
        return 1.0

    def _mixed_scores(self, shots: Shots) -> FittedScores:
        weights = np.array(list(self.weights_.values()))
        out_of_fold = mix(
            [estimator.out_of_fold_log_proba_ for estimator in self.estimators_.values()], weights
        )
        return FittedScores(np.nan_to_num(out_of_fold), _union(self.estimators_, shots.layout), {})

    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        logs = []
        for estimator in self.estimators_.values():
            part = layout.select(estimator.heads_)
            own = rows if part == layout else rows[:, layout.column_indices(estimator.heads_)]
            logs.append(estimator._calibrated(estimator._raw_scores(own, part)))
        return mix(logs, np.array(list(self.weights_.values())))

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        return arrays_of_parts({name: one.to_state() for name, one in self.estimators_.items()})

    def _state_settings(self) -> dict[str, Any]:
        return {
            "weights": self.weights_,
            "skipped": self.skipped_,
            "estimators": {
                name: estimator.to_state().settings for name, estimator in self.estimators_.items()
            },
        }

    def _restore(self, arrays: Any, settings: Any) -> None:
        self.arrays_ = {}
        self.weights_, self.skipped_ = dict(settings["weights"]), dict(settings.get("skipped", {}))
        self.estimators_ = {
            name: type(make_base_estimator(name)).from_state(
                State(arrays_of_part(arrays, name), of_estimator)
            )
            for name, of_estimator in settings["estimators"].items()
        }


def usable_estimators(names: Sequence[str] | None, shots: Shots) -> tuple[list[str], dict[str, str]]:
    """Return the base estimators to use, and which of the default ones are skipped.

    Parameters
    ----------
    names : sequence of str or None
        Names from `BASE_ESTIMATORS`, all of which are used. None: the `default_estimators`, without those
        that cannot use this many shots; ``hec_v_loo`` in their place if none of them reads the heads.
    shots : Shots
        The shots.

    Returns
    -------
    names : list of str
        The base estimators to use.
    skipped : dict of str to str
        The reason for each default estimator that is skipped, by name.

    Raises
    ------
    ValueError
        If `names` is empty, or holds an unknown or repeated name.
    """
    if names is not None:
        _check_names(names)
        return list(names), {}
    wanted = {name: make_base_estimator(name).max_shots for name in default_estimators(shots)}
    n_shots = len(shots.codes)
    skipped = {
        name: f"takes at most {most} shots, there are {n_shots}"
        for name, most in wanted.items()
        if most is not None and n_shots > most
    }
    kept = [name for name in wanted if name not in skipped]
    reads_heads = set(kept) - set(STATE_ESTIMATORS + OPTION_ESTIMATORS)
    return kept if reads_heads else [_FOR_ANY_NUMBER, *kept], skipped


def fit_base_estimators(names: Sequence[str], shots: Shots) -> dict[str, CalibratedHeadClassifier]:
    """Fit several methods on the same shots; intermediate results are shared through ``shots.memo``.

    Parameters
    ----------
    names : sequence of str
        Names from `BASE_ESTIMATORS`.
    shots : Shots
        The shots.

    Returns
    -------
    dict of str to CalibratedHeadClassifier
        The fitted methods by name, in the order of `names`. Their ``classes_`` are the class indices.

    Raises
    ------
    ValueError
        If a name is unknown.
    DataError
        If a method cannot use this many shots.
    """
    classes = np.arange(shots.n_classes)
    return {name: make_base_estimator(name, shots.layout).fit_shots(classes, shots) for name in names}


def ensemble_weights(
    losses: NDArray[np.float64], shares: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return weights ``share exp(-4 loss)``, sum 1, from the estimators' mean log losses of held-out shots.

    Parameters
    ----------
    losses : ndarray of float64, shape (n_estimators,)
        Mean log losses of held-out shots.
    shares : ndarray of float64, shape (n_estimators,), optional
        What weights are where losses are equal; equal by default.
    """
    shares = np.ones(len(losses)) if shares is None else shares
    counts = shares > 0  # the smallest loss must be of one that counts: far from it weights are 0
    weights = np.zeros(len(losses))
    weights[counts] = soft_weights(losses[counts], _SHARPNESS) * shares[counts]
    return np.asarray(weights / weights.sum())


def mixture_temperature(logs: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """Return what the log probabilities of a mixture are divided by.

    The mean of calibrated probabilities is less sure than it may be (Ranjan and Gneiting, "Combining
    probability forecasts", JRSS B 2010, theorem 1), and held-out shots are answered by fits to fewer shots.
    How much to make up for, few shots cannot tell. So the exponent a = 1 / T has the largest likelihood of
    held-out shots under a log-normal prior around 1.25, of precision 30; docs/LOG.md has the measurements.

    Parameters
    ----------
    logs : ndarray of float64, shape (n_shots, n_classes)
        Log of the mean probabilities of held-out shots.
    codes : ndarray of int, shape (n_shots,)
        True classes.

    Examples
    --------
    >>> round(1 / mixture_temperature(np.empty((0, 2)), np.empty(0, dtype=int)), 3)
    1.25
    """
    rows = np.arange(len(logs))

    def loss(log_exponent: float) -> float:
        fitted = log_softmax(np.exp(log_exponent) * logs)[rows, codes]
        return float(_SHARPER_PRIOR / 2 * (log_exponent - np.log(_SHARPER)) ** 2 - fitted.sum())

    return float(np.exp(-minimize_scalar(loss, bounds=_LOG_EXPONENTS, method="bounded").x))


def mix(logs: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of a weighted mean of probabilities.

    Parameters
    ----------
    logs : sequence of ndarray of float64, each of shape (n_examples, n_classes)
        Log probabilities from each estimator.
    weights : ndarray of float64, shape (n_estimators,)
        Weight of each estimator; they sum to 1.

    Returns
    -------
    ndarray of float64, shape (n_examples, n_classes)
        Log of the mean probability, which is clipped from below at 1e-12.
    """
    pooled = sum(weight * np.exp(log) for weight, log in zip(weights, logs, strict=True))
    return np.asarray(np.log(np.maximum(pooled, _MIXED_FLOOR)))


def _losses(estimators: dict[str, CalibratedHeadClassifier], shots: Shots) -> NDArray[np.float64]:
    usable = shots.can_be_held_out
    truth = shots.codes[usable][:, None]
    logs = [
        np.take_along_axis(estimator.out_of_fold_log_proba_[usable], truth, axis=1)
        for estimator in estimators.values()
    ]
    return np.array([-log.mean() for log in logs])


def _check_names(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in BASE_ESTIMATORS]
    if isinstance(names, str) or not len(names) or unknown or len(set(names)) < len(names):
        raise ValueError(f"estimators must be different ones of {', '.join(BASE_ESTIMATORS)}, got {names!r}")


def _union(estimators: dict[str, CalibratedHeadClassifier], layout: HeadLayout) -> list[Any]:
    used = {head for estimator in estimators.values() for head in estimator.heads_}
    return [head for head in layout.parts if head in used]
