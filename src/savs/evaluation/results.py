"""`Comparison`: what every method got right in every draw, over one dataset or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.errors import ItemError
from savs.evaluation.metrics import Difference, interval_over_draws
from savs.evaluation.named_baselines import BASELINES, Answers
from savs.evaluation.probabilities import PROBABILITY_METRICS, ItemScores

__all__ = [
    "METRICS",
    "PUBLISHED",
    "Comparison",
    "OverDraws",
    "Overall",
    "Trial",
    "bootstrap_over_items",
    "overall",
    "record_overall",
]


# `Comparison`: what every method got right in every draw, and the figures made of it.

PUBLISHED = "sav"

METRICS: Mapping[str, tuple[float, float]] = {"accuracy": (0.0, 1.0), **PROBABILITY_METRICS}
"""What every method is judged by: smallest and largest possible value of each figure."""


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
    n_bytes : int or None
        Size of the fitted state; None where it is not known.
    failure : str or None
        Why the method could not use the draw; None if it could.
    scores : ItemScores or None
        Of its probabilities; None for what gives none.
    n_unparsed : int or None
        Answers in words that name no class, and count as wrong; None for what does not answer in words.
    """

    rows: NDArray[np.intp]
    correct: NDArray[np.bool_]
    seconds: float
    n_bytes: int | None
    failure: str | None = None
    scores: ItemScores | None = None
    n_unparsed: int | None = None

    __repr__ = short_repr

    @classmethod
    def failed(cls, why: str) -> Trial:
        """Return the trial of a method that could not use the draw."""
        return cls(np.empty(0, np.intp), np.empty(0, np.bool_), 0.0, 0, why)

    def figures(self) -> dict[str, float]:
        """Return those of `METRICS` that are known: none of a failed draw."""
        if self.failure is not None:
            return {}
        return {"accuracy": float(self.correct.mean()), **(self.scores.figures() if self.scores else {})}


class OverDraws(NamedTuple):
    """A figure over the draws of the shots.

    Attributes
    ----------
    draws : list of float or None
        One per draw; None where it is not known.
    mean : float or None
        Over the draws where it is known; None where it is known of none.
    interval : tuple of float or None
        95 % interval of the mean, see `savs.evaluation.interval_over_draws`; None for fewer than two draws.
    """

    draws: list[float | None]
    mean: float | None
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, draws: Sequence[float | None], bounds: tuple[float, float]) -> OverDraws:
        """Return mean and interval of values that lie within bounds."""
        known = [value for value in draws if value is not None]
        if not known:
            return cls(list(draws), None, None)
        return cls(list(draws), float(np.mean(known)), interval_over_draws(known, bounds=bounds))

    def record(self) -> dict[str, Any] | None:
        """Return it as plain data; None where it is known of no draw."""
        return None if self.mean is None else self._asdict()


@dataclass(frozen=True)
class Comparison:
    """Methods on the same draws.

    Attributes
    ----------
    methods, shots, draws, seed
        As asked for.
    trials : dict of (str, int) to list of Trial
        By method and number of shots, one per draw; one in all for 0 shots, of methods that need none.
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

    def methods_at(self, shots: int) -> list[str]:
        """Return the methods that were judged at a number of shots: at 0, those that need none."""
        return [name for name in self.methods if (name, shots) in self.trials]

    def over_draws(self, name: str, shots: int, metric: str = "accuracy") -> OverDraws:
        """Return a figure of a method over the draws.

        Parameters
        ----------
        name : str
            The method.
        shots : int
            Shots per class.
        metric : {"accuracy", "log_loss", "ece", "brier"}, default="accuracy"
            Which one.
        """
        values = [trial.figures().get(metric) for trial in self.trials.get((name, shots), [])]
        return OverDraws.of(values, METRICS[metric])

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
        return self.over_draws(name, shots).draws

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
            The mean, between 0 and 1; None if the method failed in all draws, or was not judged.
        """
        return self.over_draws(name, shots).mean

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
            ``accuracy`` (one per draw), ``mean`` and ``interval`` of the accuracy; ``log_loss``, ``ece`` and
            ``brier`` (each ``draws``, ``mean``, ``interval``); mean ``seconds`` for fit and predictions; mean
            ``bytes`` of the fitted state; ``unparsed``, the share of answers in words that name no class; the
            differences ``against_sav`` and ``against_baseline``; and
            ``failures``, the reasons by draw. Figures that cannot be computed are None.
        """
        trials, accuracy = self.trials[name, shots], self.over_draws(name, shots)
        done = [trial for trial in trials if trial.failure is None]
        rivals = {"against_sav": PUBLISHED, "against_baseline": self.best_baseline(shots)}
        return {
            "accuracy": accuracy.draws,
            "mean": accuracy.mean,
            "interval": accuracy.interval,
            **{metric: self.over_draws(name, shots, metric).record() for metric in PROBABILITY_METRICS},
            "seconds": float(np.mean([trial.seconds for trial in done])) if done else None,
            "bytes": _mean_bytes(done),
            "unparsed": _unparsed_share(done),
            **{key: self._against(name, rival, shots) for key, rival in rivals.items()},
            "failures": {str(draw): trial.failure for draw, trial in enumerate(trials) if trial.failure},
        }

    def record(self) -> dict[str, Any]:
        """Return the comparison as the JSON of ``savs compare``, without the name of the data.

        With one number of shots that number, and plain figures; with several a list, and every figure of a
        method by number of shots (``{"accuracy": {"5": [...], "10": [...]}, ...}``). Methods that need shots
        have no figures at 0.
        """
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for name in self.methods:
            judged = [count for count in self.shots if (name, count) in self.trials]
            if judged:
                found[name] = {str(count): self.figures(name, count) for count in judged}
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
        if rival is None or rival == name or (rival, shots) not in self.trials:
            return None
        found = self.difference(name, rival, shots)
        return None if found is None else {"name": rival, **found._asdict()}


def _mean_bytes(trials: Sequence[Trial]) -> int | None:
    known = [trial.n_bytes for trial in trials if trial.n_bytes is not None]
    return round(float(np.mean(known))) if known else None


def _unparsed_share(trials: Sequence[Trial]) -> float | None:
    known = [(trial.n_unparsed, len(trial.rows)) for trial in trials if trial.n_unparsed is not None]
    return sum(count for count, _ in known) / sum(n for _, n in known) if known else None


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
        Mean over the datasets of the mean accuracy over the draws; None where it failed on one.
    against_sav : float or None
        That mean minus the same mean of the published rule.
    worst : float or None
        The smallest difference to the published rule on a dataset.
    worst_on : str or None
        Name of that dataset.
    interval : tuple of float or None
        95 % interval of the mean over draws, each with its mean over the datasets: it describes other shots,
        not other datasets. None for fewer than two draws in which the method failed on no dataset.
    log_loss, ece, brier : OverDraws or None
        The same of the other figures: one mean over the datasets per draw. None where one is not known of
        some dataset.
    """

    mean: float | None
    against_sav: float | None = None
    worst: float | None = None
    worst_on: str | None = None
    interval: tuple[float, float] | None = None
    log_loss: OverDraws | None = None
    ece: OverDraws | None = None
    brier: OverDraws | None = None


def overall(found: Mapping[str, Comparison]) -> dict[int, dict[str, Overall]]:
    """Return every method's figures over all datasets, by number of shots and method.

    Parameters
    ----------
    found : mapping of str to Comparison
        By name of the dataset; all of the same methods, numbers of shots and draws.

    Raises
    ------
    ValueError
        If there is none, or they differ in methods, shots or draws.
    """
    first = next(iter(found.values()), None)
    if first is None or any(
        (one.methods, one.shots, one.draws) != (first.methods, first.shots, first.draws)
        for one in found.values()
    ):
        raise ValueError("comparisons of the same methods, shots and draws are needed, at least one")
    return {
        shots: {name: _of_method(name, shots, found) for name in first.methods_at(shots)}
        for shots in first.shots
    }


def record_overall(figures: Mapping[int, Mapping[str, Overall]]) -> dict[str, Any]:
    """Return the figures as plain data, ``{shots: {method: {...}}}``."""
    return {
        str(shots): {name: _plain_overall(one) for name, one in by_name.items()}
        for shots, by_name in figures.items()
    }


def _plain_overall(one: Overall) -> dict[str, Any]:
    figures = {name: value.record() for name, value in one._asdict().items() if isinstance(value, OverDraws)}
    return {**one._asdict(), **figures}


def _of_method(name: str, shots: int, found: Mapping[str, Comparison]) -> Overall:
    accuracy = _over_datasets(name, shots, "accuracy", found)
    if accuracy is None:
        return Overall(None)
    average = Overall(
        accuracy.mean,
        interval=accuracy.interval,
        log_loss=_over_datasets(name, shots, "log_loss", found),
        ece=_over_datasets(name, shots, "ece", found),
        brier=_over_datasets(name, shots, "brier", found),
    )
    pairs = {data: (one.mean(name, shots), one.mean(PUBLISHED, shots)) for data, one in found.items()}
    gains = {
        data: ours - theirs
        for data, (ours, theirs) in pairs.items()
        if ours is not None and theirs is not None
    }
    if name == PUBLISHED or len(gains) < len(pairs):
        return average
    worst_on = min(gains, key=gains.__getitem__)
    return average._replace(
        against_sav=float(np.mean(list(gains.values()))), worst=gains[worst_on], worst_on=worst_on
    )


def _over_datasets(name: str, shots: int, metric: str, found: Mapping[str, Comparison]) -> OverDraws | None:
    """Return a figure's mean over the datasets in each draw, and over the draws; None if one has none."""
    by_data = [one.over_draws(name, shots, metric) for one in found.values()]
    means = [one.mean for one in by_data if one.mean is not None]
    if len(means) < len(by_data):
        return None
    draws: list[float | None] = []
    for values in zip(*(one.draws for one in by_data), strict=True):
        known = [value for value in values if value is not None]
        draws.append(float(np.mean(known)) if len(known) == len(values) else None)
    # The mean counts every draw of every dataset, also one that failed on another.
    return OverDraws.of(draws, METRICS[metric])._replace(mean=float(np.mean(means)))
