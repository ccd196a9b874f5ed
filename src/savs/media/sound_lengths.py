"""Whether a sound file has all the bytes that it says it has: libsndfile would read what is left."""

from __future__ import annotations

import struct

__all__ = ["is_whole"]

_UNKNOWN = 0x7FFFF000  # what programs write that do not know the length yet: this or more
_MOST_CHUNKS = 100_000


def is_whole(data: bytes) -> bool:
    """Return False if a WAV, RF64, AIFF, AU, OGG or MP3 file ends too soon, by its own lengths.

    True where a file does not say, and for FLAC, which its decoder checks.
    """
    if data[:4] == b"OggS":
        return _is_whole_ogg(data)
    if data[:3] == b"ID3" or data[:1] == b"\xff":
        return _is_whole_mp3(data)
    start, size = _samples(data)
    return size >= _UNKNOWN or start + size <= len(data)


def _samples(data: bytes) -> tuple[int, int]:
    """Return where the samples of a file begin and how many bytes it says there are; 0 if it does not."""
    if data[:4] == b".snd" and len(data) >= 12:
        start, size = struct.unpack_from(">II", data, 4)
        return start, size
    known = {b"RIFF": ("<", b"data"), b"RF64": ("<", b"data"), b"FORM": (">", b"SSND")}
    order, wanted = known.get(data[:4], ("", b""))
    place = 12
    for _ in range(_MOST_CHUNKS):
        if not order or place + 8 > len(data):
            break
        (size,) = struct.unpack_from(f"{order}I", data, place + 4)
        if data[place : place + 4] == wanted:
            return place + 8, (_long_size(data) if data[:4] == b"RF64" else size)
        place += 8 + size + size % 2
    return 0, 0


def _long_size(data: bytes) -> int:
    """Return the bytes of samples of an RF64 file, which its first chunk holds (EBU Tech 3306)."""
    if data[12:16] != b"ds64" or len(data) < 36:
        return 0
    size = int.from_bytes(data[28:36], "little")
    return 0 if size >= 2**63 else size


def _is_whole_ogg(data: bytes) -> bool:
    """Return whether the last page is whole (RFC 3533, section 6)."""
    place = data.rfind(b"OggS")
    if place + 27 > len(data):
        return False
    n_segments = data[place + 26]
    table = data[place + 27 : place + 27 + n_segments]
    return len(table) == n_segments and place + 27 + n_segments + sum(table) <= len(data)


def _is_whole_mp3(data: bytes) -> bool:
    """Return whether there are as many bytes as the Xing header in the first frame says, but for 1%."""
    start = 0
    if data[:3] == b"ID3" and len(data) >= 10:
        start = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)
        )
    frame = data[start : start + 64]
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or place + 16 > len(frame):
        return start < len(data)
    (flags,) = struct.unpack_from(">I", frame, place + 4)
    if not flags & 2:
        return True
    (size,) = struct.unpack_from(">I", frame, place + (12 if flags & 1 else 8))
    return 99 * int(size) <= 100 * (len(data) - start)
