"""What a rule for one head is: fitted on its shots, it scores every class for a vector.

Rules see blocks of heads of one width and treat each head by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from savs.heads.shots import Shots

__all__ = ["HeadRule", "LeftOutScorer", "LeftOutTable", "Parameters"]

Parameters = dict[str, NDArray[np.float64]]
"""Named arrays whose first axis is the heads of a block."""


LeftOutScorer = Callable[[slice], NDArray[Any]]
"""From a slice of the shots to their scores."""


class LeftOutTable:
    """The scores of all left-out shots, from those of slices."""

    def left_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """As `HeadRule.left_out_scorer`."""
        raise NotImplementedError

    def left_out_scores(self, vectors: NDArray[np.float64], shots: Shots) -> NDArray[Any]:
        """Return the scores of all shots, each from all other shots, (n_block_heads, n_shots, n_classes)."""
        scorer = self.left_out_scorer(vectors, shots)
        if not shots.is_large:
            return scorer(slice(None))
        table = np.empty((len(vectors), len(shots.codes), shots.n_classes), dtype=np.float32)
        for rows in shots.row_slices():
            table[:, rows] = scorer(rows)
        return table


class HeadRule(Protocol):
    """Scores of classes by single heads."""

    @property
    def name(self) -> str:
        """Short name, as in saved states."""

    @property
    def default_temperature(self) -> float | None:
        """What scores are divided by before the softmax where the authors say so; None: to be fitted."""

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn from the shots' vectors, shape (n_block_heads, n_shots, head_dim)."""

    def scores(
        self, vectors: NDArray[np.float64], parameters: Parameters, codes: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return scores of new vectors, shape (n_block_heads, n_rows, n_classes).

        `codes` are the classes of the shots, for rules that keep the shots.
        """

    def left_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return what gives the scores of a slice of the shots, each from all other shots.

        Exact, in closed form; shape (n_block_heads, n_rows, n_classes), float32 if `shots.is_large`.
        A shot without another one of its class has a finite but meaningless score for its own class;
        `Shots.can_be_left_out` says which.
        """

    def left_out_scores(self, vectors: NDArray[np.float64], shots: Shots) -> NDArray[Any]:
        """Return the scores of all shots, each from all other shots, (n_block_heads, n_shots, n_classes)."""
