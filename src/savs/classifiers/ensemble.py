"""`MixtureClassifier`: the mean of several classifiers' calibrated probabilities, and which may take part.

Leave-one-out likelihoods of good methods differ by less than their noise, so averaging beats picking one;
weights that follow them gently take out what clearly does not work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers._support_set import Shots
from savs.classifiers.base import FittedScores, HeadClassifier, State
from savs.classifiers.head_scoring import soft_weights
from savs.classifiers.head_voting import HeadVoteClassifier
from savs.classifiers.kernel import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.classifiers.last_state import LastStateClassifier
from savs.layout import HeadLayout

__all__ = [
    "DEFAULT_EXPERTS",
    "EXPERTS",
    "STATE_EXPERTS",
    "default_experts",
    "make_expert",
    "uses_state",
    "MixtureClassifier",
    "expert_weights",
    "fit_experts",
    "mix",
    "usable_experts",
]


# Single methods by name, as mixtures and the command line ask for them.


def _votes(**settings: Any) -> Callable[..., HeadClassifier]:
    return lambda **common: HeadVoteClassifier(**settings, **common)


def _ridge(**settings: Any) -> Callable[..., HeadClassifier]:
    return lambda **common: KernelRidgeClassifier(**settings, **common)


def _discriminant(**settings: Any) -> Callable[..., HeadClassifier]:
    return lambda **common: KernelDiscriminantClassifier(**settings, **common)


EXPERTS: dict[str, Callable[..., HeadClassifier]] = {
    "votes": _votes(rule="cosine", scoring="in_sample", voting="majority"),
    "votes_left_out": _votes(rule="cosine", voting="majority"),
    "soft": _votes(rule="cosine"),
    "soft_all": _votes(rule="cosine", n_heads="all"),
    "calm": _votes(rule="cosine", voting="class_conditional"),
    "hec_v": _votes(rule="hec_v", scoring="in_sample"),
    "hec_left_out": _votes(rule="gaussian"),
    "gaussian_oas": _votes(rule="oas"),
    "nearest_shot": _votes(rule="nearest"),
    "tip": _votes(rule="near"),
    "kernel_ridge": _ridge(),
    "kernel_ridge_rbf": _ridge(kernel="rbf"),
    "discriminant": _discriminant(),
    "discriminant_uncentred": _discriminant(centring="none", sharpness=8.0, weighting="error"),
    "discriminant_scaled": _discriminant(centring="after", sharpness=8.0, weighting="error"),
    "last_state": lambda **common: LastStateClassifier(**common),
}
"""Makers by name, each called with ``layout`` and optionally ``priors``; from simple to complex."""

DEFAULT_EXPERTS = ("hec_left_out", "kernel_ridge", "discriminant_scaled")
"""What mixtures are made of; docs/methods.md has the measurements behind the choice."""

STATE_EXPERTS = ("last_state",)
"""What reads the last-layer state, and joins mixtures where rows hold it."""


def default_experts(layout: HeadLayout) -> tuple[str, ...]:
    """Return what mixtures are made of for rows of this layout."""
    return DEFAULT_EXPERTS if layout.state is None else (*DEFAULT_EXPERTS, *STATE_EXPERTS)


def uses_state(method: str) -> bool:
    """Return whether a method reads the last-layer state where rows hold it.

    Examples
    --------
    >>> uses_state("auto"), uses_state("hec_v")
    (True, False)
    """
    return method in (*STATE_EXPERTS, "mixture", "auto")


def make_expert(
    name: str,
    layout: HeadLayout | tuple[int, int, int] | None = None,
    priors: str | ArrayLike | None = None,
) -> HeadClassifier:
    """Return an unfitted estimator by name.

    Raises
    ------
    ValueError
        If there is no such name.
    """
    if name not in EXPERTS:
        raise ValueError(f"no method {name!r}; there are {', '.join(EXPERTS)}")
    common: dict[str, Any] = {"layout": layout} if priors is None else {"layout": layout, "priors": priors}
    return EXPERTS[name](**common)


# `MixtureClassifier`: the mean of several classifiers' calibrated probabilities.

_MIXED_FLOOR = 1e-12

_SHARPNESS = 4.0


class MixtureClassifier(HeadClassifier):
    """Mean of the calibrated probabilities of several methods on the same shots.

    Parameters
    ----------
    experts : sequence of str or None, default=None
        Names from `EXPERTS`; None takes `default_experts` of the rows
        that can use so many shots.
    weighting : {"likelihood", "uniform"}, default="likelihood"
        "likelihood": proportional to ``exp(-4 loss)``, the loss being the mean log loss of left-out shots.
        "uniform": all alike.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    experts_ : dict of str to HeadClassifier
        The fitted methods.
    weights_ : dict of str to float
        Their weights, summing to 1.
    skipped_ : dict of str to str
        Experts that would have been used but cannot take so many shots, and why.
    """

    experts_: dict[str, HeadClassifier]
    weights_: dict[str, float]
    skipped_: dict[str, str]

    _reads_state = True

    def __init__(
        self,
        experts: Sequence[str] | None = None,
        *,
        weighting: str = "likelihood",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.experts = experts
        self.weighting = weighting
        self.layout = layout
        self.priors = priors

    def _fit_shots(self, shots: Shots) -> FittedScores:
        if self.weighting not in ("uniform", "likelihood"):
            raise ValueError(f"weighting must be 'uniform' or 'likelihood', got {self.weighting!r}")
        names, self.skipped_ = usable_experts(self.experts, shots)
        self.experts_ = fit_experts(names, shots)
        weights = np.full(len(self.experts_), 1 / len(self.experts_))
        if self.weighting == "likelihood" and shots.can_be_left_out.any():
            weights = expert_weights(_losses(self.experts_, shots))
        self.weights_ = dict(zip(self.experts_, weights.tolist(), strict=True))
        return self._mixed_scores(shots)

    def _mixed_scores(self, shots: Shots) -> FittedScores:
        weights = np.array(list(self.weights_.values()))
        left_out = mix([expert.left_out_ for expert in self.experts_.values()], weights)
        return FittedScores(np.nan_to_num(left_out), _union(self.experts_, shots.layout), {})

    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        logs = []
        for expert in self.experts_.values():
            part = layout.select(expert.heads_)
            own = rows if part == layout else rows[:, layout.column_indices(expert.heads_)]
            logs.append(expert._calibrated(expert._raw_scores(own, part)))
        return mix(logs, np.array(list(self.weights_.values())))

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        return {
            f"{name}/{key}": array
            for name, expert in self.experts_.items()
            for key, array in expert.to_state().arrays.items()
        }

    def _state_settings(self) -> dict[str, Any]:
        return {
            "weights": self.weights_,
            "skipped": self.skipped_,
            "experts": {name: expert.to_state().settings for name, expert in self.experts_.items()},
        }

    def _restore(self, arrays: Any, settings: Any) -> None:
        self.arrays_ = {}
        self.weights_, self.skipped_ = dict(settings["weights"]), dict(settings.get("skipped", {}))
        self.experts_ = {
            name: type(make_expert(name)).from_state(
                State(
                    {
                        key.removeprefix(f"{name}/"): array
                        for key, array in arrays.items()
                        if key.startswith(f"{name}/")
                    },
                    of_expert,
                )
            )
            for name, of_expert in settings["experts"].items()
        }


def usable_experts(names: Sequence[str] | None, shots: Shots) -> tuple[list[str], dict[str, str]]:
    """Return the experts that are asked for, and of the default ones (None) why some are skipped.

    Raises
    ------
    ValueError
        If there is no name, or an unknown or repeated one.
    """
    if names is not None:
        _check_names(names)
        return list(names), {}
    wanted = {name: make_expert(name).max_shots for name in default_experts(shots.layout)}
    n_shots = len(shots.codes)
    skipped = {
        name: f"takes at most {most} shots, there are {n_shots}"
        for name, most in wanted.items()
        if most is not None and n_shots > most
    }
    return [name for name in wanted if name not in skipped], skipped


def fit_experts(names: Sequence[str], shots: Shots) -> dict[str, HeadClassifier]:
    """Return methods fitted on the same shots, sharing what they compute; classes are their indices."""
    classes = np.arange(shots.n_classes)
    return {name: make_expert(name, shots.layout)._fit_codes(classes, shots) for name in names}


def expert_weights(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights of experts from their mean log losses of left-out shots: ``exp(-4 loss)``, sum 1."""
    return soft_weights(losses, _SHARPNESS)


def mix(logs: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the weighted mean of probabilities given as logs, each (n_examples, n_classes)."""
    pooled = sum(weight * np.exp(log) for weight, log in zip(weights, logs, strict=True))
    return np.asarray(np.log(np.maximum(pooled, _MIXED_FLOOR)))


def _losses(experts: dict[str, HeadClassifier], shots: Shots) -> NDArray[np.float64]:
    usable = shots.can_be_left_out
    truth = shots.codes[usable][:, None]
    logs = [np.take_along_axis(expert.left_out_[usable], truth, axis=1) for expert in experts.values()]
    return np.array([-log.mean() for log in logs])


def _check_names(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in EXPERTS]
    if isinstance(names, str) or not len(names) or unknown or len(set(names)) < len(names):
        raise ValueError(f"experts must be different ones of {', '.join(EXPERTS)}, got {names!r}")


def _union(experts: dict[str, HeadClassifier], layout: HeadLayout) -> list[Any]:
    used = {head for expert in experts.values() for head in expert.heads_}
    return [head for head in layout.parts if head in used]
