"""Where pictures stand in a text: at its markers, or first when it has none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from savs.errors import ExampleError
from savs.examples.content import IMAGE_MARKER, VIDEO_MARKER, Image, Part, Text, Video

__all__ = ["count_markers", "place_images", "place_in_order"]


def place_images(text: str, images: Sequence[Image]) -> tuple[Part, ...]:
    """Return the parts of a text with pictures: one picture per marker, or all of them before the text.

    Raises
    ------
    ExampleError
        ``marker_mismatch`` if the text has markers, but not one per picture.
    """
    return place_in_order([*images, Text(text)])


def place_in_order(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return parts without markers: pictures move to the markers if there are some, else they stay.

    Raises
    ------
    ExampleError
        ``marker_mismatch`` if the texts have markers, but not one per picture and one per video.
    """
    images = [part for part in parts if isinstance(part, Image) and not isinstance(part, Video)]
    videos = [part for part in parts if isinstance(part, Video)]
    n_markers = count_markers(parts)
    if n_markers == 0:
        return tuple(part for part in parts if not isinstance(part, Text) or part.text)
    n_video_markers = n_markers - _count(parts, IMAGE_MARKER)
    if n_markers - n_video_markers != len(images):
        raise mismatch(n_markers - n_video_markers, len(images))
    if n_video_markers != len(videos):
        raise mismatch(n_video_markers, len(videos), VIDEO_MARKER, "video")
    supply: dict[str, Iterator[Image]] = {IMAGE_MARKER: iter(images)}
    if videos:
        supply[VIDEO_MARKER] = iter(videos)
    return tuple(piece for part in parts if isinstance(part, Text) for piece in _fill(part.text, supply))


def count_markers(parts: Sequence[Part]) -> int:
    """Return how many markers the texts among `parts` hold; those of videos only if there is a video."""
    videos = any(isinstance(part, Video) for part in parts)
    return _count(parts, IMAGE_MARKER) + (_count(parts, VIDEO_MARKER) if videos else 0)


def mismatch(n_markers: int, n_given: int, marker: str = IMAGE_MARKER, kind: str = "picture") -> ExampleError:
    """Return the error for a text whose markers are not one per picture or video."""
    message = (
        f"the text has {n_markers} {marker} marker(s) but {n_given} {kind}(s) come with it; give "
        f"one marker per {kind}, or none"
    )
    return ExampleError(message, code="marker_mismatch")


def _count(parts: Sequence[Part], marker: str) -> int:
    return sum(part.text.count(marker) for part in parts if isinstance(part, Text))


def _fill(text: str, supply: Mapping[str, Iterator[Image]]) -> Iterator[Part]:
    for piece in re.split(f"({'|'.join(supply)})", text):
        if piece in supply:
            yield next(supply[piece])
        elif piece:
            yield Text(piece)
