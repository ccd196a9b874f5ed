"""Drawn pictures and short texts on which a backbone is examined: the same on every machine, no files.

They belong to a small task of three classes, so that a difference of vectors can be told in answers, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.examples import Example, Image, Message, Text

if TYPE_CHECKING:
    from PIL import Image as PILImage
    from PIL import ImageDraw

__all__ = ["CLASSES", "Probe", "contrasts", "draw", "prefix_probes", "probes", "question"]

CLASSES = ("red", "green", "blue")
_RGB = {"red": (214, 40, 34), "green": (30, 160, 60), "blue": (36, 70, 214), "grey": (128, 128, 128)}
_SIZES = ((96, 64), (64, 64), (56, 112), (128, 80))

_QUESTIONS = (
    "Colour?",
    "Which colour has it?",
    "Look at the shape in the middle: is it red, green or blue?",
)
_TEXTS = {
    "red": ("A ripe tomato.", "The fire engine in the street is as red as a ripe tomato."),
    "green": ("Fresh grass.", "The meadow behind the house is as green as the leaves of May."),
    "blue": ("The clear sky.", "The sea under a clear sky is as blue as the sky itself."),
}
_OPENING = (
    "You are given a picture or a text and a question about its colour. There are three colours to choose "
    "from, red, green and blue, and exactly one of them is right. "
)
_ASKED = (
    "Red?",
    "Is it green?",
    "Is the shape in the middle blue or not?",
    "Light or dark?",
    "Is it a disc?",
    "How many colours?",
    "Blue?",
    "Is it as green as grass, or not green?",
)
"""Eight, about as many as a data set asks on one picture: the clock tells what sharing its pixels brings."""


@dataclass(frozen=True)
class Probe:
    """An example, its class, and what kind of prompt it is: ``"text"``, ``"one image"``, ``"two images"``."""

    example: Example
    label: str
    form: str


def probes(reads_images: bool) -> list[Probe]:
    """Return the probes of the small task: prompts of different length, sizes and numbers of pictures."""
    found = [Probe(question(text), label, "text") for label in CLASSES for text in _TEXTS[label]]
    if not reads_images:
        return found + [
            Probe(question(f"{text} {_QUESTIONS[1]}"), label, "text")
            for label in CLASSES
            for text in _TEXTS[label]
        ]
    for number, label in enumerate(CLASSES):
        first, second = (draw(label, _SIZES[(number + shift) % 4], shift) for shift in (0, 1))
        found.append(Probe(question(first, _QUESTIONS[number]), label, "one image"))
        found.append(Probe(question(second, _QUESTIONS[2 - number]), label, "one image"))
        other = draw("grey", _SIZES[(number + 2) % 4], 2)
        found.append(Probe(question(other, second, _QUESTIONS[1]), label, "two images"))
    return found


def prefix_probes(reads_images: bool) -> list[Probe]:
    """Return prompts that begin alike: questions on one picture, questions after one opening."""
    if not reads_images:
        return [Probe(question(f"{_OPENING}{text}"), CLASSES[i % 3], "text") for i, text in enumerate(_ASKED)]
    found = [Probe(question(f"{_OPENING}{text}"), CLASSES[i], "text") for i, text in enumerate(_ASKED[:3])]
    for label, size, asked in (("red", _SIZES[0], _ASKED), ("blue", _SIZES[2], _ASKED[-2:])):
        picture = draw(label, size)
        found += [Probe(question(picture, f"{_OPENING[:40]}{text}"), label, "one image") for text in asked]
    return found


def contrasts(reads_images: bool, reads_text: bool) -> dict[str, tuple[Example, Example]]:
    """Return pairs of prompts whose vectors must differ, by the name of the check.

    Pictures of a pair are of one size: the two prompts have the same tokens, and only pixels differ.

    Parameters
    ----------
    reads_images : bool
        Whether the backbone takes pictures.
    reads_text : bool
        Whether it takes prompts without any.
    """
    size, asked = _SIZES[0], _QUESTIONS[1]
    red, blue, grey = draw("red", size), draw("blue", size, 1), draw("grey", size, 2)
    shown = () if reads_text else (grey,)
    red_text, green_text = (question(*shown, _TEXTS[label][0]) for label in ("red", "green"))
    found = {"text changed": (red_text, green_text)}
    if not reads_images:
        return found
    return found | {
        "image absent": (question(red, asked), question(asked)),
        "image swapped": (question(red, asked), question(blue, asked)),
        "first of two swapped": (question(red, grey, asked), question(blue, grey, asked)),
        "second of two swapped": (question(grey, red, asked), question(grey, blue, asked)),
    }


def question(*parts: PILImage.Image | str) -> Example:
    """Return the example of pictures and texts, in order."""
    return Example(
        (Message("user", tuple(Text(part) if isinstance(part, str) else Image(part) for part in parts)),)
    )


def draw(colour: str, size: tuple[int, int], shape: int = 0) -> PILImage.Image:
    """Draw a disc (0), stripes (1) or a frame (2) of a colour on white.

    Parameters
    ----------
    colour : str
    size : (int, int)
        Width and height in pixels.
    shape : int
    """
    from PIL import Image as PILImage
    from PIL import ImageDraw

    picture = PILImage.new("RGB", size, (250, 250, 245))
    _SHAPES[shape](ImageDraw.Draw(picture), size, _RGB[colour])
    return picture


def _disc(pen: ImageDraw.ImageDraw, size: tuple[int, int], rgb: tuple[int, int, int]) -> None:
    pen.ellipse((size[0] // 6, size[1] // 6, 5 * size[0] // 6, 5 * size[1] // 6), fill=rgb)


def _stripes(pen: ImageDraw.ImageDraw, size: tuple[int, int], rgb: tuple[int, int, int]) -> None:
    for left in range(0, size[0], 16):
        pen.rectangle((left, 0, left + 7, size[1]), fill=rgb)


def _frame(pen: ImageDraw.ImageDraw, size: tuple[int, int], rgb: tuple[int, int, int]) -> None:
    pen.rectangle((8, 8, size[0] - 9, size[1] - 9), outline=rgb, width=10)


_SHAPES: Sequence[Callable[[ImageDraw.ImageDraw, tuple[int, int], tuple[int, int, int]], None]] = (
    _disc,
    _stripes,
    _frame,
)
