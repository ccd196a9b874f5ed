"""Images, videos and audio as parts of an example: where they come from, opened only when needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs._reprs import short_repr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as PILImage

__all__ = ["Audio", "Image", "Sampling", "Video"]


@dataclass(frozen=True, eq=False)
class Image:
    """An image, opened only when it is needed.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        File path; encoded bytes; a PIL image; or an array of shape (height, width), (height, width, 3) or
        (height, width, 4).
    """

    source: Path | bytes | PILImage.Image | NDArray[np.generic]

    __repr__ = short_repr


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are read.

    Parameters
    ----------
    n_frames : int
        How many, evenly spread over its time.
    fps : float, optional
        How many for each second of it, at most `n_frames`.
    """

    n_frames: int
    fps: float | None = None

    @property
    def in_words(self) -> str:
        """Such as ``8 frames`` or ``2 frames a second, 64 frames at most``."""
        frames = f"{self.n_frames} frame" + ("s" if self.n_frames > 1 else "")
        return frames if self.fps is None else f"{float(self.fps):g} frames a second, {frames} at most"

    def __str__(self) -> str:
        # Part of every key in stores and of the digests of shots.
        return f"{self.n_frames}" if self.fps is None else f"{self.n_frames} at {float(self.fps)!r}"


@dataclass(frozen=True, eq=False)
class Video(Image):
    """A video, opened only when it is needed; it stands in a text as one image does.

    Models that take videos read it as one; others read its frames as images in order.

    Parameters
    ----------
    source : Path or bytes
        File path or encoded bytes; frames at hand go as several images.
    n_frames : int, default=8
        Frames read, evenly spread over its time.
    fps : float, optional
        Frames read for each second of it, at most `n_frames`.
    """

    source: Path | bytes
    n_frames: int = 8
    fps: float | None = None

    __repr__ = short_repr

    @property
    def sampling(self) -> Sampling:
        """Which frames are read."""
        return Sampling(self.n_frames, self.fps)


@dataclass(frozen=True, eq=False)
class Audio:
    """An audio clip, opened only when it is needed.

    Parameters
    ----------
    source : Path, bytes or ndarray
        File path; encoded bytes; or samples in [-1, 1] of shape (n_samples,) or (n_samples, n_channels).
    sampling_rate : int, optional
        Samples a second of an array; files say their own.
    """

    source: Path | bytes | NDArray[np.floating[Any]]
    sampling_rate: int | None = None

    __repr__ = short_repr
