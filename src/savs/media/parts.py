"""Images, videos and audio as parts of an example: where they come from, opened only when needed."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    bit_depth : int, optional
        Bits that values of more than 8 bits have, from 8 to 16, where the file does not say: with 12, values
        of 16-bit PNG and TIFF files and arrays go from 0 to 4095. Images of 8 bits are read as they are.
    min_pixels, max_pixels : int, optional
        Pixels that the model's image processor resizes it to at least and at most, for models whose
        processor has such limits (Qwen-VL and its kin); others refuse them.
    """

    source: Path | bytes | PILImage.Image | NDArray[np.generic]
    bit_depth: int | None = field(default=None, kw_only=True)
    min_pixels: int | None = field(default=None, kw_only=True)
    max_pixels: int | None = field(default=None, kw_only=True)

    @property
    def pixel_limits(self) -> tuple[int | None, int | None]:
        """`min_pixels` and `max_pixels`."""
        return self.min_pixels, self.max_pixels

    @property
    def pixel_limits_key(self) -> str:
        """What the limits add to keys in stores and to digests of shots: nothing where there are none."""
        low, high = self.pixel_limits
        return "" if low is None and high is None else f" from {low} to {high} pixels"

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
    own_frames : bool, default=False
        Whether the frames were named with the video itself, as a chat's part can: options for a whole dataset
        do not change them.
    """

    source: Path | bytes
    n_frames: int = 8
    fps: float | None = None
    own_frames: bool = field(default=False, kw_only=True, repr=False)

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
