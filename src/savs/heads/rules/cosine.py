"""Cosine to the class centroid ([SAV] section 3), with leave-one-out centroids from cached sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from savs.heads.rules.base import LeftOutScorer, LeftOutTable, Parameters
from savs.heads.scaling import power_of_two_scale
from savs.heads.shots import Shots, unit_vectors

__all__ = ["CosineRule"]

_LOST = 1e-14
"""A leave-one-out sum this much shorter (squared) than its parts is rounding, not a direction."""


@dataclass(frozen=True)
class CosineRule(LeftOutTable):
    """Score of a class: cosine to the plain mean of its shots; 0 where either vector is zero."""

    name: str = "cosine"
    default_temperature: float | None = None

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn unit centroids, ``centroids`` of shape (n_block_heads, n_classes, head_dim)."""
        return {"centroids": unit_vectors(shots.class_sums(_scaled(vectors)))}

    def scores(
        self,
        vectors: NDArray[np.float64],
        parameters: Parameters,
        codes: NDArray[np.intp],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return cosines."""
        return np.asarray(unit_vectors(vectors) @ parameters["centroids"].transpose(0, 2, 1))

    def left_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return what gives cosines; a shot's own class has the others' centroid, (sum - h) / (n - 1)."""
        vectors = _scaled(vectors)
        sums = shots.class_sums(vectors)
        lengths = np.einsum("hcd,hcd->hc", sums, sums)
        squares = np.einsum("hnd,hnd->hn", vectors, vectors)

        def score(rows: slice) -> NDArray[np.float64]:
            return _left_out_cosines(vectors[:, rows], squares[:, rows], sums, lengths, shots.codes[rows])

        return score


def _left_out_cosines(
    vectors: NDArray[np.float64],
    squares: NDArray[np.float64],
    sums: NDArray[np.float64],
    lengths: NDArray[np.float64],
    codes: NDArray[np.intp],
) -> NDArray[np.float64]:
    dots = vectors @ sums.transpose(0, 2, 1)
    rows = np.arange(len(codes))
    own_dots = dots[:, rows, codes]
    dots *= _inverse(np.sqrt(squares))[..., None]
    dots *= _inverse(np.sqrt(lengths))[:, None]
    # |s - h|^2 and <h, s - h> from the products
    length = lengths[:, codes] - 2 * own_dots + squares
    length = np.where(length > _LOST * (lengths[:, codes] + squares), length, 0.0)
    own = (own_dots - squares) * _inverse(np.sqrt(squares)) * _inverse(np.sqrt(length))
    dots[:, rows, codes] = np.clip(own, -1.0, 1.0)
    return np.asarray(dots)


def _scaled(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each head's vectors times a power of two, which changes no cosine and prevents overflow."""
    peaks = np.abs(vectors).max(axis=(1, 2), initial=0.0)
    return vectors * power_of_two_scale(peaks)[:, None, None]


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse: NDArray[np.float64] = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    return inverse
