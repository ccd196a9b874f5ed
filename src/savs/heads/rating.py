"""How good every head is, by itself, on the shots: one walk over all heads.

Tables of scores, shots by classes, are held for one block of heads at a time; where a table is large it is
made and read some shots at a time, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.heads.estimate import leave_one_out_folds
from savs.heads.probabilities import softmax
from savs.heads.ranking import fit_head_temperatures, margins, rank_heads, true_class_values
from savs.heads.rules import HeadRule
from savs.heads.shots import Shots

__all__ = ["Rated", "Rating", "left_out_shares", "rate_heads"]

_FOLDS = 5
_SLICE_VALUES = 1 << 18
_LEAST = 1e-6


@dataclass(frozen=True)
class Rating:
    """How heads are rated.

    Attributes
    ----------
    scoring : "leave_one_out", "in_sample" or "cross_validated"
        Where scores of the shots come from.
    criterion : "probability" or "margin"
        The value of a shot.
    temperature : float, "auto" or None
        What scores are divided by; "auto": the rule's own number where it has one, else fitted; None: fitted.
    by_class : bool
        Whether reliability per class is wanted.
    """

    scoring: str
    criterion: str
    temperature: float | str | None
    by_class: bool


class Rated:
    """Heads of a layout, rated on the shots; rows in layout order.

    Attributes
    ----------
    scores : ndarray of float64, shape (n_heads,)
        Mean value of the shots; NaN for heads that were not rated.
    losses : ndarray of float64, shape (n_heads,)
        Mean log loss of the shots.
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


def rate_heads(rating: Rating, rule: HeadRule, shots: Shots, allowed: NDArray[np.intp]) -> Rated:
    """Walk once over the allowed heads: temperature, value of every shot, log loss, reliability per class."""
    usable = np.flatnonzero(shots.can_be_left_out)
    rated = Rated(shots.layout.n_heads, shots.n_classes)
    for positions, vectors in shots.blocks(allowed):
        scores = _scores_of_shots(rating.scoring, rule, vectors, shots)
        scores = scores if len(usable) == len(shots.codes) else scores[:, usable]
        fixed = rule.default_temperature if rating.temperature == "auto" else rating.temperature
        if fixed is None:
            rated.temperatures[positions] = fit_head_temperatures(scores, shots.codes[usable])
        else:
            rated.temperatures[positions] = float(fixed)
        _rate_block(rated, positions, scores, shots.codes[usable], rating)
    order = rank_heads(np.where(np.isnan(rated.scores), -np.inf, rated.scores)[:, None], shots.layout)
    rated.order = order[: len(allowed)]
    return rated


def _rate_block(
    rated: Rated,
    positions: NDArray[np.intp],
    scores: NDArray[Any],
    codes: NDArray[np.intp],
    rating: Rating,
) -> None:
    values, losses = np.zeros((2, len(positions), len(codes)))
    gained = np.zeros((len(positions), len(codes)))
    temperatures = rated.temperatures[positions, None, None].astype(scores.dtype)
    for rows in _slices(scores):
        shares = softmax(scores[:, rows] / temperatures)
        values[:, rows] = true_class_values(shares, codes[rows], rating.criterion)
        true = true_class_values(shares, codes[rows], "probability")
        losses[:, rows] = -np.log(np.maximum(true, _LEAST))
        if rating.by_class:
            gained[:, rows] = np.maximum(margins(shares, codes[rows]), 0.0)
    rated.scores[positions] = values.mean(axis=1) if len(codes) else 0.0
    rated.losses[positions] = losses.mean(axis=1) if len(codes) else 0.0
    if rating.by_class:
        rated.reliability[positions] = _by_class(gained, codes, rated.reliability.shape[1])


def left_out_shares(
    rule: HeadRule, shots: Shots, rated: Rated, best: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return class probabilities of left-out shots, (n_best, n_left_out, n_classes), in the order given."""
    usable = shots.can_be_left_out
    place = {int(position): rank for rank, position in enumerate(best)}
    shares = np.empty((len(best), int(usable.sum()), shots.n_classes))
    for positions, vectors in shots.blocks(best):
        scores = rule.left_out_scores(vectors, shots)[:, usable]
        found = softmax(scores / rated.temperatures[positions, None, None])
        shares[[place[int(position)] for position in positions]] = found
    return shares


def _slices(table: NDArray[Any]) -> list[slice]:
    """Return slices of the rows of a float32 table that fit the cache; float64 ones are small."""
    n_rows, n_classes = table.shape[1:]
    step = n_rows if table.dtype == np.float64 else max(1, _SLICE_VALUES // n_classes)
    return [slice(start, start + step) for start in range(0, n_rows, step)] if n_rows else []


def _scores_of_shots(
    scoring: str, rule: HeadRule, vectors: NDArray[np.float64], shots: Shots
) -> NDArray[Any]:
    if scoring == "leave_one_out":
        return rule.left_out_scores(vectors, shots)
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
    return scores


def _merge(folds: list[NDArray[np.intp]], counts: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Join folds of one shot per class into at most `_FOLDS` that leave every class a shot."""
    if counts[counts > 1].size and counts[counts > 1].min() < _FOLDS:
        return folds
    return [np.concatenate(folds[start::_FOLDS]) for start in range(min(_FOLDS, len(folds)))]


def _by_class(gained: NDArray[np.float64], codes: NDArray[np.intp], n_classes: int) -> NDArray[np.float64]:
    counts = np.maximum(np.bincount(codes, minlength=n_classes), 1)
    sums = [np.bincount(codes, weights=row, minlength=n_classes) for row in gained]
    return np.asarray(sums / counts)
