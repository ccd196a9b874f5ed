"""The colors that an AV1 stream states itself, in its sequence header (AV1 Bitstream Specification, 5.5)."""

from __future__ import annotations

__all__ = ["colors_of_stream"]

_SEQUENCE_HEADER = 1
_MOST_UNITS = 16
_SELECTED = 2  # screen content tools that each frame chooses


class _Bits:
    """The bits of some bytes, the first one first; `IndexError` at their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def read(self, n: int) -> int:
        """Return the next n bits as a number."""
        value = 0
        for place in range(self._place, self._place + n):
            value = value << 1 | self._data[place >> 3] >> (7 - (place & 7)) & 1
        self._place += n
        return value

    def skip_variable(self) -> None:
        """Go over a number of variable length (4.10.3)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        self.read(min(zeros, 32))


def colors_of_stream(data: bytes) -> tuple[int, int] | None:
    """Return the numbers of primaries and transfer (ITU-T H.273) of a stream; None if it does not state them.

    Parameters
    ----------
    data : bytes
        Open bitstream units, one behind the other; only the beginning is looked at.

    Raises
    ------
    IndexError
        If they are cut short.
    """
    place = 0
    for _ in range(_MOST_UNITS):
        if place >= len(data):
            return None
        kind, has_extension, has_size = data[place] >> 3 & 15, data[place] & 4, data[place] & 2
        place += 2 if has_extension else 1
        size = len(data) - place
        if has_size:
            size, place = _number(data, place)
        if kind == _SEQUENCE_HEADER:
            return _of_sequence(_Bits(data[place : place + size]))
        place += size
    return None


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return a number in pieces of seven bits (4.10.5), and where it ends."""
    value = 0
    for index in range(8):
        byte = data[place + index]
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, place + index + 1
    raise IndexError


def _of_sequence(bits: _Bits) -> tuple[int, int] | None:
    profile = bits.read(3)
    bits.read(1)  # a still picture
    is_reduced = bits.read(1)
    if is_reduced:
        bits.read(5)
    else:
        _skip_operating_points(bits)
    widths = bits.read(4) + 1, bits.read(4) + 1
    for width in widths:
        bits.read(width)
    if not is_reduced and bits.read(1):  # numbers of frames
        bits.read(7)
    bits.read(3)
    if not is_reduced:
        _skip_tools(bits)
    bits.read(3)
    if bits.read(1) and profile == 2:  # high bit depth
        bits.read(1)
    if profile != 1:
        bits.read(1)  # gray
    if not bits.read(1):
        return None
    return bits.read(8), bits.read(8)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            bits.skip_variable()
        if bits.read(1):  # model of the decoder
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:  # level
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_display_delay and bits.read(1):
            bits.read(4)


def _skip_tools(bits: _Bits) -> None:
    bits.read(4)
    has_order = bits.read(1)
    if has_order:
        bits.read(2)
    screen_tools = _SELECTED if bits.read(1) else bits.read(1)
    if screen_tools and not bits.read(1):
        bits.read(1)
    if has_order:
        bits.read(3)
