"""Images, videos, tones and short texts on which a backbone is examined: the same everywhere, no files.

They belong to a small task of three classes, so that a difference of vectors can be told in answers, too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from savs._optional import import_optional
from savs.data import Example, Message, Text
from savs.media import Audio, Image, Video

if TYPE_CHECKING:
    from PIL import Image as PILImage
    from PIL import ImageDraw

_RATE = 16_000
_FRAMES_PER_SECOND = 4
CLASSES = ("red", "green", "blue")
_RGB = {"red": (214, 40, 34), "green": (30, 160, 60), "blue": (36, 70, 214), "grey": (128, 128, 128)}
_HERTZ = {"red": 220.0, "green": 660.0, "blue": 1760.0}
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
"""Eight, about as many as a dataset asks on one image: the clock tells what sharing its pixels brings."""


@dataclass(frozen=True)
class Probe:
    """An example, its class, and what kind of prompt it is.

    Kinds: ``"text"``, ``"one image"``, ``"two images"``, ``"one audio clip"``, ``"one video"``.
    """

    example: Example
    label: str
    form: str


def probes(modalities: AbstractSet[str]) -> list[Probe]:
    """Return the probes of the small task: prompts of different length, sizes and numbers of images.

    Parameters
    ----------
    modalities : set of str
        What the backbone takes: ``"text"``, ``"image"``, ``"audio"``, ``"video"``.
    """
    result = [Probe(question(text), label, "text") for label in CLASSES for text in _TEXTS[label]]
    if "audio" in modalities:
        result += _audio_probes()
    if "image" not in modalities:
        return result + [
            Probe(question(f"{text} {_QUESTIONS[1]}"), label, "text")
            for label in CLASSES
            for text in _TEXTS[label]
        ]
    return result + _image_probes() + (_video_probes() if "video" in modalities else [])


def _image_probes() -> list[Probe]:
    result = []
    for number, label in enumerate(CLASSES):
        first, second = (draw(label, _SIZES[(number + shift) % 4], shift) for shift in (0, 1))
        result.append(Probe(question(first, _QUESTIONS[number]), label, "one image"))
        result.append(Probe(question(second, _QUESTIONS[2 - number]), label, "one image"))
        other = draw("grey", _SIZES[(number + 2) % 4], 2)
        result.append(Probe(question(other, second, _QUESTIONS[1]), label, "two images"))
    return result


def _audio_probes() -> list[Probe]:
    return [
        Probe(question(tone(_HERTZ[label], 0.4 + 0.3 * number), asked), label, "one audio clip")
        for number, (label, asked) in enumerate(zip(CLASSES, _QUESTIONS, strict=True))
    ]


def _video_probes() -> list[Probe]:
    return [
        Probe(question(_video(label, _SIZES[number]), asked), label, "one video")
        for number, (label, asked) in enumerate(zip(CLASSES, _QUESTIONS, strict=True))
    ]


def _video(label: str, size: tuple[int, int]) -> Image:
    return clip(
        [draw(color, size, shape) for color, shape in (("grey", 2), ("grey", 1), (label, 0), (label, 1))]
    )


def long_video() -> Example:
    """Return a question on a video of more steps in time than its frames have rows or columns of tokens."""
    frames = [draw(CLASSES[number % 3], _SIZES[1], number % 2) for number in range(24)]
    return question(clip(frames), _QUESTIONS[0])


def prefix_probes(modalities: AbstractSet[str]) -> list[Probe]:
    """Return prompts that begin alike: questions on one image or audio clip, questions after one opening."""
    result: list[Probe] = []
    if "audio" in modalities:
        audio = tone(_HERTZ["green"], 1.0)
        result += [
            Probe(question(audio, f"{_OPENING[:40]}{text}"), CLASSES[i], "one audio clip")
            for i, text in enumerate(_ASKED[:3])
        ]
    if "image" not in modalities:
        return result + [
            Probe(question(f"{_OPENING}{text}"), CLASSES[i % 3], "text") for i, text in enumerate(_ASKED)
        ]
    result += [Probe(question(f"{_OPENING}{text}"), CLASSES[i], "text") for i, text in enumerate(_ASKED[:3])]
    for label, size, asked in (("red", _SIZES[0], _ASKED), ("blue", _SIZES[2], _ASKED[-2:])):
        image = draw(label, size)
        result += [Probe(question(image, f"{_OPENING[:40]}{text}"), label, "one image") for text in asked]
    return result


def contrasts(modalities: AbstractSet[str], reads_text: bool) -> dict[str, tuple[Example, Example]]:
    """Return pairs of prompts whose vectors must differ, by the name of the check.

    Images, audio clips and videos of a pair are of one size: the two prompts have the same tokens, and only
    what is seen or heard differs.

    Parameters
    ----------
    modalities : set of str
        What the backbone takes.
    reads_text : bool
        Whether it takes prompts of text alone.
    """
    size, asked = _SIZES[0], _QUESTIONS[1]
    red, blue, grey = draw("red", size), draw("blue", size, 1), draw("grey", size, 2)
    shown = () if reads_text else (grey,)
    red_text, green_text = (question(*shown, _TEXTS[label][0]) for label in ("red", "green"))
    pairs = {"text changed": (red_text, green_text)}
    if "audio" in modalities:
        low, high = (question(tone(_HERTZ[label], 1.0), asked) for label in ("red", "blue"))
        pairs |= {"audio clip absent": (low, question(asked)), "audio clip swapped": (low, high)}
    if "image" not in modalities:
        return pairs
    if "video" in modalities:
        first, second = (question(_video(label, size), asked) for label in ("red", "blue"))
        pairs |= {"video absent": (first, question(asked)), "video swapped": (first, second)}
    return pairs | {
        "image absent": (question(red, asked), question(asked)),
        "image swapped": (question(red, asked), question(blue, asked)),
        "first of two swapped": (question(red, grey, asked), question(blue, grey, asked)),
        "second of two swapped": (question(grey, red, asked), question(grey, blue, asked)),
    }


def question(*parts: PILImage.Image | Image | Audio | str) -> Example:
    """Return the example of images, videos, audio clips and texts, in order."""
    return Example((Message("user", tuple(_part(part) for part in parts)),))


def _part(part: PILImage.Image | Image | Audio | str) -> Text | Image | Audio:
    if isinstance(part, str):
        return Text(part)
    return part if isinstance(part, Image | Audio) else Image(part)


def tone(hertz: float, seconds: float) -> Audio:
    """Return a tone that fades away, at 16 kHz."""
    times = np.arange(round(_RATE * seconds)) / _RATE
    wave = 0.5 * np.sin(2 * np.pi * hertz * times) * np.exp(-times / seconds)
    return Audio(wave.astype(np.float32), _RATE)


def clip(images: Sequence[PILImage.Image]) -> Video:
    """Return a video of images of one size, four a second, every one of them to be read."""
    av = import_optional("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=_FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = *images[0].size, "yuv420p"
        frames: Any = av.VideoFrame  # partly untyped
        for image in images:
            container.mux(stream.encode(frames.from_image(image)))
        container.mux(stream.encode(None))
    return Video(file.getvalue(), len(images))


def draw(color: str, size: tuple[int, int], shape: int = 0) -> PILImage.Image:
    """Draw a disc (0), stripes (1) or a frame (2) of a color on white.

    Parameters
    ----------
    color : {"red", "green", "blue", "grey"}
    size : (int, int)
        Width and height in pixels.
    shape : {0, 1, 2}
    """
    from PIL import Image as PILImage
    from PIL import ImageDraw

    image = PILImage.new("RGB", size, (250, 250, 245))
    _SHAPES[shape](ImageDraw.Draw(image), size, _RGB[color])
    return image


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
