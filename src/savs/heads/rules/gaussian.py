"""Gaussian classes with one covariance per head: HEC-V as published, and with OAS shrinkage.

Leaving a shot out changes its class's mean and takes a rank-one term off the within-class scatter, so
everything stays in the eigenbasis of the full scatter (Sherman and Morrison 1950).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.heads.rules.base import Parameters
from savs.heads.shots import Shots, unit_vectors

__all__ = ["GaussianRule", "left_out_gaussian_scores"]

_TINY = 1e-12


class _Scatter(NamedTuple):
    """Within-class scatter of each head, in its eigenbasis."""

    values: NDArray[np.float64]  # (heads, d), ascending, not negative
    basis: NDArray[np.float64]  # (heads, d, d), columns
    means: NDArray[np.float64]  # (heads, classes, d), in the basis
    vectors: NDArray[np.float64]  # (heads, shots, d), in the basis


@dataclass(frozen=True)
class GaussianRule:
    """Score of a class: log density up to a constant, all classes with the head's pooled covariance.

    Parameters
    ----------
    covariance : "ridge" or "oas"
        "ridge": [HEC] (HEC-V): precision ``d * pinv((N - 1) S + ridge * tr(S) * I)`` with ``S`` the scatter
        around the class means over N - 1. "oas": the scatter over N - C, shrunk towards a multiple of the
        identity with the oracle approximating weight (Chen, Wiesel, Eldar and Hero, IEEE TSP 2010, eq. 23).
    ridge : float, default=1
        lambda of HEC-V.
    unit : bool, default=True
        Whether vectors are brought to length 1 first, as in HEC-V.
    class_prior : bool, default=False
        Whether the log share of the class among the shots is added, as in HEC-V.

    Notes
    -----
    A head whose shots lie exactly at their class means has no covariance: its precision is 0 under "ridge"
    as published (pseudo-inverse of 0) and its scores tie; likewise here under "oas".
    """

    covariance: Literal["ridge", "oas"] = "ridge"
    ridge: float = 1.0
    unit: bool = True
    class_prior: bool = False

    @property
    def name(self) -> str:
        """Short name, as in saved states."""
        if self.covariance == "oas":
            return "oas"
        return "hec_v" if self.class_prior else "gaussian"

    @property
    def default_temperature(self) -> float | None:
        """10, tau of HEC-V."""
        return 10.0 if self.covariance == "ridge" else None

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn the linear form of the scores.

        The quadratic term of the vector is common to all classes and cancels in the softmax. What is left is
        ``<x, P mu_k> - <mu_k, P mu_k> / 2``: ``weights`` (n_block_heads, n_classes, head_dim) and
        ``offsets`` (n_block_heads, n_classes).
        """
        scatter = _scatter(self._prepared(vectors), shots)
        squares = (scatter.values**2).sum(axis=1)
        scale, floor = self._precision_terms(
            scatter.values.sum(axis=1), squares, shots, scatter.values.shape[1]
        )
        precision = _reciprocal(scale[:, None] * scatter.values + floor[:, None])
        weighted = scatter.means * precision[:, None]
        offsets = -0.5 * (scatter.means * weighted).sum(axis=2)
        if self.class_prior:
            offsets += np.log(shots.counts / len(shots.codes))
        return {"weights": weighted @ scatter.basis.transpose(0, 2, 1), "offsets": offsets}

    def scores(
        self,
        vectors: NDArray[np.float64],
        parameters: Parameters,
        codes: NDArray[np.intp],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return log densities up to a constant per vector."""
        linear = self._prepared(vectors) @ parameters["weights"].transpose(0, 2, 1)
        return np.asarray(linear + parameters["offsets"][:, None])

    def left_out_scores(self, vectors: NDArray[np.float64], shots: Shots) -> NDArray[np.float64]:
        """Return log densities from means and covariance without the shot, shrinkage included."""
        scatter = _scatter(self._prepared(vectors), shots)
        counts = shots.counts[shots.codes]
        share = counts / np.maximum(counts - 1, 1)
        residuals = scatter.vectors - scatter.means[:, shots.codes]
        lengths = (residuals**2).sum(axis=2)
        through = (residuals**2 * scatter.values[:, None]).sum(axis=2)
        trace = np.maximum(scatter.values.sum(axis=1)[:, None] - share * lengths, 0.0)
        squares = (scatter.values**2).sum(axis=1)[:, None] - 2 * share * through + (share * lengths) ** 2
        scale, floor = self._precision_terms(
            trace, np.maximum(squares, 0.0), shots, scatter.values.shape[1], fewer=1
        )
        scores = _left_out_quadratic(scatter, residuals, shots, scale, floor)
        if self.class_prior:
            others = shots.counts - shots.membership
            scores += np.log(np.maximum(others, 1) / max(len(shots.codes) - 1, 1))
        return scores

    def _prepared(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return unit_vectors(vectors) if self.unit else vectors

    def _precision_terms(
        self,
        trace: NDArray[np.float64],
        squares: NDArray[np.float64],
        shots: Shots,
        dim: int,
        fewer: int = 0,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return a, b of the covariance a W + b I, for a scatter W of given trace and trace of its square."""
        n_shots = len(shots.codes) - fewer
        if self.covariance == "ridge":
            scale = np.full_like(trace, 1.0 / dim)
            return scale, self.ridge * trace / max(n_shots - 1, 1) / dim
        freedom = max(n_shots - shots.n_classes, 1)
        weight = _oas_weight(trace / freedom, squares / freedom**2, freedom, dim)
        return (1 - weight) / freedom, weight * trace / freedom / dim


def left_out_gaussian_scores(
    vectors: NDArray[np.float64], shots: Shots, ridges: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], Parameters]]:
    """Return leave-one-out scores and parameters of one wide "head" for several ridges, one decomposition.

    Parameters
    ----------
    vectors : ndarray of float64, shape (n_shots, n_coordinates)
        Coordinates of the shots, used as they are.
    shots : Shots
        Their labels.
    ridges : ndarray of float64
        Values of lambda in the HEC-V form.

    Returns
    -------
    list of (ndarray of float64, dict)
        Scores (n_shots, n_classes); ``weights`` (n_classes, n_coordinates) and ``offsets`` (n_classes,).
    """
    scatter = _scatter(vectors[None], shots)
    residuals = scatter.vectors - scatter.means[:, shots.codes]
    counts = shots.counts[shots.codes]
    share = counts / np.maximum(counts - 1, 1)
    trace = scatter.values.sum(axis=1)
    left = np.maximum(trace[:, None] - share * (residuals**2).sum(axis=2), 0.0)
    found = []
    for ridge in ridges:
        rule = GaussianRule(ridge=float(ridge), unit=False)
        dim = vectors.shape[1]
        scale, floor = rule._precision_terms(left, left, shots, dim, fewer=1)
        scores = _left_out_quadratic(scatter, residuals, shots, scale, floor)[0]
        scale, floor = rule._precision_terms(trace, trace, shots, dim)
        precision = _reciprocal(scale[:, None] * scatter.values + floor[:, None])
        weighted = (scatter.means * precision[:, None])[0]
        offsets = -0.5 * (scatter.means[0] * weighted).sum(axis=1)
        found.append((scores, {"weights": weighted @ scatter.basis[0].T, "offsets": offsets}))
    return found


def _scatter(vectors: NDArray[np.float64], shots: Shots) -> _Scatter:
    means = shots.class_sums(vectors) / shots.counts[:, None]
    residuals = vectors - means[:, shots.codes]
    values, basis = np.linalg.eigh(residuals.transpose(0, 2, 1) @ residuals)
    values = np.where(values > _TINY * values[:, -1:], values, 0.0)
    return _Scatter(values, basis, means @ basis, vectors @ basis)


def _left_out_quadratic(
    scatter: _Scatter,
    residuals: NDArray[np.float64],
    shots: Shots,
    scale: NDArray[np.float64],
    floor: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return ``-1/2 (x - mu)' (a W' + b I)^-1 (x - mu)`` with W' and the own mean without the shot.

    ``W' = W - n/(n-1) r r'`` and ``x - mu' = n/(n-1) r`` with r the shot's residual. a, b: (heads, shots).
    """
    counts = shots.counts[shots.codes]
    share = counts / np.maximum(counts - 1, 1)
    rows, codes = np.arange(len(counts)), shots.codes
    precision = _reciprocal(scale[..., None] * scatter.values[:, None] + floor[..., None])
    means, squares = scatter.means.transpose(0, 2, 1), (scatter.means**2).transpose(0, 2, 1)
    weighted = precision * scatter.vectors
    quadratic = (scatter.vectors * weighted).sum(axis=2)[..., None] - 2 * weighted @ means
    quadratic += precision @ squares
    weighted = precision * residuals
    cross = (scatter.vectors * weighted).sum(axis=2)[..., None] - weighted @ means
    own = (residuals * weighted).sum(axis=2)
    quadratic[:, rows, codes] = share**2 * own
    cross[:, rows, codes] = share * own
    factor = scale * share
    quadratic += (factor / np.maximum(1 - factor * own, _TINY))[..., None] * cross**2
    return np.asarray(-0.5 * quadratic)


def _oas_weight(
    trace: NDArray[np.float64], squares: NDArray[np.float64], n: int, dim: int
) -> NDArray[np.float64]:
    """Return the shrinkage weight of OAS for covariances with tr(S) and tr(S^2), n degrees of freedom."""
    above = (1 - 2 / dim) * squares + trace**2
    below = (n + 1 - 2 / dim) * (squares - trace**2 / dim)
    ratio = np.divide(above, below, out=np.ones_like(above), where=below > _TINY * trace**2)
    return np.clip(ratio, 0.0, 1.0)


def _reciprocal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse: NDArray[np.float64] = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    return inverse
