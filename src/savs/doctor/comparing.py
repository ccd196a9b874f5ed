"""How far vectors are from the reference: in their entries, in their directions, and in answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from savs.features import HeadLayout
from savs.heads import SAVClassifier

__all__ = ["CHANGE", "Difference", "compare", "flips", "tolerance"]

CHANGE = 1e-5
"""The smallest `Difference.max_difference` that counts as a change, whatever the dtype: the two prompts of a
contrast have the same shapes, so that nothing but their content can make a difference."""

_TOLERANCES = {"float64": 1e-4, "float32": 1e-4, "float16": 0.03, "bfloat16": 0.25}
_FLOAT32_ON_CUDA = 2e-3
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Difference:
    """Largest relative difference of an entry, smallest cosine of a head; see `savs.doctor.report.Check`."""

    max_difference: float
    min_cosine: float


def tolerance(dtype: str, device: str) -> float:
    """Return the largest relative difference that counts as rounding.

    float32: sums in another order move vectors by about 1e-6 of their size, a wrong position or mask by more
    than 0.1. The half precisions get 32 steps of their rounding (2^-7 and 2^-10). On CUDA, convolutions of
    float32 pictures run in TF32 unless the user forbids it.

    Parameters
    ----------
    dtype : str
        Such as ``"float32"``.
    device : str
        Type of the device.
    """
    if dtype == "float32" and device == "cuda":
        return _FLOAT32_ON_CUDA
    return _TOLERANCES.get(dtype, _TOLERANCES["bfloat16"])


def compare(layout: HeadLayout, rows: NDArray[np.float32], reference: NDArray[np.float32]) -> Difference:
    """Compare feature rows with those of the same examples in the reference.

    Parameters
    ----------
    layout : HeadLayout
    rows, reference : ndarray of float32, shape (n_examples, layout.width)
    """
    found, expected = rows.astype(np.float64), reference.astype(np.float64)
    floor = _NEGLIGIBLE * float(np.abs(expected).max(initial=0.0))
    worst, cosine = 0.0, 1.0
    for group in layout.groups:
        a, b = found[:, group.columns], expected[:, group.columns]  # (n_examples, n_group_heads, head_dim)
        scale = np.maximum(np.abs(b).max(axis=(0, 2)), max(floor, 1e-30))
        worst = max(worst, float((np.abs(a - b).max(axis=(0, 2)) / scale).max()))
        cosine = min(cosine, float(_cosines(a, b).min()))
    return Difference(worst, cosine)


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cosines over the last axis; two zero vectors are alike."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    both_zero = ~a.any(axis=-1) & ~b.any(axis=-1)
    cosines = (a * b).sum(axis=-1) / np.where(lengths > 0, lengths, 1.0)
    result: NDArray[np.float64] = np.where(both_zero, 1.0, np.clip(cosines, -1.0, 1.0))
    return result


def flips(
    layout: HeadLayout,
    shots: NDArray[np.float32],
    labels: Sequence[str],
    pairs: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> int:
    """Return how many examples a classifier, fitted on reference vectors, answers differently on other rows.

    Parameters
    ----------
    layout : HeadLayout
    shots : ndarray of float32, shape (n_shots, layout.width)
        Reference vectors of the probes.
    labels : sequence of str
        Their classes, at least two.
    pairs : two ndarrays of float32, shape (n_examples, layout.width)
        Rows of the same examples.
    """
    classifier = SAVClassifier(layout=layout).fit(shots, labels)
    found, expected = (classifier.predict(rows) for rows in pairs)
    return int((found != expected).sum())
