"""Where pictures, videos and sounds stand in a text: at its markers, or first when it has none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from savs.errors import ExampleError
from savs.examples.content import (
    AUDIO_MARKER,
    IMAGE_MARKER,
    VIDEO_MARKER,
    Audio,
    Image,
    Part,
    Text,
    Video,
)

__all__ = ["count_markers", "place_images", "place_in_order"]

_KINDS = {IMAGE_MARKER: "picture", VIDEO_MARKER: "video", AUDIO_MARKER: "sound"}


def place_images(text: str, images: Sequence[Image | Audio]) -> tuple[Part, ...]:
    """Return the parts of a text with pictures and sounds: one per marker, or all of them before the text.

    Raises
    ------
    ExampleError
        ``marker_mismatch`` if the text has markers, but not one per picture or sound.
    """
    return place_in_order([*images, Text(text)])


def place_in_order(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return parts without markers: pictures move to the markers if there are some, else they stay.

    Raises
    ------
    ExampleError
        ``marker_mismatch`` if the texts have markers, but not one per picture, video and sound.
    """
    kinds = {marker: _media(parts, marker) for marker in _KINDS}
    wanted = {marker: _count(parts, marker) for marker, media in kinds.items() if media or _always(marker)}
    if not any(wanted.values()):
        return tuple(part for part in parts if not isinstance(part, Text) or part.text)
    for marker, n_markers in wanted.items():
        if n_markers != len(kinds[marker]):
            raise mismatch(n_markers, len(kinds[marker]), marker)
    supply = {marker: iter(kinds[marker]) for marker in wanted}
    return tuple(piece for part in parts if isinstance(part, Text) for piece in _fill(part.text, supply))


def count_markers(parts: Sequence[Part], kind: type = Image) -> int:
    """Return how many markers of pictures and videos, or of sounds, the texts among `parts` hold.

    Those of videos count only if there is a video.
    """
    if kind is Audio:
        return _count(parts, AUDIO_MARKER)
    videos = any(isinstance(part, Video) for part in parts)
    return _count(parts, IMAGE_MARKER) + (_count(parts, VIDEO_MARKER) if videos else 0)


def mismatch(n_markers: int, n_given: int, marker: str = IMAGE_MARKER) -> ExampleError:
    """Return the error for a text whose markers are not one per picture, video or sound."""
    kind = _KINDS[marker]
    message = (
        f"the text has {n_markers} {marker} marker(s) but {n_given} {kind}(s) come with it; give "
        f"one marker per {kind}, or none"
    )
    return ExampleError(message, code="marker_mismatch")


def _media(parts: Sequence[Part], marker: str) -> list[Image | Audio]:
    if marker == AUDIO_MARKER:
        return [part for part in parts if isinstance(part, Audio)]
    images = [part for part in parts if isinstance(part, Image)]
    return [image for image in images if isinstance(image, Video) == (marker == VIDEO_MARKER)]


def _always(marker: str) -> bool:
    # Those of videos and sounds are plain letters in a text that comes without.
    return marker == IMAGE_MARKER


def _count(parts: Sequence[Part], marker: str) -> int:
    return sum(part.text.count(marker) for part in parts if isinstance(part, Text))


def _fill(text: str, supply: Mapping[str, Iterator[Image | Audio]]) -> Iterator[Part]:
    for piece in re.split(f"({'|'.join(supply)})", text):
        if piece in supply:
            yield next(supply[piece])
        elif piece:
            yield Text(piece)
