"""A question with its answer, and the many ways to put one: paraphrases, hints, casing, options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

YES_NO_HINTS = (
    "Answer yes or no.",
    "Answer with yes or no.",
    "Please answer with Yes or No.",
    "Answer the question with Yes or No.",
    "Yes or no?",
)
WORD_HINTS = (
    "Answer with one word.",
    "Answer in one word.",
    "One word.",
    "Answer using a single word or phrase.",
)
LETTER_HINTS = ("Answer with the letter.", "Give the letter.", "Which letter is right?")
NAME_HINTS = ("Answer with the class name.", "Answer with the name.", "Answer with the word.")
OPENINGS = ("Question: ", "Please tell me: ", "Look at the picture. ", "Instruction: ")
OPTION_LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer, and the family whose accuracy it counts for."""

    family: str
    text: str
    answer: str


def ask(rng: Random, family: str, texts: Sequence[str], answer: str, hints: Sequence[str] = ()) -> Question:
    """One of `texts`, often with one of `hints`, in a varied style."""
    return Question(family, styled(rng, rng.choice(texts), hints), answer)


def ask_yes_no(rng: Random, family: str, texts: Sequence[str], truth: bool) -> Question:
    """Ask a question that is answered with yes or no."""
    return ask(rng, family, texts, "yes" if truth else "no", YES_NO_HINTS)


def ask_word(rng: Random, family: str, texts: Sequence[str], answer: str) -> Question:
    """Ask a question that is answered with a word or two."""
    return ask(rng, family, texts, answer, WORD_HINTS)


def styled(rng: Random, text: str, hints: Sequence[str]) -> str:
    """`text` with or without a hint, an opening, capitals and its question mark."""
    chance = rng.random()
    if chance < 0.12:
        text = text.lower()
    elif chance < 0.2 and text.endswith("?"):
        text = text[:-1]
    if hints and rng.random() < 0.4:
        text = f"{text} {rng.choice(hints)}"
    if rng.random() < 0.06:
        text = rng.choice(OPENINGS) + text
    return text


def ask_options(rng: Random, family: str, stems: Sequence[str], truth: str, wrong: Sequence[str]) -> Question:
    """Ask with two to four options, answered with the letter or with the words of the right one."""
    shown = [truth, *rng.sample(list(wrong), min(len(wrong), rng.choice((1, 1, 2, 3))))]
    rng.shuffle(shown)
    if rng.random() < 0.55:
        hint, answer, kind = rng.choice(LETTER_HINTS), OPTION_LETTERS[shown.index(truth)], "letter"
    else:
        hint, answer, kind = rng.choice(NAME_HINTS), truth, "word"
    pattern = rng.choice(("({}) {}", "({}) {}", "{}. {}", "{}) {}"))
    lettered = zip(OPTION_LETTERS, shown, strict=False)
    options = " ".join(pattern.format(letter, words) for letter, words in lettered)
    return Question(f"{family} options {kind}", f"{rng.choice(stems)} {options} {hint}", answer)


def with_article(words: str) -> str:
    """Return the words with "a" or "an" before them."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"
