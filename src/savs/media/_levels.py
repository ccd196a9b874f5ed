"""Levels: how values of more than 8 bits become 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.errors import MediaError
from savs.media._bit_depth import LEAST_BITS, note_largest

__all__ = ["FULL_16_BIT", "Levels", "decimals_to_8_bit", "mode_error", "to_8_bit"]

FULL_16_BIT = 65535


@dataclass(frozen=True)
class Levels:
    """What a file says of its values.

    Attributes
    ----------
    white : float, optional
        The largest value that there can be; None if the file does not say.
    inverted : bool
        Whether that value is black and 0 is white (TIFF's WhiteIsZero).
    signed : bool
        Whether the values are signed integers.
    """

    white: float | None = None
    inverted: bool = False
    signed: bool = False


def to_8_bit(
    values: NDArray[Any], levels: Levels, bit_depth: int | None = None, *, container_bits: int = 16
) -> NDArray[np.uint8]:
    """Return ``round(255 * value / white)``, or ``round(255 * (white - value) / white)`` if inverted.

    White is ``2**bit_depth - 1`` if a bit depth is given, else what the file says, else the largest value
    that fits into its integers.

    Parameters
    ----------
    values : ndarray of integers, any shape
    levels : Levels
    bit_depth : int, optional
        Bits that the values have, whatever the file says.
    container_bits : int, default=16
        Bits that the file has room for.

    Raises
    ------
    MediaError
        ``image_mode`` for values below 0 or beyond the bit depth.
    """
    largest = int(values.max(initial=0))
    if values.dtype.kind == "i" and int(values.min(initial=0)) < 0:
        raise mode_error("the image holds values below 0; scale its values to 0..255")
    if bit_depth is not None:
        white = 2**bit_depth - 1
        if largest > white:
            raise mode_error(
                f"the image holds the value {largest}, more than {bit_depth} bits have; name its bit depth"
            )
    elif levels.white is not None and largest <= levels.white:
        white = int(levels.white)
    else:
        white = 2**container_bits - 1
        if container_bits > LEAST_BITS:
            note_largest(largest)
    wide = values.astype(np.int64)
    if levels.inverted:
        wide = white - wide
    # Whole numbers round alike everywhere. A plain conversion would cut everything above 255 to white.
    scaled: NDArray[np.uint8] = ((510 * wide + white) // (2 * white)).astype(np.uint8)
    return scaled


def decimals_to_8_bit(
    values: NDArray[Any], levels: Levels, bit_depth: int | None = None
) -> NDArray[np.uint8]:
    """Return decimals as 8 bits; white is 255 unless the bit depth or the file says another.

    Raises
    ------
    MediaError
        ``image_mode`` unless all values are finite and from 0 to white; if nothing says what white is, also
        if they look like 0 to 1.
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    said = levels.white if bit_depth is None else 2.0**bit_depth - 1
    if said is not None and not (low >= 0 and high <= said) and bit_depth is None:
        said = None
    white = 255.0 if said is None else said
    # 0..1 read as 0..255 would turn an image black without a word.
    unit_range = said is None and high <= 1 and bool((values != np.rint(values)).any())
    if low >= 0 and unit_range:
        raise mode_error(
            "the image holds decimals from 0 to 1, and nothing says that 1 is white; scale them to 0..255"
        )
    if not (low >= 0 and high <= white):
        raise mode_error(f"the image holds decimals that are not in 0..{white:g}; scale its values to 0..255")
    kept = white - values.astype(np.float64) if levels.inverted else values.astype(np.float64)
    rounded: NDArray[np.uint8] = np.rint(kept * (255.0 / white)).astype(np.uint8)
    return rounded


def mode_error(message: str) -> MediaError:
    """Return the error for pixels without a clear meaning."""
    return MediaError(message, code="image_mode")
