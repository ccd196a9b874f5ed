"""Classifiers on all heads at once: kernel ridge and the Gaussian discriminant, heads softly weighted.

Heads may be centered on the mean of the shots, and are brought to length 1, so that every head counts by its
weight and not by its scale. Only matrices of shots by shots are held, whatever the number of heads.

Both are computed in the shots' own coordinates (at most as many as shots). The penalty is chosen by exact
leave-one-out, with the shots' means and the head weights held fixed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers._probabilities import fit_temperature, log_losses, softmax
from savs.classifiers._support_set import HeadBlock, Shots, head_blocks, unit_vectors
from savs.classifiers.base import CalibratedHeadClassifier, FittedScores
from savs.classifiers.gaussian_rule import GaussianRule, leave_one_out_gaussian_scores
from savs.classifiers.head_scoring import shot_weights, soft_weights, with_sole_shots_in_sample
from savs.errors import DataError
from savs.layout import HeadLayout

__all__ = [
    "MAX_KERNEL_SHOTS",
    "Frame",
    "frame_of_shots",
    "head_losses",
    "linear_weights",
    "rbf_kernel_to_shots",
    "shot_coordinates",
    "shot_kernel",
    "unit_blocks",
    "KernelDiscriminantClassifier",
    "KernelRidgeClassifier",
    "ridge_leave_one_out",
]


# One kernel over all heads: a weighted sum of per-head kernels, accumulated head by head.

MAX_KERNEL_SHOTS = 6_000
"""Kernel methods need a few matrices of shots by shots and their eigenvectors; more shots are refused."""

_LOSS_FLOOR = 1e-6
_TAU = 10.0
_RANK = 1e-10
_NOTHING = 1e-24


def head_losses(shots: Shots, weighting: str) -> NDArray[np.float64]:
    """Return the loss of each head alone on held-out shots, by the Gaussian rule of [HEC].

    All classes count alike. A sole shot of its class, which cannot be held out, is scored by the fit on all
    shots.

    Parameters
    ----------
    shots : Shots
        The shots.
    weighting : "log_loss" or "error"
        Mean negative log probability (tau = 10) of the true class, or share of wrong answers.

    Returns
    -------
    ndarray of float64, shape (n_heads,)
        The losses.
    """
    if weighting not in ("log_loss", "error"):
        raise ValueError(f"weighting must be 'log_loss' or 'error', got {weighting!r}")
    if ("losses", weighting) not in shots.memo:
        _remember_losses(shots)
    return shots.memo["losses", weighting]


def _remember_losses(shots: Shots) -> None:
    rule, codes, weights = GaussianRule(unbiased=True), shots.codes, shot_weights(shots)
    losses, errors = np.zeros((2, shots.layout.n_heads))
    for positions, vectors in shots.blocks():
        scores = with_sole_shots_in_sample(rule.held_out_scores(vectors, shots), rule, vectors, shots)
        errors[positions] = (scores.argmax(axis=2) != codes) @ weights
        true = softmax(scores / _TAU)[:, np.arange(len(codes)), codes]
        losses[positions] = -np.log(np.maximum(true, _LOSS_FLOOR)) @ weights
    shots.memo["losses", "log_loss"], shots.memo["losses", "error"] = losses, errors


class Frame(NamedTuple):
    """How head vectors are brought to one scale.

    Attributes
    ----------
    means : ndarray of float64, shape (width,)
        What is subtracted; zeros where nothing is.
    scales : ndarray of float64, shape (n_heads,), or None
        None: `means` are subtracted first, then vectors are scaled to length 1. Otherwise vectors are scaled
        to length 1 first, `means` are subtracted, and each head is multiplied by its scale.
    """

    means: NDArray[np.float64]
    scales: NDArray[np.float64] | None = None


def frame_of_shots(shots: Shots, centering: str) -> Frame:
    """Return the frame that the shots set.

    Parameters
    ----------
    shots : Shots
        The shots.
    centering : "before", "after" or "none"
        Whether the shots' mean is subtracted before vectors are scaled to length 1, or after (then each head
        is scaled so that its shots have a mean square of 1), or not at all.
    """
    if centering not in ("before", "after", "none"):
        raise ValueError(f"centering must be 'before', 'after' or 'none', got {centering!r}")
    means = np.zeros(shots.layout.width)
    if centering == "none":
        return Frame(means)
    if centering == "before":
        return Frame(shots.rows.mean(axis=0, dtype=np.float64))
    scales = np.zeros(shots.layout.n_heads)
    for positions, vectors in shots.blocks():
        for position, unit in zip(positions, unit_vectors(vectors), strict=True):
            mean = unit.mean(axis=0)
            means[shots.layout.columns(shots.layout.heads[position])] = mean
            square = float(((unit - mean) ** 2).sum(axis=1).mean())
            scales[position] = 1 / np.sqrt(square) if square > _NOTHING else 0.0
    return Frame(means, scales)


def unit_blocks(rows: NDArray[np.floating], layout: HeadLayout, frame: Frame) -> Iterator[HeadBlock]:
    """Yield head vectors in the frame of the shots, one block of heads at a time.

    Parameters
    ----------
    rows : ndarray of float, shape (n_rows, layout.width)
        Feature rows.
    layout : HeadLayout
        Which columns belong to which head.
    frame : Frame
        How head vectors are brought to one scale.

    Yields
    ------
    HeadBlock
        Positions of the heads, and their vectors of shape (n_block_heads, n_rows, head_dim) in float64.
    """
    for positions, vectors in head_blocks(rows, layout):
        spans = [layout.columns(layout.heads[position]) for position in positions]
        centers = np.stack([frame.means[span] for span in spans])[:, None]
        if frame.scales is None:
            yield HeadBlock(positions, unit_vectors(vectors - centers))
        else:
            scales = frame.scales[positions][:, None, None]
            yield HeadBlock(positions, (unit_vectors(vectors) - centers) * scales)


def shot_kernel(
    shots: Shots, frame: Frame, weights: NDArray[np.float64], gamma: float | None
) -> NDArray[np.float64]:
    """Return ``sum_h w_h k(u_h, v_h)`` of all pairs of shots, shape (n_shots, n_shots).

    Parameters
    ----------
    shots : Shots
        The shots.
    frame : Frame
        How head vectors are brought to one scale.
    weights : ndarray of float64, shape (n_heads,)
        Weight of each head.
    gamma : float or None
        None: ``k = <u, v>``. A number: ``k = exp(-gamma (1 - <u, v>))``, the RBF kernel of unit vectors.

    Raises
    ------
    DataError
        If there are more than `MAX_KERNEL_SHOTS` shots.
    """
    n_shots = len(shots.codes)
    if n_shots > MAX_KERNEL_SHOTS:
        raise DataError(
            f"{n_shots} shots are too many for a kernel method (at most {MAX_KERNEL_SHOTS}); "
            "use fewer shots per class or a method that votes by heads"
        )
    kernel = np.zeros((n_shots, n_shots))
    for positions, units in unit_blocks(shots.rows, shots.layout, frame):
        if gamma is None:
            # one wide product instead of one per head
            wide = (units * np.sqrt(weights[positions])[:, None, None]).transpose(1, 0, 2)
            wide = wide.reshape(n_shots, -1)
            kernel += wide @ wide.T
        else:
            for position, unit in zip(positions, units, strict=True):
                kernel += weights[position] * np.exp(gamma * (unit @ unit.T - 1))
    return np.asarray((kernel + kernel.T) / 2)


def linear_weights(
    shots: Shots, frame: Frame, weights: NDArray[np.float64], dual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the primal form of a linear kernel's dual coefficients.

    Parameters
    ----------
    shots, frame, weights
        As for `shot_kernel`.
    dual : ndarray of float64, shape (n_shots, n_classes)
        Coefficients of the shots.

    Returns
    -------
    ndarray of float64, shape (n_classes, width)
        ``w_h * sum_i dual_ic u_ih``: a new row's score is its product with the row's unit head vectors.
    """
    primal = np.empty((dual.shape[1], shots.layout.width))
    heads = shots.layout.heads
    for positions, units in unit_blocks(shots.rows, shots.layout, frame):
        for position, unit in zip(positions, units, strict=True):
            primal[:, shots.layout.columns(heads[position])] = weights[position] * (dual.T @ unit)
    return primal


def rbf_kernel_to_shots(
    rows: NDArray[np.floating],
    units: NDArray[np.floating],
    layout: HeadLayout,
    frame: Frame,
    weights: NDArray[np.float64],
    gamma: float,
) -> NDArray[np.float64]:
    """Return the RBF kernel of new rows with the shots, ``sum_h w_h exp(-gamma (1 - <u_h, v_h>))``.

    Parameters
    ----------
    rows : ndarray of float, shape (n_rows, layout.width)
        New feature rows.
    units : ndarray of float, shape (n_shots, layout.width)
        Head vectors of the shots, already in the frame.
    layout : HeadLayout
        Which columns belong to which head, for both.
    frame : Frame
        How head vectors of the new rows are brought to one scale.
    weights : ndarray of float64, shape (n_heads,)
        Weight of each head.
    gamma : float
        Inverse width of the kernel, as for `shot_kernel`.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_shots)
        The kernel.
    """
    kernel = np.zeros((len(rows), len(units)))
    for positions, vectors in unit_blocks(rows, layout, frame):
        for position, vector in zip(positions, vectors, strict=True):
            of_shots = units[:, layout.columns(layout.heads[position])]
            kernel += weights[position] * np.exp(gamma * (vector @ of_shots.T - 1))
    return kernel


def shot_coordinates(
    kernel: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates of the shots whose products are the kernel, and the map from coordinates to duals.

    Returns
    -------
    coordinates : ndarray of float64, shape (n_shots, rank)
        ``coordinates @ coordinates.T`` is the kernel.
    lift : ndarray of float64, shape (n_shots, rank)
        A linear function ``f`` of the coordinates is ``kernel_to_shots @ (lift @ f)``.
    """
    values, vectors = np.linalg.eigh(kernel)
    kept = values > _RANK * max(values[-1], np.finfo(float).tiny)
    if not kept.any():
        return np.zeros((len(kernel), 1)), np.zeros((len(kernel), 1))
    roots = np.sqrt(values[kept])
    return vectors[:, kept] * roots, vectors[:, kept] / roots


# Classifiers on all heads at once: kernel ridge and the Gaussian discriminant, heads softly weighted.

_PENALTIES = np.geomspace(1e-5, 10.0, 25)
_RIDGES = np.geomspace(3e-3, 30.0, 13)


class DualFit(NamedTuple):
    """Scores of held-out shots, dual coefficients and offsets, and the penalty that was chosen."""

    out_of_fold: NDArray[np.float64]
    dual: NDArray[np.float64]
    offsets: NDArray[np.float64]
    penalty: float


class _KernelClassifier(CalibratedHeadClassifier):
    """Shared part: the weighted kernel over heads, and scores of new rows from dual coefficients."""

    sharpness: float
    weighting: str
    kernel: str
    gamma: float
    centering: str

    head_weights_: NDArray[np.float64]
    penalty_: float

    max_shots = MAX_KERNEL_SHOTS

    @abstractmethod
    def _solve(self, kernel: NDArray[np.float64], shots: Shots) -> DualFit:
        """Fit on the shots' kernel."""

    def _learn(self, shots: Shots) -> FittedScores:
        gamma = self._checked_gamma()
        weights = _head_weights(shots, self.weighting, self.sharpness)
        frame = frame_of_shots(shots, self.centering)
        key = ("kernel", gamma, self.sharpness, self.weighting, self.centering)
        if key not in shots.memo:
            shots.memo[key] = shot_kernel(shots, frame, weights, gamma)
        fit = self._solve(shots.memo[key], shots)
        self.head_weights_, self.penalty_ = weights, fit.penalty
        arrays: dict[str, NDArray[Any]] = {"means": frame.means, "offsets": fit.offsets}
        if frame.scales is not None:
            arrays["scales"] = frame.scales
        if gamma is None:
            arrays["weights"] = linear_weights(shots, frame, weights, fit.dual)
        else:
            arrays |= {"dual": fit.dual, "head_weights": weights, "units": _unit_rows(shots, frame)}
        return FittedScores(fit.out_of_fold, list(shots.layout.heads), arrays)

    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
        arrays = self.arrays_
        frame = Frame(arrays["means"], arrays.get("scales"))
        if self.kernel == "rbf":
            kernel = rbf_kernel_to_shots(
                rows, arrays["units"], layout, frame, arrays["head_weights"], self.gamma
            )
            return np.asarray(kernel @ arrays["dual"] + arrays["offsets"])
        scores = np.tile(arrays["offsets"], (len(rows), 1))
        for positions, units in unit_blocks(rows, layout, frame):
            for position, unit in zip(positions, units, strict=True):
                scores += unit @ arrays["weights"][:, layout.columns(layout.heads[position])].T
        return scores

    def _checked_gamma(self) -> float | None:
        if self.kernel not in ("linear", "rbf"):
            raise ValueError(f"kernel must be 'linear' or 'rbf', got {self.kernel!r}")
        if self.kernel == "rbf" and self.centering == "after":
            raise ValueError("an RBF kernel needs vectors of length 1: centering 'before' or 'none'")
        if self.weighting not in ("log_loss", "error"):
            raise ValueError(f"weighting must be 'log_loss' or 'error', got {self.weighting!r}")
        for name in ("gamma", "sharpness"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
        return None if self.kernel == "linear" else float(self.gamma)

    def _slice_heads(self, positions: NDArray[np.intp]) -> None:
        super()._slice_heads(positions)
        self.head_weights_ = self.head_weights_[positions]

    def _state_settings(self) -> dict[str, Any]:
        return {"penalty": self.penalty_, "head_weights": self.head_weights_.tolist()}

    def _restore(self, arrays: Any, settings: Any) -> None:
        super()._restore(arrays, settings)
        self.penalty_ = float(settings["penalty"])
        self.head_weights_ = np.array(settings["head_weights"], dtype=np.float64)


class KernelRidgeClassifier(_KernelClassifier):
    """Ridge regression of one-hot labels on all heads, centered on the shots' mean, softly weighted.

    Parameters
    ----------
    kernel : {"linear", "rbf"}, default="linear"
        Per-head kernel on unit vectors; kernels are summed over heads. The bias is a constant feature of 1.
    sharpness : float, default=4
        Head weights are ``exp(-sharpness * (loss - best))`` of leave-one-out losses; 0 weights all alike.
    weighting : {"log_loss", "error"}, default="log_loss"
        Which loss; see `savs.classifiers.kernel.head_losses`.
    gamma : float, default=2
        Of the RBF kernel ``exp(-gamma (1 - cosine))``.
    centering : {"before", "after", "none"}, default="before"
        Whether heads are centered on the mean of the shots before their vectors are brought to length 1, or
        after (linear kernel only), or not at all; see `savs.classifiers.kernel.frame_of_shots`.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    head_weights_ : ndarray of float64, shape (n_heads,)
        Weights, summing to 1, in layout order.
    penalty_ : float
        The ridge penalty, of the smallest squared error of held-out shots.

    Notes
    -----
    Errors count the classes alike, however many shots they have. The held-out residual of shot i is
    ``alpha_i / (K + D)^-1_ii`` (Rifkin and Lippert 2007, section 3), with the penalty in the diagonal D.
    """

    def __init__(
        self,
        kernel: str = "linear",
        *,
        sharpness: float = 4.0,
        weighting: str = "log_loss",
        gamma: float = 2.0,
        centering: str = "before",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.kernel = kernel
        self.sharpness = sharpness
        self.weighting = weighting
        self.gamma = gamma
        self.centering = centering
        self.layout = layout
        self.priors = priors

    def _solve(self, kernel: NDArray[np.float64], shots: Shots) -> DualFit:
        kernel = kernel + 1.0  # the bias, a constant feature
        balance = shots.counts[shots.codes] * shots.n_classes / len(shots.codes)
        fits = ridge_leave_one_out(kernel, shots.membership, balance, _PENALTIES * len(kernel))
        usable = shots.can_be_held_out
        errors = [
            float((((shots.membership - out_of_fold) ** 2).sum(axis=1) / balance)[usable].sum())
            for out_of_fold, _ in fits
        ]
        best = int(np.argmin(errors))
        out_of_fold, dual = fits[best]
        return DualFit(out_of_fold, dual, dual.sum(axis=0), float(_PENALTIES[best]))


class KernelDiscriminantClassifier(_KernelClassifier):
    """Gaussian classes with one covariance over all heads together, softly weighted.

    The published HEC-V form with its ridge, not head by head but on all heads' centered unit vectors side by
    side. Unlike regression of one-hot labels it does not lose classes that lie between others.

    Parameters
    ----------
    kernel : {"linear", "rbf"}, default="linear"
        Per-head kernel on unit vectors; kernels are summed over heads.
    sharpness, weighting, gamma, centering, layout, priors
        As for `KernelRidgeClassifier`.

    Attributes
    ----------
    head_weights_ : ndarray of float64, shape (n_heads,)
        Weights, summing to 1, in layout order.
    penalty_ : float
        lambda of the covariance's ridge, of the largest likelihood of held-out shots.
    """

    def __init__(
        self,
        kernel: str = "linear",
        *,
        sharpness: float = 4.0,
        weighting: str = "log_loss",
        gamma: float = 2.0,
        centering: str = "before",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.kernel = kernel
        self.sharpness = sharpness
        self.weighting = weighting
        self.gamma = gamma
        self.centering = centering
        self.layout = layout
        self.priors = priors

    def _solve(self, kernel: NDArray[np.float64], shots: Shots) -> DualFit:
        coordinates, lift = shot_coordinates(kernel)
        fits = leave_one_out_gaussian_scores(coordinates, shots, _RIDGES)
        usable = shots.can_be_held_out
        losses = [_fitted_loss(scores[usable], shots.codes[usable]) for scores, _ in fits]
        best = len(fits) - 1 - int(np.argmin(losses[::-1]))  # the larger ridge of equally good ones
        scores, parameters = fits[best]
        return DualFit(scores, lift @ parameters["weights"].T, parameters["offsets"], float(_RIDGES[best]))


def ridge_leave_one_out(
    kernel: NDArray[np.float64],
    targets: NDArray[np.float64],
    balance: NDArray[np.float64],
    penalties: NDArray[np.float64],
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return, for each penalty, leave-one-out predictions and dual coefficients of kernel ridge regression.

    Parameters
    ----------
    kernel : ndarray of float64, shape (n_shots, n_shots)
        Kernel, bias included.
    targets : ndarray of float64, shape (n_shots, n_classes)
        What is regressed.
    balance : ndarray of float64, shape (n_shots,)
        The penalty of shot i is ``penalty * balance[i]``: the inverse of its weight in the squared error.
    penalties : ndarray of float64
        Ridge penalties.
    """
    roots = np.sqrt(balance)
    values, vectors = np.linalg.eigh(kernel / roots[:, None] / roots)
    values = np.maximum(values, 0.0)
    inside, squares = vectors.T @ (targets / roots[:, None]), vectors**2
    fits = []
    for penalty in penalties:
        inverse = 1 / (values + penalty)
        dual = (vectors @ (inverse[:, None] * inside)) / roots[:, None]
        diagonal = squares @ inverse / balance
        fits.append((targets - dual / diagonal[:, None], dual))
    return fits


def _head_weights(shots: Shots, weighting: str, sharpness: float) -> NDArray[np.float64]:
    if shots.layout.n_heads == 1:  # nothing to compare, and the loss of one wide head costs most
        return np.ones(1)
    return soft_weights(head_losses(shots, weighting), sharpness)


def _fitted_loss(scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    if not len(codes):
        return 0.0
    return float(log_losses(scores / fit_temperature(scores, codes), codes).mean())


def _unit_rows(shots: Shots, frame: Frame) -> NDArray[np.float64]:
    rows = np.empty((len(shots.codes), shots.layout.width))
    for positions, units in unit_blocks(shots.rows, shots.layout, frame):
        for position, unit in zip(positions, units, strict=True):
            rows[:, shots.layout.columns(shots.layout.heads[position])] = unit
    return rows
