"""`load_video`: a few frames of a video, evenly spread over its time, with limits; seeks where it can.

Packets are listed first, which decodes nothing and trusts no header: the number of frames, their times and
the key frames are known before the first pixel. Safe to call from several threads.
"""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs._optional import import_optional
from savs.errors import MediaError
from savs.media._frames import Screen
from savs.media._paths import encoded
from savs.media.limits import MediaLimits

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "VideoLimits",
    "Decoded",
    "count_frames",
    "decode_video",
    "even_frames",
    "load_video",
    "video_hash",
]


# A video's packets: how many frames there are, when they are shown, which can be decoded alone.

# Only containers that name no other file: a playlist read as a video could make the library open an address.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf"
_USUAL_RATE = 24.0  # frames a second of a video, for a file that names no times and no rate
# Elsewhere a seek goes by decoding times, or by places in the file, and may end behind the wanted key frame.
_INDEXED = ("mov", "matroska")
# Seconds by which the clock of an MPEG stream may go back, as a slip, and ahead, as FFmpeg has it.
_MOST_BACK, _MOST_AHEAD = 0.25, 10
# Elsewhere FFmpeg reckons the duration from what is there.
_STATES_DURATION = ("matroska", "flv", "asf")


@dataclass(frozen=True)
class VideoLimits:
    """Limits of one video, checked before a frame is decoded.

    Parameters
    ----------
    max_bytes : int
        Largest encoded file, in bytes. It is kept in memory while its frames are read.
    max_seconds : float
        Longest duration, in seconds.
    max_frames : int
        Most frames in the file.
    frame : MediaLimits
        Limits of each frame's width and height.
    max_pixels : int
        Most pixels decoded to get the selected frames. It bounds decoding time, which the file size does
        not: a frame that repeats the one before takes a few bytes.
    max_kept_pixels : int
        Most pixels of the selected frames together. Each pixel takes 3 bytes of memory.
    """

    max_bytes: int = 512 * 2**20
    max_seconds: float = 4 * 3600.0
    max_frames: int = 1_000_000
    frame: MediaLimits = field(default_factory=MediaLimits)
    max_pixels: int = 250_000_000_000
    max_kept_pixels: int = 1_000_000_000


@dataclass(frozen=True)
class Listing:
    """The display times of a video's frames.

    Attributes
    ----------
    times : list of int
        Sorted, in multiples of `unit`. If the file has no times, these are frame numbers.
    keys : list of int
        Times of the key frames (frames that can be decoded alone), sorted.
    end : int
        When the last frame ends.
    timed : bool
        Whether decoded frames carry their display time. If not, they come in the order of `times`.
    unit : float
        Length of one time unit, in seconds.
    seekable : bool
        Whether a seek to a key frame arrives exactly there.
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
            ``video_sampling`` if `n_frames` is below 1, or `fps` is not positive or far too large.
        """
        if n_frames < 1 or (fps is not None and not 0 < fps < 1e6):
            raise MediaError("n_frames must be at least 1, and fps positive", code="video_sampling")
        return n_frames if fps is None else min(n_frames, max(1, round(self.duration * fps)))


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """Open an encoded video; errors of FFmpeg in the block become `MediaError`."""
    av = import_optional("av")
    if _ends_before_its_segment(data):
        raise cut_short()
    try:
        with av.open(io.BytesIO(data), options={"format_whitelist": _CONTAINERS}) as container:
            yield container
    except MediaError:
        raise
    except (av.error.FFmpegError, ValueError, OSError, EOFError, IndexError, MemoryError):
        raise _an_image(data) or undecodable_video() from None


_IMAGES = {"GIF": b"GIF8", "PNG": b"\x89PNG", "JPEG": b"\xff\xd8\xff"}


def _an_image(data: bytes) -> MediaError | None:
    kind = next((kind for kind, magic in _IMAGES.items() if data.startswith(magic)), None)
    message = f"a {kind} file is an image and no video; give it as an image, or convert an animation to MP4"
    return None if kind is None else MediaError(message, code="video_undecodable")


def _ends_before_its_segment(data: bytes) -> bool:
    """Return whether a Matroska file has fewer bytes than its segment, by the size in it (RFC 8794)."""
    place = 0
    for name in (b"\x1aE\xdf\xa3", b"\x18S\x80g"):  # the head, and the segment that holds all the rest
        start = place + len(name)
        if data[place:start] != name or start >= len(data) or not data[start]:
            return False
        n_bytes = 9 - data[start].bit_length()
        unknown = 2 ** (7 * n_bytes) - 1
        size = int.from_bytes(data[start : start + n_bytes], "big") & unknown
        place = start + n_bytes + size
    return size != unknown and place > len(data)


def video_stream(container: Any, limits: VideoLimits) -> Any:
    """Return the video stream that a player shows: the first of those marked as default, or of all."""
    if not len(container.streams):  # as of an MP4 file whose end, with its index, is missing
        raise undecodable_video()
    kinds = import_optional("av").stream.Disposition
    # The image of a record sleeve stands in a music file as a video stream of one frame.
    streams = [s for s in container.streams.video if not s.disposition & kinds.attached_pic]
    if not streams:
        raise _no_frames("has no video stream (audio clip only?)")
    stream = next((s for s in streams if s.disposition & kinds.default), streams[0])
    # A codec that this FFmpeg does not know, or a stream that never says its size.
    if stream.codec_context is None or not stream.codec_context.width:
        raise undecodable_video()
    limits.frame.check_size(stream.codec_context.width, stream.codec_context.height)
    return stream


def list_packets(container: Any, stream: Any, limits: VideoLimits) -> Listing:
    """List the packets of a stream without decoding one."""
    times: list[int | None] = []
    keys: list[int] = []
    steps: list[int] = []
    end = n_packets = 0
    latest = 0.0
    for packet in container.demux():
        if packet.size == 0:
            continue
        if packet.pts is not None and packet.time_base:
            latest = max(latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != stream.index:
            continue
        n_packets += 1
        if packet.dts is not None:
            steps.append(packet.dts)
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
    known = sorted(time for time in times if time is not None)
    if _states_more(container, stream, n_packets, max(steps, default=0) + _usual_gap(known)):
        raise cut_short()
    rate = float(stream.average_rate or 0) or _USUAL_RATE
    if container.format.name.startswith("mpeg") and _jumps(steps, stream.time_base):
        gap = float(_usual_gap(steps) * stream.time_base)
        return _in_order(len(times), gap if gap > 0 else 1 / rate, limits)
    repeated = len(set(known)) < len(known)
    if len(known) < len(times) or (repeated and known[0] == known[-1]):
        return _in_order(len(times), 1 / rate, limits)
    end = max(end, known[-1] + _usual_gap(known))
    seekable = container.format.name.startswith(_INDEXED)
    # AVI has one rate and times of decoding, from which FFmpeg guesses wrong where frames are reordered.
    timed = container.format.name != "avi" and not repeated
    listing = Listing(known, sorted(keys), end, timed, float(stream.time_base), seekable and timed)
    _check_duration(container, listing, latest, limits)
    return listing


def _jumps(steps: list[int], unit: Fraction) -> bool:
    """Return whether the clock goes back or far ahead, as where streams were put one behind the other.

    Players close such gaps: what counts is the order.
    """
    return any(
        not -_MOST_BACK <= (later - earlier) * unit <= _MOST_AHEAD for earlier, later in pairwise(steps)
    )


def _in_order(n_frames: int, unit: float, limits: VideoLimits) -> Listing:
    """Return a listing by frame numbers, for frames whose times do not say when they are shown."""
    listing = Listing(list(range(n_frames)), [], n_frames, False, unit)
    _check_not_longer(listing, limits)
    return listing


def _check_not_longer(listing: Listing, limits: VideoLimits) -> None:
    if listing.duration > limits.max_seconds:
        raise too_long(f"{listing.duration:.0f} seconds, more than {limits.max_seconds:g}")


def _states_more(container: Any, stream: Any, n_packets: int, n_steps: int) -> bool:
    """Return whether a file's index or header has more frames than its packets.

    `n_steps` are the units of time up to the end of the last packet, which are the frames of AVI.
    """
    if container.format.name.startswith("mov"):
        # The number of frames in the header counts those that edit lists leave out, the index does not.
        return n_packets < sum(1 for entry in stream.index_entries if entry.size > 0)
    # In AVI a frame without bytes, which is no packet, shows the one before it for longer.
    n_shown = max(n_packets, n_steps) if container.format.name == "avi" else n_packets
    return n_shown < int(stream.frames or 0)


def _usual_gap(times: list[int]) -> int:
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    return gaps[len(gaps) // 2] if gaps else 1


def _check_duration(container: Any, listing: Listing, latest: float, limits: VideoLimits) -> None:
    """Check the length of a video, and that the last packet of all streams ends where the header says."""
    _check_not_longer(listing, limits)
    seconds = listing.duration
    promised = float((container.duration or 0) / 1e6)
    start = max(listing.times[0] * listing.unit, 0)  # many durations are from zero on
    if container.streams.audio and container.format.name.startswith(_STATES_DURATION):
        is_cut = promised > 1.02 * latest + 1
    else:  # the last frame may stay for long
        is_cut = len(container.streams) == 1 and promised - start > 1.5 * seconds + 1
    if is_cut:
        raise cut_short()


def undecodable_video() -> MediaError:
    """Return the error for bytes that are not a whole video."""
    message = (
        "the bytes are not a complete video (damaged, cut short or another kind of file); fetch it again"
    )
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
    """Return the error for selected frames that together have too many pixels."""
    return MediaError(
        f"the {n_frames} frames to be read have more than {limits.max_kept_pixels} pixels together; read "
        "fewer (n_frames, --video-frames), or make the video smaller",
        code="video_too_large",
    )


# `load_video`: a few frames of a video, evenly spread over its time, with limits; seeks where it can.


@dataclass(frozen=True)
class Decoded:
    """Frames of a video, their times, and the number of frames that were decoded to get them.

    Attributes
    ----------
    images : list of PIL.Image.Image
        RGB, upright.
    n_decoded : int
        Number of frames decoded, including those that were not selected.
    seconds : list of float
        Display time of each image, in seconds from the first frame of the video.
    duration : float
        Length of the whole video, in seconds.
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
    """Return evenly spaced frames of a video; `decode_video` also returns their times.

    Parameters
    ----------
    source : Path or bytes
        A video file or its bytes, in a format that `decode_video` reads.
    n_frames : int, default=8
        How many frames, at least 1. If the video has fewer, some are repeated.
    limits : VideoLimits, optional
        Largest file, length, frames and frame sizes; the defaults of `VideoLimits` if None.

    Returns
    -------
    list of PIL.Image.Image
        `n_frames` upright images of mode RGB, 8 bits per channel.

    Raises
    ------
    MediaError
        With the codes of `decode_video`.
    """
    return decode_video(source, n_frames, limits).images


def video_hash(source: Path | bytes, limits: VideoLimits | None = None) -> str:
    """Return the SHA-256 hash of a video's encoded bytes; nothing is decoded.

    Parameters
    ----------
    source : Path or bytes
        A video file or its bytes.
    limits : VideoLimits, optional
        Only the largest file size (bytes) is used; the default of `VideoLimits` if None.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    MediaError
        If the file cannot be read, is empty, or is larger than the limit.
    """
    return hashlib.sha256(encoded(source, limits or VideoLimits(), "video")).hexdigest()


def count_frames(
    source: Path | bytes, n_frames: int, fps: float | None, limits: VideoLimits | None = None
) -> int:
    """Return how many frames `decode_video` returns for the same arguments; nothing is decoded.

    Parameters
    ----------
    source : Path or bytes
        A video file or its bytes, in a format that `decode_video` reads.
    n_frames : int
        How many frames to take; with `fps`, the most frames to take.
    fps : float or None
        Frames per second of video (hertz). If None, the answer is `n_frames` and the file is not opened.
    limits : VideoLimits, optional
        Largest file, length, frames and frame sizes; the defaults of `VideoLimits` if None.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    MediaError
        With the codes of `decode_video`, as far as headers and packets show the problem.
    """
    if fps is None:
        return n_frames
    limits = limits or VideoLimits()
    with opened(encoded(source, limits, "video")) as container:
        return list_packets(container, video_stream(container, limits), limits).count(n_frames, fps)


def decode_video(
    source: Path | bytes,
    n_frames: int = 8,
    limits: VideoLimits | None = None,
    *,
    fps: float | None = None,
    seeking: bool = True,
) -> Decoded:
    """Return the frames shown at the middles of `n_frames` equal intervals of the video's time.

    If the video has fewer frames, some are repeated.

    Parameters
    ----------
    source : Path or bytes
        An MP4, MOV, Matroska, WebM, AVI, MPEG, FLV or ASF file; its default video stream is read,
        or the first.
    n_frames : int
        At least 1.
    limits : VideoLimits, optional
    fps : float, optional
        Frames per second of video: at least one frame in all, and at most `n_frames`.
    seeking : bool
        Jump to the key frame before a wanted frame where the container knows its place (MP4, MOV, Matroska,
        WebM); the frames are the same without.

    Raises
    ------
    MediaError
        ``media_missing``, ``media_not_a_file``, ``media_unreadable``, ``video_too_large``,
        ``video_too_long``, ``video_no_frames``, ``video_sampling``, ``video_undecodable``,
        ``video_cut_short``, ``video_color``, and the codes of an image's size.

    Warns
    -----
    MediaWarning
        If its display matrix is not one of the eight that turn and mirror, or its frames are interlaced.
    """
    limits = limits or VideoLimits()
    data = encoded(source, limits, "video")
    with opened(data) as container:
        stream = video_stream(container, limits)
        listing = list_packets(container, stream, limits)
    n_frames = listing.count(n_frames, fps)
    listing = _from_first_shown(data, listing, limits)
    wanted = even_frames(listing.times, listing.end, n_frames)
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


def _from_first_shown(data: bytes, listing: Listing, limits: VideoLimits) -> Listing:
    """Return a listing without the first frames if they refer to some that were cut off.

    Then what is shown begins at the first key frame, however few frames are wanted.
    """
    if not listing.timed or not listing.keys or listing.times[0] == listing.keys[0]:
        return listing
    with opened(data) as container:
        frame = next(_frames(container, video_stream(container, limits)), None)
    if frame is None or frame.pts != listing.keys[0]:
        return listing
    return replace(listing, times=listing.times[bisect_left(listing.times, frame.pts) :])


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
    screen = Screen(stream, limits.frame)
    frames = _frames(container, stream)
    for index in wanted:
        time = listing.times[index]
        key = listing.keys[bisect_right(listing.keys, time) - 1] if listing.keys else None
        # From the beginning a seek would be of no use, and a file's first frame may be no key frame.
        ahead = listing.times[max(position, 0)]
        if seeking and key is not None and ahead < key <= time:
            container.seek(key, stream=stream, backward=True)
            frames = _frames(container, stream)
        for frame in frames:
            n_decoded += 1
            screen.note(frame)
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
        width, height = screen.size(frame)
        n_kept += width * height
        if n_kept > limits.max_kept_pixels:
            raise too_large_frames(limits, len(wanted))
        found[index] = screen.image(frame)
    return found, n_decoded


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the frames from where the container stands; with their transparency, if there is some."""
    decoder = _decoder_of_alpha(stream)
    if decoder is None:
        yield from container.decode(stream)
        return
    for packet in container.demux(stream):
        yield from decoder.decode(packet if packet.size else None)


def _decoder_of_alpha(stream: Any) -> Any:
    """Return a decoder for VP8 and VP9 that reads the alpha channel of WebM; None where there is none."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return None
    return import_optional("av").CodecContext.create(name, "r")
