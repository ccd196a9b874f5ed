"""`AutoClassifier`: methods compared on held-out shots, then mixed; one of them alone where it is perfect.

Nothing but the shots is looked at. Every candidate is fitted again without each fold of shots, so that its
own choices (heads, weights, penalties, temperature) are repeated, and judged on the fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers._probabilities import log_softmax
from savs.classifiers._support_set import Shots, nested_folds
from savs.classifiers.base import FittedScores
from savs.classifiers.ensemble import (
    EnsembleClassifier,
    are_few,
    ensemble_weights,
    fit_base_estimators,
    mix,
    mixture_temperature,
    usable_estimators,
)
from savs.layout import Head, HeadLayout

__all__ = ["AutoClassifier"]

_SIMPLE = ("votes", "hec_v")
"""Rules that are no part of the ensemble but may be used alone."""

_SAFE = 2.0
"""A base estimator leaves the ensemble where its loss is so many standard errors higher."""


_FEWEST = 2
"""Folds of large tables of shots by classes."""


class AutoClassifier(EnsembleClassifier):
    """Ensemble of methods, or one method, as the shots decide by nested leave-one-out.

    The base estimators' probabilities are averaged with weights ``exp(-4 loss)`` of their log losses on
    held-out shots, times `shares_before_losses`. From three shots of every class on, there are two
    exceptions. A base estimator that does worse than that ensemble by more than two
    standard errors of the paired losses leaves it. A single candidate that is as good (no held-out shot
    wrong, and no larger loss) replaces it; of several the simplest. A candidate that is only better than the
    ensemble does not:
    such leads on a few shots did not last on new examples.

    Parameters
    ----------
    estimators : sequence of str or None, default=None
        What may be mixed; None as for `EnsembleClassifier`.
    max_folds : int, default=5
        Folds of the nested leave-one-out; two where shots times classes exceed 4 million.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    chosen_ : list of str
        The methods in use.
    selection_report_ : dict
        JSON-able: ``chosen``, ``weights``, ``why`` (one line), ``skipped`` {name: why},
        ``n_shots_held_out``, ``n_folds`` and ``candidates`` {name: {``accuracy``, ``log_loss``,
        ``difference`` to the ensemble's log loss, ``error`` of that}}.
    """

    chosen_: list[str]
    selection_report_: dict[str, Any]

    def __init__(
        self,
        estimators: Sequence[str] | None = None,
        *,
        max_folds: int = 5,
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.estimators = estimators
        self.max_folds = max_folds
        self.layout = layout
        self.priors = priors

    def _learn(self, shots: Shots) -> FittedScores:
        if isinstance(self.max_folds, bool) or not isinstance(self.max_folds, int) or self.max_folds < 2:
            raise ValueError(f"max_folds must be an integer of at least 2, got {self.max_folds!r}")
        names, mixed, self.skipped_ = self._candidates(shots)
        folds = self.cross_validation_folds(shots)
        logs = _nested_logs(names, shots, folds)
        pool = self._pool(names, mixed, shots)
        choice = _choose(logs, shots.codes, pool)
        self.chosen_ = [names[position] for position in choice.places]
        self.weights_ = dict(zip(self.chosen_, choice.weights.tolist(), strict=True))
        self.selection_report_ = {
            "chosen": self.chosen_,
            "weights": self.weights_,
            "why": choice.why,
            "skipped": self.skipped_,
            "n_folds": len(folds),
            **_compared(names, logs, shots.codes, pool),
        }
        self.estimators_ = fit_base_estimators(self.chosen_, shots)
        return self._mixed_scores(shots)

    def _candidates(self, shots: Shots) -> tuple[list[str], list[int], dict[str, str]]:
        """Return names, the places of the base estimators among them, and what is skipped for what reason."""
        estimators, skipped = usable_estimators(self.estimators, shots)
        simple = () if shots.is_large or are_few(shots) else _SIMPLE
        names = list(dict.fromkeys((*simple, *estimators)))
        for name in set(_SIMPLE) - set(names):
            few = "not compared where some class has fewer than three shots"
            skipped[name] = few if are_few(shots) else "not compared on so many shots and classes"
        return names, [names.index(name) for name in estimators], skipped

    def _pool(self, names: Sequence[str], mixed: list[int], shots: Shots) -> _Pool:
        shares = self._shares([names[place] for place in mixed], shots)
        return _Pool(mixed, shares, by_losses=not are_few(shots))

    def cross_validation_folds(self, shots: Shots) -> list[NDArray[np.intp]]:
        """Return the folds that candidates are compared on; two for large tables of shots by classes."""
        return nested_folds(shots.codes, _FEWEST if shots.is_large else self.max_folds)

    def out_of_fold_log_proba(
        self,
        shots: Shots,
        folds: Sequence[NDArray[np.intp]],
        kept: list[list[Head]] | None = None,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return log probabilities of held-out shots, the choice repeated without each fold.

        Every candidate is fitted once per fold and not once per pair of folds: the choice for one fold is
        made on the others' held-out shots. Fits that `fit_shots` made on the same `Shots` and folds are not
        repeated.

        Parameters
        ----------
        shots : Shots
            The shots.
        folds : sequence of ndarray of int
            Which shots are left out together.
        kept : list, optional
            Left as it is: the candidates of a fold have no heads in common.

        Returns
        -------
        ndarray of float64, shape (n_shots, n_classes)
            NaN for shots that no fold leaves out.
        """
        names, mixed, _ = self._candidates(shots)
        pool = self._pool(names, mixed, shots)
        return _nested_choice(_nested_logs(names, shots, folds), shots.codes, pool, folds)

    def _state_settings(self) -> dict[str, Any]:
        return {**super()._state_settings(), "selection_report": self.selection_report_}

    def _restore(self, arrays: Any, settings: Any) -> None:
        super()._restore(arrays, settings)
        self.chosen_ = list(settings["estimators"])
        self.selection_report_ = settings["selection_report"]


def _nested_logs(
    names: Sequence[str], shots: Shots, folds: Sequence[NDArray[np.intp]]
) -> NDArray[np.float64]:
    """Return log probabilities of held-out shots under every candidate, (n_names, n_shots, n_classes)."""
    key = ("nested", tuple(names), *(tuple(fold.tolist()) for fold in folds))
    if key not in shots.memo:
        shots.memo[key] = _refitted_logs(names, shots, folds)
    return shots.memo[key]


def _refitted_logs(
    names: Sequence[str], shots: Shots, folds: Sequence[NDArray[np.intp]]
) -> NDArray[np.float64]:
    logs = np.full((len(names), len(shots.codes), shots.n_classes), np.nan)
    for fold in folds:
        rest = shots.without(fold)  # what the candidates share is computed once per fold
        for position, estimator in enumerate(fit_base_estimators(names, rest).values()):
            logs[position, fold] = estimator.predict_log_proba(shots.rows[fold])
    return logs


class _Pool(NamedTuple):
    """Places of the base estimators among the candidates, and how they are weighed."""

    places: list[int]
    shares: NDArray[np.float64]
    by_losses: bool  # whether losses may take one out, or put one candidate in the place of all


class _Choice(NamedTuple):
    """Places of the candidates in use, their weights, and why."""

    places: list[int]
    weights: NDArray[np.float64]
    why: str


def _choose(logs: NDArray[np.float64], codes: NDArray[np.intp], pool: _Pool) -> _Choice:
    """Return which candidates are used from the log probabilities of held-out shots."""
    tested = np.isfinite(logs[0]).all(axis=1)
    if tested.sum() < 2:
        why = "no class has two shots, so nothing could be compared: all base estimators are mixed"
        return _Choice(pool.places, pool.shares, why)
    logs, codes = logs[:, tested], codes[tested]
    losses = _losses(logs, codes)
    if not pool.by_losses:
        why = (
            "some class has fewer than three shots: held-out shots do no more than weigh the base estimators"
        )
        return _Choice(pool.places, ensemble_weights(losses[pool.places].mean(axis=1), pool.shares), why)
    of_whole = _losses(_whole(logs, losses, pool)[None], codes)[0]
    hits = (logs.argmax(axis=2) == codes).sum(axis=1)
    as_good = (hits == len(codes)) & (losses.mean(axis=1) <= of_whole.mean() + 1e-12)
    if as_good.any():
        why = "it is right on every held-out shot and no less sure than the ensemble"
        return _Choice([int(as_good.argmax())], np.ones(1), why)
    difference, error = _paired(losses, of_whole)
    safe = difference[pool.places] <= _SAFE * error[pool.places]
    safe |= not safe.any()
    kept = np.array(pool.places)[safe]
    why = "no single method is right on every held-out shot, so base estimators are mixed"
    if not safe.all():
        why += "; the others are worse than the ensemble by more than two standard errors"
    return _Choice(kept.tolist(), ensemble_weights(losses[kept].mean(axis=1), pool.shares[safe]), why)


def _whole(logs: NDArray[np.float64], losses: NDArray[np.float64], pool: _Pool) -> NDArray[np.float64]:
    """Return log probabilities of the ensemble of all base estimators."""
    weights = ensemble_weights(losses[pool.places].mean(axis=1), pool.shares)
    return mix(list(logs[pool.places]), weights)


def _nested_choice(
    logs: NDArray[np.float64],
    codes: NDArray[np.intp],
    pool: _Pool,
    folds: Sequence[NDArray[np.intp]],
) -> NDArray[np.float64]:
    """Return log probabilities of held-out shots under the choice that the other folds make."""
    found = np.full(logs.shape[1:], np.nan)
    for fold in folds:
        others = logs.copy()
        others[:, fold] = np.nan
        choice = _choose(others, codes, pool)
        mixed = mix(list(logs[choice.places]), choice.weights)
        tested = np.isfinite(others[0]).all(axis=1)
        temperature = mixture_temperature(mixed[tested], codes[tested])
        found[fold] = log_softmax(mixed[fold] / temperature)
    return found


def _losses(logs: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    return -logs[:, np.arange(len(codes)), codes]


def _paired(
    losses: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gaps = losses - reference
    return gaps.mean(axis=1), gaps.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])


def _compared(
    names: Sequence[str], logs: NDArray[np.float64], codes: NDArray[np.intp], pool: _Pool
) -> dict[str, Any]:
    tested = np.isfinite(logs[0]).all(axis=1)
    candidates: dict[str, Any] = {}
    if tested.sum() > 1:
        kept, truth = logs[:, tested], codes[tested]
        whole = _whole(kept, _losses(kept, truth), pool)
        everything = np.concatenate([kept, whole[None]])
        losses = _losses(everything, truth)
        difference, error = _paired(losses, losses[-1])
        for position, name in enumerate((*names, "ensemble")):
            candidates[name] = {
                "accuracy": float((everything[position].argmax(axis=1) == truth).mean()),
                "log_loss": float(losses[position].mean()),
                "difference": float(difference[position]),
                "error": float(error[position]),
            }
    return {"n_shots_held_out": int(tested.sum()), "candidates": candidates}
