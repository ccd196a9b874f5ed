"""A rule over a drawn picture and a short note: two conditions, one on each.

Training asks about rules of this kind, but never joins these two conditions (see ``training/questions``).
Under "exactly one" each of the four combinations occurs equally often, so picture and note alone say nothing;
under "and" each alone is right three times out of four at best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["PROMPT", "RULE", "Rule", "draw_picture", "write_note"]

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
    """Two conditions, "the picture has a shape of this kind" and "the note is about this topic", joined.

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

    def holds(self, on_picture: bool, on_note: bool) -> bool:
        """Whether the rule holds, given its two conditions."""
        return on_picture != on_note if self.join == "one" else on_picture and on_note

    @property
    def combinations(self) -> tuple[tuple[bool, bool], ...]:
        """Four pairs of truths, on the picture and on the note, of which two make the rule hold."""
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
"""The prompt template: it does not say the rule, which has to be learnt from the shots."""


def draw_picture(rng: np.random.Generator, rule: Rule, truth: bool) -> PILImage.Image:
    """Draw two things; one of them is of the rule's kind if `truth`."""
    from savs.demo.scenes import KINDS, draw_scene, sample_scene

    others = [kind for kind in KINDS if kind != rule.kind]
    while True:
        scene = sample_scene(rng, 2, kinds=KINDS if truth else others, distinct=True)
        if any(thing.kind == rule.kind for thing in scene.things) == truth:
            return draw_scene(scene, rng)


def write_note(rng: np.random.Generator, rule: Rule, truth: bool) -> str:
    """Write a short sentence; it is about the rule's topic if `truth`."""
    others = [topic for topic in NOUNS if topic != rule.topic]
    topic = rule.topic if truth else str(rng.choice(others))
    return str(rng.choice(SENTENCES)).format(rng.choice(NOUNS[topic]))
