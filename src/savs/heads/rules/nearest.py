"""Nearest shot instead of centroid: the largest cosine to a shot of the class, or Tip-Adapter's soft form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.heads.rules.base import LeftOutScorer, LeftOutTable, Parameters
from savs.heads.shots import Shots, unit_vectors

__all__ = ["NearestShotRule"]

_NOWHERE = -1.0
"""Score of a class without any other shot: as far away as a cosine can be."""


@dataclass(frozen=True)
class NearestShotRule(LeftOutTable):
    """Score of a class: cosine to its nearest shot, or how much of it lies near.

    Parameters
    ----------
    beta : float or None, default=None
        None: the largest cosine. A number: ``log(mean_j exp(-beta (1 - cos_j)))`` over the shots j of the
        class, the cache model of [Tip] (eq. 3) as a mean, so that larger classes have no advantage.
    centre : bool, default=True
        Whether the mean of all shots is taken off first. The centre stays in leave-one-out: it knows no
        labels.
    """

    beta: float | None = None
    centre: bool = True

    @property
    def name(self) -> str:
        """Short name, as in saved states."""
        return "nearest" if self.beta is None else "near"

    @property
    def default_temperature(self) -> float | None:
        """None: cosines need a fitted one; 1 for the soft form, whose scores are logs already."""
        return None if self.beta is None else 1.0

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:  # noqa: ARG002
        """Keep ``shots`` (n_block_heads, n_shots, head_dim), of length 1, and ``centre``."""
        centre = vectors.mean(axis=1) * self.centre
        return {"shots": unit_vectors(vectors - centre[:, None]), "centre": centre}

    def scores(
        self, vectors: NDArray[np.float64], parameters: Parameters, codes: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return the class scores of new vectors."""
        unit = unit_vectors(vectors - parameters["centre"][:, None])
        return self._by_class(unit @ parameters["shots"].transpose(0, 2, 1), codes)

    def left_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return what gives class scores in which a shot is no neighbour of itself."""
        unit: NDArray[np.floating] = self.fit(vectors, shots)["shots"]
        unit = unit.astype(np.float32) if shots.is_large else unit

        def score(rows: slice) -> NDArray[np.floating]:
            cosines = unit[:, rows] @ unit.transpose(0, 2, 1)
            itself = np.arange(len(shots.codes))[rows]
            cosines[:, np.arange(len(itself)), itself] = -np.inf
            return self._by_class(cosines, shots.codes)

        return score

    def _by_class(self, cosines: NDArray[Any], codes: NDArray[np.intp]) -> NDArray[Any]:
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(int(codes.max()) + 1))
        ordered = cosines[..., order]
        if self.beta is None:
            return np.maximum(np.maximum.reduceat(ordered, starts, axis=-1), _NOWHERE)
        # a log-sum-exp over each class's shots; a sole shot left out is as far as can be
        exponents = -self.beta * (1 - ordered)
        lowest = 2 * self.beta * _NOWHERE
        peaks = np.maximum(np.maximum.reduceat(exponents, starts, axis=-1), lowest)
        near = np.exp(exponents - np.repeat(peaks, np.bincount(codes), axis=-1))
        total = np.add.reduceat(near, starts, axis=-1)
        count = np.add.reduceat(np.isfinite(ordered).astype(np.float64), starts, axis=-1)
        return np.asarray(
            np.where(count > 0, peaks + np.log(np.where(count > 0, total / np.maximum(count, 1), 1)), lowest)
        )
