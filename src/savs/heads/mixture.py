"""`MixtureClassifier`: the mean of several classifiers' calibrated probabilities.

Leave-one-out likelihoods of good methods differ by less than their noise, so averaging beats picking one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.features import HeadLayout
from savs.heads.base import FittedScores, HeadClassifier, State
from savs.heads.experts import DEFAULT_EXPERTS, EXPERTS, make_expert
from savs.heads.ranking import soft_weights
from savs.heads.shots import Shots

__all__ = ["MixtureClassifier", "fit_experts", "mix"]

_SMALLEST = 1e-12


class MixtureClassifier(HeadClassifier):
    """Mean of the calibrated probabilities of several methods on the same shots.

    Parameters
    ----------
    experts : sequence of str, default=DEFAULT_EXPERTS
        Names from `savs.heads.experts.EXPERTS`.
    weighting : {"uniform", "likelihood"}, default="uniform"
        "uniform": all alike. "likelihood": proportional to ``exp(-loss)``, the geometric mean probability
        that each gives to the true classes of left-out shots.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    experts_ : dict of str to HeadClassifier
        The fitted methods.
    weights_ : dict of str to float
        Their weights, summing to 1.
    """

    experts_: dict[str, HeadClassifier]
    weights_: dict[str, float]

    def __init__(
        self,
        experts: Sequence[str] = DEFAULT_EXPERTS,
        *,
        weighting: str = "uniform",
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
        self.experts_ = fit_experts(self.experts, shots)
        weights = np.full(len(self.experts_), 1 / len(self.experts_))
        if self.weighting == "likelihood" and shots.can_be_left_out.any():
            weights = soft_weights(_losses(self.experts_, shots), 1.0)
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
            "experts": {name: expert.to_state().settings for name, expert in self.experts_.items()},
        }

    def _restore(self, arrays: Any, settings: Any) -> None:
        self.arrays_ = {}
        self.weights_ = dict(settings["weights"])
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


def fit_experts(names: Sequence[str], shots: Shots) -> dict[str, HeadClassifier]:
    """Return methods fitted on the same shots, sharing what they compute; classes are their indices.

    Raises
    ------
    ValueError
        If there is no name, or an unknown or repeated one.
    """
    unknown = [name for name in names if name not in EXPERTS]
    if isinstance(names, str) or not len(names) or unknown or len(set(names)) < len(names):
        raise ValueError(f"experts must be different ones of {', '.join(EXPERTS)}, got {names!r}")
    classes = np.arange(shots.n_classes)
    return {name: make_expert(name, shots.layout)._fit_codes(classes, shots) for name in names}


def mix(logs: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the weighted mean of probabilities given as logs, each (n_examples, n_classes)."""
    pooled = sum(weight * np.exp(log) for weight, log in zip(weights, logs, strict=True))
    return np.asarray(np.log(np.maximum(pooled, _SMALLEST)))


def _losses(experts: dict[str, HeadClassifier], shots: Shots) -> NDArray[np.float64]:
    usable = shots.can_be_left_out
    truth = shots.codes[usable][:, None]
    logs = [np.take_along_axis(expert.left_out_[usable], truth, axis=1) for expert in experts.values()]
    return np.array([-log.mean() for log in logs])


def _union(experts: dict[str, HeadClassifier], layout: HeadLayout) -> list[Any]:
    used = {head for expert in experts.values() for head in expert.heads_}
    return [head for head in layout.heads if head in used]
