"""Audio files, through the loader that gives samples of one channel at another rate."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np

from savs.errors import MediaError
from savs.media import Audio
from savs.media.audio import AudioLimits, audio_hash, load_audio

__all__ = ["ALLOWED", "SUFFIXES", "mutate", "place", "read"]

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au")
ALLOWED = (MediaError,)
LIMITS = AudioLimits(max_bytes=2**20, max_seconds=20)
RATE = 16_000

NUMBERS = (0, 1, 2, 7, 8, 16, 24, 127, 128, 255, 256, 65534, 65535, 2**31 - 1, 2**31, 2**32 - 1)
_SYNC = b"OggS"


def place(body: bytes, suffix: str, folder: Path) -> Path:
    """Write an audio clip."""
    path = folder / f"case{suffix}"
    path.write_bytes(body)
    return path


def read(path: Path) -> None:
    """Load an audio clip from its file and from its bytes."""
    samples = load_audio(Audio(path), RATE, LIMITS)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 0 < len(samples) <= LIMITS.max_seconds * RATE
    assert np.isfinite(samples).all()
    assert abs(samples).max() <= 4 * LIMITS.max_level
    body = Audio(path.read_bytes())
    assert np.array_equal(load_audio(body, RATE, LIMITS), samples)
    assert audio_hash(body, LIMITS) == audio_hash(Audio(path), LIMITS)


def mutate(body: bytes, suffix: str, chance: random.Random) -> bytes:
    """Change a chunk of a WAV or AIFF file or a page of an OGG file and keep it valid, else numbers."""
    if suffix == ".ogg" and chance.random() < 0.7:
        return b"".join(_page_changed(page, chance) for page in _pages(body))
    if suffix in (".wav", ".aiff") and chance.random() < 0.6:
        return _chunks_changed(body, "<" if suffix == ".wav" else ">", chance)
    return _numbers_changed(body, chance)


def _pages(body: bytes) -> list[bytes]:
    places = [place for place in range(len(body)) if body.startswith(_SYNC, place)]
    return [body[start:stop] for start, stop in zip(places, [*places[1:], len(body)], strict=True)]


def _page_changed(page: bytes, chance: random.Random) -> bytes:
    """Change a page now and then, and put its checksum right, without which no decoder looks at it."""
    if chance.random() < 0.6 or len(page) < 28:
        return page
    changed = _numbers_changed(page, chance)
    blank = changed[:22] + bytes(4) + changed[26:]
    return changed[:22] + struct.pack("<I", _checksum(blank)) + changed[26:]


def _checksum(page: bytes) -> int:
    """Return the checksum of a page: CRC-32 of polynomial 0x04c11db7, unreflected (RFC 3533)."""
    register = 0
    for byte in page:
        register = (register << 8) ^ _TABLE[(register >> 24) ^ byte]
        register &= 0xFFFFFFFF
    return register


def _table() -> list[int]:
    rows = []
    for byte in range(256):
        register = byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
        rows.append(register & 0xFFFFFFFF)
    return rows


_TABLE = _table()


def _chunks_changed(body: bytes, order: str, chance: random.Random) -> bytes:
    chunks, spot = [], 12
    while spot + 8 <= len(body):
        (length,) = struct.unpack_from(f"{order}I", body, spot + 4)
        chunks.append((body[spot : spot + 4], body[spot + 8 : spot + 8 + length]))
        spot += 8 + length + length % 2
    if not chunks:
        return _numbers_changed(body, chance)
    position = chance.randrange(len(chunks))
    kind, content = chunks[position]
    if chance.random() < 0.2:
        chunks.insert(chance.randrange(len(chunks) + 1), (kind, content))
    else:
        chunks[position] = (kind, _numbers_changed(content, chance))
    packed = b"".join(_chunk(kind, content, order) for kind, content in chunks)
    return body[:4] + struct.pack(f"{order}I", (len(packed) + 4) % 2**32) + body[8:12] + packed


def _chunk(kind: bytes, content: bytes, order: str) -> bytes:
    return kind + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)


def _numbers_changed(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        width = chance.choice([1, 1, 2, 4, 8])
        if len(changed) >= width:
            # Headers stand in front.
            spot = min(chance.randrange(len(changed) - width + 1) for _ in range(chance.choice([1, 3])))
            number = chance.choice(NUMBERS) % 256**width
            changed[spot : spot + width] = number.to_bytes(width, chance.choice(["big", "little"]))
    return bytes(changed)
