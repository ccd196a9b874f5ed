"""Levels: how values of more than 8 bits become 8, and one warning where a bit depth looks wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.errors import ExampleError, MediaError
from savs.media.limits import MediaWarning

__all__ = ["Levels", "check_bit_depth", "decimals_to_8_bit", "levels_checked", "to_8_bit"]

FULL_16_BIT = 65535
_LEAST_BITS, _MOST_BITS = 8, 16
_SUSPECT_BITS = (8, 10, 12)


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


def check_bit_depth(bit_depth: Any) -> None:
    """Raise `ExampleError` (``bit_depth``) unless it is None or a whole number from 8 to 16."""
    if bit_depth is None or (type(bit_depth) is int and _LEAST_BITS <= bit_depth <= _MOST_BITS):
        return
    message = f"an image's bit_depth is a whole number from {_LEAST_BITS} to {_MOST_BITS}"
    raise ExampleError(message, code="bit_depth")


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
        if container_bits > _LEAST_BITS:
            _note(largest)
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
    if not (low >= 0 and high <= white) or unit_range:
        raise mode_error(f"the image holds decimals that are not in 0..{white:g}; scale its values to 0..255")
    kept = white - values.astype(np.float64) if levels.inverted else values.astype(np.float64)
    rounded: NDArray[np.uint8] = np.rint(kept * (255.0 / white)).astype(np.uint8)
    return rounded


def mode_error(message: str) -> MediaError:
    """Return the error for pixels without a clear meaning."""
    return MediaError(message, code="image_mode")


# One warning per dataset where no image uses the upper bits of its values.


@dataclass
class _Tally:
    """The largest value of all images whose bit depth nobody said, and how integers of 32 bits were read."""

    largest: int = 0
    narrow: bool = False
    wide: bool = False

    def warn(self) -> None:
        bits = next((bits for bits in _SUSPECT_BITS if 0 < self.largest < 2**bits), None)
        if bits is not None:
            warnings.warn(
                f"no value of the 16-bit images is above {2**bits - 1}, so they look nearly black; if they "
                f"have {bits} bits, say bit_depth={bits} (--bit-depth {bits})",
                MediaWarning,
                stacklevel=4,
            )
        if self.narrow and self.wide:
            warnings.warn(
                "of the images of 32-bit integers, those with values up to 255 are read as 8 bits and the "
                "others as 16; name one depth for all: bit_depth=16 (--bit-depth 16)",
                MediaWarning,
                stacklevel=4,
            )


_TALLY: ContextVar[_Tally | None] = ContextVar("savs_levels", default=None)


@contextmanager
def levels_checked() -> Iterator[None]:
    """Judge the bit depth of all images that are read in the block together, at its end.

    Within another such block it does nothing. It also decorates functions: ``@levels_checked()``.

    Warns
    -----
    MediaWarning
        Once, if images of 16 bits hold no value above 12 bits and nothing says how many they have.
    """
    if _TALLY.get() is not None:
        yield
        return
    tally = _Tally()
    token = _TALLY.set(tally)
    try:
        yield
    finally:
        _TALLY.reset(token)
    tally.warn()


def _note(largest: int) -> None:
    tally = _TALLY.get()
    if tally is not None:
        tally.largest = max(tally.largest, largest)


def note_integers(container_bits: int) -> None:
    """Note how an image of 32-bit integers without a stated depth was read."""
    tally = _TALLY.get()
    if tally is not None:
        tally.narrow |= container_bits == _LEAST_BITS
        tally.wide |= container_bits > _LEAST_BITS
