"""How shots are answered by classifiers that were fitted without them, and figures of a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Shot
from savs.data import Label
from savs.errors import DataError
from savs.model._fitted import FittedModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HeldOutShots", "ModelFigures"]


class HeldOutShots(NamedTuple):
    """The shots that were left out once, each answered by a classifier fitted without it.

    Attributes
    ----------
    shots : list of Shot
        Those that were left out: the only shot of a class never is.
    answers : list of label
        One per shot.
    probabilities : ndarray of float64, shape (n_held_out,)
        Probability of each answer.
    """

    shots: list[Shot]
    answers: list[Label]
    probabilities: NDArray[np.float64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each answer is the shot's label, shape (n_held_out,)."""
        pairs = zip(self.shots, self.answers, strict=True)
        return np.array([shot.label == answer for shot, answer in pairs], dtype=bool)


class ModelFigures(FittedModel):
    """Figures of what a fitted model knows without any new example."""

    @property
    def held_out_shots_(self) -> HeldOutShots:
        """How the shots were answered by classifiers that were fitted without them."""
        logs, classes = self.out_of_fold_log_proba_, self.classes_.tolist()
        rows = np.flatnonzero(~np.isnan(logs).any(axis=1))
        codes = logs[rows].argmax(axis=1)
        return HeldOutShots(
            [self._support.shots[row] for row in rows.tolist()],
            [classes[code] for code in codes.tolist()],
            np.clip(np.exp(logs[rows, codes]), 0.0, 1.0),
        )

    def plot_heads(self) -> Figure:
        """Return a map of layers and heads: scores as color, heads in use outlined (needs ``savs[plots]``).

        Methods that rank no heads have no colors.
        """
        from savs.figures import plot_heads

        published = self.classifier_.published_as is not None
        heads = list(self.layout.heads)
        scores = self.head_scores_
        return plot_heads(
            heads,
            None if scores is None else scores[: len(heads)],
            [head for head in self.heads_ if head.index >= 0],
            score_name="correct shots" if published else "score",
        )

    def plot_confusion(self) -> Figure:
        """Return the confusion matrix of held-out shots (needs ``savs[plots]``).

        Raises
        ------
        DataError
            If no shot was held out, as no class has two.
        """
        from savs.figures import plot_confusion

        held_out, classes = self._some_held_out(), self.classes_.tolist()
        counts = np.zeros((len(classes), len(classes)), dtype=int)
        for shot, answer in zip(held_out.shots, held_out.answers, strict=True):
            counts[classes.index(shot.label), classes.index(answer)] += 1
        return plot_confusion(counts, classes)

    def plot_reliability(self) -> Figure:
        """Return the reliability diagram of held-out shots (needs ``savs[plots]``).

        Raises
        ------
        DataError
            If no shot was held out, as no class has two.
        """
        from savs.figures import plot_reliability

        held_out = self._some_held_out()
        return plot_reliability(held_out.probabilities, held_out.correct)

    def _some_held_out(self) -> HeldOutShots:
        found = self.held_out_shots_
        if not found.shots:
            raise DataError("no shot was held out: give at least two shots of a class")
        return found
