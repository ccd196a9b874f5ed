"""`Comparison`: what every method got right in every draw, over one dataset or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.errors import ItemError
from savs.evaluation.contenders import BASELINES, Answers
from savs.evaluation.metrics import Difference, interval_over_draws

__all__ = ["PUBLISHED", "Comparison", "Trial", "bootstrap_over_items", "Overall", "overall", "record_overall"]


# `Comparison`: what every method got right in every draw, and the figures made of it.

PUBLISHED = "sav"


@dataclass(frozen=True)
class Trial:
    """One method in one draw.

    Attributes
    ----------
    rows : ndarray of int, shape (n_judged,)
        The items it was judged on.
    correct : ndarray of bool, shape (n_judged,)
        Which of them it got right.
    seconds : float
        For fit and predictions.
    n_bytes : int
        Size of the fitted state.
    failure : str or None
        Why the method could not use the draw; None if it could.
    """

    rows: NDArray[np.intp]
    correct: NDArray[np.bool_]
    seconds: float
    n_bytes: int
    failure: str | None = None

    __repr__ = short_repr

    @classmethod
    def failed(cls, why: str) -> Trial:
        """Return the trial of a method that could not use the draw."""
        return cls(np.empty(0, np.intp), np.empty(0, np.bool_), 0.0, 0, why)


@dataclass(frozen=True)
class Comparison:
    """Methods on the same draws.

    Attributes
    ----------
    methods, shots, draws, seed
        As asked for.
    trials : dict of (str, int) to list of Trial
        By method and number of shots, one per draw; one in all for 0 shots.
    n_test : dict of int to list of int
        Test items by number of shots, one count per draw.
    answers : Answers or None
        What zero-shot generation said.
    errors : list of ItemError
        Examples that could not be read.
    """

    methods: tuple[str, ...]
    shots: tuple[int, ...]
    draws: int
    trials: dict[tuple[str, int], list[Trial]]
    n_test: dict[int, list[int]]
    answers: Answers | None = None
    errors: list[ItemError] = field(default_factory=list)
    seed: int = 0

    __repr__ = short_repr

    def accuracies(self, name: str, shots: int) -> list[float | None]:
        """Return the accuracy of a method in each draw.

        Parameters
        ----------
        name : str
            The method.
        shots : int
            Shots per class.

        Returns
        -------
        list of float or None
            Accuracies between 0 and 1, one per draw; None where the method failed.
        """
        return [None if trial.failure else float(trial.correct.mean()) for trial in self.trials[name, shots]]

    def mean(self, name: str, shots: int) -> float | None:
        """Return the mean accuracy of a method over the draws in which it did not fail.

        Parameters
        ----------
        name : str
            The method.
        shots : int
            Shots per class.

        Returns
        -------
        float or None
            The mean, between 0 and 1; None if the method failed in all draws.
        """
        known = [value for value in self.accuracies(name, shots) if value is not None]
        return float(np.mean(known)) if known else None

    def best_baseline(self, shots: int) -> str | None:
        """Return the baseline with the highest mean accuracy, the simplest of equals."""
        means = {name: self.mean(name, shots) for name in BASELINES if name in self.methods}
        known = {name: mean for name, mean in means.items() if mean is not None}
        return max(known, key=lambda name: known[name]) if known else None

    def difference(self, name: str, other: str, shots: int) -> Difference | None:
        """Return how much more accurate one method is than another; see `bootstrap_over_items`.

        Only draws in which neither method failed count, and only items that both were judged on.

        Parameters
        ----------
        name, other : str
            The two methods.
        shots : int
            Shots per class.

        Returns
        -------
        Difference or None
            Accuracy of `name` minus that of `other`, with its interval; None if there are no such items.
        """
        return bootstrap_over_items(self.trials[name, shots], self.trials[other, shots], seed=self.seed)

    def figures(self, name: str, shots: int) -> dict[str, Any]:
        """Return all figures of one method at one number of shots, as JSON-able data.

        Parameters
        ----------
        name : str
            The method.
        shots : int
            Shots per class.

        Returns
        -------
        dict of str to Any
            ``accuracy`` (one per draw), ``mean`` and ``interval`` of the accuracy; mean ``seconds`` for fit
            and predictions; mean ``bytes`` of the fitted state; the differences ``against_sav`` and
            ``against_baseline``; and ``failures``, the reasons by draw. Figures that cannot be computed are
            None.
        """
        trials = self.trials[name, shots]
        done = [trial for trial in trials if trial.failure is None]
        values = [float(trial.correct.mean()) for trial in done]
        rivals = {"against_sav": PUBLISHED, "against_baseline": self.best_baseline(shots)}
        return {
            "accuracy": self.accuracies(name, shots),
            "seconds": float(np.mean([trial.seconds for trial in done])) if done else None,
            "bytes": round(float(np.mean([trial.n_bytes for trial in done]))) if done else None,
            "mean": self.mean(name, shots),
            "interval": interval_over_draws(values) if done else None,
            **{key: self._against(name, rival, shots) for key, rival in rivals.items()},
            "failures": {str(draw): trial.failure for draw, trial in enumerate(trials) if trial.failure},
        }

    def record(self) -> dict[str, Any]:
        """Return the comparison as the JSON of ``savs compare``, without the name of the data.

        With one number of shots that number, and plain figures; with several a list, and every figure of a
        method by number of shots (``{"accuracy": {"5": [...], "10": [...]}, ...}``).
        """
        found = {
            name: {str(count): self.figures(name, count) for count in self.shots} for name in self.methods
        }
        methods = {name: _turned(by_count) for name, by_count in found.items()}
        baselines = {str(count): self.best_baseline(count) for count in self.shots}
        n_test = {str(count): counts for count, counts in self.n_test.items()}
        one = len(self.shots) == 1
        return {
            "shots": self.shots[0] if one else list(self.shots),
            "draws": self.draws,
            "seed": self.seed,
            "n_test": _plain(n_test, one),
            "best_baseline": _plain(baselines, one),
            "zero_shot": self._zero_shot(),
            "methods": {
                name: {key: _plain(values, one) for key, values in figures.items()}
                for name, figures in methods.items()
            },
            "n_errors": len(self.errors),
            "errors": [error.record() for error in self.errors],
        }

    def _zero_shot(self) -> dict[str, int] | None:
        if self.answers is None:
            return None
        said = self.answers.by_row.values()
        return {"items": len(said), "unparsed": sum(label is None for label in said)}

    def _against(self, name: str, rival: str | None, shots: int) -> dict[str, Any] | None:
        if rival is None or rival == name or rival not in self.methods:
            return None
        found = self.difference(name, rival, shots)
        return None if found is None else {"name": rival, **found._asdict()}


def bootstrap_over_items(
    trials: Sequence[Trial],
    others: Sequence[Trial],
    *,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Difference | None:
    """Return one method's accuracy minus another's over all draws, with a paired bootstrap interval.

    Items are resampled, each with its results in all draws: a test item of five draws counts as one item, not
    as five. For one draw this is `savs.evaluation.paired_bootstrap`. The interval covers the choice of test
    items, not the choice of shots.

    Parameters
    ----------
    trials, others : sequence of Trial
        The trials of the two methods, draw by draw.
    level : float, default=0.95
        Coverage of the percentile interval.
    n_resamples, seed : int
        Number and seed of the resamples.
    """
    sums: dict[int, list[int]] = {}
    for one, other in zip(trials, others, strict=True):
        rows, ours, theirs = np.intersect1d(one.rows, other.rows, return_indices=True)
        gains = one.correct[ours].astype(int) - other.correct[theirs].astype(int)
        for row, gain in zip(rows.tolist(), gains.tolist(), strict=True):
            total = sums.setdefault(row, [0, 0])
            total[0] += gain
            total[1] += 1
    if not sums:
        return None
    # Items with the same results are alike, so a resample is one multinomial draw of a few counts.
    kinds, counts = np.unique(np.array(list(sums.values())), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(sums), counts / len(sums), size=n_resamples)
    values = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return Difference(float(counts @ kinds[:, 0] / (counts @ kinds[:, 1])), float(low), float(high))


def _turned(by_count: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    keys = next(iter(by_count.values()))
    return {key: {count: figures[key] for count, figures in by_count.items()} for key in keys}


def _plain(by_count: dict[str, Any], one: bool) -> Any:
    return next(iter(by_count.values())) if one else by_count


# Several comparisons, one per dataset, as one: means over the datasets, and where a method loses most.


class Overall(NamedTuple):
    """A method over several datasets, at one number of shots.

    Attributes
    ----------
    mean : float or None
        Mean over the datasets of the mean over the draws; None where it failed on one.
    against_sav : float or None
        That mean minus the same mean of the published rule.
    worst : float or None
        The smallest difference to the published rule on a dataset.
    worst_on : str or None
        Name of that dataset.
    """

    mean: float | None
    against_sav: float | None = None
    worst: float | None = None
    worst_on: str | None = None


def overall(found: Mapping[str, Comparison]) -> dict[int, dict[str, Overall]]:
    """Return every method's figures over all datasets, by number of shots and method.

    Parameters
    ----------
    found : mapping of str to Comparison
        By name of the dataset; all of the same methods and numbers of shots.

    Raises
    ------
    ValueError
        If there is none, or they differ in methods or shots.
    """
    first = next(iter(found.values()), None)
    if first is None or any(
        (one.methods, one.shots) != (first.methods, first.shots) for one in found.values()
    ):
        raise ValueError("comparisons of the same methods and shots are needed, at least one")
    return {shots: {name: _of_method(name, shots, found) for name in first.methods} for shots in first.shots}


def record_overall(figures: Mapping[int, Mapping[str, Overall]]) -> dict[str, Any]:
    """Return the figures as plain data, ``{shots: {method: {...}}}``."""
    return {
        str(shots): {name: one._asdict() for name, one in by_name.items()}
        for shots, by_name in figures.items()
    }


def _of_method(name: str, shots: int, found: Mapping[str, Comparison]) -> Overall:
    means = {data: one.mean(name, shots) for data, one in found.items()}
    known = {data: value for data, value in means.items() if value is not None}
    if len(known) < len(means):
        return Overall(None)
    mean = float(np.mean(list(known.values())))
    first = next(iter(found.values()))
    published = {
        data: one.mean(PUBLISHED, shots) for data, one in found.items() if PUBLISHED in first.methods
    }
    if name == PUBLISHED or not published or None in published.values():
        return Overall(mean)
    gains = {data: known[data] - value for data, value in published.items() if value is not None}
    worst_on = min(gains, key=gains.__getitem__)
    return Overall(mean, float(np.mean(list(gains.values()))), gains[worst_on], worst_on)
