"""A Gaussian for each class with one covariance per head: HEC-V as published, and with OAS shrinkage.

Leaving a shot out changes its class's mean and takes a rank-one term off the within-class scatter, so
everything stays in the eigenbasis of the full scatter (Sherman and Morrison 1950).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.classifiers._numerics import reciprocal
from savs.classifiers._support_set import Shots, unit_vectors
from savs.classifiers.head_rule import HeadRule, LeftOutScorer, Parameters

__all__ = ["GaussianRule", "leave_one_out_gaussian_scores"]

_TINY = 1e-12

_ROUNDING = 1e-12
"""Shots that differ from their class mean by so little of their length are the same."""

_MOST_NOISE = 2.0
"""The squared deviation of one shot is at most this many times what the ridge alone would make of it."""


class _Scatter(NamedTuple):
    """Within-class scatter of each head, in its eigenbasis."""

    values: NDArray[np.float64]  # (heads, d), ascending, not negative
    basis: NDArray[np.float64]  # (heads, d, d), columns
    means: NDArray[np.float64]  # (heads, classes, d), in the basis
    vectors: NDArray[np.float64]  # (heads, shots, d), in the basis


class _LeftOut(NamedTuple):
    """What scores of held-out shots are made of, in the eigenbasis of the full scatter."""

    values: NDArray[Any]  # (heads, d)
    means: NDArray[Any]  # (heads, classes, d)
    vectors: NDArray[Any]  # (heads, shots, d)
    residuals: NDArray[Any]  # (heads, shots, d)
    scale: NDArray[Any]  # (heads, shots), of the covariance without the shot
    floor: NDArray[Any]  # (heads, shots), likewise
    share: NDArray[Any]  # (shots,), n / (n - 1) of the shot's class
    most: NDArray[Any]  # (heads, shots), of the squared deviation of one shot

    def in_the_precision_for(self, shots: Shots) -> _LeftOut:
        """Return the same in float32 where the table of scores is large."""
        return _LeftOut(*(term.astype(np.float32) for term in self)) if shots.is_large else self


@dataclass(frozen=True)
class GaussianRule(HeadRule):
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
        Whether vectors are scaled to length 1 first, as in HEC-V.
    class_prior : bool, default=False
        Whether the log share of the class among the shots is added, as in HEC-V.
    unbiased : bool, default=False
        Whether half of ``s / n_k`` is added to the score of a class of n_k shots: by so much
        ``<mu_k, P mu_k> / 2`` of their mean is too large on average. s, the squared deviation of one shot, is
        taken from held-out shots: ``(x - mu)' P (x - mu) (n - 1) / n`` with mean and P of the others.
        It is at most twice ``v / b``, with v the squared deviation by the scatter (its trace over N - C) and
        b the ridge of P: where one shot makes nearly all the scatter, as with near copies in all other
        classes, P without it has no bound. Without `unbiased`, classes of few shots
        lose, and so do the classes of held-out shots.

    Notes
    -----
    A head whose shots lie exactly at their class means, as with one shot per class, has no covariance. Its
    precision as published would be 0 (the pseudo-inverse of 0), and all classes would tie. Here the ridge
    then assumes a trace of 1, so that the nearest mean wins.
    """

    covariance: Literal["ridge", "oas"] = "ridge"
    ridge: float = 1.0
    unit: bool = True
    class_prior: bool = False
    unbiased: bool = False

    @property
    def default_temperature(self) -> float | None:  # type: ignore[override]
        """10, tau of HEC-V."""
        return 10.0 if self.covariance == "ridge" else None

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn the scores as linear functions of the vector.

        The quadratic term of the vector is common to all classes and cancels in the softmax. The score of
        class k is ``<x, P mu_k> - <mu_k, P mu_k> / 2``, with class mean ``mu_k`` and precision ``P``, plus
        the log of the class's share of the shots if `class_prior`.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        dict of str to ndarray of float64
            ``weights`` of shape (n_block_heads, n_classes, head_dim) and ``offsets`` of shape
            (n_block_heads, n_classes).
        """
        return self._parameters(_scatter(self._prepared(vectors), shots), shots)

    def _parameters(
        self, scatter: _Scatter, shots: Shots, deviations: NDArray[np.float64] | None = None
    ) -> Parameters:
        """Return what `fit` does; `deviations` are those of `_deviations`, if they are at hand."""
        squares = (scatter.values**2).sum(axis=1)
        scale, floor = self._precision_terms(
            scatter.values.sum(axis=1), squares, shots, scatter.values.shape[1]
        )
        precision = reciprocal(scale[:, None] * scatter.values + floor[:, None])
        weighted = scatter.means * precision[:, None]
        offsets = -0.5 * (scatter.means * weighted).sum(axis=2)
        if self.unbiased and (shots.counts != shots.counts[0]).any():  # otherwise the same for all classes
            if deviations is None:
                deviations = _deviations(self._left_out(scatter, shots))
            noise = deviations[:, shots.can_be_held_out].mean(axis=1)
            trace = scatter.values.sum(axis=1)
            noise = np.minimum(noise, _most_noise(trace, floor, len(shots.codes), shots.n_classes))
            offsets += 0.5 * noise[:, None] / shots.counts
        if self.class_prior:
            offsets += np.log(shots.counts / len(shots.codes))
        return {"weights": weighted @ scatter.basis.transpose(0, 2, 1), "offsets": offsets}

    def scores(
        self,
        vectors: NDArray[np.float64],
        parameters: Parameters,
        codes: NDArray[np.intp],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return log densities of the classes, up to a constant per vector.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_rows, head_dim)
            New vectors of the heads.
        parameters : dict of str to ndarray of float64
            From `fit`, for the same heads.
        codes : ndarray of int, shape (n_shots,)
            Not used.

        Returns
        -------
        ndarray of float64, shape (n_block_heads, n_rows, n_classes)
            Log densities.
        """
        linear = self._prepared(vectors) @ parameters["weights"].transpose(0, 2, 1)
        return np.asarray(linear + parameters["offsets"][:, None])

    def held_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return a function that scores shots by log densities estimated without them.

        Means, covariance and shrinkage are all those of the other shots, by a rank-one update of the scatter
        (Sherman and Morrison 1950).

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        callable
            From a slice of the shots to scores of shape (n_block_heads, n_rows, n_classes), float32 where
            ``shots.is_large``; see `HeadRule.held_out_scorer`.
        """
        scatter = _scatter(self._prepared(vectors), shots)
        terms = self._left_out(scatter, shots)
        noise = _noise_of_one(_deviations(terms), terms.most, shots) if self.unbiased else None
        found = terms.in_the_precision_for(shots)

        def score(rows: slice) -> NDArray[np.floating]:
            scores = _held_out_quadratic(found, shots, rows, noise)
            if self.class_prior:
                others = shots.counts - (shots.codes[rows, None] == np.arange(shots.n_classes))
                scores += np.log(np.maximum(others, 1) / max(len(shots.codes) - 1, 1)).astype(scores.dtype)
            return scores

        return score

    def _left_out(self, scatter: _Scatter, shots: Shots) -> _LeftOut:
        """Return what scores of held-out shots are made of."""
        counts = shots.counts[shots.codes]
        share = counts / np.maximum(counts - 1, 1)
        residuals = scatter.vectors - scatter.means[:, shots.codes]
        lengths = (residuals**2).sum(axis=2)
        through = (residuals**2 * scatter.values[:, None]).sum(axis=2)
        total = scatter.values.sum(axis=1)[:, None]
        trace = total - share * lengths
        squares = (scatter.values**2).sum(axis=1)[:, None] - 2 * share * through + (share * lengths) ** 2
        remains = trace > _TINY * total  # otherwise all scatter was the shot's, and the rest is rounding
        trace, squares = np.where(remains, trace, 0.0), np.where(remains, np.maximum(squares, 0.0), 0.0)
        scale, floor = self._precision_terms(trace, squares, shots, scatter.values.shape[1], fewer=1)
        most = _most_noise(trace, floor, len(shots.codes) - 1, shots.n_classes)
        return _LeftOut(scatter.values, scatter.means, scatter.vectors, residuals, scale, floor, share, most)

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
            spread = np.where(trace > 0, trace / max(n_shots - 1, 1), 1.0)
            return scale, self.ridge * spread / dim
        freedom = max(n_shots - shots.n_classes, 1)
        weight = _oas_weight(trace / freedom, squares / freedom**2, freedom, dim)
        spread = np.where(trace > 0, trace / freedom, 1.0)
        return (1 - weight) / freedom, weight * spread / dim


def leave_one_out_gaussian_scores(
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
    found = []
    for ridge in ridges:
        rule = GaussianRule(ridge=float(ridge), unit=False, unbiased=True)
        terms = rule._left_out(scatter, shots)
        deviations = _deviations(terms)
        noise = _noise_of_one(deviations, terms.most, shots)
        held_out = _held_out_quadratic(terms.in_the_precision_for(shots), shots, slice(None), noise)
        fitted = rule._parameters(scatter, shots, deviations)
        found.append((held_out[0].astype(np.float64), {name: one[0] for name, one in fitted.items()}))
    return found


def _scatter(vectors: NDArray[np.float64], shots: Shots) -> _Scatter:
    means = shots.class_sums(vectors) / shots.counts[:, None]
    residuals = vectors - means[:, shots.codes]
    values, basis = np.linalg.eigh(residuals.transpose(0, 2, 1) @ residuals)
    rounding = _ROUNDING**2 * np.einsum("hnd,hnd->h", vectors, vectors)[:, None]
    values = np.where(values > np.maximum(_TINY * values[:, -1:], rounding), values, 0.0)
    return _Scatter(values, basis, means @ basis, vectors @ basis)


def _deviations(terms: _LeftOut) -> NDArray[np.float64]:
    """Return the squared deviation of each shot from its class, by mean and precision of the others."""
    found = np.empty(terms.residuals.shape[:2])
    for place in range(len(found)):  # head by head: the precisions of all at once are as large as the vectors
        precision = reciprocal(
            terms.scale[place, :, None] * terms.values[place] + terms.floor[place, :, None]
        )
        through = (terms.residuals[place] ** 2 * precision).sum(axis=1)
        left = np.maximum(1 - terms.scale[place] * terms.share * through, _TINY)
        found[place] = terms.share * through / left
    return found


def _noise_of_one(
    deviations: NDArray[np.float64], most: NDArray[np.float64], shots: Shots
) -> NDArray[np.float64]:
    """Return the squared deviation of one shot from its class mean, as the others see it, (heads, shots).

    Of shot i it is the mean over the other shots that can be held out.
    """
    usable = shots.can_be_held_out
    own = np.where(usable, deviations, 0.0)
    n_others = usable.sum() - usable
    others = (own.sum(axis=1, keepdims=True) - own) / np.maximum(n_others, 1)
    return np.asarray(np.minimum(others, most))


def _most_noise(
    trace: NDArray[np.float64], floor: NDArray[np.float64], n_shots: int, n_classes: int
) -> NDArray[np.float64]:
    """Return the largest squared deviation of one shot for a scatter of given trace and ridge."""
    return np.asarray(_MOST_NOISE * trace / max(n_shots - n_classes, 1) * reciprocal(floor))


def _held_out_quadratic(
    terms: _LeftOut, shots: Shots, rows: slice, noise: NDArray[np.float64] | None
) -> NDArray[np.floating]:
    """Return ``-1/2 (x - mu)' (a W' + b I)^-1 (x - mu)`` with W' and the own mean without the shot.

    ``W' = W - n/(n-1) r r'`` and ``x - mu' = n/(n-1) r`` with r the shot's residual. a, b: (heads, shots).
    `noise`, from `_noise_of_one`, over the shots of a class is taken off.
    """
    vectors, residuals, codes = terms.vectors[:, rows], terms.residuals[:, rows], shots.codes[rows]
    scale, share, places = terms.scale[:, rows], terms.share[rows], np.arange(len(codes))
    precision = reciprocal(scale[..., None] * terms.values[:, None] + terms.floor[:, rows, None])
    means = terms.means.transpose(0, 2, 1)
    weighted = precision * vectors
    quadratic = precision @ means**2
    quadratic -= 2 * weighted @ means
    quadratic += (vectors * weighted).sum(axis=2)[..., None]
    weighted = precision * residuals
    cross = weighted @ means
    cross -= (vectors * weighted).sum(axis=2)[..., None]
    own = (residuals * weighted).sum(axis=2)
    quadratic[:, places, codes] = share**2 * own
    cross[:, places, codes] = share * own
    factor = scale * share
    cross *= cross
    cross *= (factor / np.maximum(1 - factor * own, _TINY))[..., None]
    quadratic += cross
    if noise is not None:
        others = shots.counts - (codes[:, None] == np.arange(shots.n_classes))
        quadratic -= (noise[:, rows, None] / np.maximum(others, 1)).astype(quadratic.dtype)
    quadratic *= -0.5
    return np.asarray(quadratic)


def _oas_weight(
    trace: NDArray[np.float64], squares: NDArray[np.float64], n: int, dim: int
) -> NDArray[np.float64]:
    """Return the shrinkage weight of OAS for covariances with tr(S) and tr(S^2), n degrees of freedom."""
    above = (1 - 2 / dim) * squares + trace**2
    below = (n + 1 - 2 / dim) * (squares - trace**2 / dim)
    ratio = np.divide(above, below, out=np.ones_like(above), where=below > _TINY * trace**2)
    return np.clip(ratio, 0.0, 1.0)
