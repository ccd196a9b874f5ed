"""Few-shot tasks on held-out images: what the exported backbone is measured on.

Every task gives fresh items, each a prompt with images and a label. Photographs come from the test part
only, drawings are new, and what training never showed is marked as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from savs.demo.scenes import (
    KINDS,
    LETTERS,
    Scene,
    Thing,
    draw_letter,
    draw_scene,
    relation_holds,
    sample_scene,
)
from training.drawings import COLOUR_NAMES, varied_scene
from training.photos import Photos, spoken, to_array
from training.questions.notes import Note, quoted, sample_note
from training.questions.rules import Condition, image_facts, note_facts, rule_text
from training.questions.wording import with_article


@dataclass(frozen=True)
class Item:
    """One example: images, the words after them, the label, and the answer that generation should give."""

    images: tuple[Image.Image, ...]
    text: str
    label: str
    answer: str


Maker = Callable[["Source", str], Item | None]
"""Draws an item of the wanted label, or None for another try."""


@dataclass(frozen=True)
class Task:
    """A named task: its labels, how an item is drawn, and whether training never asked for this."""

    name: str
    labels: tuple[str, ...]
    make: Maker
    unseen: bool = False


class Source:
    """Where items come from: test photographs, digits and a generator.

    Shots and test items never share a photograph or digit: `half` says which half of them to draw from.
    """

    def __init__(self, photos: Photos, seed: int) -> None:
        self.photos = photos
        self.rng = np.random.default_rng(seed)
        self.words = Random(seed)
        self.digits = load_digits()
        self.half = 0

    def photo(self, name: str) -> Image.Image:
        """Return a photograph of a class."""
        label = self.photos.classes.index(name)
        index = self.rng.choice(np.nonzero(self.photos.labels == label)[0][self.half :: 2])
        return Image.fromarray(self.photos.pixels[index])

    def draw(self, scene: Scene) -> Image.Image:
        """Return the image of a scene."""
        return draw_scene(scene, self.rng)

    def single(self, **wanted: str) -> Scene:
        """Return a scene of one thing, with its kind or colour given."""
        kinds = [wanted["kind"]] if "kind" in wanted else KINDS
        colours = [wanted["colour"]] if "colour" in wanted else COLOUR_NAMES
        return sample_scene(self.rng, 1, kinds=kinds, colours=colours)


def load_digits() -> dict[int, np.ndarray]:
    """Handwritten digits of scikit-learn, 8 x 8, as (n, 64, 64, 3) uint8 by digit."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    images = (bunch.images / 16 * 255).astype(np.uint8)
    return {
        digit: np.stack([to_array(Image.fromarray(one)) for one in images[bunch.target == digit]])
        for digit in range(10)
    }


def all_tasks() -> tuple[Task, ...]:
    """Return the tasks of the card, in its order."""
    named = ("airplane", "automobile", "bird", "cat", "dog", "frog", "horse")
    yes_no = ("yes", "no")
    return (
        Task("photos, 7 named classes", named, _photo),
        Task("photos, 3 classes never shown", ("deer", "ship", "truck"), _photo, unseen=True),
        Task("handwritten digits, never shown", tuple("0123456789"), _digit, unseen=True),
        Task("letters", tuple("ABEHKMRSTX"), _letter),
        Task("vowel or consonant, never asked", ("vowel", "consonant"), _vowel, unseen=True),
        Task("shape", KINDS, _single("kind", "What shape is it?")),
        Task("shape, asked for the colour", KINDS, _single("kind", "What colour is it?")),
        Task("colour, asked for the shape", COLOUR_NAMES, _single("colour", "What shape is it?")),
        Task("counting, three never asked", ("one", "two", "three", "four", "five"), _count),
        Task("any red thing, no rule given", yes_no, _any_red, unseen=True),
        Task("more red than blue, never asked", yes_no, _more_red, unseen=True),
        Task("caption, attributes swapped", yes_no, _swap),
        Task("caption, left and right swapped", yes_no, _relation("left of", "right of")),
        Task("caption, above and below swapped", yes_no, _relation("above", "below")),
        Task("two drawings, same shape", yes_no, _pair_shape),
        Task("two photos, same class", yes_no, _pair_photos),
        Task(
            "held-out rule, stated",
            yes_no,
            _rule(("kind", "triangle"), ("topic", "animal"), stated=True),
            unseen=True,
        ),
        Task(
            "held-out rule, not stated",
            yes_no,
            _rule(("kind", "triangle"), ("topic", "animal"), stated=False),
            unseen=True,
        ),
        Task(
            "held-out rule on photos, stated",
            yes_no,
            _rule(("nature", "animal"), ("topic", "food"), stated=True),
            unseen=True,
        ),
        Task(
            "held-out rule on photos, not stated",
            yes_no,
            _rule(("nature", "animal"), ("topic", "food"), stated=False),
            unseen=True,
        ),
    )


def _photo(source: Source, label: str) -> Item:
    return Item((source.photo(label),), "What is in this picture?", label, spoken(label))


def _digit(source: Source, label: str) -> Item:
    pool = source.digits[int(label)][source.half :: 2]
    image = Image.fromarray(pool[source.rng.integers(len(pool))])
    return Item((image,), "What digit is this?", label, label)


def _letter(source: Source, label: str) -> Item:
    return Item((draw_letter(label, source.rng),), "What letter is this?", label, label)


def _vowel(source: Source, label: str) -> Item:
    letter = source.words.choice(
        [one for one in LETTERS if (one in "AEIOU") == (label == "vowel") and one != "Y"]
    )
    return Item((draw_letter(letter, source.rng),), "Is this letter a vowel or a consonant?", label, label)


def _single(attribute: str, text: str) -> Maker:
    def make(source: Source, label: str) -> Item:
        scene = source.single(**{attribute: label})
        return Item((source.draw(scene),), text, label, label)

    return make


def _count(source: Source, label: str) -> Item:
    number = ("one", "two", "three", "four", "five").index(label) + 1
    scene = sample_scene(source.rng, number)
    return Item((source.draw(scene),), "How many shapes are there?", label, label)


def _any_red(source: Source, label: str) -> Item | None:
    scene = varied_scene(source.rng)
    if (("colour", "red") in image_facts(scene)) != (label == "yes"):
        return None
    return Item((source.draw(scene),), "Is this picture fine?", label, label)


def _more_red(source: Source, label: str) -> Item | None:
    scene = sample_scene(source.rng, int(source.rng.integers(2, 6)), colours=("red", "blue"))
    counts = [sum(thing.colour == colour for thing in scene.things) for colour in ("red", "blue")]
    if counts[0] == counts[1] or 0 in counts or (counts[0] > counts[1]) != (label == "yes"):
        return None
    return Item(
        (source.draw(scene),), "Are there more red shapes than blue shapes? Answer yes or no.", label, label
    )


def _caption(source: Source, scene: Scene, said: str, label: str) -> Item:
    return Item((source.draw(scene),), f"Does this image show '{said}'? Answer with Yes or No.", label, label)


def _two_things(source: Source) -> tuple[Scene, Thing, Thing]:
    scene = sample_scene(source.rng, 2, distinct=True)
    first, second = scene.things
    return scene, first, second


def _swap(source: Source, label: str) -> Item:
    scene, first, second = _two_things(source)
    names = (first.name, second.name)
    if label == "no":
        names = (f"{second.colour} {first.kind}", f"{first.colour} {second.kind}")
    return _caption(source, scene, f"{with_article(names[0])} and {with_article(names[1])}", label)


def _relation(one: str, other: str) -> Maker:
    def make(source: Source, label: str) -> Item | None:
        scene, first, second = _two_things(source)
        holds = relation_holds(first, one, second)
        if holds is None:
            return None
        relation = one if holds == (label == "yes") else other
        return _caption(
            source, scene, f"{with_article(first.name)} {relation} {with_article(second.name)}", label
        )

    return make


def _pair_shape(source: Source, label: str) -> Item:
    kind = str(source.rng.choice(KINDS))
    other = kind if label == "yes" else str(source.rng.choice([one for one in KINDS if one != kind]))
    images = (source.draw(source.single(kind=kind)), source.draw(source.single(kind=other)))
    return Item(images, "Do both pictures show the same shape? Answer yes or no.", label, label)


def _pair_photos(source: Source, label: str) -> Item:
    names = [name for name in source.photos.classes if name not in ("deer", "ship", "truck")]
    name = str(source.rng.choice(names))
    other = name if label == "yes" else str(source.rng.choice([one for one in names if one != name]))
    images = (source.photo(name), source.photo(other))
    return Item(images, "Do both pictures show the same thing? Answer yes or no.", label, label)


def _rule(condition: Condition, other: Condition, stated: bool) -> Maker:
    """Both conditions true for "yes"; for "no" one of them or none, a third each."""

    def make(source: Source, label: str) -> Item | None:
        wanted = (
            (True, True)
            if label == "yes"
            else source.words.choice(((True, False), (False, True), (False, False)))
        )
        image = _image_with(source, condition, wanted[0])
        note = _note_with(source, other, wanted[1])
        if image is None or note is None:
            return None
        said = quoted(source.words, note)
        rule = rule_text(source.words, "and", condition, other)
        ending = (
            f"Rule: {rule}. Does the rule hold? Answer yes or no."
            if stated
            else "Is this right? Answer yes or no."
        )
        return Item((image,), f"{said} {ending}", label, label)

    return make


def _image_with(source: Source, condition: Condition, truth: bool) -> Image.Image | None:
    if condition[0] == "nature":
        names = ("bird", "cat", "dog", "frog", "horse") if truth else ("airplane", "automobile")
        return source.photo(str(source.rng.choice(names)))
    scene = varied_scene(source.rng)
    return source.draw(scene) if (condition in image_facts(scene)) == truth else None


def _note_with(source: Source, condition: Condition, truth: bool) -> Note | None:
    note = sample_note(source.words)
    return note if (condition in note_facts(note)) == truth else None
