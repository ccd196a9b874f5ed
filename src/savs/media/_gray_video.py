"""A video without content: gray frames of the same size, over the same time."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from savs._optional import import_optional
from savs.errors import MediaError
from savs.media.parts import Video
from savs.media.video import decode_video

__all__ = ["gray_video"]

_FINEST = 10_000
"""Largest denominator of the time between frames, in seconds; MPEG-4 has 16 bits for it."""


def gray_video(video: Video, gray: int) -> Video:
    """Return a video from which as many frames of the same size are read, all gray, over the same time.

    The same video always gives the same bytes.

    Parameters
    ----------
    video : Video
        The video; its number of frames or frames per second stay.
    gray : int
        Value of all pixels, from 0 to 255.

    Raises
    ------
    MediaError
        If the video cannot be read, or is too large to be written again.
    """
    found = decode_video(video.source, video.n_frames, fps=video.fps)
    n_frames, size = len(found.images), found.images[0].size
    step = max(Fraction(found.duration / n_frames).limit_denominator(_FINEST), Fraction(1, _FINEST))
    return replace(video, source=_written(n_frames, size, step, gray))


def _written(n_frames: int, size: tuple[int, int], step: Fraction, gray: int) -> bytes:
    """Return an MP4 file of equal frames, one every `step` seconds."""
    av = import_optional("av")
    width, height = size
    pixels = np.full((height, width, 3), gray, np.uint8)
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="mp4") as container:
            stream: Any = container.add_stream("mpeg4", rate=1 / step)
            stream.width, stream.height, stream.pix_fmt, stream.time_base = width, height, "yuv420p", step
            for place in range(n_frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = place, step
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError, OverflowError):
        raise MediaError(
            f"gray frames of {width}x{height} pixels cannot be written; make the video smaller",
            code="video_too_large",
        ) from None
    return file.getvalue()
