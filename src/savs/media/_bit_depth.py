"""Bit depths of images: what one may be, and one warning where a dataset's looks wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from savs.errors import ExampleError
from savs.media.limits import MediaWarning

__all__ = ["check_bit_depth", "levels_checked", "note_integers", "note_largest"]

LEAST_BITS, _MOST_BITS = 8, 16
_SUSPECT_BITS = (8, 10, 12)


def check_bit_depth(bit_depth: Any) -> None:
    """Raise `ExampleError` (``bit_depth``) unless it is None or a whole number from 8 to 16."""
    if bit_depth is None or (type(bit_depth) is int and LEAST_BITS <= bit_depth <= _MOST_BITS):
        return
    message = f"an image's bit_depth is a whole number from {LEAST_BITS} to {_MOST_BITS}"
    raise ExampleError(message, code="bit_depth")


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


def note_largest(largest: int) -> None:
    """Note the largest value of an image of which nothing says how many bits it has."""
    tally = _TALLY.get()
    if tally is not None:
        tally.largest = max(tally.largest, largest)


def note_integers(container_bits: int) -> None:
    """Note how an image of 32-bit integers without a stated depth was read."""
    tally = _TALLY.get()
    if tally is not None:
        tally.narrow |= container_bits == LEAST_BITS
        tally.wide |= container_bits > LEAST_BITS
