"""Notes: short sentences with a topic, a form and perhaps a colour, and questions about them alone."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from savs.demo.scenes import COLOURS, KINDS
from training.questions.wording import Question, ask_word, ask_yes_no, with_article

TOPICS: dict[str, tuple[str, ...]] = {
    "animal": ("dog", "cat", "bird", "horse", "frog", "fish", "cow"),
    "vehicle": ("car", "bus", "train", "bike", "airplane", "boat"),
    "food": ("bread", "soup", "apple", "cake", "cheese"),
    "shape": KINDS,
}
FORMS = ("request", "question", "statement")
COLOUR_NAMES = tuple(COLOURS)
ADJECTIVES = ("new", "old", "big", "nice")


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence and what is true of it; `colour` is None where it names none."""

    text: str
    topic: str
    noun: str
    form: str
    colour: str | None


def sample_note(
    rng: Random, topic: str | None = None, form: str | None = None, colour: str | None = "any"
) -> Note:
    """Return a note at random, of a given topic, form or colour (None: no colour) where one is given."""
    topic = topic or rng.choice(tuple(TOPICS))
    form = form or rng.choice(FORMS)
    if colour == "any":
        colour = rng.choice(COLOUR_NAMES) if rng.random() < 0.5 else None
    return note_about(rng, topic, rng.choice(TOPICS[topic]), form, colour)


def note_about(rng: Random, topic: str, noun: str, form: str, colour: str | None) -> Note:
    """Return a note about one noun."""
    thing = f"{colour} {noun}" if colour else noun
    if topic == "animal" and colour is None and form == "statement" and rng.random() < 0.4:
        text = rng.choice((f"the {noun} sleeps", f"my {noun} is hungry", f"the {noun} runs"))
    elif form == "statement":
        text = rng.choice(
            (
                f"I like the {thing}",
                f"there is {with_article(thing)} here",
                f"we have {with_article(thing)}",
                f"this is my {thing}",
            )
        )
        if colour and rng.random() < 0.25:
            text = f"the {noun} is {colour}"
    elif form == "request":
        text = rng.choice(
            (
                f"please send {with_article(thing)}",
                f"please bring me the {thing}",
                f"give me the {thing}",
                f"please show me {with_article(thing)}",
            )
        )
    else:
        text = rng.choice(
            (
                f"where is the {thing}?",
                f"do you like the {thing}?",
                f"is there {with_article(thing)}?",
                f"who has the {thing}?",
            )
        )
    return Note(text, topic, noun, form, colour)


def quoted(rng: Random, note: Note) -> str:
    """Return the note as prompts carry it."""
    return rng.choice(
        (
            f'Note: "{note.text}".',
            f"The note says: {note.text}.",
            f"Note: {note.text}.",
            f'Text: "{note.text}".',
        )
    )


def about_note(rng: Random, note: Note | None = None) -> Question:
    """Ask a question about a note alone."""
    note = note or sample_note(rng)
    said = quoted(rng, note)
    style = rng.random()
    if style < 0.3:
        return ask_word(
            rng, "note topic", (f"{said} What is the note about?", f"{said} What is the topic?"), note.topic
        )
    if style < 0.45:
        asked = (
            note.topic
            if rng.random() < 0.5
            else rng.choice([topic for topic in TOPICS if topic != note.topic])
        )
        return ask_yes_no(
            rng, "note topic", (f"{said} Is the note about {about(asked)}?",), asked == note.topic
        )
    if style < 0.65:
        texts = (f"{said} Which colour does the note name?", f"{said} What colour is in the note?")
        return ask_word(rng, "note colour", texts, note.colour or "none")
    if style < 0.8:
        texts = (
            f"{said} Is the note a request, a question or a statement?",
            f"{said} What kind of note is it?",
        )
        return ask_word(rng, "note form", texts, note.form)
    return ask_word(
        rng,
        "note noun",
        (f"{said} Which thing does the note name?", f"{said} What does the note talk about?"),
        note.noun,
    )


def about(topic: str) -> str:
    """Return a topic as conditions say it."""
    return "food" if topic == "food" else with_article(topic)


def about_words(rng: Random) -> Question:
    """Ask a question about words, without any image: kinds of words, copying, comparing."""
    style = rng.random()
    if style < 0.4:
        return about_note(rng)
    groups = {**TOPICS, "colour": COLOUR_NAMES}
    group = rng.choice(tuple(groups))
    word = rng.choice(groups[group])
    if style < 0.6:
        asked = group if rng.random() < 0.5 else rng.choice([other for other in groups if other != group])
        name = about(asked)
        return ask_yes_no(
            rng, "words kind", (f"Is {word} {name}?", f"Is the word {word} {name}?"), asked == group
        )
    if style < 0.75:
        return ask_word(
            rng,
            "words kind",
            (f"What kind of word is {word}?", f"Is {word} a colour, a shape, an animal, a vehicle or food?"),
            group,
        )
    other = word if rng.random() < 0.5 else rng.choice(groups[rng.choice(tuple(groups))])
    if style < 0.88:
        return ask_yes_no(
            rng,
            "words same",
            (f"Are these the same word? {word} {other}", f"Is {word} the same word as {other}?"),
            word == other,
        )
    pair = f"{rng.choice(COLOUR_NAMES)} {word}"
    return ask_word(rng, "words copy", (f"Repeat: {pair}", f"Say {pair}.", f"Copy these words: {pair}"), pair)
