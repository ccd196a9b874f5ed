"""`load_video`: a few frames of a video, evenly spread over its time, with limits; seeks where it can.

Packets are listed first, which decodes nothing and trusts no header: the number of frames, their times and
the key frames are known before the first pixel. Safe to call from several threads.
"""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.errors import MediaError
from savs.media.limits import MediaLimits
from savs.media.paths import read_media_file

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Decoded", "VideoLimits", "decode_video", "even_frames", "load_video", "video_hash"]

# Only containers that name no other file: a playlist read as a video could make the library open an address.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf"
_QUARTER_TURNS = {90: 2, 180: 3, -180: 3, -90: 4}  # to PIL.Image.Transpose.ROTATE_90, 180, 270


@dataclass(frozen=True)
class VideoLimits:
    """Limits of one video, checked before a frame is decoded.

    Parameters
    ----------
    max_bytes : int
        Longest encoded file; it is held in memory while its frames are read.
    max_seconds : float
        Longest duration.
    max_frames : int
        Most frames in the file.
    frame : MediaLimits
        Limits of each frame's width and height.
    """

    max_bytes: int = 512 * 2**20
    max_seconds: float = 4 * 3600.0
    max_frames: int = 1_000_000
    frame: MediaLimits = field(default_factory=MediaLimits)


@dataclass(frozen=True)
class Decoded:
    """Frames of a video and what they cost.

    Attributes
    ----------
    images : list of PIL.Image.Image
        RGB, upright.
    n_decoded : int
        Frames that the decoder gave on the way.
    """

    images: list[Image.Image]
    n_decoded: int


@dataclass(frozen=True)
class _Listing:
    """Display times in units of the stream's time base, sorted; None where the file has none."""

    times: list[int]
    keys: list[int]
    end: int
    timed: bool


def load_video(
    source: Path | bytes, n_frames: int = 8, limits: VideoLimits | None = None
) -> list[Image.Image]:
    """Return `n_frames` frames as 8-bit RGB; see `decode_video`."""
    return decode_video(source, n_frames, limits).images


def video_hash(source: Path | bytes, limits: VideoLimits | None = None) -> str:
    """Return the sha256 of a video's encoded bytes, as 64 hexadecimal digits; nothing is decoded."""
    return hashlib.sha256(_encoded(source, limits or VideoLimits())).hexdigest()


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
        Instead of `n_frames`: one frame per 1/fps seconds, at least one; more than `n_frames` are refused.
    seeking : bool
        Jump to the key frame before a wanted frame; the frames are the same without.

    Raises
    ------
    MediaError
        ``media_missing``, ``media_not_a_file``, ``media_unreadable``, ``video_too_large``,
        ``video_too_long``, ``video_no_frames``, ``video_undecodable``, ``video_cut_short``, and the codes
        of a picture's size.
    """
    limits = limits or VideoLimits()
    data = _encoded(source, limits)
    with _opened(data) as container:
        stream = _video_stream(container, limits)
        listing = _listed(container, stream, limits)
        wanted = even_frames(listing.times, listing.end, _count(listing, stream, n_frames, fps))
    with _opened(data) as container:
        stream = _video_stream(container, limits)
        found, n_decoded = _decode(container, stream, listing, sorted(set(wanted)), seeking, limits)
    return Decoded([found[index] for index in wanted], n_decoded)


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
        raise _undecodable()
    return data


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    import av

    try:
        with av.open(io.BytesIO(data), options={"format_whitelist": _CONTAINERS}) as container:
            yield container
    except MediaError:
        raise
    except (av.error.FFmpegError, ValueError, OSError, EOFError, IndexError, MemoryError):
        raise _undecodable() from None


def _video_stream(container: Any, limits: VideoLimits) -> Any:
    # The picture of a record sleeve stands in a music file as a video stream of one frame.
    streams = [s for s in container.streams.video if "attached_pic" not in str(s.disposition)]
    if not streams:
        raise _no_frames("has no video stream (sound only?)")
    if streams[0].codec_context is None:  # a codec that this FFmpeg does not know
        raise _undecodable()
    limits.frame.check_size(streams[0].codec_context.width, streams[0].codec_context.height)
    return streams[0]


def _listed(container: Any, stream: Any, limits: VideoLimits) -> _Listing:
    """List the packets of a stream without decoding one."""
    times: list[int | None] = []
    keys: list[int] = []
    end = 0
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        times.append(packet.pts)
        if len(times) > limits.max_frames:
            raise _too_long(f"more than {limits.max_frames} frames")
        if packet.pts is not None:
            end = max(end, packet.pts + (packet.duration or 0))
            if packet.is_keyframe:
                keys.append(packet.pts)
    if not times:
        raise _no_frames("has no frames")
    if len(times) < (stream.frames or 0):
        raise _cut_short()
    known = sorted(time for time in times if time is not None)
    if len(known) < len(times) or len(set(known)) < len(known):
        return _Listing(list(range(len(times))), [], len(times), timed=False)
    listing = _Listing(known, sorted(keys), max(end, known[-1] + _usual_gap(known)), timed=True)
    _check_duration(container, stream, listing, limits)
    return listing


def _usual_gap(times: list[int]) -> int:
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    return gaps[len(gaps) // 2] if gaps else 1


def _check_duration(container: Any, stream: Any, listing: _Listing, limits: VideoLimits) -> None:
    seconds = float((listing.end - listing.times[0]) * stream.time_base)
    if seconds > limits.max_seconds:
        raise _too_long(f"{seconds:.0f} seconds, more than {limits.max_seconds:g}")
    # Matroska says how long it should be; sound may go on after the last frame.
    promised = float((container.duration or 0) / 1e6)
    if len(container.streams) == 1 and promised > 1.5 * seconds + 1:
        raise _cut_short()


def _count(listing: _Listing, stream: Any, n_frames: int, fps: float | None) -> int:
    if n_frames < 1 or (fps is not None and not 0 < fps < 1e6):
        raise MediaError("n_frames must be at least 1, and fps positive", code="video_sampling")
    if fps is None:
        return n_frames
    if not listing.timed:
        raise MediaError("the video's frames have no times; sample a number of frames", code="video_sampling")
    count = max(1, round(float((listing.end - listing.times[0]) * stream.time_base) * fps))
    if count > n_frames:
        raise _too_long(f"{count} frames at {fps:g} a second, more than the {n_frames} allowed")
    return count


def _decode(
    container: Any, stream: Any, listing: _Listing, wanted: list[int], seeking: bool, limits: VideoLimits
) -> tuple[dict[int, Image.Image], int]:
    found: dict[int, Image.Image] = {}
    n_decoded, position = 0, -1
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
            position = bisect_right(listing.times, frame.pts) - 1 if listing.timed else position + 1
            if position >= index:
                break
        else:
            raise _cut_short()
        if position != index:
            raise _undecodable()
        limits.frame.check_size(frame.width, frame.height)
        found[index] = _upright(frame)
    return found, n_decoded


def _upright(frame: Any) -> Image.Image:
    from PIL.Image import Transpose

    image: Image.Image = frame.to_image()
    turn = _QUARTER_TURNS.get(round(frame.rotation))
    return image if turn is None else image.transpose(Transpose(turn))


def _undecodable() -> MediaError:
    message = "the bytes are no complete video (damaged, cut short or another kind of file); fetch it again"
    return MediaError(message, code="video_undecodable")


def _cut_short() -> MediaError:
    return MediaError("the video is cut short; fetch it again", code="video_cut_short")


def _no_frames(what: str) -> MediaError:
    return MediaError(f"the file {what}; a video with at least one frame is needed", code="video_no_frames")


def _too_long(what: str) -> MediaError:
    return MediaError(f"the video has {what}; cut it", code="video_too_long")
