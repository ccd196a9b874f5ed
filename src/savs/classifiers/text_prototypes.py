"""`TextPrototypeClassifier`: class names read through the same heads (HEC-T), and with shots (HEC-VT)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers._probabilities import PROBABILITY_FLOOR, fit_temperature, log_softmax, softmax
from savs.classifiers._support_set import Shots, head_blocks, unit_vectors
from savs.classifiers._validation import check_finite, label_array, resolve_layout
from savs.classifiers.base import CalibratedHeadClassifier, FittedScores, HeadClassifier, State
from savs.classifiers.ensemble import make_base_estimator, mix
from savs.classifiers.head_scoring import rank_heads
from savs.layout import Head, HeadLayout

__all__ = ["TextPrototypeClassifier", "default_heads"]

_SHARES = np.linspace(0.0, 1.0, 21)


class TextPrototypeClassifier(CalibratedHeadClassifier):
    """Class vectors from text-only prompts with the class names; shots choose heads and are mixed in.

    Parameters
    ----------
    prototypes : array-like of float, shape (n_classes, width), default=None
        Feature row of each class's text prompt, in the order of the sorted classes.
    n_heads : int, default=20
        How many heads are read: the best by leave-one-out where there are shots, else `default_heads`.
    estimator : str or None, default="hec_v_loo"
        The method on the shots whose probabilities are mixed in; None leaves the text alone.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    shot_share_ : float
        Weight of the shots' probabilities, 0 to 1, with the largest likelihood of held-out shots; the
        smallest of equally good ones. 0 without shots.
    text_temperature_ : float
        What the text scores are divided by.

    Notes
    -----
    [HEC] HEC-T: ``l_k = -1/2 |x - t_k|^2`` on unit vectors, tau = 1, mean of the heads' probabilities. With
    shots tau is fitted and heads are ranked by the probability of the shots' true classes (no shot enters
    its own score: prototypes come from text). HEC-VT: ``p = (1 - a) p_T + a p_V``.
    """

    shot_share_: float
    text_temperature_: float
    estimator_: HeadClassifier | None

    def __init__(
        self,
        prototypes: ArrayLike | None = None,
        *,
        n_heads: int = 20,
        estimator: str | None = "hec_v_loo",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.prototypes = prototypes
        self.n_heads = n_heads
        self.estimator = estimator
        self.layout = layout
        self.priors = priors

    @property
    def needs_prototypes(self) -> bool:
        """Whether the parameter ``prototypes`` must be set: always."""
        return True

    @property
    def can_fit_class_names(self) -> bool:
        """Whether `fit_class_names` works: where no method on the shots is mixed in."""
        return self.estimator is None

    def fit_class_names(self, classes: ArrayLike) -> Self:
        """Learn from the class names alone: zero-shot, without any example.

        Parameters
        ----------
        classes : array-like, shape (n_classes,)
            Sorted class labels, one per row of `prototypes`.

        Raises
        ------
        ValueError
            If the classes are not sorted, or not one per prototype.
        """
        names = np.asarray(label_array(classes))
        prototypes = np.asarray(self.prototypes, dtype=np.float64)
        layout = resolve_layout(self.layout, prototypes.shape[1])
        prototypes = self._checked(len(names), layout)
        heads = default_heads(layout, self.n_heads)
        text = np.ascontiguousarray(prototypes[:, layout.column_indices(heads)])
        self._keep_without_shots(names, layout, heads, {"text": text})
        self.estimator_, self.shot_share_, self.text_temperature_ = None, 0.0, 1.0
        return self

    def _learn(self, shots: Shots) -> FittedScores:
        prototypes = self._checked(shots.n_classes, shots.layout)
        values = np.zeros((shots.layout.n_heads, len(shots.codes)))
        rows = np.arange(len(shots.codes))
        for positions, scores in _text_scores(shots.rows, prototypes, shots.layout):
            values[positions] = softmax(scores)[:, rows, shots.codes]
        order = rank_heads(values, shots.layout)[: self.n_heads]
        heads = [shots.layout.heads[position] for position in order]
        columns, layout = shots.layout.column_indices(heads), shots.layout.select(heads)
        arrays = {"text": np.ascontiguousarray(prototypes[:, columns])}
        text = _pooled(shots.rows[:, columns], arrays["text"], layout)
        self.text_temperature_ = fit_temperature(text, shots.codes)
        text = log_softmax(text / self.text_temperature_)
        self.estimator_, self.shot_share_ = None, 0.0
        if self.estimator is None or not shots.can_be_held_out.any():
            return FittedScores(text, heads, arrays)
        estimator = make_base_estimator(self.estimator, shots.layout).fit_shots(
            np.arange(shots.n_classes), shots
        )
        self.shot_share_ = _best_share(text, estimator.out_of_fold_log_proba_, shots)
        if self.shot_share_ == 0:
            return FittedScores(text, heads, arrays)
        self.estimator_ = estimator
        out_of_fold = mix([text, np.nan_to_num(estimator.out_of_fold_log_proba_)], self._shares())
        used = [*heads, *(head for head in estimator.heads_ if head not in heads)]
        return FittedScores(out_of_fold, used, arrays | {"n_text_heads": np.array(len(heads))})

    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        count = int(self.arrays_.get("n_text_heads", np.array(layout.n_heads)))
        heads = list(layout.heads[:count])
        text = _pooled(rows[:, layout.column_indices(heads)], self.arrays_["text"], layout.select(heads))
        text = log_softmax(text / self.text_temperature_)
        if self.estimator_ is None:
            return text
        own = layout.select(self.estimator_.heads_)
        scores = self.estimator_._raw_scores(rows[:, layout.column_indices(self.estimator_.heads_)], own)
        return mix([text, self.estimator_._calibrated(scores)], self._shares())

    def _shares(self) -> NDArray[np.float64]:
        return np.array([1 - self.shot_share_, self.shot_share_])

    def _checked(self, n_classes: int, layout: HeadLayout) -> NDArray[np.float64]:
        prototypes = np.asarray(self.prototypes, dtype=np.float64)
        if prototypes.shape != (n_classes, layout.width):
            raise ValueError(
                f"prototypes must be of shape {(n_classes, layout.width)}, one row per class, "
                f"got {prototypes.shape}"
            )
        check_finite(prototypes, layout)
        return prototypes

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        inner: dict[str, NDArray[Any]] = {} if self.estimator_ is None else self.estimator_.to_state().arrays
        return super()._state_arrays() | {f"base_estimator/{name}": array for name, array in inner.items()}

    def to_state(self) -> State:
        """Return everything a prediction needs; the prototypes of all heads are not part of it."""
        arrays, settings = super().to_state()
        return State(arrays, {**settings, "parameters": {**settings["parameters"], "prototypes": None}})

    def _state_settings(self) -> dict[str, Any]:
        return {
            "shot_share": self.shot_share_,
            "text_temperature": self.text_temperature_,
            "base_estimator": None if self.estimator_ is None else self.estimator_.to_state().settings,
        }

    def _restore(self, arrays: Any, settings: Any) -> None:
        super()._restore(arrays, settings)
        self.shot_share_ = float(settings["shot_share"])
        self.text_temperature_ = float(settings["text_temperature"])
        self.estimator_ = None
        if settings["base_estimator"] is not None:
            inner = {
                n.removeprefix("base_estimator/"): a
                for n, a in arrays.items()
                if n.startswith("base_estimator/")
            }
            kind = type(make_base_estimator(str(self.estimator)))
            self.estimator_ = kind.from_state(State(inner, settings["base_estimator"]))


def default_heads(layout: HeadLayout, n_heads: int) -> list[Head]:
    """Return the heads that are read where no shot chooses: of the middle of the second half of the layers.

    Parameters
    ----------
    layout : HeadLayout
        All heads.
    n_heads : int
        How many; by distance of their layer from three quarters of the depth, then by (layer, index).
    """
    middle = 0.75 * (layout.n_layers - 1)
    return sorted(layout.heads, key=lambda head: (abs(head.layer - middle), head))[:n_heads]


def _text_scores(rows: NDArray[np.floating], prototypes: NDArray[np.float64], layout: HeadLayout) -> Any:
    """Yield positions and ``-1/2 |x - t_k|^2`` up to a constant of x, (n_block_heads, n_rows, n_classes)."""
    for positions, vectors in head_blocks(rows, layout):
        spans = [layout.columns(layout.heads[position]) for position in positions]
        text = unit_vectors(np.stack([prototypes[:, span] for span in spans]))
        yield positions, unit_vectors(vectors) @ text.transpose(0, 2, 1)


def _pooled(
    rows: NDArray[np.floating], prototypes: NDArray[np.float64], layout: HeadLayout
) -> NDArray[np.float64]:
    pooled = np.zeros((len(rows), len(prototypes)))
    for _, scores in _text_scores(rows, prototypes, layout):
        pooled += softmax(scores).sum(axis=0)
    return np.log(np.maximum(pooled / layout.n_heads, PROBABILITY_FLOOR))


def _best_share(text: NDArray[np.float64], out_of_fold: NDArray[np.float64], shots: Shots) -> float:
    usable = shots.can_be_held_out
    truth = shots.codes[usable][:, None]
    of_text = np.exp(np.take_along_axis(text[usable], truth, axis=1))
    of_shots = np.exp(np.take_along_axis(out_of_fold[usable], truth, axis=1))
    losses = [-np.log(np.maximum((1 - a) * of_text + a * of_shots, 1e-12)).mean() for a in _SHARES]
    return float(_SHARES[int(np.argmin(np.round(losses, 12)))])
