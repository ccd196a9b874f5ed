"""Questions about one drawn letter."""

from __future__ import annotations

from random import Random

from savs.demo.scenes import LETTERS
from training.questions.photos import MEDIUM
from training.questions.wording import Question, ask_word, ask_yes_no

WHICH = (
    "What letter is this?",
    "Which letter is shown?",
    "What character is in the picture?",
    "Read the letter.",
    "What is written here?",
    "Name the letter.",
    "Which symbol is this?",
)
ALIKE = ("OQCGD", "EFB", "MNW", "VYU", "PRB", "ILTJ", "KXH", "SZ")


def about_letter(rng: Random, letter: str) -> Question:
    """Ask a question about an image of `letter`."""
    chance = rng.random()
    if chance < 0.6:
        return ask_word(rng, "letter what", WHICH, letter)
    if chance < 0.95:
        return is_letter(rng, letter)
    return ask_word(rng, "medium", MEDIUM, "letter")


def is_letter(rng: Random, letter: str) -> Question:
    """Whether it is a given letter; half of the wrong ones look alike."""
    truth = rng.random() < 0.5
    asked = letter
    if not truth:
        alike = "".join(group for group in ALIKE if letter in group) if rng.random() < 0.5 else LETTERS
        asked = rng.choice([other for other in (alike or LETTERS) if other != letter])
    texts = (f"Is this the letter {asked}?", f"Does the picture show the letter {asked}?", f"Is it {asked}?")
    return ask_yes_no(rng, "letter is it", texts, truth)
