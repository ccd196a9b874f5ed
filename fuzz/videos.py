"""Video files, through the loader that takes a few frames of them."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from savs.errors import MediaError
from savs.media import MediaLimits
from savs.media.video import VideoLimits, load_video

__all__ = ["ALLOWED", "SUFFIXES", "mutate", "place", "read"]

SUFFIXES = (".mp4", ".mkv", ".avi", ".webm")
ALLOWED = (MediaError,)
LIMITS = VideoLimits(max_bytes=2**20, max_frames=1000, frame=MediaLimits(max_pixels=2**16))

NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1)


def place(body: bytes, suffix: str, folder: Path) -> Path:
    """Write a video."""
    path = folder / f"case{suffix}"
    path.write_bytes(body)
    return path


def read(path: Path) -> None:
    """Take three frames of a video, from its file and from its bytes."""
    frames = load_video(path, 3, LIMITS)
    assert len(frames) == 3
    assert {frame.mode for frame in frames} == {"RGB"}
    again = load_video(path.read_bytes(), 3, LIMITS)
    assert [frame.tobytes() for frame in again] == [frame.tobytes() for frame in frames]


def mutate(body: bytes, suffix: str, chance: random.Random) -> bytes:
    """Change a box of an MP4 file and keep the lengths right, or numbers anywhere in other files."""
    if suffix == ".mp4" and chance.random() < 0.5:
        boxes = _boxes(body)
        position = chance.randrange(len(boxes)) if boxes else 0
        if boxes and chance.random() < 0.3:
            boxes.insert(chance.randrange(len(boxes)), boxes[position])
        elif boxes:
            kind, content = boxes[position]
            boxes[position] = (kind, _numbers_changed(content, chance))
        return b"".join(struct.pack(">I", len(content) + 8) + kind + content for kind, content in boxes)
    return _numbers_changed(body, chance)


def _boxes(body: bytes) -> list[tuple[bytes, bytes]]:
    found, spot = [], 0
    while spot + 8 <= len(body):
        (length,) = struct.unpack_from(">I", body, spot)
        length = max(length, 8)
        found.append((body[spot + 4 : spot + 8], body[spot + 8 : spot + length]))
        spot += length
    return found


def _numbers_changed(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        width = chance.choice([1, 1, 2, 4])
        if len(changed) >= width:
            spot = chance.randrange(len(changed) - width + 1)
            changed[spot : spot + width] = (chance.choice(NUMBERS) % 256**width).to_bytes(width, "big")
    return bytes(changed)
