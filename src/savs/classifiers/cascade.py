"""`CascadeClassifier`: answer from the lower layers where they are sure enough, from all of them otherwise.

The same method is fitted on the heads of the first quarter, half and three quarters of the layers. A query
is answered at the first depth where the probability of the answer reaches that depth's threshold, which the
shots set for an allowed loss of accuracy. A forward pass may end where the query is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted, validate_data

from savs.classifiers._numerics import nearest_classes
from savs.classifiers._support_set import Shots
from savs.classifiers._validation import check_finite_from
from savs.classifiers.base import (
    HeadClassifier,
    State,
    arrays_of_part,
    arrays_of_parts,
    estimator_key,
    plain_parameters,
)
from savs.layout import EarlyExit, Head, HeadLayout

__all__ = ["CascadeClassifier", "exit_thresholds"]

DEPTHS = (0.25, 0.5, 0.75)
"""Shares of the layers after which a query may be answered."""

PRIOR_SHOTS = 10
"""How many shots the probabilities' own claim counts for beside the disagreements that were seen."""

_ROUNDING = 1e-9
"""Log probabilities that differ by less count as equal: other batches add up in another order."""

_Table = NDArray[np.float64]


def exit_thresholds(
    tables: Sequence[_Table], codes: NDArray[np.intp], allowed: float
) -> list[dict[str, Any]]:
    """Return, for each depth but the last, from which probability on it answers, and at what cost.

    Parameters
    ----------
    tables : sequence of ndarray of float64, shape (n_shots, n_classes)
        Log probabilities of held-out shots at each depth; the last table is that of the full classifier.
    codes : ndarray of int, shape (n_shots,)
        True classes.
    allowed : float
        Share of all queries that may be answered wrongly because of early answers. Depth k of K may use
        ``(k + 1) / K`` of it, less what the depths before it use.

    Returns
    -------
    list of dict
        ``log_threshold``, minus infinity to zero, None where the depth answers nothing; ``share`` of the
        shots that it answers; ``loss``, the estimated part of `allowed` that it uses.

    Notes
    -----
    The loss among the n shots over a threshold is estimated as ``(k + sqrt(k) + m q) / (n + m)``: k of them
    are wrong here and right in the full classifier, counted with one standard error more, as the threshold
    is the lowest of many that seem possible. As in the mean of a beta distribution, q is the mean probability
    that they are wrong, by the depth's own calibrated probabilities, and m = 10. Without q, no shot seen to
    be lost would mean no loss; few shots cannot show that. Every higher threshold must keep to the allowed
    loss as well: a good stretch below a bad one is luck.
    """
    tested = np.logical_and.reduce([np.isfinite(table).all(axis=1) for table in tables])
    kept, truth = [table[tested] for table in tables], codes[tested]
    left, found, spent = np.ones(len(truth), dtype=bool), [], 0.0
    right = nearest_classes(kept[-1]) == truth
    for place, table in enumerate(kept[:-1]):
        lost = right & (nearest_classes(table) != truth)
        budget = allowed * (place + 1) / (len(kept) - 1) - spent
        threshold, loss = _lowest_threshold(table.max(axis=1), lost, left, budget)
        answered = left & (table.max(axis=1) >= (np.inf if threshold is None else threshold))
        share = float(answered.mean()) if len(truth) else 0.0
        found.append({"log_threshold": threshold, "share": share, "loss": loss})
        left, spent = left & ~answered, spent + loss
    return found


def _lowest_threshold(
    confidence: _Table, lost: NDArray[np.bool_], left: NDArray[np.bool_], budget: float
) -> tuple[float | None, float]:
    """Return the lowest threshold whose estimated loss is within the budget, and that loss."""
    order = np.argsort(-confidence[left], kind="stable")
    sure, missed = confidence[left][order], lost[left][order]
    if not len(sure):
        return None, 0.0
    n = np.arange(1, len(sure) + 1)
    claimed = np.cumsum(1 - np.exp(sure)) / n
    seen = np.cumsum(missed)
    losses = (seen + np.sqrt(seen) + PRIOR_SHOTS * claimed) / (n + PRIOR_SHOTS) * n / len(confidence)
    losses = np.maximum.accumulate(losses)
    ends = np.append(sure[1:] < sure[:-1], True)  # equal ones are answered together
    possible = np.flatnonzero(ends & (losses <= budget))
    if not len(possible):
        return None, 0.0
    last = int(possible[-1])
    return float(min(sure[last], 0.0)) - 2 * _ROUNDING, float(losses[last])


class CascadeClassifier(HeadClassifier):
    """A method fitted at several depths; the first one that is sure enough answers.

    Parameters
    ----------
    estimator : HeadClassifier
        Unfitted; one that works on rows without the last-layer state.
    exit_early : float, default=0.005
        Largest share of all queries that may be answered wrongly because of early answers, between 0 and 1.
    layout
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    stages_ : list of HeadClassifier
        The fitted methods, from the lowest depth that answers anything to the full classifier, each on rows
        of its own heads.
    log_thresholds_ : list of float
        Log probability from which on each stage but the last answers.

    Notes
    -----
    Columns of deeper heads are not looked at for a row that is answered before: they may be NaN.

    References
    ----------
    "Super Neurons", arXiv 2603.10781, reads shallow sites alone; thresholds set on held-out examples as in
    Teerapittayanon et al., "BranchyNet", ICPR 2016.
    """

    stages_: list[HeadClassifier]
    log_thresholds_: list[float]
    is_calibrated: bool

    def __init__(
        self,
        estimator: HeadClassifier,
        *,
        exit_early: float = 0.005,
        layout: HeadLayout | tuple[int, int, int] | None = None,
    ) -> None:
        self.estimator = estimator
        self.exit_early = exit_early
        self.layout = layout

    @property
    def needs_state(self) -> bool:
        """Whether the full classifier reads the last-layer state."""
        return self.estimator.needs_state

    @property
    def state_is_optional(self) -> bool:
        """Whether a fit works on rows without the last-layer state, too."""
        return self.estimator.state_is_optional

    def fit_shots(self, classes: NDArray[Any], shots: Shots) -> Self:
        """Fit the method at every depth, and set the thresholds on held-out shots.

        Parameters
        ----------
        classes : ndarray, shape (n_classes,)
            The classes, sorted.
        shots : Shots
            Finite rows, class indices and layout.
        """
        check_allowed_loss(self.exit_early)
        full = self._method(shots.layout).fit_shots(classes, shots)
        lower = self._lower(shots, _depth(full))
        tables = self._tables(shots, lower, self.cross_validation_folds(shots))
        found = exit_thresholds(tables, shots.codes, self.exit_early)
        used = [place for place, one in enumerate(found) if one["log_threshold"] is not None]
        early = [self._method(lower[p].layout).fit_shots(classes, lower[p]) for p in used]
        self.stages_ = [stage.restrict_to(stage.heads_) for stage in (*early, full)]
        self.log_thresholds_ = [found[place]["log_threshold"] for place in used]
        self.classes_, self.layout_, self.n_features_in_ = classes, shots.layout, shots.layout.width
        self.head_scores_ = full.head_scores_
        self._set_heads()
        depths = [one.layout.n_layers for one in lower]
        self.selection_report_ = {
            **full.selection_report_,
            "exit_early": _report(self.exit_early, depths, found, _depth(full)),
        }
        return self

    def _method(self, layout: HeadLayout) -> HeadClassifier:
        made: HeadClassifier = clone(self.estimator).set_params(layout=layout)
        return made

    def _set_heads(self) -> None:
        """Keep the heads of all stages: the full classifier's first, in its order; a state last."""
        used = [head for stage in reversed(self.stages_) for head in stage.heads_]
        self.heads_ = sorted(dict.fromkeys(used), key=lambda head: head.is_state)
        self.is_calibrated = self.stages_[-1].is_calibrated

    def _lower(self, shots: Shots, depth: int) -> list[Shots]:
        """Return the shots at every depth above which there is something left to read."""
        n_layers = shots.layout.n_layers if shots.layout.state is None else shots.layout.state[0]
        found: dict[int, Shots] = {}
        for share in DEPTHS:
            heads = [head for head in shots.layout.heads if head.layer < round(share * n_layers)]
            layout = shots.layout.select(heads) if heads else None
            if layout is not None and layout.n_layers < depth:
                rows = shots.rows[:, shots.layout.column_indices(heads)]
                found[layout.n_layers] = Shots(rows, shots.codes, shots.n_classes, layout)
        return list(found.values())

    def _tables(
        self,
        shots: Shots,
        lower: Sequence[Shots],
        folds: Sequence[NDArray[np.intp]],
        kept: list[list[Head]] | None = None,
    ) -> list[_Table]:
        """Return log probabilities of held-out shots at every depth, and of the full classifier."""
        method = estimator_key(type(self.estimator)), repr(plain_parameters(self.estimator.get_params()))
        depths = tuple(one.layout.n_layers for one in lower)
        key = ("cascade", method, depths, *(tuple(fold.tolist()) for fold in folds))
        if key not in shots.memo or kept is not None:
            full = self._method(shots.layout).out_of_fold_log_proba(shots, folds, kept)
            stages = (
                list(shots.memo[key][:-1])
                if key in shots.memo
                else [self._method(one.layout).out_of_fold_log_proba(one, folds) for one in lower]
            )
            shots.memo[key] = np.stack([*stages, full])
        return list(shots.memo[key])

    def cross_validation_folds(self, shots: Shots) -> list[NDArray[np.intp]]:
        """Return which shots each fold leaves out: those of the method."""
        return self._method(shots.layout).cross_validation_folds(shots)

    def out_of_fold_log_proba(
        self,
        shots: Shots,
        folds: Sequence[NDArray[np.intp]],
        kept: list[list[Head]] | None = None,
    ) -> _Table:
        """Return log probabilities of held-out shots as the cascade answers them.

        Every depth is fitted without the fold, and the thresholds for a fold are set on the others' shots.

        Parameters
        ----------
        shots, folds, kept
            As for `HeadClassifier.out_of_fold_log_proba`; `kept` gets the full classifier's heads.
        """
        fitted = (
            self if hasattr(self, "stages_") else clone(self).fit_shots(np.arange(shots.n_classes), shots)
        )
        lower = self._lower(shots, _depth(fitted))
        tables = self._tables(shots, lower, folds, kept)
        answers = tables[-1].copy()
        for fold in folds:
            others = np.setdiff1d(np.arange(len(shots.codes)), fold)
            found = exit_thresholds([t[others] for t in tables], shots.codes[others], self.exit_early)
            limits = [np.inf if one["log_threshold"] is None else one["log_threshold"] for one in found]
            stage = _first_sure([table[fold] for table in tables], limits)
            answers[fold] = np.stack([table[fold] for table in tables])[stage, np.arange(len(fold))]
        return answers

    def predict_proba(self, X: ArrayLike) -> _Table:
        """Return each row's probabilities at the depth that answers it, shape (n_examples, n_classes)."""
        return self._answers(X, lambda stage, rows: stage.predict_proba(rows))[0]

    def decision_log_proba(self, X: ArrayLike) -> _Table:
        """Return each row's finite log probabilities at the depth that answers it."""
        return self._answers(X)[0]

    def _decision_values(self, X: ArrayLike) -> _Table:
        return self._answers(X, lambda stage, rows: stage._decision_values(rows))[0]

    def layers_passed(self, X: ArrayLike) -> NDArray[np.intp]:
        """Return how many layers of the decoder each row's answer needs, shape (n_examples,).

        Parameters
        ----------
        X : array-like of float, shape (n_examples, n_features_in_)
            Feature rows.
        """
        return np.asarray(self._depths())[self._answers(X)[1]]

    def _depths(self) -> list[int]:
        """Return the layers that have run when each stage can answer."""
        return [int(depth) for depth in np.maximum.accumulate([_depth(stage) for stage in self.stages_])]

    def exits(self) -> list[EarlyExit]:
        """Return the depths before the last at which queries are answered."""
        return [
            EarlyExit(tuple(stage.heads_), depth, _surer_than(stage, limit + _ROUNDING))
            for stage, depth, limit in zip(self.stages_, self._depths(), self.log_thresholds_, strict=False)
        ]

    def _answers(
        self, X: ArrayLike, ask: Callable[[HeadClassifier, NDArray[Any]], _Table] | None = None
    ) -> tuple[_Table, NDArray[np.intp]]:
        """Return what the first sure stage says of each row, by default log probabilities, and its place."""
        check_is_fitted(self, "stages_")
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        answers = np.empty((len(rows), len(self.classes_)))
        stages = np.full(len(rows), len(self.stages_) - 1, dtype=np.intp)
        left = np.arange(len(rows))
        limits = [*self.log_thresholds_, -np.inf]
        for place, (stage, limit) in enumerate(zip(self.stages_, limits, strict=True)):
            if not len(left):
                break
            part = np.take(rows[left], self.layout_.column_indices(stage.heads_), axis=1)
            check_finite_from(part, stage.layout_, left)
            logs = stage.decision_log_proba(part)
            sure = logs.max(axis=1) >= limit
            if sure.any():
                answers[left[sure]] = logs[sure] if ask is None else ask(stage, part[sure])
            stages[left[sure]] = place
            left = left[~sure]
        return answers, stages

    def to_state(self) -> State:
        """Return everything a prediction needs; see `HeadClassifier.to_state`."""
        check_is_fitted(self, "stages_")
        states = [stage.to_state() for stage in self.stages_]
        arrays = arrays_of_parts({f"stage{place}": state for place, state in enumerate(states)})
        if self.head_scores_ is not None:
            arrays["cascade_head_scores"] = np.asarray(self.head_scores_)
        return State(
            arrays,
            {
                "estimator": estimator_key(type(self)),
                "classes": self.classes_.tolist(),
                "layout": self.layout_.to_json(),
                "exit_early": self.exit_early,
                "log_thresholds": self.log_thresholds_,
                "report": self.selection_report_,
                "stages": [state.settings for state in states],
            },
        )

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the fitted estimator that `to_state` described.

        Raises
        ------
        ValueError
            If the state is of another estimator, incomplete or impossible.
        """
        from savs.classifiers.methods import classifier_from_state  # it knows this class too

        arrays, settings = state
        if settings.get("estimator") != estimator_key(cls):
            raise ValueError(f"this is the state of {settings.get('estimator')!r}, not of {cls.__name__}")
        parts = list(settings["stages"])
        if any(part.get("estimator") == estimator_key(cls) for part in parts):
            raise ValueError("a cascade inside a cascade")
        stages = [
            classifier_from_state(State(arrays_of_part(arrays, f"stage{place}"), part))
            for place, part in enumerate(parts)
        ]
        layout = HeadLayout.from_json(settings["layout"])
        limits = [float(limit) for limit in settings["log_thresholds"]]
        check_allowed_loss(settings["exit_early"])
        made = cls(clone(stages[-1]), exit_early=settings["exit_early"], layout=layout)
        made.stages_, made.log_thresholds_ = stages, limits
        made.classes_, made.layout_, made.n_features_in_ = stages[-1].classes_, layout, layout.width
        made.head_scores_ = arrays.get("cascade_head_scores")
        made.selection_report_ = settings["report"]
        made._check_stages(settings["classes"])
        made._set_heads()
        return made

    def _check_stages(self, classes: list[Any]) -> None:
        layout, scores = self.layout_, self.head_scores_
        if not (
            len(self.stages_) == len(self.log_thresholds_) + 1
            and all(np.isfinite(limit) and limit <= 0 for limit in self.log_thresholds_)
            and all(stage.classes_.tolist() == classes for stage in self.stages_)
            and all(stage.layout_ == layout.select(stage.heads_) for stage in self.stages_)
            and self._depths() == sorted(set(self._depths()))
            and (scores is None or scores.shape == (layout.n_heads,))
            and isinstance(self.selection_report_, dict)
        ):
            raise ValueError("the stages of a cascade do not fit together")


def check_allowed_loss(exit_early: Any) -> None:
    """Raise `ValueError` unless an allowed loss of accuracy is a number above 0 and below 1."""
    is_number = isinstance(exit_early, int | float) and not isinstance(exit_early, bool)
    if not is_number or not 0 < exit_early < 1:
        raise ValueError(
            f"exit_early is the allowed loss of accuracy, a share above 0 and below 1 such as 0.005, "
            f"got {exit_early!r}"
        )


def _surer_than(stage: HeadClassifier, limit: float) -> Callable[[NDArray[Any]], NDArray[np.bool_]]:
    return lambda rows: np.asarray(stage.decision_log_proba(rows).max(axis=1) >= limit)


def _first_sure(tables: Sequence[_Table], limits: Sequence[float]) -> NDArray[np.intp]:
    """Return the first depth whose largest log probability reaches its limit; the last has none."""
    stages = np.full(len(tables[-1]), len(tables) - 1, dtype=np.intp)
    for place in range(len(limits) - 1, -1, -1):
        stages[tables[place].max(axis=1) >= limits[place]] = place
    return stages


def _depth(classifier: HeadClassifier) -> int:
    """Return the layers that run for a classifier: up to its deepest head, all for the last-layer state."""
    deepest = max(classifier.heads_, key=lambda head: head.layer)
    return deepest.layer if deepest.is_state else deepest.layer + 1


def _report(allowed: float, depths: Sequence[int], found: list[dict[str, Any]], full: int) -> dict[str, Any]:
    stages = [
        {
            "n_layers": depth,
            "threshold": None if one["log_threshold"] is None else float(np.exp(one["log_threshold"])),
            "share": one["share"],
            "loss": one["loss"],
        }
        for depth, one in zip(depths, found, strict=True)
    ]
    left = 1 - sum(one["share"] for one in stages)
    layers = sum(one["share"] * one["n_layers"] for one in stages) + left * full
    answered = any(one["threshold"] is not None for one in stages)
    why = (
        "depths answer where the held-out shots show that little enough is lost"
        if answered
        else "no early answers: too few shots, or too unsure ones, to keep within the allowed loss"
    )
    return {"allowed": allowed, "stages": stages, "n_layers": full, "layers_expected": layers, "why": why}
