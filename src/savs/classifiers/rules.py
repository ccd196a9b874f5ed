"""Rules that score the classes by one head: cosine to the centroid, Gaussian, nearest shot.

Rules see blocks of heads of one width and treat each head by itself.

Leaving a shot out changes its class's mean and takes a rank-one term off the within-class scatter, so
everything stays in the eigenbasis of the full scatter (Sherman and Morrison 1950).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._registry import NotRegisteredError, Registry
from savs.classifiers._numerics import power_of_two_scale
from savs.classifiers._support_set import Shots, head_blocks, unit_vectors
from savs.layout import Head, HeadLayout

__all__ = [
    "HeadRule",
    "LeftOutScorer",
    "Parameters",
    "CosineRule",
    "GaussianRule",
    "leave_one_out_gaussian_scores",
    "NearestShotRule",
    "available_rules",
    "make_rule",
    "register_rule",
    "fit_every_head",
    "score_every_head",
]


# What a rule for one head is: fitted on its shots, it scores every class for a vector.

Parameters = dict[str, NDArray[np.float64]]
"""Named arrays whose first axis is the heads of a block."""


LeftOutScorer = Callable[[slice], NDArray[Any]]
"""From a slice of the shots to their scores."""


class HeadRule:
    """Scores of classes by single heads; subclass it for a rule of your own.

    A rule sees the vectors of a block of heads of one width at a time and treats each head by itself. It
    writes `fit` and `scores`; everything else has defaults. An object of it gets a name by `register_rule`,
    or by an entry point ``savs.rules`` of an installed package, and then works as
    ``HeadVoteClassifier(rule=name)`` like the built-in ones: head scoring, selection, voting, calibration,
    cross-validation and saving need nothing more. A saved classifier holds the name of the rule and the
    arrays that `fit` returned; it loads where the name is registered.

    Attributes
    ----------
    default_temperature : float or None
        What scores are divided by before the softmax. None: one per head is fitted on held-out shots.

    Examples
    --------
    The negative squared distance to the class mean:

    >>> class NearestMean(HeadRule):
    ...     def fit(self, vectors, shots):
    ...         return {"means": shots.class_sums(vectors) / shots.counts[:, None]}
    ...
    ...     def scores(self, vectors, parameters, codes):
    ...         gaps = vectors[:, :, None] - parameters["means"][:, None]
    ...         return -(gaps**2).sum(axis=3)
    >>> register_rule("doctest_nearest_mean", NearestMean())
    >>> from savs.classifiers import HeadVoteClassifier
    >>> X, y = np.array([[0.0, 0], [1, 0], [4, 4], [5, 4]]), ["low", "low", "high", "high"]
    >>> HeadVoteClassifier(rule="doctest_nearest_mean").fit(X, y).predict([[1.0, 1]]).tolist()
    ['low']
    """

    default_temperature: float | None = None

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn from the shots.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads; may be overwritten.
        shots : Shots
            Their labels: ``codes`` (n_shots,), the class index of each; ``counts`` (n_classes,);
            ``n_classes``; ``class_sums(vectors)``, the sums by class (n_block_heads, n_classes, head_dim).
            Every class has at least one shot.

        Returns
        -------
        dict of str to ndarray of float64
            Whatever `scores` needs, by names without ``.`` and ``/``; the first axis of each array is the
            heads of the block.
        """
        raise NotImplementedError

    def scores(
        self, vectors: NDArray[np.float64], parameters: Parameters, codes: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Score the classes for new vectors.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_rows, head_dim)
            New vectors of the heads.
        parameters : dict of str to ndarray of float64
            From `fit`, for the same heads.
        codes : ndarray of int, shape (n_shots,)
            Class indices of the shots, for rules whose parameters hold the shots.

        Returns
        -------
        ndarray of float64, shape (n_block_heads, n_rows, n_classes)
            Finite scores; the largest wins.
        """
        raise NotImplementedError

    def held_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return what gives the scores of a slice of the shots, each from all other shots.

        By default the rule is fitted again without each shot. A rule that knows a closed form is faster with
        its own.

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
            ``shots.is_large``. A shot without another one of its class has a finite but meaningless score
            for its own class; `Shots.can_be_held_out` says which.
        """
        n_shots = len(shots.codes)

        def score(rows: slice) -> NDArray[Any]:
            places = np.arange(n_shots)[rows]
            dtype = np.float32 if shots.is_large else np.float64
            table = np.zeros((len(vectors), len(places), shots.n_classes), dtype=dtype)
            for row, shot in enumerate(places):
                if shots.can_be_held_out[shot]:
                    others = np.arange(n_shots) != shot
                    codes = shots.codes[others]
                    rest = Shots(np.empty((n_shots - 1, 0)), codes, shots.n_classes, shots.layout)
                    parameters = self.fit(vectors[:, others], rest)
                    table[:, row] = self.scores(vectors[:, [shot]], parameters, codes)[:, 0]
            return table

        return score

    def held_out_scores(self, vectors: NDArray[np.float64], shots: Shots) -> NDArray[Any]:
        """Return the scores of all shots, each from all other shots.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        ndarray of float64 or float32, shape (n_block_heads, n_shots, n_classes)
            See `held_out_scorer`.
        """
        scorer = self.held_out_scorer(vectors, shots)
        if not shots.is_large:
            return scorer(slice(None))
        table = np.empty((len(vectors), len(shots.codes), shots.n_classes), dtype=np.float32)
        for rows in shots.row_slices():
            table[:, rows] = scorer(rows)
        return table


# Cosine to the class centroid ([SAV] section 3), with leave-one-out centroids from cached sums.

_LOST = 1e-14
"""A leave-one-out sum this much shorter (squared) than its parts is rounding, not a direction."""


@dataclass(frozen=True)
class CosineRule(HeadRule):
    """Score of a class: cosine to the plain mean of its shots; 0 where either vector is zero."""

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn the class centroids ([SAV] section 3).

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        dict of str to ndarray of float64
            ``centroids`` of length 1, shape (n_block_heads, n_classes, head_dim).
        """
        return {"centroids": unit_vectors(shots.class_sums(_scaled(vectors)))}

    def scores(
        self,
        vectors: NDArray[np.float64],
        parameters: Parameters,
        codes: NDArray[np.intp],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return the cosine of each vector to each class centroid.

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
            Cosines; 0 where either vector is zero.
        """
        return np.asarray(unit_vectors(vectors) @ parameters["centroids"].transpose(0, 2, 1))

    def held_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return a function that scores shots by their cosines to centroids computed without them.

        The centroid of the shot's own class is that of the other shots, ``(sum - h) / (n - 1)``.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        callable
            From a slice of the shots to float64 scores of shape (n_block_heads, n_rows, n_classes); see
            `HeadRule.held_out_scorer`.
        """
        vectors = _scaled(vectors)
        sums = shots.class_sums(vectors)
        lengths = np.einsum("hcd,hcd->hc", sums, sums)
        squares = np.einsum("hnd,hnd->hn", vectors, vectors)

        def score(rows: slice) -> NDArray[np.float64]:
            return _held_out_cosines(vectors[:, rows], squares[:, rows], sums, lengths, shots.codes[rows])

        return score


def _held_out_cosines(
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


# Gaussian classes with one covariance per head: HEC-V as published, and with OAS shrinkage.

_TINY = 1e-12


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
        found = _LeftOut(
            scatter.values, scatter.means, scatter.vectors, residuals, scale, floor, share
        ).in_the_precision_for(shots)

        def score(rows: slice) -> NDArray[np.floating]:
            scores = _held_out_quadratic(found, shots.codes, rows)
            if self.class_prior:
                others = shots.counts - (shots.codes[rows, None] == np.arange(shots.n_classes))
                scores += np.log(np.maximum(others, 1) / max(len(shots.codes) - 1, 1)).astype(scores.dtype)
            return scores

        return score

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
        terms = _LeftOut(
            scatter.values, scatter.means, scatter.vectors, residuals, scale, floor, share
        ).in_the_precision_for(shots)
        scores = _held_out_quadratic(terms, shots.codes, slice(None))[0].astype(np.float64)
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


def _held_out_quadratic(terms: _LeftOut, codes: NDArray[np.intp], rows: slice) -> NDArray[np.floating]:
    """Return ``-1/2 (x - mu)' (a W' + b I)^-1 (x - mu)`` with W' and the own mean without the shot.

    ``W' = W - n/(n-1) r r'`` and ``x - mu' = n/(n-1) r`` with r the shot's residual. a, b: (heads, shots).
    """
    vectors, residuals, codes = terms.vectors[:, rows], terms.residuals[:, rows], codes[rows]
    scale, share, places = terms.scale[:, rows], terms.share[rows], np.arange(len(codes))
    precision = _reciprocal(scale[..., None] * terms.values[:, None] + terms.floor[:, rows, None])
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


def _reciprocal(values: NDArray[Any]) -> NDArray[Any]:
    inverse: NDArray[Any] = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    return inverse


# Nearest shot instead of centroid: the largest cosine to a shot of the class, or Tip-Adapter's soft form.

_NOWHERE = -1.0
"""Score of a class without any other shot: as far away as a cosine can be."""


@dataclass(frozen=True)
class NearestShotRule(HeadRule):
    """Score of a class: cosine to its nearest shot, or a soft form over all of its shots.

    Parameters
    ----------
    beta : float or None, default=None
        None: the largest cosine. A number: ``log(mean_j exp(-beta (1 - cos_j)))`` over the shots j of the
        class, the cache model of [Tip] (eq. 3) as a mean, so that larger classes have no advantage.
    center : bool, default=True
        Whether the mean of all shots is subtracted first. It is not recomputed in leave-one-out, because it
        does not depend on the labels.
    """

    beta: float | None = None
    center: bool = True

    @property
    def default_temperature(self) -> float | None:  # type: ignore[override]
        """None: cosines need a fitted one; 1 for the soft form, whose scores are logs already."""
        return None if self.beta is None else 1.0

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:  # noqa: ARG002
        """Keep the shots, centered if `center`, as vectors of length 1.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Not used.

        Returns
        -------
        dict of str to ndarray of float64
            ``shots`` of shape (n_block_heads, n_shots, head_dim), and ``center`` of shape
            (n_block_heads, head_dim), zeros unless `center`.
        """
        center = vectors.mean(axis=1) * self.center
        return {"shots": unit_vectors(vectors - center[:, None]), "center": center}

    def scores(
        self, vectors: NDArray[np.float64], parameters: Parameters, codes: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Score each class by the shots of the class that are close to the vector.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_rows, head_dim)
            New vectors of the heads.
        parameters : dict of str to ndarray of float64
            From `fit`, for the same heads.
        codes : ndarray of int, shape (n_shots,)
            Class indices of the shots.

        Returns
        -------
        ndarray of float64, shape (n_block_heads, n_rows, n_classes)
            Cosines, or log mean similarities if `beta` is a number ([Tip] eq. 3, as a mean).
        """
        unit = unit_vectors(vectors - parameters["center"][:, None])
        return self._by_class(unit @ parameters["shots"].transpose(0, 2, 1), codes)

    def held_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return a function that scores shots without comparing any shot with itself.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        callable
            From a slice of the shots to scores of shape (n_block_heads, n_rows, n_classes), from cosines in
            float32 where ``shots.is_large``; see `HeadRule.held_out_scorer`.
        """
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


# The rules by name.

_TIP_BETA = 5.5
"""The public code of [Tip] starts from this sharpness."""

_RULES: Registry[HeadRule] = Registry("rule", "savs.rules")

for _name, _rule in (
    ("cosine", CosineRule()),  # to the centroid
    ("gaussian", GaussianRule("ridge")),  # HEC-V with equal class priors
    ("hec_v", GaussianRule("ridge", class_prior=True)),  # as published
    ("oas", GaussianRule("oas")),  # with OAS shrinkage
    ("nearest", NearestShotRule()),  # the nearest shot
    ("near", NearestShotRule(beta=_TIP_BETA)),  # Tip-Adapter's soft form of it
):
    _RULES.register(_name, _rule)


def register_rule(name: str, rule: HeadRule, *, replace: bool = False) -> None:
    """Give a rule a name, for ``HeadVoteClassifier(rule=name)`` and for saved classifiers.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``.
    rule : HeadRule
        The rule; see there for how to write one.
    replace : bool, default=False
        Allow a name that is taken.

    Raises
    ------
    ValueError
        If the name is taken or has other characters.
    """
    _RULES.register(name, rule, replace=replace)


def available_rules() -> tuple[str, ...]:
    """Return the names of all rules: built in, registered, or provided by installed packages."""
    return tuple(_RULES)


def make_rule(rule: object) -> HeadRule:
    """Return the rule of a name.

    Raises
    ------
    NotRegisteredError
        A `ValueError`, if there is no rule of that name.
    """
    if not isinstance(rule, str) or rule not in _RULES:
        raise NotRegisteredError(f"rule must be one of {', '.join(available_rules())}, got {rule!r}")
    return _RULES[rule]


# A rule fitted to every head of a layout: parameters as named arrays, scores of new rows block by block.


def fit_every_head(rule: HeadRule, shots: Shots, heads: Sequence[Head]) -> dict[str, NDArray[Any]]:
    """Fit the rule to each of the given heads.

    Parameters
    ----------
    rule : HeadRule
        The rule to fit.
    shots : Shots
        The shots.
    heads : sequence of Head
        Heads of ``shots.layout``.

    Returns
    -------
    dict of str to ndarray
        The rule's parameters, by ``"<group>.<name>"``. Heads of one width form a group, numbered as in
        ``shots.layout.select(heads).groups``. The first axis of each array is the heads of the group, in
        their order in `heads`.
    """
    found: dict[str, list[NDArray[np.float64]]] = {}
    dims = [group.columns.shape[1] for group in shots.layout.select(heads).groups]
    for block in shots.blocks_of(heads):
        group = dims.index(block.vectors.shape[2])
        for name, array in rule.fit(block.vectors, shots).items():
            found.setdefault(f"{group}.{name}", []).append(array)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def score_every_head(
    rule: HeadRule,
    arrays: dict[str, NDArray[Any]],
    rows: NDArray[np.floating],
    layout: HeadLayout,
    codes: NDArray[np.intp],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield the scores of rows from each head, one block of heads at a time.

    Parameters
    ----------
    rule : HeadRule
        The rule that was fitted.
    arrays : dict of str to ndarray
        From `fit_every_head`, for the heads of `layout`.
    rows : ndarray of float, shape (n_rows, layout.width)
        Feature rows.
    layout : HeadLayout
        Which columns belong to which head.
    codes : ndarray of int, shape (n_shots,)
        Class indices of the shots that the rule was fitted on.

    Yields
    ------
    positions : ndarray of int, shape (n_block_heads,)
        Positions of the heads in `layout`.
    scores : ndarray of float64, shape (n_block_heads, n_rows, n_classes)
        Their scores; the largest wins.
    """
    dims = [group.columns.shape[1] for group in layout.groups]
    done = [0] * len(dims)
    for positions, vectors in head_blocks(rows, layout):
        group = dims.index(vectors.shape[2])
        piece = slice(done[group], done[group] + len(positions))
        done[group] += len(positions)
        yield positions, rule.scores(vectors, _piece(arrays, group, piece), codes)


def _piece(arrays: dict[str, NDArray[Any]], group: int, piece: slice) -> Parameters:
    prefix = f"{group}."
    return {
        name.removeprefix(prefix): array[piece] for name, array in arrays.items() if name.startswith(prefix)
    }
