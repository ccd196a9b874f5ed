"""How good every head is, by itself, on the shots; how heads are ranked, and how many to keep.

Tables of scores, shots by classes, are held for one block of heads at a time; where a table is large it is
made and read some shots at a time, in float32.

A head's score is the mean over classes and their shots of the true class's probability, or of its margin
over the best other class: finer than hits, which tie. Shots that are alone in their class cannot be held out
and are scored by the fit on all shots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.classifiers import _numerics
from savs.classifiers._probabilities import downhill, fit_temperature, log_losses, log_softmax, softmax
from savs.classifiers._support_set import Shots
from savs.classifiers.cross_validation import leave_one_out_folds
from savs.classifiers.head_rule import HeadRule
from savs.layout import HeadLayout

__all__ = [
    "HeadScores",
    "HeadScoring",
    "held_out_probabilities",
    "score_heads",
    "choose_n_heads",
    "fit_head_temperatures",
    "margins",
    "rank_heads",
    "soft_weights",
    "true_class_values",
]


# How good every head is, by itself, on the shots: one walk over all heads.

_FOLDS = 5
_LEAST = 1e-6


@dataclass(frozen=True)
class HeadScoring:
    """How heads are rated.

    Attributes
    ----------
    scoring : "leave_one_out", "in_sample" or "cross_validated"
        Where scores of the shots come from.
    criterion : "probability" or "margin"
        The value of a shot.
    temperature : float, "auto" or None
        What scores are divided by. None: fitted for each head. "auto": the rule's own number if it has one,
        otherwise fitted.
    by_class : bool
        Whether reliability per class is wanted.
    """

    scoring: str
    criterion: str
    temperature: float | str | None
    by_class: bool


class HeadScores:
    """Heads of a layout, rated on the shots; rows in layout order.

    Attributes
    ----------
    scores : ndarray of float64, shape (n_heads,)
        Mean value of the shots, all classes counting alike unless "in_sample"; NaN for heads that were not
        rated.
    losses : ndarray of float64, shape (n_heads,)
        Mean log loss of the shots, likewise.
    temperatures : ndarray of float64, shape (n_heads,)
        What the head's scores are divided by.
    reliability : ndarray of float64, shape (n_heads, n_classes)
        r of [CALM]: mean positive margin over the shots of the class.
    order : ndarray of int
        Positions of the rated heads, best first.
    """

    def __init__(self, n_heads: int, n_classes: int) -> None:
        self.scores = np.full(n_heads, np.nan)
        self.losses = np.full(n_heads, np.inf)
        self.temperatures = np.ones(n_heads)
        self.reliability = np.zeros((n_heads, n_classes))
        self.order = np.empty(0, dtype=np.intp)


def score_heads(
    head_scoring: HeadScoring, rule: HeadRule, shots: Shots, allowed: NDArray[np.intp]
) -> HeadScores:
    """Rate the allowed heads on the shots, in one walk over them.

    Parameters
    ----------
    head_scoring : HeadScoring
        How heads are rated.
    rule : HeadRule
        The rule that scores the classes.
    shots : Shots
        The shots; those that are alone in their class are scored by the fit on all shots.
    allowed : ndarray of int, shape (n_allowed,)
        Positions in the layout of the heads to rate.

    Returns
    -------
    HeadScores
        Temperature, mean value, mean log loss and, where asked for, reliability per class of each head.

    Raises
    ------
    ValueError
        If the criterion is unknown.
    """
    usable = np.flatnonzero(shots.can_be_held_out)
    scored_heads = HeadScores(shots.layout.n_heads, shots.n_classes)
    for positions, vectors in shots.blocks(allowed):
        scores = _scores_of_shots(head_scoring.scoring, rule, vectors, shots)
        fixed = rule.default_temperature if head_scoring.temperature == "auto" else head_scoring.temperature
        if fixed is None:
            held_out = scores if len(usable) == len(shots.codes) else scores[:, usable]
            scored_heads.temperatures[positions] = fit_head_temperatures(held_out, shots.codes[usable])
        else:
            scored_heads.temperatures[positions] = float(fixed)
        _rate_block(scored_heads, positions, scores, shots, head_scoring)
    order = rank_heads(
        np.where(np.isnan(scored_heads.scores), -np.inf, scored_heads.scores)[:, None], shots.layout
    )
    scored_heads.order = order[: len(allowed)]
    return scored_heads


def _rate_block(
    scored_heads: HeadScores,
    positions: NDArray[np.intp],
    scores: NDArray[Any],
    shots: Shots,
    head_scoring: HeadScoring,
) -> None:
    codes = shots.codes
    values, losses = np.zeros((2, len(positions), len(codes)))
    gained = np.zeros((len(positions), len(codes)))
    temperatures = scored_heads.temperatures[positions, None, None].astype(scores.dtype)
    for rows in _slices(scores):
        shares = softmax(scores[:, rows] / temperatures)
        values[:, rows] = true_class_values(shares, codes[rows], head_scoring.criterion)
        true = true_class_values(shares, codes[rows], "probability")
        losses[:, rows] = -np.log(np.maximum(true, _LEAST))
        if head_scoring.by_class:
            gained[:, rows] = np.maximum(margins(shares, codes[rows]), 0.0)
    weights = shot_weights(shots) if head_scoring.scoring != "in_sample" else None
    scored_heads.scores[positions] = np.average(values, axis=1, weights=weights)
    scored_heads.losses[positions] = np.average(losses, axis=1, weights=weights)
    if head_scoring.by_class:
        scored_heads.reliability[positions] = _by_class(gained, codes, scored_heads.reliability.shape[1])


def held_out_probabilities(
    rule: HeadRule, shots: Shots, scored_heads: HeadScores, best: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return each head's class probabilities of every shot, computed from the other shots.

    Parameters
    ----------
    rule : HeadRule
        The rule that scores the classes.
    shots : Shots
        The shots.
    scored_heads : HeadScores
        Temperatures of the heads, from `score_heads`.
    best : ndarray of int, shape (n_best,)
        Positions of the heads in the layout.

    Returns
    -------
    ndarray of float64, shape (n_best, n_held_out, n_classes)
        Probabilities, with heads in the order of `best`. Shots that are alone in their class are left out.
    """
    usable = shots.can_be_held_out
    place = {int(position): rank for rank, position in enumerate(best)}
    shares = np.empty((len(best), int(usable.sum()), shots.n_classes))
    for positions, vectors in shots.blocks(best):
        scores = rule.held_out_scores(vectors, shots)[:, usable]
        found = softmax(scores / scored_heads.temperatures[positions, None, None])
        shares[[place[int(position)] for position in positions]] = found
    return shares


def _slices(table: NDArray[Any]) -> list[slice]:
    """Return slices of the rows of a float32 table that fit the cache; float64 ones are small."""
    n_rows, n_classes = table.shape[1:]
    step = n_rows if table.dtype == np.float64 else max(1, _numerics.TABLE_SLICE // n_classes)
    return [slice(start, start + step) for start in range(0, n_rows, step)] if n_rows else []


def _scores_of_shots(
    scoring: str, rule: HeadRule, vectors: NDArray[np.float64], shots: Shots
) -> NDArray[Any]:
    if scoring == "leave_one_out":
        return with_sole_shots_in_sample(rule.held_out_scores(vectors, shots), rule, vectors, shots)
    shape = (len(vectors), len(shots.codes), shots.n_classes)
    scores = np.zeros(shape, dtype=np.float32 if shots.is_large else np.float64)
    if scoring == "in_sample":
        parameters = rule.fit(vectors, shots)
        for rows in shots.row_slices():
            scores[:, rows] = rule.scores(vectors[:, rows], parameters, shots.codes)
        return scores
    for fold in _merge(leave_one_out_folds(shots.codes, 0, int(shots.counts.max())), shots.counts):
        rest = shots.without(fold)
        kept = np.ones(len(shots.codes), dtype=bool)
        kept[fold] = False
        scores[:, fold] = rule.scores(vectors[:, fold], rule.fit(vectors[:, kept], rest), rest.codes)
    return with_sole_shots_in_sample(scores, rule, vectors, shots)


def with_sole_shots_in_sample(
    scores: NDArray[Any], rule: HeadRule, vectors: NDArray[np.float64], shots: Shots
) -> NDArray[Any]:
    """Return scores of held-out shots, and those of sole shots of a class from the fit on all shots.

    A sole shot cannot be held out. How far it lies from the other classes is what it shows of a head, and
    that is what its score in the fit on all shots measures.

    Parameters
    ----------
    scores : ndarray of float, shape (n_block_heads, n_shots, n_classes)
        From `HeadRule.held_out_scores`; overwritten.
    rule : HeadRule
        The rule.
    vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
        Vectors of the same heads.
    shots : Shots
        The shots.

    Returns
    -------
    ndarray of float, shape (n_block_heads, n_shots, n_classes)
        `scores`.
    """
    sole = np.flatnonzero(~shots.can_be_held_out)
    if len(sole):
        parameters = rule.fit(vectors.copy(), shots)
        step = max(1, _numerics.TABLE_SLICE // shots.n_classes) if shots.is_large else len(sole)
        for start in range(0, len(sole), step):
            part = sole[start : start + step]
            scores[:, part] = rule.scores(vectors[:, part], parameters, shots.codes)
    return scores


def shot_weights(shots: Shots) -> NDArray[np.float64]:
    """Return a weight for each shot by which all classes count alike, shape (n_shots,), sum 1."""
    return np.asarray(1 / (shots.counts[shots.codes] * shots.n_classes))


def _merge(folds: list[NDArray[np.intp]], counts: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Join folds of one shot per class into at most `_FOLDS` that leave every class a shot."""
    if counts[counts > 1].size and counts[counts > 1].min() < _FOLDS:
        return folds
    return [np.concatenate(folds[start::_FOLDS]) for start in range(min(_FOLDS, len(folds)))]


def _by_class(gained: NDArray[np.float64], codes: NDArray[np.intp], n_classes: int) -> NDArray[np.float64]:
    counts = np.maximum(np.bincount(codes, minlength=n_classes), 1)
    sums = [np.bincount(codes, weights=row, minlength=n_classes) for row in gained]
    return np.asarray(sums / counts)


# Scores of heads from probabilities of held-out shots, their ranking, and how many to keep.

_GRID = np.geomspace(0.03, 30.0, 16)
_NUMBERS_TRIED = (1, 2, 3, 5, 7, 10, 14, 28, 40, 60, 80, 120)
_ROUND = 12
"""Scores are rounded to so many decimals before heads are compared, as sums differ by rounding."""


def true_class_values(
    probabilities: NDArray[np.float64], codes: NDArray[np.intp], criterion: str
) -> NDArray[np.float64]:
    """Return each head's value of each shot.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_heads, n_shots, n_classes)
        Class probabilities of the shots.
    codes : ndarray of int, shape (n_shots,)
        True classes.
    criterion : "probability" or "margin"
        The true class's probability, or its margin over the most probable other class.

    Returns
    -------
    ndarray of float64, shape (n_heads, n_shots)
        Values.
    """
    if criterion not in ("probability", "margin"):
        raise ValueError(f"criterion must be 'probability' or 'margin', got {criterion!r}")
    if criterion == "margin":
        return margins(probabilities, codes)
    return np.asarray(probabilities[:, np.arange(len(codes)), codes])


def margins(probabilities: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the probability of the true class minus the largest probability of another class.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_heads, n_shots, n_classes)
        Class probabilities of the shots.
    codes : ndarray of int, shape (n_shots,)
        True classes, as indices.

    Returns
    -------
    ndarray of float64, shape (n_heads, n_shots)
        Margins from -1 to 1; negative where another class is more probable.
    """
    rows = np.arange(len(codes))
    true = probabilities[:, rows, codes]
    others = probabilities.copy()
    others[:, rows, codes] = -np.inf
    return np.asarray(true - others.max(axis=2))


def fit_head_temperatures(scores: NDArray[Any], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return for each head the temperature with the largest likelihood of held-out shots.

    Parameters
    ----------
    scores : ndarray of float64 or float32, shape (n_heads, n_shots, n_classes)
        Leave-one-out scores; in float32 (large tables) the same is found with less memory.
    codes : ndarray of int, shape (n_shots,)
        True classes.

    Returns
    -------
    ndarray of float64, shape (n_heads,)
        From a grid relative to the head's own spread; 1 where its scores do not differ.
    """
    if not len(codes):
        return np.ones(len(scores))
    if scores.dtype == np.float32:
        return _large_temperatures(scores, codes)
    centered = scores - scores.mean(axis=2, keepdims=True)
    spreads = centered.std(axis=(1, 2))
    spreads = np.where(spreads > 0, spreads, 1.0)
    centered /= spreads[:, None, None]
    rows = np.arange(len(codes))
    losses = [-log_softmax(centered / t)[:, rows, codes].mean(axis=1) for t in _GRID]
    # the largest of equally good ones
    best = len(_GRID) - 1 - np.argmin(np.round(losses[::-1], _ROUND), axis=0)
    return np.asarray(spreads * _GRID[best])


def _large_temperatures(scores: NDArray[np.float32], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """As `fit_head_temperatures`, head by head and some shots at a time.

    The loss is convex in 1 / T, so walking downhill on the grid from any start ends at its smallest value;
    the start is where the head before ended.
    """
    step = max(1, _numerics.TABLE_SLICE // scores.shape[2])
    slices = [slice(start, start + step) for start in range(0, len(codes), step)]
    temperatures, at = np.ones(len(scores)), len(_GRID) // 2
    for head, table in enumerate(scores):
        squares = sum(float(((t := table[r]) - t.mean(axis=1, keepdims=True)).var()) * len(t) for r in slices)
        spread = float(np.sqrt(squares / len(codes))) or 1.0

        def loss(index: int, table: NDArray[np.float32] = table, spread: float = spread) -> float:
            scale = np.float32(1 / (spread * _GRID[index]))
            return sum(float(_true_losses(table[r] * scale, codes[r]).sum()) for r in slices)

        at = downhill(loss, at, len(_GRID))
        temperatures[head] = spread * _GRID[at]
    return temperatures


def _true_losses(scores: NDArray[np.float32], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    true = shifted[np.arange(len(codes)), codes]
    return np.asarray(np.log(np.exp(shifted, out=shifted).sum(axis=1, dtype=np.float64)) - true)


def rank_heads(values: NDArray[np.float64], layout: HeadLayout) -> NDArray[np.intp]:
    """Return positions of the heads, best mean value first; equal ones by (layer, index).

    Parameters
    ----------
    values : ndarray of float64, shape (n_heads, n_shots)
        From `true_class_values`; without shots the heads stay in (layer, index) order.
    layout : HeadLayout
        The heads.
    """
    scores = values.mean(axis=1) if values.shape[1] else np.zeros(len(values))
    heads = np.array(layout.heads)
    return np.lexsort((heads[:, 1], heads[:, 0], -np.round(scores, _ROUND)))


def soft_weights(losses: NDArray[np.float64], sharpness: float) -> NDArray[np.float64]:
    """Return weights proportional to ``exp(-sharpness * (loss - smallest loss))``.

    Parameters
    ----------
    losses : ndarray of float64, shape (n,)
        Loss of each head or estimator.
    sharpness : float
        How quickly weights fall as losses grow; 0 makes all weights equal.

    Returns
    -------
    ndarray of float64, shape (n,)
        Weights that sum to 1.

    Examples
    --------
    >>> soft_weights(np.array([0.0, np.log(3.0)]), 1.0)
    array([0.75, 0.25])
    """
    weights = np.exp(-sharpness * (losses - losses.min()))
    return np.asarray(weights / weights.sum())


def choose_n_heads(
    shares: NDArray[np.float64], codes: NDArray[np.intp], default: int
) -> tuple[int, dict[int, float]]:
    """Choose how many heads to keep, by the log loss of held-out shots.

    For every number k the mean probability of the k best heads is calibrated by one temperature, as in the
    classifier itself. The smallest mean loss wins, unless the default's is within one standard error (of the
    paired differences) of it.

    Parameters
    ----------
    shares : ndarray of float64, shape (n_heads, n_shots, n_classes)
        Class probabilities of held-out shots, best head first.
    codes : ndarray of int, shape (n_shots,)
        True classes.
    default : int
        How many to keep unless the shots favor another number; all heads where there are fewer.

    Returns
    -------
    n_heads : int
        The choice.
    losses : dict of int to float
        Mean loss for every number tried.
    """
    n_heads, n_shots, n_classes = shares.shape
    default = min(default, n_heads)
    if n_shots < 2:
        return default, {}
    losses: dict[int, NDArray[np.float64]] = {}
    pooled = np.zeros((n_shots, n_classes))
    for count, share in enumerate(shares, start=1):
        pooled += share
        if count in (default, n_heads, *_NUMBERS_TRIED):
            scores = np.log(np.maximum(pooled / count, 1e-9))
            losses[count] = log_losses(scores / fit_temperature(scores, codes), codes)
    best = min(losses, key=lambda count: float(np.round(losses[count].mean(), _ROUND)))
    difference = losses[default] - losses[best]
    error = float(difference.std(ddof=1)) / np.sqrt(n_shots)
    chosen = default if difference.mean() <= error else best
    return chosen, {count: float(loss.mean()) for count, loss in losses.items()}
