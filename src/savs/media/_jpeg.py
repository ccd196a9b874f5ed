"""Whether a JPEG file ends early although it has an end marker; decoders fill the rest up in silence."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

__all__ = ["looks_unfinished", "with_more_data"]

_END = 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_MIDDLE_GRAY = 128
_NOISE = np.random.default_rng(0).integers(0, 255, (9, 64), np.uint8)


def looks_unfinished(image: Image.Image) -> bool:
    """Return whether it takes a second decode to know that a JPEG file is complete.

    Where data are missing, decoders leave middle gray at the lower right. A progressive file, whose last pass
    only sharpens the image, shows nothing.
    """
    if image.info.get("progressive") or image.mode not in {"L", "RGB"}:
        return True
    last = image.getpixel((image.width - 1, image.height - 1))
    return last in (_MIDDLE_GRAY, (_MIDDLE_GRAY,) * 3)


def with_more_data(data: bytes) -> bytes:
    """Return a JPEG file with noise before the end marker of its first image.

    A complete image is what it was, as decoders pass over what they do not need; in one that ends early, the
    noise takes the place of what is missing.
    """
    end = _end_of_image(data)
    # Behind restart markers too: in a file that has them, the noise must not be skipped up to the next one.
    pieces = [_NOISE[0].tobytes()]
    pieces += [bytes([0xFF, 0xD0 + number]) + _NOISE[number + 1].tobytes() for number in range(8)]
    return data[:end] + b"".join(pieces) + data[end:]


def _end_of_image(data: bytes) -> int:
    place = 2
    while True:
        found = _MARKER.search(data, place)
        if found is None:
            return len(data)
        marker = found[1][0]
        if marker == _END:
            return found.start()
        # Behind the header of a scan stand its data, which hold no marker but the one that ends them.
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
