"""Encoded images, through the one guarded loader, as bytes and as a file."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from savs.errors import MediaError
from savs.media import MediaLimits, content_hash, image_area, load_image

__all__ = ["ALLOWED", "LIMITS", "SUFFIXES", "mutate", "place", "read"]

SUFFIXES = (".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff")
ALLOWED = (MediaError,)
# Small, so that time goes into headers and not into pixels.
LIMITS = MediaLimits(max_bytes=2**20, max_pixels=2**20)

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 16, 24, 32, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**32 - 1)
_PNG = b"\x89PNG\r\n\x1a\n"


def place(body: bytes, suffix: str, folder: Path) -> Path:
    """Write an image."""
    path = folder / f"case{suffix}"
    path.write_bytes(body)
    return path


def read(path: Path) -> None:
    """Load an image from its file and from its bytes, and check what comes out."""
    body = path.read_bytes()
    area = image_area(body)
    assert area >= 0
    assert image_area(path) == area
    try:
        image = load_image(path, LIMITS)
    except MediaError as error:
        _same_refusal(body, error)
        raise
    assert (image.mode, image.info) == ("RGB", {})
    assert 16 <= image.size[0] * image.size[1] <= LIMITS.max_pixels
    assert len(image.tobytes()) == 3 * image.size[0] * image.size[1]
    assert load_image(body, LIMITS).tobytes() == image.tobytes()
    assert content_hash(body) == content_hash(path)


def _same_refusal(body: bytes, error: MediaError) -> None:
    codes = []
    try:
        load_image(body, LIMITS)
    except MediaError as other:
        codes.append(other.code)
    assert codes == [error.code]


def mutate(body: bytes, suffix: str, chance: random.Random) -> bytes:
    """Change an image's structure and keep lengths and checksums right."""
    if body.startswith(_PNG):
        return _PNG + b"".join(_png_chunk(*chunk) for chunk in _changed(list(_png_chunks(body)), chance))
    if body.startswith(b"\xff\xd8"):
        return b"\xff\xd8" + b"".join(_jpeg_segment(*one) for one in _changed(list(_segments(body)), chance))
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        inner = b"".join(_riff_chunk(*chunk) for chunk in _changed(list(_riff_chunks(body)), chance))
        return b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner
    return _numbers_changed(body, chance, "<" if suffix != ".tiff" or body[:2] == b"II" else ">")


def _changed(chunks: list[tuple[bytes, bytes]], chance: random.Random) -> list[tuple[bytes, bytes]]:
    """Return chunks with one of them changed, doubled, moved or left out."""
    if not chunks:
        return chunks
    position = chance.randrange(len(chunks))
    kind, content = chunks[position]
    choice = chance.randrange(7)
    if choice == 0:
        del chunks[position]
    elif choice == 1:
        chunks.insert(chance.randrange(len(chunks) + 1), (kind, content))
    elif choice == 2:
        chunks.insert(chance.randrange(len(chunks)), chunks.pop(position))
    elif choice == 3:
        chunks[position] = (chance.choice(chunks)[0], content)
    elif choice == 4 and kind in {b"IDAT", b"fdAT", b"iCCP", b"zTXt"}:
        chunks[position] = (kind, _recompressed(content, chance))
    else:
        chunks[position] = (kind, _numbers_changed(content, chance, ">" if kind.isalpha() else "<"))
    return chunks


def _recompressed(content: bytes, chance: random.Random) -> bytes:
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(content, 2**16)
    except zlib.error:
        return content
    changes: list[Callable[[bytes], bytes]] = [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw * 3,
        lambda raw: raw + bytes(2**16),
        lambda raw: bytes([chance.randrange(256)]) + raw[1:],
    ]
    return zlib.compress(chance.choice(changes)(plain))


def _numbers_changed(content: bytes, chance: random.Random, order: str) -> bytes:
    """Return bytes with one or two numbers of 1, 2 or 4 bytes replaced, most of the time near the start."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 2)):
        width = chance.choice([1, 1, 2, 2, 4])
        if len(changed) < width:
            break
        reach = len(changed) - width + 1
        spot = chance.randrange(min(reach, 64) if chance.random() < 0.7 else reach)
        number = chance.choice(NUMBERS) % 256**width
        changed[spot : spot + width] = number.to_bytes(width, "little" if order == "<" else "big")
    return bytes(changed)


def _png_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    spot = len(_PNG)
    while spot + 12 <= len(body):
        (length,) = struct.unpack_from(">I", body, spot)
        yield body[spot + 4 : spot + 8], body[spot + 8 : spot + 8 + length]
        spot += 12 + length


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _segments(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield marker and content; the entropy-coded data goes with the scan's header."""
    spot = 2
    while spot + 4 <= len(body) and body[spot] == 0xFF:
        marker = body[spot : spot + 2]
        (length,) = struct.unpack_from(">H", body, spot + 2)
        stop = len(body) if marker == b"\xff\xda" else spot + 2 + length
        yield marker, body[spot + 4 : stop]
        spot = max(stop, spot + 4)


def _jpeg_segment(marker: bytes, content: bytes) -> bytes:
    # A scan's own length counts its header only, which says how many components it has.
    length = 6 + 2 * content[0] if marker == b"\xff\xda" and content else 2 + len(content)
    return marker + struct.pack(">H", length % 65536) + content


def _riff_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    spot = 12
    while spot + 8 <= len(body):
        (length,) = struct.unpack_from("<I", body, spot + 4)
        yield body[spot : spot + 4], body[spot + 8 : spot + 8 + length]
        spot += 8 + length + length % 2


def _riff_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
