"""Whether the pages of an OGG file are as they were written: decoders leave damaged ones out silently."""

from __future__ import annotations

import zlib

__all__ = ["is_intact"]

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_HEAD, _SUM = 27, 22  # bytes of a page's head, and where its checksum stands in it (RFC 3533, section 6)


def is_intact(data: bytes) -> bool:
    """Return whether every page of an OGG file has its checksum, and nothing stands between two pages.

    A last page that is cut short, and what stands behind the last page, are not looked at.
    """
    place = 0
    while place + _HEAD <= len(data):
        if data[place : place + 4] != b"OggS":
            return data.find(b"OggS", place) < 0
        body = place + _HEAD + data[place + _HEAD - 1]
        end = body + sum(data[place + _HEAD : body])
        if end > len(data):
            break
        if _checksum(data[place:end]) != int.from_bytes(data[place + _SUM : place + _SUM + 4], "little"):
            return False
        place = end
    return True


def _checksum(page: bytes) -> int:
    # zlib has the same polynomial for bits in the other order, and turns the number over before and after.
    blank = page[:_SUM] + bytes(4) + page[_SUM + 4 :]
    turned = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2)
