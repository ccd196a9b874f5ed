"""The hash of a medium's content: of encoded bytes, pixels or samples, computed once within `hashed_once`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from savs.media.audio import audio_hash
from savs.media.image import content_hash
from savs.media.limits import DEFAULT_LIMITS, MediaLimits
from savs.media.parts import Audio, Image, Video
from savs.media.video import video_hash

__all__ = ["hashed_once", "image_hash", "part_hash"]

_KNOWN: ContextVar[dict[Image | Audio, str] | None] = ContextVar("savs_known_hashes", default=None)


@contextmanager
def hashed_once() -> Iterator[None]:
    """Compute the hash of each part at most once in the block, also where several functions need it.

    The parts are told apart as objects: the same file in two examples is read for each. It also decorates
    functions: ``@hashed_once()``.
    """
    if _KNOWN.get() is not None:
        yield
        return
    token = _KNOWN.set({})
    try:
        yield
    finally:
        _KNOWN.reset(token)


def image_hash(part: Image, limits: MediaLimits = DEFAULT_LIMITS) -> str:
    """Return the hash of an image's content and, where it names them, its bit depth and limits of pixels.

    Raises
    ------
    MediaError
        If it cannot be read.
    """
    content = part_hash(part, limits)
    depth = "" if part.bit_depth is None else f" of {part.bit_depth} bits"
    return f"{content}{depth}{part.pixel_limits_key}"


def part_hash(part: Image | Audio, limits: MediaLimits = DEFAULT_LIMITS) -> str:
    """Return the sha256 of a medium's content as hexadecimal digits; which frames are read is not in it.

    Parameters
    ----------
    part : Image, Video or Audio
    limits : MediaLimits
        Of an image.

    Raises
    ------
    MediaError
        If it cannot be read.
    """
    known = _KNOWN.get() if limits is DEFAULT_LIMITS else None
    if known is not None and part in known:
        return known[part]
    if isinstance(part, Audio):
        value = audio_hash(part)
    elif isinstance(part, Video):
        value = video_hash(part.source)
    else:
        value = content_hash(part.source, limits)
    if known is not None:
        known[part] = value
    return value
