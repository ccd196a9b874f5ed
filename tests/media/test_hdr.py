"""Tone mapping against the formulas of ITU-R BT.2100 and BT.2390, written out for one pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from savs.media._hdr import to_standard_range


def pq(light: float) -> float:
    power = (light / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def pq_light(code: float) -> float:
    """By bisection of its inverse."""
    low, high = 0.0, 10_000.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if pq(middle) < code else (low, middle)
    return low


def hlg_light(code: tuple[float, ...]) -> list[float]:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = [e * e / 3 if e <= 0.5 else (math.exp((e - c) / a) + b) / 12 for e in code]
    luminance = 0.2627 * scene[0] + 0.678 * scene[1] + 0.0593 * scene[2]
    return [1000 * luminance**0.2 * e if e else 0.0 for e in scene]


def shown(light: list[float]) -> list[float]:
    """Light in cd/m2 to 0..255: BT.2390, section 5.4.1, from 1 000 to 203; BT.709 colors; gamma 2.4."""
    brightest = max(light)
    if brightest == 0:
        return [0.0, 0.0, 0.0]
    e1, largest = min(pq(brightest) / pq(1000), 1), pq(203) / pq(1000)
    start = 1.5 * largest - 0.5
    if e1 < start:
        e2 = e1
    else:
        t = (e1 - start) / (1 - start)
        e2 = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * (1 - start)
        e2 += (-2 * t**3 + 3 * t**2) * largest
    factor = pq_light(e2 * pq(1000)) / brightest / 203
    red, green, blue = (value * factor for value in light)
    narrow = [
        1.6605 * red - 0.5876 * green - 0.0728 * blue,
        -0.1246 * red + 1.1329 * green - 0.0083 * blue,
        -0.0182 * red - 0.1006 * green + 1.1187 * blue,
    ]
    return [255 * min(max(value, 0.0), 1.0) ** (1 / 2.4) for value in narrow]


PIXELS = [
    *((level,) * 3 for level in (0, 40, 80, 120, 148, 190, 230, 255)),
    (148, 120, 90),
    (90, 130, 60),
    (200, 180, 170),
    (60, 70, 110),
]


@pytest.mark.parametrize("transfer", ["PQ", "HLG"])
@pytest.mark.parametrize("pixel", PIXELS)
def test__to_standard_range__one_pixel__the_formulas(transfer: str, pixel: tuple[int, int, int]) -> None:
    code = tuple(value / 255 for value in pixel)
    light = [pq_light(value) for value in code] if transfer == "PQ" else hlg_light(code)
    coded = np.full((2, 3, 3), pixel, np.uint16) * np.uint16(257)
    found = to_standard_range(coded, transfer, wide=True)
    assert found.shape == (2, 3, 3)
    np.testing.assert_allclose(found[1, 2], shown(light), atol=0.6)


@pytest.mark.parametrize("transfer", ["PQ", "HLG"])
def test__to_standard_range__gray__stays_gray_and_in_order(transfer: str) -> None:
    ramp = np.repeat(np.arange(0, 65536, 16, dtype=np.uint16)[:, None, None], 3, axis=2)
    for wide in (True, False):
        found = to_standard_range(ramp, transfer, wide=wide).astype(int)
        assert (found.max(-1) - found.min(-1)).max() <= 1
        assert (np.diff(found[:, 0, 0]) >= 0).all()
        assert found[0, 0, 0] == 0
        assert found[-1, 0, 0] == 255
