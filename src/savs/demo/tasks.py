"""What the demo asks: five tasks, each with labeled examples, a prompt, and controls.

Everything is a function of the seed. Images come from `savs.demo.data` (real ones) and `savs.demo.scenes`
(drawn ones), the notes of the image-and-text rule from `savs.demo.scenes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from savs.data import Example, Label, Message, Part, Text
from savs.demo.data import PHOTO_CLASSES, digit_image, photo_files, read_digits
from savs.demo.scenes import PROMPT, RULE, draw_image, write_note
from savs.media import Image

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["only", "Task", "build_tasks"]


# Controls with half of the example: what would be reached anyway.


def only(example: Example, kind: type[Part]) -> Example:
    """Return the example with only one kind of its parts: its images or its text.

    Parameters
    ----------
    example : Example
        The example; it is not changed.
    kind : type
        The kind to keep, `savs.media.Image` or `savs.data.Text`.

    Returns
    -------
    Example
        A copy without the other parts.
    """
    messages = tuple(
        replace(message, parts=tuple(part for part in message.parts if isinstance(part, kind)))
        for message in example.messages
    )
    return replace(example, messages=messages)


# What the demo asks: five tasks, each a set of labeled examples, a prompt, and a prompt for zero-shot.

_SEED_STREAMS = {"digits": 1, "photos": 2, "note": 3, "shape": 4, "pairs": 5}


@dataclass(frozen=True)
class Task:
    """One classification problem of the demo.

    Attributes
    ----------
    name : str
        Short name, also of its folders.
    title : str
        A few words for tables and images.
    about : str
        One line: what the images are and what the backbone knows of them.
    examples : tuple of Example
        All labeled examples, shots and test items together, with ids, classes interleaved.
    prompt : str
        Prompt template of the classifier, and of everything that reads the backbone's inner states.
    zero_shot_prompt : str
        Prompt template of zero-shot generation: always asks for the right thing and names the classes.
    lettered : bool
        Whether `zero_shot_prompt` lists the classes as options (A), (B), ... in sorted order.
    parts : tuple of str
        ``("image", "text")`` where the label depends on both, so that each alone is a control.
    """

    name: str
    title: str
    about: str
    examples: tuple[Example, ...]
    prompt: str
    zero_shot_prompt: str
    lettered: bool = False
    parts: tuple[str, ...] = ()

    @property
    def labels(self) -> list[Label]:
        """The label of every example."""
        return [example.label for example in self.examples if example.label is not None]

    @property
    def classes(self) -> list[Label]:
        """The labels that occur, sorted."""
        return sorted(set(self.labels))


def build_tasks(seed: int = 0, per_class: int | None = None) -> list[Task]:
    """Return the tasks of the demo.

    Parameters
    ----------
    seed : int
        Decides the choice and order of examples, the drawn scenes and the notes.
    per_class : int, optional
        At most so many examples per class; by default as many as the demo uses.
    """
    makers: tuple[Callable[[np.random.Generator, int | None], Task], ...] = (
        digits_task,
        photos_task,
        note_task,
        shape_task,
        pairs_task,
    )
    streams = _SEED_STREAMS.values()
    return [
        make(np.random.default_rng((seed, stream)), per_class)
        for make, stream in zip(makers, streams, strict=True)
    ]


def digits_task(rng: np.random.Generator, per_class: int | None = None) -> Task:
    """Return handwritten digits, real scans that training never saw."""
    scans, digits = read_digits()
    rows = _balanced(rng, digits, per_class or 90)
    return Task(
        name="digits",
        title="handwritten digits",
        about="real scans, ten classes; no digit was ever in training",
        examples=tuple(
            _example([digit_image(scans[row])], "", digits[row], f"digit-{row:04d}.png") for row in rows
        ),
        prompt="What character is in the picture?",
        zero_shot_prompt="Which digit is this: 0, 1, 2, 3, 4, 5, 6, 7, 8 or 9?",
    )


def photos_task(rng: np.random.Generator, per_class: int | None = None) -> Task:
    """Return photographs of three kinds of things that training never showed."""
    files = [(name, file) for name in PHOTO_CLASSES for file in photo_files(name)]
    rows = _balanced(rng, [name for name, _ in files], per_class or 300)
    return Task(
        name="photos",
        title="photos, unseen classes",
        about="real photographs of deer, ships and trucks; these three classes were kept out of training",
        examples=tuple(
            _example([files[row][1]], "", files[row][0], f"{files[row][0]}/{files[row][1].name}")
            for row in rows
        ),
        prompt="What is in this picture?",
        zero_shot_prompt="What is in this picture? (A) deer (B) ship (C) truck Answer with the letter.",
        lettered=True,
    )


def note_task(rng: np.random.Generator, per_class: int | None = None) -> Task:
    """Return a rule over an image and a note, of which neither decides alone and which no prompt states."""
    examples: list[Example] = []
    for number in range(per_class or 160):
        for turn in (0, 1):
            on_image, on_note = RULE.combinations[2 * (number % 2) + turn]
            image, note = draw_image(rng, RULE, on_image), write_note(rng, RULE, on_note)
            label = "yes" if RULE.holds(on_image, on_note) else "no"
            examples.append(_example([image], note, label, f"note-{number:03d}{label[0]}"))
    return Task(
        name="note",
        title="rule never stated",
        about=RULE.about,
        examples=tuple(examples),
        prompt=PROMPT,
        zero_shot_prompt=f"{PROMPT} Answer yes or no.",
        parts=("image", "text"),
    )


def shape_task(rng: np.random.Generator, per_class: int | None = None) -> Task:
    """Return one drawn shape per image, to be told apart although the prompt asks for the colour."""
    from savs.demo.scenes import KINDS, draw_scene, sample_scene

    examples = []
    for number in range(per_class or 70):
        for kind in KINDS:
            scene = sample_scene(rng, 1, kinds=[kind])
            examples.append(_example([draw_scene(scene, rng)], "", kind, f"{kind}/{number:03d}.png"))
    names = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    return Task(
        name="shape",
        title="shape, asked for colour",
        about="fresh drawings of known shapes; the prompt asks for the colour, zero-shot for the shape",
        examples=tuple(examples),
        prompt="What colour is it?",
        zero_shot_prompt=f"What shape is it: {names}?",
    )


def pairs_task(rng: np.random.Generator, per_class: int | None = None) -> Task:
    """Return pairs of photographs of unseen classes, to tell whether both show the same thing."""
    boxes = {name: _shuffled(rng, photo_files(name)) for name in PHOTO_CLASSES}
    examples: list[Example] = []
    for number in range(per_class or 180):
        for label in ("yes", "no"):
            # every photograph is used once at most: take from the fullest boxes
            first, second = _two_classes(rng, {name: len(box) for name, box in boxes.items()}, label == "yes")
            images = [boxes[first].pop(), boxes[second].pop()]
            examples.append(_example(images, "", label, f"pair-{number:03d}{label[0]}"))
    return Task(
        name="pairs",
        title="two photos: same thing?",
        about="two real photographs of unseen classes in one prompt; the question is one from training",
        examples=tuple(examples),
        prompt="Do both pictures show the same thing?",
        zero_shot_prompt="Do both pictures show the same thing? Answer yes or no.",
    )


def _example(images: Sequence[Path | PILImage.Image], text: str, label: Label, id: str) -> Example:
    parts: list[Part] = [Image(image) for image in images]
    if text:
        parts.append(Text(text))
    return Example((Message("user", tuple(parts)),), label, id)


def _balanced(rng: np.random.Generator, labels: Sequence[Label], per_class: int) -> list[int]:
    """Return rows, at most `per_class` of every class, classes taking turns."""
    columns: list[NDArray[np.intp]] = [
        rng.permutation([row for row, label in enumerate(labels) if label == wanted])[:per_class]
        for wanted in sorted(set(labels))
    ]
    longest = max(map(len, columns))
    return [int(column[turn]) for turn in range(longest) for column in columns if turn < len(column)]


def _shuffled(rng: np.random.Generator, files: Sequence[Path]) -> list[Path]:
    return [files[i] for i in rng.permutation(len(files))]


def _two_classes(rng: np.random.Generator, left: Mapping[str, int], same: bool) -> tuple[str, str]:
    ranked = sorted(left, key=lambda name: (left[name], rng.random()), reverse=True)
    if same:
        return ranked[0], ranked[0]
    first, second = rng.permutation(ranked[:2])
    return str(first), str(second)
