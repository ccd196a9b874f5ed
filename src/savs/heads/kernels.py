"""One kernel over all heads: a weighted sum of per-head kernels, accumulated head by head.

Heads may be centred on the mean of the shots, and are brought to length 1, so that every head counts by its
weight and not by its scale. Only matrices of shots by shots are held, whatever the number of heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.errors import DataError
from savs.features import HeadLayout
from savs.heads.probabilities import softmax
from savs.heads.rules import GaussianRule
from savs.heads.shots import HeadBlock, Shots, head_blocks, unit_vectors

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
]

MAX_KERNEL_SHOTS = 6_000
"""Kernel methods need a few matrices of shots by shots and their eigenvectors; more shots are refused."""

_SMALLEST = 1e-6
_TAU = 10.0
_RANK = 1e-10
_NOTHING = 1e-24


def head_losses(shots: Shots, weighting: str) -> NDArray[np.float64]:
    """Return how badly each head alone tells left-out shots apart, by the Gaussian rule of [HEC].

    Parameters
    ----------
    shots : Shots
        The shots.
    weighting : "log_loss" or "error"
        Mean of minus the log probability (tau = 10) of the true class, or share of wrong answers.

    Returns
    -------
    ndarray of float64, shape (n_heads,)
        Zeros where no shot can be left out.
    """
    if weighting not in ("log_loss", "error"):
        raise ValueError(f"weighting must be 'log_loss' or 'error', got {weighting!r}")
    if ("losses", weighting) not in shots.memo:
        _remember_losses(shots)
    return shots.memo["losses", weighting]


def _remember_losses(shots: Shots) -> None:
    rule, usable = GaussianRule(), shots.can_be_left_out
    codes = shots.codes[usable]
    losses, errors = np.zeros((2, shots.layout.n_heads))
    for positions, vectors in shots.blocks() if len(codes) else ():
        scores = rule.left_out_scores(vectors, shots)[:, usable]
        errors[positions] = (scores.argmax(axis=2) != codes).mean(axis=1)
        true = softmax(scores / _TAU)[:, np.arange(len(codes)), codes]
        losses[positions] = -np.log(np.maximum(true, _SMALLEST)).mean(axis=1)
    shots.memo["losses", "log_loss"], shots.memo["losses", "error"] = losses, errors


class Frame(NamedTuple):
    """How head vectors are brought to one scale.

    Attributes
    ----------
    means : ndarray of float64, shape (width,)
        What is taken off; zeros where nothing is.
    scales : ndarray of float64, shape (n_heads,), or None
        None: `means` are taken off first, then vectors are brought to length 1. Else vectors are brought to
        length 1 first, `means` are taken off, and each head is multiplied by its scale.
    """

    means: NDArray[np.float64]
    scales: NDArray[np.float64] | None = None


def frame_of_shots(shots: Shots, centring: str) -> Frame:
    """Return the frame that the shots set.

    Parameters
    ----------
    shots : Shots
        The shots.
    centring : "before", "after" or "none"
        Whether the shots' mean is taken off before vectors are brought to length 1, or after (then each head
        is scaled so that its shots have a mean square of 1), or not at all.
    """
    if centring not in ("before", "after", "none"):
        raise ValueError(f"centring must be 'before', 'after' or 'none', got {centring!r}")
    means = np.zeros(shots.layout.width)
    if centring == "none":
        return Frame(means)
    if centring == "before":
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
    """Walk over head vectors in the frame of the shots."""
    for positions, vectors in head_blocks(rows, layout):
        spans = [layout.columns(layout.heads[position]) for position in positions]
        centres = np.stack([frame.means[span] for span in spans])[:, None]
        if frame.scales is None:
            yield HeadBlock(positions, unit_vectors(vectors - centres))
        else:
            scales = frame.scales[positions][:, None, None]
            yield HeadBlock(positions, (unit_vectors(vectors) - centres) * scales)


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
    """Return the RBF kernel of new rows with shots given as centred unit vectors (n_shots, width)."""
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
