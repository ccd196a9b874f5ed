"""Rules over an image and a note together: one condition on each side, joined by and, or, or "exactly one".

`HELD_OUT_RULES` are pairs of conditions that training never joins, under any connective.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from savs.demo.scenes import BACKGROUNDS, COLOURS, KINDS, Scene
from training.questions.notes import FORMS, TOPICS, Note, about, note_about, quoted, sample_note
from training.questions.photos import ANIMALS, WORDS
from training.questions.wording import Question, ask_yes_no, with_article

Condition = tuple[str, str]
"""What a condition looks at and the value it wants, e.g. ("kind", "triangle") or ("topic", "animal")."""

HELD_OUT_RULES: frozenset[tuple[Condition, Condition]] = frozenset(
    {
        (("kind", "triangle"), ("topic", "animal")),
        (("kind", "star"), ("form", "question")),
        (("kind", "circle"), ("topic", "food")),
        (("colour", "red"), ("topic", "vehicle")),
        (("colour", "blue"), ("form", "request")),
        (("background", "striped"), ("topic", "food")),
        (("nature", "animal"), ("topic", "food")),
        (("nature", "vehicle"), ("form", "question")),
        (("class", "cat"), ("topic", "shape")),
    }
)
JOINS = ("and", "or", "one")


def image_facts(subject: Scene | str) -> set[Condition]:
    """Everything a condition can find true of a scene, or of a photograph of the given word."""
    if isinstance(subject, str):
        return {("class", subject), ("nature", "animal" if subject in ANIMALS else "vehicle")}
    facts = {("kind", thing.kind) for thing in subject.things} | {
        ("colour", thing.colour) for thing in subject.things
    }
    return facts | {("background", subject.background)}


def image_conditions(subject: Scene | str) -> tuple[Condition, ...]:
    """Every condition that can be put on such an image."""
    if isinstance(subject, str):
        return (("nature", "animal"), ("nature", "vehicle")) * 2 + tuple(("class", word) for word in WORDS)
    return (
        *(("kind", kind) for kind in KINDS),
        *(("colour", colour) for colour in COLOURS),
        *(("background", name) for name in BACKGROUNDS),
    )


def note_facts(note: Note) -> set[Condition]:
    """Everything a condition can find true of a note."""
    facts = {("topic", note.topic), ("form", note.form)}
    return facts | ({("names", note.colour)} if note.colour else set())


NOTE_CONDITIONS: tuple[Condition, ...] = (
    *(("topic", topic) for topic in TOPICS),
    *(("form", form) for form in FORMS),
    *(("names", colour) for colour in COLOURS),
)


def say(rng: Random, condition: Condition) -> str:
    """Return a condition in words."""
    what, value = condition
    ways: dict[str, tuple[str, ...]] = {
        "kind": (f"the picture has {with_article(value)}", f"there is {with_article(value)}"),
        "colour": (f"something in the picture is {value}", f"the picture has a {value} thing"),
        "background": (f"the background is {value}",),
        "nature": (
            f"the picture shows {with_article(value)}",
            f"there is {with_article(value)} in the picture",
        ),
        "class": (
            f"the picture shows {with_article(value)}",
            f"there is {with_article(value)} in the picture",
        ),
        "topic": (f"the note is about {about(value)}",),
        "form": (f"the note is a {value}",),
        "names": (f"the note says {value}", f"the note names the colour {value}"),
    }
    return rng.choice(ways[what])


def about_rule(rng: Random, subject: Scene | str) -> Question:
    """Ask a question that needs the image and a note, or one side of such a rule."""
    style = rng.random()
    if style < 0.16:
        return single(rng, subject, on_image=True)
    if style < 0.32:
        return single(rng, subject, on_image=False)
    if style < 0.5:
        return matches(rng, subject)
    return joined(rng, subject, rng.choices(JOINS, (0.5, 0.3, 0.2))[0])


def joined(
    rng: Random, subject: Scene | str, join: str, pair: tuple[Condition, Condition] | None = None
) -> Question:
    """Ask for a rule of two conditions; a given `pair` may be a held-out one, a sampled one never is."""
    truth = rng.random() < 0.5
    sides = [(a, b) for a in (True, False) for b in (True, False) if verdict(join, a, b) == truth]
    on_image, on_note = rng.choice(sides)
    if pair is None:
        condition = _condition(rng, image_conditions(subject), image_facts(subject), on_image)
        other = rng.choice([one for one in NOTE_CONDITIONS if (condition, one) not in HELD_OUT_RULES])
    else:
        condition, other = pair
        on_image = condition in image_facts(subject)
    note = note_with(rng, other, on_note)
    truth = verdict(join, on_image, on_note)
    return ask_rule(rng, f"rule {join}", note, rule_text(rng, join, condition, other), truth)


def verdict(join: str, first: bool, second: bool) -> bool:
    """Return the truth of two joined conditions."""
    if join == "and":
        return first and second
    return (first or second) if join == "or" else first != second


def rule_text(rng: Random, join: str, condition: Condition, other: Condition) -> str:
    """Two conditions joined in words, in either order."""
    first, second = say(rng, condition), say(rng, other)
    if rng.random() < 0.4:
        first, second = second, first
    return f"exactly one is true: {first}, {second}" if join == "one" else f"{first} {join} {second}"


def ask_rule(rng: Random, family: str, note: Note, rule: str, truth: bool) -> Question:
    """Return a note and a rule, in one of several orders."""
    said = quoted(rng, note)
    texts = (
        f"{said} Rule: {rule}. Does the rule hold?",
        f"Rule: {rule}. {said} Does the rule hold?",
        f"{said} Is this true: {rule}?",
        f"{said} Check the rule: {rule}.",
    )
    return ask_yes_no(rng, family, texts, truth)


def single(rng: Random, subject: Scene | str, on_image: bool) -> Question:
    """Ask for a rule with one condition, next to a note that may not matter."""
    truth = rng.random() < 0.5
    if on_image:
        condition = _condition(rng, image_conditions(subject), image_facts(subject), truth)
        return ask_rule(rng, "rule picture only", sample_note(rng), say(rng, condition), truth)
    condition = rng.choice(NOTE_CONDITIONS)
    return ask_rule(rng, "rule note only", note_with(rng, condition, truth), say(rng, condition), truth)


def matches(rng: Random, subject: Scene | str) -> Question:
    """Whether the note names what the image shows."""
    truth = rng.random() < 0.5
    form = rng.choice(FORMS)
    if isinstance(subject, str):
        noun = subject if truth else rng.choice([word for word in WORDS if word != subject])
        note = note_about(rng, "animal" if noun in ANIMALS else "vehicle", noun, form, None)
        ending: Sequence[str] = (
            "Does the note fit the picture?",
            "Is the note about what the picture shows?",
        )
    elif rng.random() < 0.5:
        names = {thing.name for thing in subject.things}
        pool = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS if f"{colour} {kind}" not in names]
        present = {thing.colour for thing in subject.things} | {thing.kind for thing in subject.things}
        near = [name for name in pool if set(name.split()) & present]
        colour, noun = (rng.choice(sorted(names)) if truth else rng.choice(near or pool)).split()
        note = note_about(rng, "shape", noun, form, colour)
        ending = ("Does the note fit the picture?", "Is the thing in the note in the picture?")
    else:
        colours = sorted({thing.colour for thing in subject.things})
        absent = [colour for colour in COLOURS if colour not in colours]
        topic = rng.choice(("animal", "vehicle", "food"))
        note = sample_note(rng, topic, form, rng.choice(colours if truth else absent))
        ending = (
            "Is the colour in the note also in the picture?",
            "Does the picture have the colour that the note names?",
        )
    said = quoted(rng, note)
    return ask_yes_no(rng, "rule match", [f"{said} {text}" for text in ending], truth)


def note_with(rng: Random, condition: Condition, truth: bool) -> Note:
    """Return a note of which `condition` is true or false, as asked."""
    while True:
        what, value = condition
        wanted = {"topic": None, "form": None, "names": "any"}
        if truth:
            wanted[what] = value
        note = sample_note(rng, wanted["topic"], wanted["form"], wanted["names"])
        if (condition in note_facts(note)) == truth:
            return note


def _condition(rng: Random, conditions: Sequence[Condition], facts: set[Condition], truth: bool) -> Condition:
    return rng.choice([condition for condition in conditions if (condition in facts) == truth])
