"""`LastStateClassifier`: the decoder's last-layer state instead of heads.

One state per row, so there is nothing to choose or weight; what is left is the discriminant of all heads on
a single wide one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers._support_set import Shots
from savs.classifiers.base import FittedScores
from savs.classifiers.kernel import KernelDiscriminantClassifier
from savs.layout import Head, HeadLayout

__all__ = ["LastStateClassifier"]


class LastStateClassifier(KernelDiscriminantClassifier):
    """Gaussian classes with one covariance on the last-layer state, brought to length 1.

    Parameters
    ----------
    layout : HeadLayout or None, default=None
        A layout `with_state`.
    priors : "uniform", "empirical" or array-like of float, default="uniform"
        Class priors.

    Raises
    ------
    ValueError
        On a fit to rows without the state.

    Examples
    --------
    >>> layout = HeadLayout.uniform(n_layers=1, n_heads=1, head_dim=1).with_state(2)
    >>> rows = np.array([[0, 1.0, 0], [0, 1, 0.2], [0, 0, 1], [0, 0.2, 1]])
    >>> classifier = LastStateClassifier(layout=layout).fit(rows, ["a", "a", "b", "b"])
    >>> classifier.heads_, classifier.predict([[9.0, 2, 1]]).tolist()
    ([Head(layer=1, index=-1)], ['a'])
    """

    kernel, gamma = "linear", 0.0
    sharpness, weighting = 0.0, "log_loss"  # of no effect: there is nothing to weight
    centering = "none"  # of no effect on a discriminant of one head

    @property
    def needs_state(self) -> bool:
        """Whether feature rows should hold the last-layer state: always."""
        return True

    @property
    def state_is_optional(self) -> bool:
        """Whether a fit works on rows without the last-layer state, too: never."""
        return False

    def __init__(
        self,
        *,
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.layout = layout
        self.priors = priors

    def _learn(self, shots: Shots) -> FittedScores:
        fitted = super()._learn(shots.states)
        return FittedScores(fitted.out_of_fold, [_state_head(shots.layout)], fitted.arrays)

    def _slice_heads(self, positions: NDArray[np.intp]) -> None:
        """Keep everything: the one weight belongs to the state."""

    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        return super()._raw_scores(rows, HeadLayout((Head(0, 0),), (layout.width,)))


def _state_head(layout: HeadLayout) -> Head:
    if layout.state_head is None:
        raise ValueError("the rows hold no last-layer state")
    return layout.state_head
