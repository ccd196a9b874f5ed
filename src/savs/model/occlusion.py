"""Variants of an example with one tile of a picture, or some words, taken away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from savs.errors import ItemError
from savs.examples import Example, Image, Message, Part, Text
from savs.examples.content import Video
from savs.media import load_image

__all__ = ["Variant", "Where", "occluded"]

_MOST_PIECES = 48
"""Of one text; longer ones are cut into pieces of several words."""


class Where(NamedTuple):
    """What was taken away.

    Attributes
    ----------
    part : int
        Which content part of the example as the model reads it.
    kind : str
        ``"tile"`` or ``"words"``.
    box : tuple of int
        Of a tile: left, top, right, bottom in pixels. Of words: first and last character, the latter not
        included.
    text : str
        The words; empty for a tile.
    """

    part: int
    kind: str
    box: tuple[int, ...]
    text: str = ""


class Variant(NamedTuple):
    """An example without something."""

    where: Where
    example: Example


def occluded(example: Example, tiles: int) -> Iterator[Variant]:
    """Yield the example without each tile of each picture (the picture's mean colour instead), and each word.

    Videos and sounds are left alone.

    Parameters
    ----------
    example : Example
        As the model reads it, after the prompt template.
    tiles : int
        Tiles along each side of a picture; 0 leaves pictures alone.

    Raises
    ------
    ItemError
        If a picture cannot be read.
    """
    try:
        yield from _variants(example, tiles)
    except ItemError as error:
        error.id = error.id if error.id is not None else example.id
        raise


def _variants(example: Example, tiles: int) -> Iterator[Variant]:
    place = 0
    for number, message in enumerate(example.messages):
        for index, part in enumerate(message.parts):
            for where, changed in _without_pieces(part, place + index, tiles):
                yield Variant(where, _with_part(example, number, index, changed))
        place += len(message.parts)


def _without_pieces(part: Part, place: int, tiles: int) -> Iterator[tuple[Where, Part]]:
    if isinstance(part, Text):
        for start, end in _pieces(part.text):
            kept = f"{part.text[:start]}{part.text[end:]}"
            yield Where(place, "words", (start, end), part.text[start:end]), Text(kept)
    elif isinstance(part, Image) and not isinstance(part, Video) and tiles:
        pixels = np.asarray(load_image(part.source))
        grey = pixels.reshape(-1, pixels.shape[-1]).mean(axis=0).round().astype(pixels.dtype)
        for left, top, right, bottom in _boxes(pixels.shape[1], pixels.shape[0], tiles):
            hidden = pixels.copy()
            hidden[top:bottom, left:right] = grey
            yield Where(place, "tile", (left, top, right, bottom)), Image(hidden)


def _pieces(text: str) -> list[tuple[int, int]]:
    words = [match.span() for match in re.finditer(r"\S+", text)]
    step = -(-len(words) // _MOST_PIECES)
    return [
        (words[i][0], words[min(i + step, len(words)) - 1][1]) for i in range(0, len(words), max(step, 1))
    ]


def _boxes(width: int, height: int, tiles: int) -> Iterator[tuple[int, int, int, int]]:
    columns = np.linspace(0, width, min(tiles, width) + 1).astype(int).tolist()
    rows = np.linspace(0, height, min(tiles, height) + 1).astype(int).tolist()
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield left, top, right, bottom


def _with_part(example: Example, number: int, index: int, part: Part) -> Example:
    message = example.messages[number]
    parts = (*message.parts[:index], part, *message.parts[index + 1 :])
    changed = Message(message.role, parts)
    return replace(example, messages=(*example.messages[:number], changed, *example.messages[number + 1 :]))
