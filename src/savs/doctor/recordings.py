"""Tones and short films to examine backbones that hear or take videos: made on the spot, no files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from savs.examples import Audio, Video

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["film", "tone"]

_RATE = 16_000
_FRAMES_PER_SECOND = 4


def tone(hertz: float, seconds: float) -> Audio:
    """Return a tone that fades away, at 16 kHz."""
    times = np.arange(round(_RATE * seconds)) / _RATE
    wave = 0.5 * np.sin(2 * np.pi * hertz * times) * np.exp(-times / seconds)
    return Audio(wave.astype(np.float32), _RATE)


def film(pictures: Sequence[PILImage.Image]) -> Video:
    """Return a film of pictures of one size, four a second, every one of them to be read."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=_FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = *pictures[0].size, "yuv420p"
        frames: Any = av.VideoFrame  # partly untyped
        for picture in pictures:
            container.mux(stream.encode(frames.from_image(picture)))
        container.mux(stream.encode(None))
    return Video(file.getvalue(), len(pictures))
