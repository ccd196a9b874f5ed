"""Limits of pixels that images and videos come with, handed to the processors that resize by such limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from savs.errors import ExampleError
from savs.media import Image, Video

if TYPE_CHECKING:
    from savs.backbones._rendering import Rendered

_EDGES = ("shortest_edge", "longest_edge")  # their names in a processor's size, where they count pixels
# Others count the pixels of all frames of a video together.
_PER_FRAME = "Qwen2VLVideoProcessor"


def check_limits(processor: Any, images: Sequence[Image], videos: Sequence[Video]) -> None:
    """Check that a processor can keep the limits of one prompt's images and videos.

    Raises
    ------
    ExampleError
        ``pixel_limits`` if it has no such limits, or they differ among the images or among the videos: it
        takes one for all.
    """
    for kind, media, takes in (
        ("images", images, _resizes_images(processor)),
        ("videos", videos, _resizes_frames(processor)),
    ):
        limits = {medium.pixel_limits for medium in media}
        if limits <= {(None, None)}:
            continue
        if not takes:
            raise ExampleError(
                f"its {kind} have min_pixels or max_pixels, which this backbone's processor does not take; "
                "leave them out, or resize the files",
                code="pixel_limits",
            )
        if len(limits) > 1:
            raise ExampleError(
                f"its {kind} have different min_pixels or max_pixels, and this backbone's processor takes "
                "one for all of a prompt; make them alike",
                code="pixel_limits",
            )


def size_options(processor: Any, rendered: Rendered) -> dict[str, Any]:
    """Return the arguments by which a processor keeps the limits of a prompt; empty where there are none."""
    options: dict[str, Any] = {}
    for name, media, part in (
        ("images_kwargs", rendered.images, "image_processor"),
        ("videos_kwargs", rendered.videos, "video_processor"),
    ):
        if media and media[0].pixel_limits != (None, None):
            # As `size`: as arguments of their own names they are deprecated.
            own = getattr(processor, part).size
            pairs = zip(_EDGES, media[0].pixel_limits, strict=True)
            options[name] = {"size": {edge: own[edge] if limit is None else limit for edge, limit in pairs}}
    return options


def _resizes_images(processor: Any) -> bool:
    return _has_limits(getattr(processor, "image_processor", None))


def _resizes_frames(processor: Any) -> bool:
    videos = getattr(processor, "video_processor", None)
    return _has_limits(videos) and _PER_FRAME in {base.__name__ for base in type(videos).__mro__}


def _has_limits(part: Any) -> bool:
    arguments = getattr(getattr(part, "valid_kwargs", None), "__annotations__", {})
    size = getattr(part, "size", None)
    return "min_pixels" in arguments and size is not None and all(_edge(size, edge) for edge in _EDGES)


def _edge(size: Any, edge: str) -> bool:
    try:
        return bool(size[edge])
    except (KeyError, TypeError, AttributeError):
        return False
