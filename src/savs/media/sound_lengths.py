"""Whether a sound file has all the bytes that it says it has, and no second sound behind the first.

libsndfile would read what is left, and nothing but the first.
"""

from __future__ import annotations

import struct

__all__ = ["holds_several", "is_whole", "says_its_length"]

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


def holds_several(data: bytes) -> bool:
    """Return whether OGG, FLAC or MP3 files stand one behind the other: chained streams, files put together.

    MP3 files are told apart where the first one says how long it is.
    """
    if data[:4] == b"OggS":
        # All streams that are played together begin before one of them goes on (RFC 3533, section 4).
        first = data.find(b"OggS", 4)
        while data[first + 4 : first + 6] == b"\0\x02":
            first = data.find(b"OggS", first + 4)
        return first >= 0 and data.find(b"OggS\0\x02", first) >= 0
    if data[:4] == b"fLaC":
        # The mark, and the head of the first block, which has always the same length (RFC 9639, section 8).
        return data.find(b"fLaC\0\0\0\x22", 4) >= 0 or data.find(b"fLaC\x80\0\0\x22", 4) >= 0
    if data[:3] == b"ID3" or data[:1] == b"\xff":
        start, size = _mp3_length(data)
        return size > 0 and _is_mpeg(data, start + size)
    return False


def says_its_length(data: bytes) -> bool:
    """Return whether an MP3 file has a header with its length: what is shorter has lost some frames."""
    return _mp3_length(data)[1] > 0


def _is_mpeg(data: bytes, place: int) -> bool:
    """Return whether the head of an MPEG frame stands there, or behind a tag there."""
    if data[place : place + 3] == b"ID3":
        place = _after_tag(data, place)
    return data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] >= b"\xe0"


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
    start, size = _mp3_length(data)
    return start < len(data) and 99 * size <= 100 * (len(data) - start)


def _mp3_length(data: bytes) -> tuple[int, int]:
    """Return where an MP3 file's first frame begins, and its bytes from there; 0 if it does not say."""
    start = _after_tag(data, 0) if data[:3] == b"ID3" else 0
    frame = data[start : start + 64]
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or place + 16 > len(frame):
        return start, 0
    (flags,) = struct.unpack_from(">I", frame, place + 4)
    if not flags & 2:
        return start, 0
    (size,) = struct.unpack_from(">I", frame, place + (12 if flags & 1 else 8))
    return start, int(size)


def _after_tag(data: bytes, place: int) -> int:
    """Return where an ID3 tag ends (ID3v2.4, section 3.1)."""
    sizes = zip(data[place + 6 : place + 10], (21, 14, 7, 0), strict=False)
    return place + 10 + sum((byte & 0x7F) << shift for byte, shift in sizes)
