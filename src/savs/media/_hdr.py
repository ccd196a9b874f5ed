"""Images in high dynamic range (PQ and HLG of ITU-R BT.2100) to the range of other images.

Light is computed as a display of 1 000 cd/m2 would show it, brightness above a white of 203 cd/m2 (ITU-R
BT.2408, section 2.1) is rolled off by the curve of ITU-R BT.2390, section 5.4.1, and colors outside BT.709
are clipped.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["to_standard_range"]

_PEAK, _WHITE = 1000.0, 203.0  # cd/m2
_GAMMA = 2.4  # of a display of standard range (ITU-R BT.1886)
_ROWS = 64  # computed at a time, to need little memory
# ITU-R BT.2087: linear BT.2020 to linear BT.709.
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
# ITU-R BT.2100, tables 4 (PQ) and 5 (HLG).
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_SYSTEM_GAMMA = 1.2


def to_standard_range(coded: NDArray[np.uint16], transfer: str, *, wide: bool) -> NDArray[np.uint8]:
    """Return an image of standard range.

    Parameters
    ----------
    coded : ndarray of uint16, shape (height, width, 3)
        Red, green and blue as coded, full scale at 65535.
    transfer : str
        ``"PQ"`` or ``"HLG"``.
    wide : bool
        Whether its primaries are those of BT.2020; those of others are kept.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    result = np.empty(coded.shape, np.uint8)
    for top in range(0, len(coded), _ROWS):
        light = _light(coded[top : top + _ROWS], transfer)
        light *= _factor(light.max(-1))[..., None]
        if wide:
            light = light @ _TO_BT709.T
        result[top : top + _ROWS] = np.rint(255 * np.clip(light, 0, 1) ** np.float32(1 / _GAMMA))
    return result


def _light(coded: NDArray[np.uint16], transfer: str) -> NDArray[np.float32]:
    """Return what a display shows, in cd/m2."""
    light = _table(transfer)[coded]
    if transfer == "PQ":
        return light
    luminance = np.maximum(light @ _LUMINANCE, np.float32(1e-9))
    light *= (_PEAK * luminance ** np.float32(_SYSTEM_GAMMA - 1))[..., None]
    return light


@cache
def _table(transfer: str) -> NDArray[np.float32]:
    """Return the light of a display for PQ, of the scene for HLG, of each of the 65 536 values."""
    values = np.arange(2**16) / (2**16 - 1)
    return (_pq_light(values) if transfer == "PQ" else _hlg_scene(values)).astype(np.float32)


def _factor(brightest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by what the light of pixels is multiplied, so that white is 1, by their brightest color."""
    return np.interp(brightest, *_curve()).astype(np.float32)


@cache
def _curve() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    light = _pq_light(np.linspace(0.02, 1, 4096))
    return light, _rolled_off(light) / light / _WHITE


def _pq_light(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    power = coded ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _pq_coded(light: NDArray[np.float64] | float) -> NDArray[np.float64]:
    power = (np.asarray(light) / 10_000) ** _M1
    coded: NDArray[np.float64] = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return coded


def _hlg_scene(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - _C) / _A) + _B) / 12)


def _rolled_off(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return light of 0 to the peak in 0 to white: as it is below a knee, above it on a Hermite spline."""
    source = np.minimum(_pq_coded(light) / _pq_coded(_PEAK), 1)
    white = _pq_coded(_WHITE) / _pq_coded(_PEAK)
    knee = 1.5 * white - 0.5
    t = (source - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    )
    return _pq_light(np.where(source < knee, source, spline) * _pq_coded(_PEAK))
