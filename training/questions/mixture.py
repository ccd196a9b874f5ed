"""Samples: one or two images (or none), and as many questions about them as fit.

This is what stage 1 trains on and where the shares of everything are set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from savs.demo.scenes import LETTERS
from training.drawings import Drawings
from training.photos import Photos, spoken
from training.questions.letters import about_letter
from training.questions.notes import about_note, about_words
from training.questions.pairs import about_pair
from training.questions.photos import about_photo
from training.questions.rules import about_rule
from training.questions.scenes import about_scene
from training.questions.wording import Question

SHARES = {"photo": 0.23, "scene": 0.49, "letter": 0.05, "pair": 0.17, "words": 0.06}
RULE_SHARE = 0.17
PAIR_FRAMES = (("", ""), ("", ""), ("First picture: ", "Second picture: "), ("Image 1: ", "Image 2: "))


@dataclass(frozen=True, slots=True)
class Image:
    """Where the pixels of an image are: "photo", "scene" or "letter", and the index there."""

    source: str
    index: int


@dataclass(frozen=True)
class Sample:
    """Images, each with the words before it, and a generator of questions about them."""

    sort: str
    images: tuple[Image, ...]
    frames: tuple[str, ...]
    ask: Callable[[], Question]


class Mixture:
    """Draws samples from photographs and drawings."""

    def __init__(
        self, photos: Photos, drawings: Drawings, seed: int, shares: dict[str, float] | None = None
    ) -> None:
        self.photos, self.drawings, self.seed, self.rng = photos, drawings, seed, Random(seed)
        self.words = [spoken(name) for name in photos.classes]
        self.shares = shares or SHARES
        self.by_class = [np.nonzero(photos.labels == label)[0] for label in range(len(photos.classes))]
        counts = drawings.counts
        self.singles = np.nonzero(counts == 1)[0]
        self.pairs_of_things = np.nonzero(counts == 2)[0]
        single = drawings.things[self.singles, 0]
        self.singles_by = [
            [self.singles[single[:, column] == value] for value in range(6)] for column in (0, 1)
        ]

    def sample(self) -> Sample:
        """One sample of a sort drawn from the shares."""
        sort = self.rng.choices(list(self.shares), list(self.shares.values()))[0]
        return {
            "photo": self.photo,
            "scene": self.scene,
            "letter": self.letter,
            "pair": self.pair,
            "words": self.no_image,
        }[sort]()

    def photo(self) -> Sample:
        """Return a photograph with its questions."""
        rng, index = self.rng, self._index(len(self.photos.labels))
        word = self.words[int(self.photos.labels[index])]
        return Sample(
            "photo",
            (Image("photo", index),),
            (self._frame(),),
            lambda: self._with_rules(word, about_photo(rng, word)),
        )

    def scene(self) -> Sample:
        """Return a scene with its questions."""
        rng = self.rng
        pool = self.pairs_of_things if rng.random() < 0.15 else None
        index = (
            int(pool[self._index(len(pool))]) if pool is not None else self._index(len(self.drawings.pixels))
        )
        scene = self.drawings.scene(index)

        def ask() -> Question:
            return about_rule(rng, scene) if rng.random() < RULE_SHARE else about_scene(rng, scene)

        return Sample("scene", (Image("scene", index),), (self._frame(),), ask)

    def letter(self) -> Sample:
        """Return a letter with its questions."""
        rng, index = self.rng, self._index(len(self.drawings.letters))
        letter = LETTERS[int(self.drawings.letter_of[index])]
        return Sample(
            "letter", (Image("letter", index),), (self._frame(),), lambda: about_letter(rng, letter)
        )

    def no_image(self) -> Sample:
        """Questions about words alone."""
        return Sample("words", (), (), lambda: about_words(self.rng))

    def pair(self) -> Sample:
        """Two images with their questions."""
        rng, style = self.rng, self.rng.random()
        if style < 0.38:
            images = self._two_photos()
        elif style < 0.8:
            images = self._two_singles()
        elif style < 0.9:
            images = tuple(Image("scene", self._index(len(self.drawings.pixels))) for _ in range(2))
        else:
            images = (
                Image("photo", self._index(len(self.photos.labels))),
                Image("scene", self._index(len(self.drawings.pixels))),
            )
            images = images if rng.random() < 0.5 else images[::-1]
        first, second = (self._subject(image) for image in images)
        return Sample("pair", images, rng.choice(PAIR_FRAMES), lambda: about_pair(rng, first, second))

    def pixels(self, image: Image) -> np.ndarray:
        """Return the image (64, 64, 3) uint8 as it is stored."""
        source = {"photo": self.photos.pixels, "scene": self.drawings.pixels, "letter": self.drawings.letters}
        stored: np.ndarray = source[image.source][image.index]
        return stored

    def _subject(self, image: Image):  # type: ignore[no-untyped-def]
        if image.source == "photo":
            return self.words[int(self.photos.labels[image.index])]
        return self.drawings.scene(image.index)

    def _two_photos(self) -> tuple[Image, ...]:
        rng = self.rng
        first = rng.randrange(len(self.by_class))
        second = first if rng.random() < 0.45 else rng.randrange(len(self.by_class))
        return tuple(Image("photo", int(rng.choice(self.by_class[label]))) for label in (first, second))

    def _two_singles(self) -> tuple[Image, ...]:
        rng = self.rng
        first = int(rng.choice(self.singles))
        column = rng.choice((None, 0, 1))
        pool = self.singles
        if column is not None:
            pool = self.singles_by[column][int(self.drawings.things[first, 0, column])]
        return Image("scene", first), Image("scene", int(rng.choice(pool)))

    def _with_rules(self, word: str, question: Question) -> Question:
        chance = self.rng.random()
        if chance < RULE_SHARE:
            return about_rule(self.rng, word)
        return about_note(self.rng) if chance < RULE_SHARE + 0.02 else question

    def _frame(self) -> str:
        return (
            ""
            if self.rng.random() < 0.85
            else self.rng.choice(("Image: ", "Look at this picture. ", "Picture: "))
        )

    def _index(self, total: int) -> int:
        return self.rng.randrange(total)
