"""The colors of the main image in a HEIC or AVIF file, by the boxes of its container.

Such a file may hold several images, of other colors than the one that is shown: a photo of a phone has a
version of high dynamic range beside it, as a map of gains (ISO 21496-1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from savs.media._av1 import colors_of_stream

__all__ = ["coded_colors"]

_COLORS = b"colrnclx"
_MOST_BOXES = 10_000


def coded_colors(data: bytes) -> tuple[int, int] | None:
    """Return the numbers of primaries and transfer (ITU-T H.273) of the main image; None if not stated.

    Parameters
    ----------
    data : bytes
        A file, or its beginning.
    """
    try:
        return _of_main_image(data)
    except (struct.error, IndexError):  # cut short, or damaged
        return None


def _of_box(content: bytes) -> tuple[int, int]:
    primaries, transfer = struct.unpack_from(">HH", content, 4)  # behind its kind
    return primaries, transfer


def _of_main_image(data: bytes) -> tuple[int, int] | None:
    meta = _child(data, b"meta")
    if meta is None:  # a sequence without a still image
        place = data.find(_COLORS)
        return None if place < 0 else _of_box(data[place + 4 : place + 15])
    meta = meta[4:]  # behind version and flags, as below
    main, properties = _child(meta, b"pitm"), _child(meta, b"iprp")
    if main is None or properties is None:
        return None
    item = int.from_bytes(main[4:], "big")
    all_boxes = list(_boxes(_child(properties, b"ipco") or b""))
    own = [all_boxes[index - 1] for index in _indices(properties, item) if 0 < index <= len(all_boxes)]
    colors = [content for kind, content in own if kind == b"colr"]
    if not colors:  # then those of the tiles that it is made of, if there are no others
        colors = list({content for kind, content in all_boxes if kind == b"colr"})
        if len(colors) > 1:
            return None
    stated = next((content for content in colors if content[:4] == b"nclx"), None)
    if stated is not None:
        return _of_box(stated)
    codec = next((content for kind, content in own if kind == b"av1C"), None)
    if colors or codec is None:
        return None
    return colors_of_stream(codec[4:]) or colors_of_stream(_content(data, meta, item))


def _content(data: bytes, meta: bytes, item: int) -> bytes:
    """Return the encoded pixels of an item, as far as they are there (ISO/IEC 14496-12, section 8.11.3)."""
    places = _child(meta, b"iloc") or b""
    version = places[0]
    id_bytes = 4 if version == 2 else 2
    sizes = [places[4] >> 4, places[4] & 15, places[5] >> 4, places[5] & 15 if version else 0]
    offset_bytes, length_bytes, base_bytes, index_bytes = sizes
    at = 6

    def number(n_bytes: int) -> int:
        nonlocal at
        at += n_bytes
        if at > len(places):
            raise IndexError
        return int.from_bytes(places[at - n_bytes : at], "big")

    for _ in range(min(number(id_bytes), _MOST_BOXES)):
        other = number(id_bytes)
        inside = number(2) & 15 if version else 0
        number(2)
        base, n_extents = number(base_bytes), number(2)
        for _ in range(n_extents):
            number(index_bytes)
            start, length = base + number(offset_bytes), number(length_bytes)
            if other == item:
                source = (_child(meta, b"idat") or b"") if inside == 1 else data
                return source[start : start + length] if length else source[start:]
    return b""


def _indices(properties: bytes, item: int) -> Iterator[int]:
    """Yield the numbers of an item's properties (ISO/IEC 14496-12, section 8.11.14)."""
    for kind, content in _boxes(properties):
        if kind != b"ipma":
            continue
        id_format = ">I" if content[0] else ">H"
        wide = content[3] & 1
        (n_items,) = struct.unpack_from(">I", content, 4)
        place = 8
        for _ in range(min(n_items, _MOST_BOXES)):
            (other,) = struct.unpack_from(id_format, content, place)
            place += struct.calcsize(id_format)
            n_properties = content[place]
            place += 1
            for _ in range(n_properties):
                number = (
                    struct.unpack_from(">H", content, place)[0] & 0x7FFF if wide else content[place] & 0x7F
                )
                place += 2 if wide else 1
                if other == item:
                    yield number


def _child(data: bytes, wanted: bytes) -> bytes | None:
    return next((content for kind, content in _boxes(data) if kind == wanted), None)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes that stand one behind the other."""
    place = 0
    for _ in range(_MOST_BOXES):
        if place + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, place)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
            head = 16
        elif size == 0:  # up to the end
            size = len(data) - place
        if size < head:
            return
        yield kind, data[place + head : place + size]
        place += size
