"""Which frames of a data set's videos are read."""

from __future__ import annotations

from dataclasses import replace

from savs.examples import Example, Part, Video
from savs.examples.pictures import as_video

__all__ = ["MOST_TIMED_FRAMES", "sampled"]

MOST_TIMED_FRAMES = 64
"""Frames of a video at most, where a rate was asked for and no number."""


def sampled(example: Example, n_frames: int | None, fps: float | None) -> Example:
    """Return an example whose videos are read with a number of frames, or at a rate, or both.

    Raises
    ------
    ExampleError
        ``video_type`` for numbers that mean nothing.
    """
    if n_frames is None and fps is None:
        return example
    number = n_frames if n_frames is not None else MOST_TIMED_FRAMES

    def part(given: Part) -> Part:
        return as_video(replace(given, n_frames=number, fps=fps)) if isinstance(given, Video) else given

    return replace(
        example,
        messages=tuple(replace(m, parts=tuple(part(given) for given in m.parts)) for m in example.messages),
    )
