"""`load_video`: a few frames of a video, evenly spread over its time, with limits; seeks where it can.

Packets are listed first, which decodes nothing and trusts no header: the number of frames, their times and
the key frames are known before the first pixel. Safe to call from several threads.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.errors import MediaError
from savs.media.limits import MediaLimits
from savs.media.packets import (
    Listing,
    VideoLimits,
    cut_short,
    list_packets,
    opened,
    too_large_frames,
    too_long,
    undecodable_video,
    video_stream,
)
from savs.media.paths import read_media_file

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "Decoded",
    "VideoLimits",
    "count_frames",
    "decode_video",
    "even_frames",
    "load_video",
    "video_hash",
]

_QUARTER_TURNS = {90: 2, 180: 3, -180: 3, -90: 4}  # to PIL.Image.Transpose.ROTATE_90, 180, 270


@dataclass(frozen=True)
class Decoded:
    """Frames of a video and what they cost.

    Attributes
    ----------
    images : list of PIL.Image.Image
        RGB, upright.
    n_decoded : int
        Frames that the decoder gave on the way.
    seconds : list of float
        When each is shown, from the first frame of the video.
    duration : float
        Seconds of the whole video.
    """

    images: list[Image.Image]
    n_decoded: int
    seconds: list[float]
    duration: float

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """The frames, shape (n_frames, height, width, 3); `MediaError` if they are of several sizes."""
        sizes = list(dict.fromkeys(f"{image.width}x{image.height}" for image in self.images))
        if len(sizes) > 1:
            message = (
                f"the video's frames have {' and '.join(sizes[:3])} pixels; write it again with one size"
            )
            raise MediaError(message, code="video_sizes")
        return np.stack([np.asarray(image) for image in self.images])


def load_video(
    source: Path | bytes, n_frames: int = 8, limits: VideoLimits | None = None
) -> list[Image.Image]:
    """Return `n_frames` frames as 8-bit RGB; see `decode_video`."""
    return decode_video(source, n_frames, limits).images


def video_hash(source: Path | bytes, limits: VideoLimits | None = None) -> str:
    """Return the sha256 of a video's encoded bytes, as 64 hexadecimal digits; nothing is decoded."""
    return hashlib.sha256(_encoded(source, limits or VideoLimits())).hexdigest()


def count_frames(
    source: Path | bytes, n_frames: int, fps: float | None, limits: VideoLimits | None = None
) -> int:
    """Return how many frames `decode_video` gives; nothing is decoded.

    Raises
    ------
    MediaError
        As `decode_video`, for what the list of packets shows.
    """
    if fps is None:
        return n_frames
    limits = limits or VideoLimits()
    with opened(_encoded(source, limits)) as container:
        return list_packets(container, video_stream(container, limits), limits).count(n_frames, fps)


def decode_video(
    source: Path | bytes,
    n_frames: int = 8,
    limits: VideoLimits | None = None,
    *,
    fps: float | None = None,
    seeking: bool = True,
) -> Decoded:
    """Return the frames shown at the middles of `n_frames` equal spans of the video's time.

    A video of fewer frames gives some of them more than once, so their number is always the wanted one.

    Parameters
    ----------
    source : Path or bytes
        An MP4, MOV, Matroska, WebM, AVI, MPEG, FLV or ASF file; its first video stream is read.
    n_frames : int
        At least 1.
    limits : VideoLimits, optional
    fps : float, optional
        One frame per 1/fps seconds: at least one, and at most `n_frames`.
    seeking : bool
        Jump to the key frame before a wanted frame where the container knows its place (MP4, MOV, Matroska,
        WebM); the frames are the same without.

    Raises
    ------
    MediaError
        ``media_missing``, ``media_not_a_file``, ``media_unreadable``, ``video_too_large``,
        ``video_too_long``, ``video_no_frames``, ``video_sampling``, ``video_undecodable``,
        ``video_cut_short``, and the codes of a picture's size.
    """
    limits = limits or VideoLimits()
    data = _encoded(source, limits)
    with opened(data) as container:
        stream = video_stream(container, limits)
        listing = list_packets(container, stream, limits)
        wanted = even_frames(listing.times, listing.end, listing.count(n_frames, fps))
    found, n_decoded = _read(data, listing, sorted(set(wanted)), seeking and listing.seekable, limits)
    seconds = [(listing.times[index] - listing.times[0]) * listing.unit for index in wanted]
    return Decoded([found[index] for index in wanted], n_decoded, seconds, listing.duration)


def even_frames(times: Sequence[int], end: int, n_frames: int) -> list[int]:
    """Return the indices of the frames shown at the middles of `n_frames` equal spans from first to end.

    Parameters
    ----------
    times : sequence of int
        When each frame begins to be shown, ascending.
    end : int
        When the last one ends.
    n_frames : int
    """
    start, span = times[0], end - times[0]
    # In whole numbers, so that no rounding decides between two frames.
    middles = [start + (2 * i + 1) * span // (2 * n_frames) for i in range(n_frames)]
    return [bisect_right(times, middle) - 1 for middle in middles]


def _encoded(source: Path | bytes, limits: VideoLimits) -> bytes:
    try:
        data = source if isinstance(source, bytes) else read_media_file(source, MediaLimits(limits.max_bytes))
    except MediaError as error:
        code = {"image_too_large": "video_too_large", "image_undecodable": "video_undecodable"}
        message = error.message.replace("a picture file", "a video file").replace(
            "the picture's", "the video's"
        )
        raise MediaError(message, code=code.get(error.code, error.code)) from None
    if len(data) > limits.max_bytes:
        raise MediaError(
            f"the video's file is larger than the limit of {limits.max_bytes} bytes; cut or compress it",
            code="video_too_large",
        )
    if not data:
        raise undecodable_video()
    return data


def _read(
    data: bytes, listing: Listing, wanted: list[int], seeking: bool, limits: VideoLimits
) -> tuple[dict[int, Image.Image], int]:
    try:
        with opened(data) as container:
            return _decode(container, video_stream(container, limits), listing, wanted, seeking, limits)
    except MediaError as error:
        # Not all that a file calls a key frame can be decoded alone (intra refresh), nor is its index right.
        if not seeking or error.code not in {"video_undecodable", "video_cut_short"}:
            raise
    return _read(data, listing, wanted, False, limits)


def _decode(
    container: Any, stream: Any, listing: Listing, wanted: list[int], seeking: bool, limits: VideoLimits
) -> tuple[dict[int, Image.Image], int]:
    found: dict[int, Image.Image] = {}
    n_decoded, position = 0, -1
    n_pixels = n_kept = 0
    frames = container.decode(stream)
    for index in wanted:
        time = listing.times[index]
        key = listing.keys[bisect_right(listing.keys, time) - 1] if listing.keys else None
        # From the beginning a seek would be of no use, and a file's first frame may be no key frame.
        ahead = listing.times[max(position, 0)]
        if seeking and key is not None and ahead < key <= time:
            container.seek(key, stream=stream, backward=True)
            frames = container.decode(stream)
        for frame in frames:
            n_decoded += 1
            n_pixels += frame.width * frame.height
            if n_pixels > limits.max_pixels:
                raise too_long(f"more than {limits.max_pixels} pixels on the way to the wanted frames")
            position = bisect_right(listing.times, frame.pts) - 1 if listing.timed else position + 1
            if position >= index:
                break
        else:
            raise cut_short()
        if position != index or (seeking and frame.is_corrupt):
            raise undecodable_video()
        limits.frame.check_size(frame.width, frame.height)
        n_kept += frame.width * frame.height
        if n_kept > limits.max_kept_pixels:
            raise too_large_frames(limits, len(wanted))
        found[index] = _upright(frame)
    return found, n_decoded


def _upright(frame: Any) -> Image.Image:
    from PIL.Image import Transpose

    image: Image.Image = frame.to_image()
    turn = _QUARTER_TURNS.get(round(frame.rotation))
    return image if turn is None else image.transpose(Transpose(turn))
