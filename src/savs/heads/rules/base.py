"""What a rule for one head is: fitted on its shots, it scores every class for a vector.

Rules see blocks of heads of one width and treat each head by itself.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from savs.heads.shots import Shots

__all__ = ["HeadRule", "Parameters"]

Parameters = dict[str, NDArray[np.float64]]
"""Named arrays whose first axis is the heads of a block."""


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

    def left_out_scores(self, vectors: NDArray[np.float64], shots: Shots) -> NDArray[np.float64]:
        """Return what the rule fitted on all other shots gives each shot, shape as `scores`.

        Exact, in closed form. A shot without another one of its class has a finite but meaningless score
        for its own class; `Shots.can_be_left_out` says which.
        """
