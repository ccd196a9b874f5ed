"""Writers of PNG, TIFF and BMP files, byte by byte, and the eight orientations as a plain loop."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    rows: Sequence[bytes],
    width: int,
    bits: int,
    color_type: int,
    chunks: Sequence[tuple[bytes, bytes]] = (),
    late_chunks: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """Color types: 0 gray, 2 color, 3 palette, 4 gray and alpha, 6 color and alpha."""
    head = struct.pack(">IIBBBBB", width, len(rows), bits, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", pixels), *late_chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in parts)


def png_of(values: np.ndarray, bits: int = 16, chunks: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A PNG file of 8 or 16 bits of values of shape (height, width[, channels])."""
    n_channels = 1 if values.ndim == 2 else values.shape[2]
    stored = values.astype(">u2" if bits == 16 else "u1")
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[n_channels]
    return png([row.tobytes() for row in stored], values.shape[1], bits, color_type, chunks)


_TIFF_FORMATS = {1: "B", 3: "H", 4: "I", 11: "f"}


def tiff(
    strips: bytes | Sequence[bytes],
    size: tuple[int, int],
    bits: int,
    photometric: int | None,
    *,
    samples: int = 1,
    sample_format: int = 1,
    order: str = "<",
    tags: Mapping[int, tuple[int, Sequence[float]]] = {},
) -> bytes:
    """Photometric 0: white is zero, 1: black is, 2: RGB, 3: palette; tags of type 1, 3, 4 or 11 (float)."""
    strips = [strips] if isinstance(strips, bytes) else list(strips)
    width, height = size
    entries: dict[int, tuple[int, Sequence[float]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        277: (3, [samples]),
        278: (4, [height]),
        339: (3, [sample_format] * samples),
        273: (4, [0] * len(strips)),
        279: (4, [len(strip) for strip in strips]),
    }
    if photometric is not None:
        entries[262] = (3, [photometric])
    entries |= tags
    beside = 8 + 2 + 12 * len(entries) + 4
    total = beside + sum(
        len(_tiff_value(order, *entry)) for entry in entries.values() if _is_long(order, entry)
    )
    starts = np.cumsum([total, *(len(strip) for strip in strips[:-1])])
    entries[273] = (4, starts.tolist())
    directory, values = b"", b""
    for tag in sorted(entries):
        value = _tiff_value(order, *entries[tag])
        if _is_long(order, entries[tag]):
            place = beside + len(values)
            values += value
            value = struct.pack(order + "I", place)
        kind, numbers = entries[tag]
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + directory + bytes(4) + values + b"".join(strips)


def _tiff_value(order: str, kind: int, numbers: Sequence[float]) -> bytes:
    value = struct.pack(f"{order}{len(numbers)}{_TIFF_FORMATS[kind]}", *numbers)
    return value + b"\0" if len(value) > 4 and len(value) % 2 else value


def _is_long(order: str, entry: tuple[int, Sequence[float]]) -> bool:
    return len(_tiff_value(order, *entry)) > 4


def bmp(
    rows: Sequence[bytes],
    width: int,
    bits: int,
    *,
    palette: bytes = b"",
    n_colors: int = 0,
    masks: Sequence[int] = (),
    header: int = 40,
    compression: int | None = None,
    top_down: bool = False,
    body: bytes | None = None,
) -> bytes:
    """Rows from the top; masks of red, green, blue (and alpha) for 16 and 32 bits."""
    height = len(rows)
    stride = (width * bits + 31) // 32 * 4
    ordered = rows if top_down else rows[::-1]
    pixels = b"".join(row.ljust(stride, b"\0") for row in ordered) if body is None else body
    mode = compression if compression is not None else 3 if masks else 0
    colors = struct.pack(f"<{len(masks)}I", *masks)
    info = struct.pack(
        "<IiiHHIIiiII",
        header,
        width,
        -height if top_down else height,
        1,
        bits,
        mode,
        len(pixels),
        0,
        0,
        n_colors,
        0,
    )
    info += colors if header == 40 else colors.ljust(header - 40, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + palette + pixels


def oriented(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What EXIF orientations 1 to 8 mean: where row 0 and column 0 of the stored image lie."""
    height, width = pixels.shape[:2]
    shape = (width, height) if orientation > 4 else (height, width)
    out = np.zeros((*shape, *pixels.shape[2:]), pixels.dtype)
    for y in range(height):
        for x in range(width):
            places = {
                1: (y, x),  # top, left
                2: (y, width - 1 - x),  # top, right
                3: (height - 1 - y, width - 1 - x),  # bottom, right
                4: (height - 1 - y, x),  # bottom, left
                5: (x, y),  # left, top
                6: (x, height - 1 - y),  # right, top
                7: (width - 1 - x, height - 1 - y),  # right, bottom
                8: (width - 1 - x, y),  # left, bottom
            }
            out[places[orientation]] = pixels[y, x]
    return out
