"""`AutoClassifier`: methods compared on left-out shots, then mixed; one of them alone only where safe.

Nothing but the shots is looked at. Every candidate is fitted again without each fold of shots, so that its
own choices (heads, weights, penalties, temperature) are repeated, and judged on the fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.features import HeadLayout
from savs.heads.base import FittedScores
from savs.heads.estimate import Estimate
from savs.heads.experts import DEFAULT_EXPERTS
from savs.heads.honest import estimate_from_shots, nested_folds
from savs.heads.mixture import MixtureClassifier, fit_experts, mix
from savs.heads.shots import Shots

__all__ = ["AutoClassifier"]

_SIMPLE = ("votes", "hec_v")
"""Rules that are no part of the mixture but may win alone."""

_SAFE = 2.0
"""A candidate replaces the mixture where its loss is so many standard errors lower."""


class AutoClassifier(MixtureClassifier):
    """Mixture of methods, or one method, as the shots decide by nested leave-one-out.

    The mean of all experts' probabilities is what is used, with two exceptions. An expert that does worse
    than the mixture by more than two standard errors of the paired losses leaves it. A single candidate
    that does better than the mixture by as much, or exactly as well (no shot left out wrong by either, and
    no larger loss), replaces it; of several the simplest.

    Parameters
    ----------
    experts : sequence of str, default=DEFAULT_EXPERTS
        What may be mixed.
    max_folds : int, default=5
        Folds of the nested leave-one-out.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    chosen_ : list of str
        The methods in use.
    selection_report_ : dict
        JSON-able: ``chosen``, ``why`` (one line), ``n_shots_left_out``, ``n_folds`` and ``candidates``
        {name: {``accuracy``, ``log_loss``, ``difference`` to the mixture's log loss, ``error`` of that}}.
    estimate_ : Estimate or None
        Accuracy to expect, from the same folds, with the choice itself repeated without each fold.
    """

    chosen_: list[str]
    selection_report_: dict[str, Any]
    estimate_: Estimate | None

    def __init__(
        self,
        experts: Sequence[str] = DEFAULT_EXPERTS,
        *,
        max_folds: int = 5,
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.experts = experts
        self.max_folds = max_folds
        self.layout = layout
        self.priors = priors

    def _fit_shots(self, shots: Shots) -> FittedScores:
        if isinstance(self.max_folds, bool) or not isinstance(self.max_folds, int) or self.max_folds < 2:
            raise ValueError(f"max_folds must be an integer of at least 2, got {self.max_folds!r}")
        names = list(dict.fromkeys((*_SIMPLE, *self.experts)))
        folds = nested_folds(shots.codes, self.max_folds)
        logs = _nested_logs(names, shots, folds)
        mixed = [names.index(name) for name in self.experts]
        choice, why = _choose(logs, shots.codes, mixed)
        self.chosen_ = [names[position] for position in choice]
        self.selection_report_ = _report(names, logs, shots.codes, mixed, self.chosen_, why, len(folds))
        self.estimate_ = estimate_from_shots(_nested_choice(logs, shots.codes, mixed, folds), shots.codes)
        self.experts_ = fit_experts(self.chosen_, shots)
        self.weights_ = dict.fromkeys(self.chosen_, 1 / len(self.chosen_))
        return self._mixed_scores(shots)

    def _state_settings(self) -> dict[str, Any]:
        return {**super()._state_settings(), "selection_report": self.selection_report_}

    def _restore(self, arrays: Any, settings: Any) -> None:
        super()._restore(arrays, settings)
        self.chosen_ = list(settings["experts"])
        self.selection_report_ = settings["selection_report"]


def _nested_logs(
    names: Sequence[str], shots: Shots, folds: Sequence[NDArray[np.intp]]
) -> NDArray[np.float64]:
    """Return log probabilities of left-out shots under every candidate, (n_names, n_shots, n_classes)."""
    logs = np.full((len(names), len(shots.codes), shots.n_classes), np.nan)
    for fold in folds:
        rest = shots.without(fold)  # what the candidates share is computed once per fold
        for position, expert in enumerate(fit_experts(names, rest).values()):
            logs[position, fold] = expert.predict_log_proba(shots.rows[fold])
    return logs


def _choose(
    logs: NDArray[np.float64], codes: NDArray[np.intp], mixed: Sequence[int]
) -> tuple[list[int], str]:
    """Return which candidates are used, and why, from the log probabilities of left-out shots."""
    tested = np.isfinite(logs[0]).all(axis=1)
    if tested.sum() < 2:
        return list(mixed), "no class has two shots, so nothing could be compared: all experts are mixed"
    logs, codes = logs[:, tested], codes[tested]
    whole = mix(list(logs[list(mixed)]), np.full(len(mixed), 1 / len(mixed)))
    losses, of_whole = _losses(logs, codes), _losses(whole[None], codes)[0]
    difference, error = _paired(losses, of_whole)
    hits = (logs.argmax(axis=2) == codes).sum(axis=1)
    as_good = (hits == len(codes)) & (losses.mean(axis=1) <= of_whole.mean() + 1e-12)
    for position in range(len(logs)):
        if difference[position] < -_SAFE * error[position]:
            return [position], "alone it is better than the mixture by more than two standard errors"
        if as_good[position]:
            return [position], "it is right on every left-out shot and no less sure than the mixture"
    kept = [p for p in mixed if difference[p] <= _SAFE * error[p]]
    if not kept or len(kept) == len(mixed):
        return list(mixed), "no single method is better than their mixture by two standard errors"
    return kept, "the others are worse than the mixture by more than two standard errors"


def _nested_choice(
    logs: NDArray[np.float64],
    codes: NDArray[np.intp],
    mixed: Sequence[int],
    folds: Sequence[NDArray[np.intp]],
) -> NDArray[np.float64]:
    """Return log probabilities of left-out shots under the choice that the other folds make."""
    found = np.full(logs.shape[1:], np.nan)
    for fold in folds:
        others = logs.copy()
        others[:, fold] = np.nan
        chosen, _ = _choose(others, codes, mixed)
        found[fold] = mix(list(logs[chosen][:, fold]), np.full(len(chosen), 1 / len(chosen)))
    return found


def _losses(logs: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    return -logs[:, np.arange(len(codes)), codes]


def _paired(
    losses: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gaps = losses - reference
    return gaps.mean(axis=1), gaps.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])


def _report(
    names: Sequence[str],
    logs: NDArray[np.float64],
    codes: NDArray[np.intp],
    mixed: Sequence[int],
    chosen: Sequence[str],
    why: str,
    n_folds: int,
) -> dict[str, Any]:
    tested = np.isfinite(logs[0]).all(axis=1)
    candidates: dict[str, Any] = {}
    if tested.sum() > 1:
        kept, truth = logs[:, tested], codes[tested]
        whole = mix(list(kept[list(mixed)]), np.full(len(mixed), 1 / len(mixed)))
        everything = np.concatenate([kept, whole[None]])
        losses = _losses(everything, truth)
        difference, error = _paired(losses, losses[-1])
        for position, name in enumerate((*names, "mixture")):
            candidates[name] = {
                "accuracy": float((everything[position].argmax(axis=1) == truth).mean()),
                "log_loss": float(losses[position].mean()),
                "difference": float(difference[position]),
                "error": float(error[position]),
            }
    return {
        "chosen": list(chosen),
        "why": why,
        "n_shots_left_out": int(tested.sum()),
        "n_folds": n_folds,
        "candidates": candidates,
    }
