"""A video's packets: how many frames there are, when they are shown, which can be decoded alone.

Listing them decodes nothing and trusts no header.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from savs.errors import MediaError
from savs.media.limits import MediaLimits

__all__ = [
    "Listing",
    "VideoLimits",
    "cut_short",
    "list_packets",
    "opened",
    "too_large_frames",
    "too_long",
    "undecodable_video",
    "video_stream",
]

# Only containers that name no other file: a playlist read as a video could make the library open an address.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf"
_USUAL_RATE = 24.0  # frames a second of a film, for a file that names no times and no rate
# Elsewhere a seek goes by decoding times, or by places in the file, and may end behind the wanted key frame.
_INDEXED = ("mov", "matroska")


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
    max_pixels : int
        Most pixels decoded on the way to the wanted frames, which is what decoding takes time for: frames
        that repeat the one before take a few bytes each.
    max_kept_pixels : int
        Most pixels of the wanted frames together, at 3 bytes each in memory.
    """

    max_bytes: int = 512 * 2**20
    max_seconds: float = 4 * 3600.0
    max_frames: int = 1_000_000
    frame: MediaLimits = field(default_factory=MediaLimits)
    max_pixels: int = 250_000_000_000
    max_kept_pixels: int = 1_000_000_000


@dataclass(frozen=True)
class Listing:
    """When a video's frames are shown.

    Attributes
    ----------
    times : list of int
        In units, sorted; the frames' numbers where the file has no times.
    keys : list of int
        Of those that can be decoded alone, sorted.
    end : int
        When the last one ends.
    timed : bool
        Whether decoded frames say when they are shown; else they come in the order of `times`.
    unit : float
        Seconds.
    seekable : bool
        Whether a seek to a key frame ends there.
    """

    times: list[int]
    keys: list[int]
    end: int
    timed: bool
    unit: float
    seekable: bool = False

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return (self.end - self.times[0]) * self.unit

    def count(self, n_frames: int, fps: float | None) -> int:
        """Return how many frames to take: `n_frames`, or `fps` a second, at least one and at most `n_frames`.

        Raises
        ------
        MediaError
            ``video_sampling`` for numbers that mean nothing.
        """
        if n_frames < 1 or (fps is not None and not 0 < fps < 1e6):
            raise MediaError("n_frames must be at least 1, and fps positive", code="video_sampling")
        return n_frames if fps is None else min(n_frames, max(1, round(self.duration * fps)))


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """Open an encoded video; whatever FFmpeg raises in the block becomes `MediaError`."""
    import av

    try:
        with av.open(io.BytesIO(data), options={"format_whitelist": _CONTAINERS}) as container:
            yield container
    except MediaError:
        raise
    except (av.error.FFmpegError, ValueError, OSError, EOFError, IndexError, MemoryError):
        raise undecodable_video() from None


def video_stream(container: Any, limits: VideoLimits) -> Any:
    """Return the first video stream."""
    if not len(container.streams):  # as of an MP4 file whose end, with its index, is missing
        raise undecodable_video()
    # The picture of a record sleeve stands in a music file as a video stream of one frame.
    streams = [s for s in container.streams.video if "attached_pic" not in str(s.disposition)]
    if not streams:
        raise _no_frames("has no video stream (sound only?)")
    if streams[0].codec_context is None:  # a codec that this FFmpeg does not know
        raise undecodable_video()
    limits.frame.check_size(streams[0].codec_context.width, streams[0].codec_context.height)
    return streams[0]


def list_packets(container: Any, stream: Any, limits: VideoLimits) -> Listing:
    """List the packets of a stream without decoding one."""
    times: list[int | None] = []
    keys: list[int] = []
    end = n_packets = 0
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        n_packets += 1
        if n_packets > limits.max_frames:
            raise too_long(f"more than {limits.max_frames} frames")
        # What an editor cut off at the beginning is decoded, but not shown.
        if packet.is_discard:
            continue
        times.append(packet.pts)
        if packet.pts is not None:
            end = max(end, packet.pts + (packet.duration or 0))
            if packet.is_keyframe:
                keys.append(packet.pts)
    if not times:
        raise _no_frames("has no frames")
    if n_packets < (stream.frames or 0):
        raise cut_short()
    known = sorted(time for time in times if time is not None)
    repeated = len(set(known)) < len(known)
    if len(known) < len(times) or (repeated and known[0] == known[-1]):
        rate = float(stream.average_rate or 0) or _USUAL_RATE
        return Listing(list(range(len(times))), [], len(times), False, 1 / rate)
    end = max(end, known[-1] + _usual_gap(known))
    seekable = container.format.name.startswith(_INDEXED)
    # AVI has one rate and times of decoding, from which FFmpeg guesses wrong where frames are reordered.
    timed = container.format.name != "avi" and not repeated
    listing = Listing(known, sorted(keys), end, timed, float(stream.time_base), seekable and timed)
    _check_duration(container, listing, limits)
    return listing


def _usual_gap(times: list[int]) -> int:
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    return gaps[len(gaps) // 2] if gaps else 1


def _check_duration(container: Any, listing: Listing, limits: VideoLimits) -> None:
    seconds = listing.duration
    if seconds > limits.max_seconds:
        raise too_long(f"{seconds:.0f} seconds, more than {limits.max_seconds:g}")
    # Matroska says how long it should be; sound may go on after the last frame.
    promised = float((container.duration or 0) / 1e6)
    if len(container.streams) == 1 and promised > 1.5 * seconds + 1:
        raise cut_short()


def undecodable_video() -> MediaError:
    """Return the error for bytes that are no whole video."""
    message = "the bytes are no complete video (damaged, cut short or another kind of file); fetch it again"
    return MediaError(message, code="video_undecodable")


def cut_short() -> MediaError:
    """Return the error for a video that ends before its header says."""
    return MediaError("the video is cut short; fetch it again", code="video_cut_short")


def _no_frames(what: str) -> MediaError:
    return MediaError(f"the file {what}; a video with at least one frame is needed", code="video_no_frames")


def too_long(what: str) -> MediaError:
    """Return the error for a video beyond the limits."""
    return MediaError(f"the video has {what}; cut it", code="video_too_long")


def too_large_frames(limits: VideoLimits, n_frames: int) -> MediaError:
    """Return the error for wanted frames that would not fit into memory."""
    return MediaError(
        f"the {n_frames} frames to be read have more than {limits.max_kept_pixels} pixels together; read "
        "fewer (n_frames, --video-frames), or make the video smaller",
        code="video_too_large",
    )
