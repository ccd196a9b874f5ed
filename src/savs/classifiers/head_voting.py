"""`HeadVoteClassifier`: every kept head scores the classes by itself, and the scores are pooled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers._numerics import nearest_classes
from savs.classifiers._probabilities import PROBABILITY_FLOOR, softmax
from savs.classifiers._support_set import Shots
from savs.classifiers.base import CalibratedHeadClassifier, FittedScores, HeadOpinions
from savs.classifiers.head_rule import HeadRule
from savs.classifiers.head_scoring import (
    HeadScores,
    HeadScoring,
    choose_n_heads,
    held_out_probabilities,
    score_heads,
    soft_weights,
)
from savs.classifiers.rules import fit_every_head, make_rule, score_every_head
from savs.classifiers.sav import check_n_heads, decision_values
from savs.errors import DataError
from savs.layout import Head, HeadLayout

__all__ = ["HeadVoteClassifier"]


_SHARPNESS = 4.0
"""Of the soft weights of all heads."""

_MOST_TRIED = 120
"""More heads than this are not tried by n_heads="auto"."""


class HeadVoteClassifier(CalibratedHeadClassifier):
    """Few-shot classifier that pools the class probabilities, or the votes, of the best heads.

    Parameters
    ----------
    rule : str, default="cosine"
        How a head scores classes: a name of `savs.classifiers.available_rules`, such as "cosine", "gaussian",
        "hec_v", "oas", "nearest" or "near".
    scoring : {"leave_one_out", "in_sample", "cross_validated"}, default="leave_one_out"
        Where the probabilities come from by which heads are ranked: the closed form without the shot, the
        fit on all shots (as published), or refits without a fifth of each class. The sole shot of a class
        is always scored by the fit on all shots.
    voting : {"soft", "majority", "class_conditional"}, default="soft"
        "soft": mean probability. "majority": one vote per head, ties as in `SAVClassifier`.
        "class_conditional": [CALM], weights per head and class from margins.
    n_heads : int, "auto" or "all", default=20
        How many heads to keep; "auto" chooses by leave-one-out and stays with 20 within one standard error;
        "all" keeps all, weighted by ``exp(-4 (loss - best))`` of their leave-one-out log loss.
    criterion : {"probability", "margin"}, default="probability"
        What heads are ranked by.
    temperature : float, "auto" or None, default="auto"
        What a head's scores are divided by: "auto" uses its authors' number where there is one and else
        fits one per head on leave-one-out scores; None always fits.
    layout : HeadLayout, (n_layers, n_heads, head_dim) or None, default=None
        Which columns of X belong to which head. None takes the whole row as one head.
    heads : sequence of (layer, index) or None, default=None
        Only these heads may be kept, for example ones found on another task.
    priors : "uniform", "empirical" or array-like of float, default="uniform"
        Class priors.

    Attributes
    ----------
    head_scores_ : ndarray of float64, shape (n_heads of the layout,)
        Mean of `criterion` over the shots, in layout order; all classes count alike unless `scoring` is
        "in_sample". NaN for heads outside `heads`.
    n_heads_losses_ : dict of int to float
        Mean leave-one-out loss for every number of heads tried by "auto".

    References
    ----------
    [SAV] arXiv:2412.00142; [HEC] arXiv:2603.24181; [CALM] arXiv:2602.07077; [Tip] Zhang et al., ECCV 2022.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 0, 5, 5], [1, 1, 5, 5], [0, 1, 5, 5], [-1, 1, 5, 5]])
    >>> y = ["cat", "cat", "dog", "dog"]
    >>> classifier = HeadVoteClassifier(n_heads=1, layout=(1, 2, 2)).fit(X, y)
    >>> classifier.heads_, classifier.predict([[3.0, 1, 5, 5], [-2, 1, 5, 5]]).tolist()
    ([Head(layer=0, index=0)], ['cat', 'dog'])
    """

    head_scores_: NDArray[np.float64]
    n_heads_losses_: dict[int, float]

    n_heads_words = ("auto", "all")

    def __init__(
        self,
        rule: str = "cosine",
        *,
        scoring: str = "leave_one_out",
        voting: str = "soft",
        n_heads: int | str = 20,
        criterion: str = "probability",
        temperature: float | str | None = "auto",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        heads: Any = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.rule = rule
        self.scoring = scoring
        self.voting = voting
        self.n_heads = n_heads
        self.criterion = criterion
        self.temperature = temperature
        self.layout = layout
        self.heads = heads
        self.priors = priors

    @property
    def n_heads_kept(self) -> int | None:
        """How many heads are kept; None where weights by class decide, which keep nearly all of them."""
        return None if self.voting == "class_conditional" else super().n_heads_kept

    def _learn(self, shots: Shots) -> FittedScores:
        rule = self._checked_rule()
        allowed = _allowed_positions(self.heads, shots.layout)
        by_class = self.voting == "class_conditional"
        head_scoring = HeadScoring(self.scoring, self.criterion, self.temperature, by_class)
        ranked = score_heads(head_scoring, rule, shots, allowed)
        self.head_scores_, self.n_heads_losses_ = ranked.scores, {}
        positions, weights = self._choose(ranked, shots)
        heads = [shots.layout.heads[position] for position in positions]
        arrays = fit_every_head(rule, shots, heads)
        arrays |= {"codes": shots.codes, "weights": weights, "temperatures": ranked.temperatures[positions]}
        return FittedScores(
            self._pool(_out_of_fold(rule, shots, heads), arrays, len(shots.codes)), heads, arrays
        )

    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        scores = score_every_head(
            make_rule(self.rule), self.arrays_, rows, layout, self.arrays_["codes"].astype(np.intp)
        )
        everywhere = slice(None)
        return self._pool(((everywhere, *found) for found in scores), self.arrays_, len(rows))

    def _checked_rule(self) -> HeadRule:
        if self.voting not in ("soft", "majority", "class_conditional"):
            raise ValueError(f"voting must be 'soft', 'majority' or 'class_conditional', got {self.voting!r}")
        if self.scoring not in ("leave_one_out", "in_sample", "cross_validated"):
            raise ValueError(
                f"scoring must be 'leave_one_out', 'in_sample' or 'cross_validated', got {self.scoring!r}"
            )
        if self.n_heads not in ("auto", "all"):
            check_n_heads(self.n_heads)
        fixed = self.temperature
        if fixed not in ("auto", None) and not (isinstance(fixed, int | float) and 0 < fixed < np.inf):
            raise ValueError(f"temperature must be a positive number, 'auto' or None, got {fixed!r}")
        return make_rule(self.rule)

    def _choose(self, ranked: HeadScores, shots: Shots) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return positions of the kept heads, best first, and their weights (n_kept, n_classes)."""
        n_classes = shots.n_classes
        order = ranked.order
        if self.n_heads == "all":
            weights = soft_weights(ranked.losses[order], _SHARPNESS)
            return order, np.repeat(weights[:, None], n_classes, axis=1)
        count = 20 if self.n_heads == "auto" else min(int(self.n_heads), len(order))
        if self.n_heads == "auto":
            _check_memory(shots)
            shares = held_out_probabilities(make_rule(self.rule), shots, ranked, order[:_MOST_TRIED])
            count, self.n_heads_losses_ = choose_n_heads(shares, shots.codes[shots.can_be_held_out], count)
        if self.voting == "class_conditional":
            return _class_conditional(ranked, count)
        kept = order[:count]
        return kept, np.full((len(kept), n_classes), 1 / len(kept))

    def _pool(self, scores: Any, arrays: dict[str, NDArray[Any]], n_rows: int) -> NDArray[np.float64]:
        weights, temperatures = arrays["weights"], arrays["temperatures"]
        if self.voting == "majority":
            votes = np.empty((n_rows, len(weights)), dtype=np.intp)
            for rows, positions, block in scores:
                votes[rows, positions] = nearest_classes(block).T
            return decision_values(votes, weights.shape[1])
        pooled = np.zeros((n_rows, weights.shape[1]))
        for rows, positions, block in scores:
            shares = softmax(block / temperatures[positions, None, None].astype(block.dtype))
            pooled[rows] += np.einsum("hnc,hc->nc", shares, weights[positions])
        np.log(np.maximum(pooled, PROBABILITY_FLOOR, out=pooled), out=pooled)
        return pooled

    def head_opinions(self, X: ArrayLike) -> HeadOpinions:
        """Return the class probabilities of each head in use, see `HeadClassifier.head_opinions`."""
        rows, layout = self._kept_rows(X)
        shares = np.empty((layout.n_heads, len(rows), len(self.classes_)))
        codes = self.arrays_["codes"].astype(np.intp)
        for positions, scores in score_every_head(make_rule(self.rule), self.arrays_, rows, layout, codes):
            shares[positions] = softmax(scores / self.arrays_["temperatures"][positions, None, None])
        return HeadOpinions.from_scores(shares, "probability")

    def _state_settings(self) -> dict[str, Any]:
        return {"head_scores": [None if np.isnan(score) else float(score) for score in self.head_scores_]}

    def _restore(self, arrays: Any, settings: Any) -> None:
        super()._restore(arrays, settings)
        self.head_scores_ = np.array(
            [np.nan if score is None else score for score in settings["head_scores"]], dtype=np.float64
        )
        self.n_heads_losses_ = {}


def _out_of_fold(
    rule: HeadRule, shots: Shots, heads: list[Head]
) -> Iterator[tuple[slice, NDArray[np.intp], NDArray[np.floating]]]:
    """Yield slices of the shots, places of kept heads, and the scores that the other shots give."""
    for positions, vectors in shots.blocks_of(heads):
        scorer = rule.held_out_scorer(vectors, shots)
        for rows in shots.row_slices():
            yield rows, positions, scorer(rows)


def _check_memory(shots: Shots) -> None:
    if shots.is_large:
        raise DataError(
            f"n_heads='auto' compares numbers of heads on {len(shots.codes)} shots of {shots.n_classes} "
            "classes, which does not fit the memory; give a number"
        )


def _class_conditional(scored_heads: HeadScores, count: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the union of each class's `count` most reliable heads, and weights that sum to 1 per class.

    A class for which no head has a positive margin trusts the best heads in all.
    """
    rank = np.empty(len(scored_heads.scores), dtype=np.intp)
    rank[scored_heads.order] = np.arange(len(scored_heads.order))
    weights = np.zeros_like(scored_heads.reliability)
    for code in range(weights.shape[1]):
        trust = scored_heads.reliability[scored_heads.order, code]
        best = scored_heads.order[np.argsort(-np.round(trust, 12), kind="stable")[:count]]
        mass = scored_heads.reliability[best, code]
        weights[best, code] = mass / mass.sum() if mass.sum() > 0 else 1 / len(best)
    kept = scored_heads.order[(weights[scored_heads.order] > 0).any(axis=1)]
    return kept, weights[kept]


def _allowed_positions(heads: Any, layout: HeadLayout) -> NDArray[np.intp]:
    if heads is None:
        return np.arange(layout.n_heads)
    try:
        return np.array(sorted({layout.position(tuple(head)) for head in heads}), dtype=np.intp)
    except (KeyError, TypeError) as error:
        raise ValueError(f"heads must be (layer, index) pairs of the layout; {error} is none") from None
