"""Where pictures stand in a text: at its markers, or first when it has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from savs.errors import ExampleError
from savs.examples.content import IMAGE_MARKER, Image, Part, Text

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
        ``marker_mismatch`` if the texts have markers, but not one per picture.
    """
    images = [part for part in parts if isinstance(part, Image)]
    n_markers = count_markers(parts)
    if n_markers == 0:
        return tuple(part for part in parts if isinstance(part, Image) or part.text)
    if n_markers != len(images):
        raise mismatch(n_markers, len(images))
    supply = iter(images)
    return tuple(piece for part in parts if isinstance(part, Text) for piece in _fill(part.text, supply))


def count_markers(parts: Sequence[Part]) -> int:
    """Return how many markers the texts among `parts` hold."""
    return sum(part.text.count(IMAGE_MARKER) for part in parts if isinstance(part, Text))


def mismatch(n_markers: int, n_images: int) -> ExampleError:
    """Return the error for a text whose markers are not one per picture."""
    message = (
        f"the text has {n_markers} {IMAGE_MARKER} marker(s) but {n_images} picture(s) come with it; give "
        f"one marker per picture, or none"
    )
    return ExampleError(message, code="marker_mismatch")


def _fill(text: str, supply: Iterator[Image]) -> Iterator[Part]:
    for number, piece in enumerate(text.split(IMAGE_MARKER)):
        if number:
            yield next(supply)
        if piece:
            yield Text(piece)
