"""What baselines without a backbone read of examples: their labels, their words, their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.classifiers._validation import encode_labels, label_array
from savs.data import Example, Label, Text
from savs.errors import DataError, ItemError
from savs.media import Video
from savs.media.image import decode_image
from savs.media.video import decode_video

if TYPE_CHECKING:
    from PIL import Image as PILImage


def coded_labels(shots: Sequence[Example]) -> tuple[list[Label], NDArray[np.intp]]:
    """Return the sorted classes of shots and each shot's class index.

    Raises
    ------
    DataError
        If a shot has no label, labels are of several types, or there are fewer than two classes.
    """
    labels: list[Any] = []
    for place, shot in enumerate(shots):
        if shot.label is None:
            raise DataError(f"{named(shot, place)} has no label; every shot needs one")
        labels.append(shot.label)
    if not labels:
        raise DataError("at least 2 classes are needed, got no shot")
    classes, codes = encode_labels(np.asarray(label_array(labels)))
    return classes.tolist(), codes


def named(example: Example, place: int) -> str:
    """Return an example's id for a message, or its place where it has none."""
    return f"example {place}" if example.id is None else f"example {example.id}"


def words_of(example: Example) -> str:
    """Return the texts of all messages, a line each, without markers of media."""
    return "\n".join(part.text for part in example.parts if isinstance(part, Text))


def images_of(example: Example) -> list[PILImage.Image]:
    """Return an example's images as RGB, in order; a video counts as its frames.

    Raises
    ------
    MediaError
        If one cannot be read, with the example's id.
    """
    found: list[PILImage.Image] = []
    with blamed_on(example):
        for image in example.images:
            if isinstance(image, Video):
                found += decode_video(image.source, image.n_frames, fps=image.fps).images
            else:
                found.append(decode_image(image.source, bit_depth=image.bit_depth))
    return found


@contextmanager
def blamed_on(example: Example) -> Iterator[None]:
    """Give errors of a single item the example's id."""
    try:
        yield
    except ItemError as error:
        error.id = error.id if error.id is not None else example.id
        raise
