"""Drawn images: coloured things on a background, one capital letter, or a rule over an image and a note.

The bundled backbone is trained on these images and the demo asks about fresh ones. A `Scene` is the
description (what stands where), `draw_scene` its image, so that every question about an image can be
answered from the description alone. numpy and PIL only: nothing here knows about models or prompts.

Training asks about rules of this kind, but never joins these two conditions (see ``training/questions``).
Under "exactly one" each of the four combinations occurs equally often, so image and note alone say nothing;
under "and" each alone is right three times out of four at best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["PROMPT", "RULE", "Rule", "draw_image", "write_note"]


# Drawn images: a few coloured things on a background, or one capital letter.

SIDE = 64
"""Width and height of every drawn image, in pixels."""

CELLS = 4
"""A scene is laid out on CELLS x CELLS cells, at most one thing centered in each."""

KINDS = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "green": (35, 160, 55),
    "blue": (40, 75, 220),
    "yellow": (240, 215, 30),
    "purple": (145, 50, 175),
    "orange": (245, 135, 25),
}
SIZES = ("small", "large")
BACKGROUNDS = ("plain", "striped", "dotted", "noisy")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
RELATIONS = ("left of", "right of", "above", "below")

_FINE = 4
_RADII = {"small": (4.8, 6.0), "large": (8.8, 10.8)}
_CELL_SIDE = SIDE / CELLS


@dataclass(frozen=True, slots=True)
class Thing:
    """One coloured shape of a scene; `x` and `y` are the pixel of its center, y growing downwards."""

    kind: str
    colour: str
    size: str
    x: float
    y: float

    @property
    def name(self) -> str:
        """Colour and kind, as a caption says them."""
        return f"{self.colour} {self.kind}"

    @property
    def cell(self) -> int:
        """Index of the cell that holds the center, row by row."""
        column = min(CELLS - 1, int(self.x / _CELL_SIDE))
        return min(CELLS - 1, int(self.y / _CELL_SIDE)) * CELLS + column


@dataclass(frozen=True, slots=True)
class Scene:
    """Things on a background: everything a question can be about."""

    things: tuple[Thing, ...]
    background: str


def relation_holds(first: Thing, relation: str, second: Thing, margin: float = 9.0) -> bool | None:
    """Whether `first` stands in `relation` to `second`; None where the two are too close to call.

    Parameters
    ----------
    first, second : Thing
        The things compared.
    relation : str
        One of `RELATIONS`.
    margin : float
        Distance in pixels, along the axis of the relation, below which the answer is None.
    """
    along_x = relation in ("left of", "right of")
    distance = (second.x - first.x) if along_x else (second.y - first.y)
    if abs(distance) < margin:
        return None
    return (distance > 0) == (relation in ("left of", "above"))


def sample_scene(
    rng: np.random.Generator,
    n_things: int,
    *,
    background: str | None = None,
    kinds: Sequence[str] = KINDS,
    colours: Sequence[str] = tuple(COLOURS),
    distinct: bool = False,
) -> Scene:
    """Draw the description of a scene at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    n_things : int
        How many things, 1 to 6.
    background : str, optional
        One of `BACKGROUNDS`; any of them by default.
    kinds, colours : sequence of str
        What the things are drawn from.
    distinct : bool
        Whether no two things share their kind and no two share their colour.
    """
    chosen_kinds = rng.choice(list(kinds), n_things, replace=not distinct)
    chosen_colours = rng.choice(list(colours), n_things, replace=not distinct)
    sizes = rng.choice(SIZES, n_things, p=(0.45, 0.55))
    while True:
        things: list[Thing] = []
        cells = rng.permutation(CELLS * CELLS)[:n_things]
        for kind, colour, size, cell in zip(chosen_kinds, chosen_colours, sizes, cells, strict=True):
            x, y = _place(rng, int(cell), str(size))
            things.append(Thing(str(kind), str(colour), str(size), x, y))
        if _apart(things):
            break
    return Scene(tuple(things), background or str(rng.choice(BACKGROUNDS)))


def draw_scene(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Draw the image of a scene, 64 x 64 RGB; `rng` decides shades, turns and background detail."""
    canvas = _background(scene.background, rng)
    for thing in scene.things:
        _draw_thing(canvas, thing, rng)
    image = np.asarray(canvas.reduce(_FINE), dtype=np.float64)
    noise = 26.0 if scene.background == "noisy" else 3.0
    image = image + rng.normal(0.0, noise, image.shape)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def draw_letter(letter: str, rng: np.random.Generator) -> Image.Image:
    """Draw one capital letter, 64 x 64 RGB, in a random size, slant, stroke, shade and sharpness."""
    mask = _letter_mask(letter, rng)
    if rng.random() < 0.35:
        coarse = int(rng.integers(8, 20))
        mask = mask.resize((coarse, coarse), Image.Resampling.BOX).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
    else:
        mask = mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.0, 1.6))))
    ink, paper = _contrasting_pair(rng)
    share = np.asarray(mask, dtype=np.float32)[..., None] / 255.0
    image = share * ink + (1.0 - share) * paper + rng.normal(0.0, rng.uniform(0.0, 10.0), (SIDE, SIDE, 3))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def _place(rng: np.random.Generator, cell: int, size: str) -> tuple[float, float]:
    row, column = divmod(cell, CELLS)
    edge = _RADII[size][1] + 0.5
    jitter = rng.uniform(-5.0, 5.0, 2)
    x = float(np.clip((column + 0.5) * _CELL_SIDE + jitter[0], edge, SIDE - edge))
    y = float(np.clip((row + 0.5) * _CELL_SIDE + jitter[1], edge, SIDE - edge))
    return x, y


def _apart(things: Sequence[Thing]) -> bool:
    for i, first in enumerate(things):
        for second in things[:i]:
            needed = _RADII[first.size][1] + _RADII[second.size][1] + 0.5
            if math.hypot(first.x - second.x, first.y - second.y) < needed:
                return False
    return True


def _shade(rng: np.random.Generator, colour: str) -> tuple[int, int, int]:
    red, green, blue = (np.asarray(COLOURS[colour]) + rng.normal(0, 9, 3)).clip(0, 255).astype(int)
    return int(red), int(green), int(blue)


def _background(name: str, rng: np.random.Generator) -> Image.Image:
    level = float(rng.choice([rng.uniform(5, 70), rng.uniform(185, 250)]))
    base = np.clip(level + rng.normal(0, 7, 3), 0, 255)
    other = np.clip(base + rng.choice([-1, 1]) * rng.uniform(22, 40), 0, 255)
    side = SIDE * _FINE
    canvas = Image.new("RGB", (side, side), tuple(int(value) for value in base))
    if name == "striped":
        _stripes(canvas, other, rng)
    elif name == "dotted":
        _dots(canvas, other, rng)
    return canvas


def _stripes(canvas: Image.Image, colour: np.ndarray, rng: np.random.Generator) -> None:
    draw, side = ImageDraw.Draw(canvas), canvas.width
    step, slope = int(rng.integers(28, 52)), float(rng.choice([0.0, 1.0, -1.0, 50.0]))
    fill = tuple(int(value) for value in colour)
    for start in range(-side, 2 * side, step):
        if slope == 50.0:
            ends = ((0, start), (side, start))
        else:
            ends = ((start, 0), (start + int(slope * side), side))
        draw.line(ends, fill=fill, width=step // 2)


def _dots(canvas: Image.Image, colour: np.ndarray, rng: np.random.Generator) -> None:
    draw, side = ImageDraw.Draw(canvas), canvas.width
    step, radius = int(rng.integers(28, 44)), float(rng.uniform(5, 8))
    fill = tuple(int(value) for value in colour)
    for x in range(step // 2, side, step):
        for y in range(step // 2, side, step):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


@cache
def _outline(kind: str) -> np.ndarray:
    """Corners of a kind on the unit disc, shape (n_corners, 2)."""
    if kind == "square":
        return np.array([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)])
    if kind == "triangle":
        return np.array([(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)])
    if kind == "cross":
        arm = 0.33
        quarter = np.array([(-arm, -1.0), (arm, -1.0), (arm, -arm)])
        quarters = [np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), k) for k in range(4)]
        return np.concatenate([quarter @ turned for turned in quarters])
    if kind == "star":
        turns = np.arange(10) * math.pi / 5
        reach = np.where(np.arange(10) % 2 == 0, 1.05, 0.45)
        return np.stack([reach * np.sin(turns), -reach * np.cos(turns)], axis=1)
    turns = np.linspace(0, 2 * math.pi, 40)
    x = np.sin(turns) ** 3
    y = (13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns)) / 16
    return np.stack([x, -y], axis=1)


def _draw_thing(canvas: Image.Image, thing: Thing, rng: np.random.Generator) -> None:
    draw, fill = ImageDraw.Draw(canvas), _shade(rng, thing.colour)
    radius = float(rng.uniform(*_RADII[thing.size])) * _FINE
    x, y = thing.x * _FINE, thing.y * _FINE
    if thing.kind == "circle":
        radius *= 0.92
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        return
    turn = float(rng.uniform(-0.2, 0.2))
    turning = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    corners = _outline(thing.kind) @ turning.T * radius + (x, y)
    draw.polygon([(float(a), float(b)) for a, b in corners], fill=fill)


def _letter_mask(letter: str, rng: np.random.Generator) -> Image.Image:
    """White letter on black, moved by a random affine map."""
    font = _font(int(rng.integers(34, 58)))
    mask = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(mask).text(
        (SIDE / 2, SIDE / 2), letter, 255, font, "mm", stroke_width=int(rng.integers(0, 4)), stroke_fill=255
    )
    turn, shear = float(rng.normal(0, 0.15)), float(rng.normal(0, 0.15))
    wide, high = float(rng.uniform(0.8, 1.3)), float(rng.uniform(0.85, 1.25))
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = matrix @ np.array([[wide, shear], [0.0, high]])
    center = np.array([SIDE / 2, SIDE / 2])
    offset = center - matrix @ (center + rng.uniform(-5, 5, 2))
    data = (matrix[0, 0], matrix[0, 1], offset[0], matrix[1, 0], matrix[1, 1], offset[1])
    return mask.transform((SIDE, SIDE), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _contrasting_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ink and paper, each (3,) float: dark on light or light on dark, sometimes tinted."""
    dark = np.clip(rng.uniform(0, 70) + rng.normal(0, 1, 3) * rng.choice([0.0, 30.0]), 0, 255)
    light = np.clip(rng.uniform(170, 255) + rng.normal(0, 1, 3) * rng.choice([0.0, 30.0]), 0, 255)
    return (dark, light) if rng.random() < 0.5 else (light, dark)


# A rule over a drawn image and a short note: two conditions, one on each.

NOUNS = {
    "animal": ("dog", "cat", "bird", "horse", "frog", "fish", "cow"),
    "vehicle": ("car", "bus", "train", "bike", "airplane", "boat"),
    "food": ("bread", "soup", "apple", "cake", "cheese"),
}
SENTENCES = (
    "please bring me the {}",
    "give me the {}",
    "I like the {}",
    "this is my {}",
    "where is the {}?",
    "do you like the {}?",
)


@dataclass(frozen=True)
class Rule:
    """Two conditions, "the image has a shape of this kind" and "the note is about this topic", joined.

    Attributes
    ----------
    kind : str
        The shape.
    topic : str
        One of `NOUNS`.
    join : str
        ``"and"``, or ``"one"`` for exactly one of the two.
    """

    kind: str
    topic: str
    join: Literal["and", "one"]

    def holds(self, on_image: bool, on_note: bool) -> bool:
        """Return whether the rule holds, given its two conditions.

        Parameters
        ----------
        on_image : bool
            Whether the image has a shape of the kind.
        on_note : bool
            Whether the note is about the topic.

        Returns
        -------
        bool
            Both conditions for ``"and"``; exactly one of them for ``"one"``.
        """
        return on_image != on_note if self.join == "one" else on_image and on_note

    @property
    def combinations(self) -> tuple[tuple[bool, bool], ...]:
        """Four pairs of truths, on the image and on the note, of which two make the rule hold."""
        if self.join == "one":
            return ((True, False), (True, True), (False, True), (False, False))
        return ((True, True), (True, False), (True, True), (False, True))

    @property
    def about(self) -> str:
        """One line for readers."""
        ending = ", but not both" if self.join == "one" else ""
        word = "or" if self.join == "one" else "and"
        return (
            f"drawn picture and short note: yes if the picture has a {self.kind} {word} the note is about "
            f"{self._topic}{ending}; training never joined these two, and no prompt says so"
        )

    @property
    def _topic(self) -> str:
        articles = {"animal": "an ", "vehicle": "a "}
        return f"{articles.get(self.topic, '')}{self.topic}"


RULE = Rule("circle", "food", "and")

PROMPT = 'Note: "{question}". Does the note fit the picture?'
"""The prompt template: it does not say the rule, which has to be learned from the shots."""


def draw_image(rng: np.random.Generator, rule: Rule, truth: bool) -> PILImage.Image:
    """Draw two things, one of them of the rule's kind if `truth`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    rule : Rule
        The rule; only its `kind` matters here.
    truth : bool
        Whether the image has a shape of that kind.

    Returns
    -------
    PIL.Image.Image
        The image.
    """
    others = [kind for kind in KINDS if kind != rule.kind]
    while True:
        scene = sample_scene(rng, 2, kinds=KINDS if truth else others, distinct=True)
        if any(thing.kind == rule.kind for thing in scene.things) == truth:
            return draw_scene(scene, rng)


def write_note(rng: np.random.Generator, rule: Rule, truth: bool) -> str:
    """Write a short sentence, about the rule's topic if `truth`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    rule : Rule
        The rule; only its `topic` matters here.
    truth : bool
        Whether the sentence is about that topic.

    Returns
    -------
    str
        The sentence.
    """
    others = [topic for topic in NOUNS if topic != rule.topic]
    topic = rule.topic if truth else str(rng.choice(others))
    return str(rng.choice(SENTENCES)).format(rng.choice(NOUNS[topic]))
