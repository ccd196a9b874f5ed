"""Classifiers on all heads at once: kernel ridge and the Gaussian discriminant, heads softly weighted.

Both are computed in the shots' own coordinates (at most as many as shots), with exact leave-one-out for the
penalty. Given the shots' means and the head weights, which stay as they are, that is.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.features import HeadLayout
from savs.heads.base import FittedScores, HeadClassifier
from savs.heads.kernels import (
    MAX_KERNEL_SHOTS,
    Frame,
    frame_of_shots,
    head_losses,
    linear_weights,
    rbf_kernel_to_shots,
    shot_coordinates,
    shot_kernel,
    unit_blocks,
)
from savs.heads.probabilities import fit_temperature, log_losses
from savs.heads.ranking import soft_weights
from savs.heads.rules.gaussian import left_out_gaussian_scores
from savs.heads.shots import Shots

__all__ = ["KernelDiscriminantClassifier", "KernelRidgeClassifier", "ridge_left_out"]

_PENALTIES = np.geomspace(1e-5, 10.0, 25)
_RIDGES = np.geomspace(3e-3, 30.0, 13)


class DualFit(NamedTuple):
    """Scores of left-out shots, dual coefficients and offsets, and the penalty that was chosen."""

    left_out: NDArray[np.float64]
    dual: NDArray[np.float64]
    offsets: NDArray[np.float64]
    penalty: float


class _KernelClassifier(HeadClassifier):
    """Shared part: the weighted kernel over heads, and scores of new rows from dual coefficients."""

    sharpness: float
    weighting: str
    kernel: str
    gamma: float
    centring: str

    head_weights_: NDArray[np.float64]
    penalty_: float

    max_shots = MAX_KERNEL_SHOTS

    @abstractmethod
    def _solve(self, kernel: NDArray[np.float64], shots: Shots) -> DualFit:
        """Fit on the shots' kernel."""

    def _fit_shots(self, shots: Shots) -> FittedScores:
        gamma = self._checked_gamma()
        weights = _head_weights(shots, self.weighting, self.sharpness)
        frame = frame_of_shots(shots, self.centring)
        key = ("kernel", gamma, self.sharpness, self.weighting, self.centring)
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
        return FittedScores(fit.left_out, list(shots.layout.heads), arrays)

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
        if self.kernel == "rbf" and self.centring == "after":
            raise ValueError("an RBF kernel needs vectors of length 1: centring 'before' or 'none'")
        if self.weighting not in ("log_loss", "error"):
            raise ValueError(f"weighting must be 'log_loss' or 'error', got {self.weighting!r}")
        for name in ("gamma", "sharpness"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
        return None if self.kernel == "linear" else float(self.gamma)

    def _state_settings(self) -> dict[str, Any]:
        return {"penalty": self.penalty_, "head_weights": self.head_weights_.tolist()}

    def _restore(self, arrays: Any, settings: Any) -> None:
        super()._restore(arrays, settings)
        self.penalty_ = float(settings["penalty"])
        self.head_weights_ = np.array(settings["head_weights"], dtype=np.float64)


class KernelRidgeClassifier(_KernelClassifier):
    """Ridge regression of one-hot labels on all heads, centred on the shots' mean, softly weighted.

    Parameters
    ----------
    kernel : {"linear", "rbf"}, default="linear"
        Per-head kernel on unit vectors; kernels are summed over heads. The bias is a constant feature of 1.
    sharpness : float, default=4
        Head weights are ``exp(-sharpness * (loss - best))`` of leave-one-out losses; 0 weights all alike.
    weighting : {"log_loss", "error"}, default="log_loss"
        Which loss; see `savs.heads.kernels.head_losses`.
    gamma : float, default=2
        Of the RBF kernel ``exp(-gamma (1 - cosine))``.
    centring : {"before", "after", "none"}, default="before"
        Whether heads are centred on the mean of the shots before their vectors are brought to length 1, or
        after (linear kernel only), or not at all; see `savs.heads.kernels.frame_of_shots`.
    layout, priors
        As for `HeadVoteClassifier`.

    Attributes
    ----------
    head_weights_ : ndarray of float64, shape (n_heads,)
        Weights, summing to 1, in layout order.
    penalty_ : float
        The ridge penalty, of the smallest squared error of left-out shots.

    Notes
    -----
    Errors count the classes alike, however many shots they have. The left-out residual of shot i is
    ``alpha_i / (K + D)^-1_ii`` (Rifkin and Lippert 2007, section 3), with the penalty in the diagonal D.
    """

    def __init__(
        self,
        kernel: str = "linear",
        *,
        sharpness: float = 4.0,
        weighting: str = "log_loss",
        gamma: float = 2.0,
        centring: str = "before",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.kernel = kernel
        self.sharpness = sharpness
        self.weighting = weighting
        self.gamma = gamma
        self.centring = centring
        self.layout = layout
        self.priors = priors

    def _solve(self, kernel: NDArray[np.float64], shots: Shots) -> DualFit:
        kernel = kernel + 1.0  # the bias, a constant feature
        balance = shots.counts[shots.codes] * shots.n_classes / len(shots.codes)
        fits = ridge_left_out(kernel, shots.membership, balance, _PENALTIES * len(kernel))
        usable = shots.can_be_left_out
        errors = [
            float((((shots.membership - left_out) ** 2).sum(axis=1) / balance)[usable].sum())
            for left_out, _ in fits
        ]
        best = int(np.argmin(errors))
        left_out, dual = fits[best]
        return DualFit(left_out, dual, dual.sum(axis=0), float(_PENALTIES[best]))


class KernelDiscriminantClassifier(_KernelClassifier):
    """Gaussian classes with one covariance over all heads together, softly weighted.

    The published HEC-V form with its ridge, not head by head but on all heads' centred unit vectors side by
    side. Unlike regression of one-hot labels it does not lose classes that lie between others.

    Parameters
    ----------
    kernel : {"linear", "rbf"}, default="linear"
        Per-head kernel on unit vectors; kernels are summed over heads.
    sharpness, weighting, gamma, centring, layout, priors
        As for `KernelRidgeClassifier`.

    Attributes
    ----------
    head_weights_ : ndarray of float64, shape (n_heads,)
        Weights, summing to 1, in layout order.
    penalty_ : float
        lambda of the covariance's ridge, of the largest likelihood of left-out shots.
    """

    def __init__(
        self,
        kernel: str = "linear",
        *,
        sharpness: float = 4.0,
        weighting: str = "log_loss",
        gamma: float = 2.0,
        centring: str = "before",
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.kernel = kernel
        self.sharpness = sharpness
        self.weighting = weighting
        self.gamma = gamma
        self.centring = centring
        self.layout = layout
        self.priors = priors

    def _solve(self, kernel: NDArray[np.float64], shots: Shots) -> DualFit:
        coordinates, lift = shot_coordinates(kernel)
        fits = left_out_gaussian_scores(coordinates, shots, _RIDGES)
        usable = shots.can_be_left_out
        losses = [_fitted_loss(scores[usable], shots.codes[usable]) for scores, _ in fits]
        best = len(fits) - 1 - int(np.argmin(losses[::-1]))  # the larger ridge of equally good ones
        scores, parameters = fits[best]
        return DualFit(scores, lift @ parameters["weights"].T, parameters["offsets"], float(_RIDGES[best]))


def ridge_left_out(
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
