"""Questions about two images in one prompt."""

from __future__ import annotations

from random import Random

from savs.demo.scenes import COLOURS, KINDS, Scene
from training.questions.photos import ANIMALS, WORDS
from training.questions.wording import Question, ask_word, ask_yes_no, with_article

Subject = Scene | str
"""A scene, or the word for what a photograph shows."""

PLACES = ("first", "second")


def about_pair(rng: Random, first: Subject, second: Subject) -> Question:
    """Ask a question about two images."""
    question: Question | None = None
    while question is None:
        if isinstance(first, str) and isinstance(second, str):
            question = _about_photos(rng, first, second)
        elif isinstance(first, Scene) and isinstance(second, Scene):
            question = _about_scenes(rng, first, second)
        else:
            question = _about_mixed(rng, first, second)
    return question


def _about_photos(rng: Random, first: str, second: str) -> Question:
    style = rng.random()
    if style < 0.45:
        texts = (
            "Do both pictures show the same thing?",
            "Are the two pictures of the same class?",
            "Is the same kind of object in both images?",
            "Do the first and the second picture show the same thing?",
        )
        return ask_yes_no(rng, "pair photos same", texts, first == second)
    if style < 0.55:
        natures = [word in ANIMALS for word in (first, second)]
        asked = rng.choice(("animals", "vehicles"))
        return ask_yes_no(
            rng,
            "pair photos same",
            (f"Are both {asked}?", f"Do both pictures show {asked}?"),
            natures == [asked == "animals"] * 2,
        )
    if style < 0.8 and first != second:
        place = rng.choice((0, 1))
        return ask_word(
            rng, "pair photos which", which_texts(with_article((first, second)[place])), PLACES[place]
        )
    place = rng.choice((0, 1))
    return ask_word(rng, "pair photos what", what_texts(PLACES[place]), (first, second)[place])


def which_texts(name: str) -> tuple[str, ...]:
    """Ways to ask which of two images shows something."""
    return (
        f"Which picture shows {name}, the first or the second?",
        f"Which image shows {name}?",
        f"Is {name} in the first or the second picture?",
    )


def what_texts(place: str) -> tuple[str, ...]:
    """Ways to ask what one of two images shows."""
    return (
        f"What is in the {place} picture?",
        f"What does the {place} image show?",
        f"What is shown in the {place} picture?",
    )


def _about_scenes(rng: Random, first: Scene, second: Scene) -> Question | None:
    style = rng.random()
    if style < 0.5 and len(first.things) == 1 and len(second.things) == 1:
        return _same_single(rng, first, second)
    if style < 0.65:
        return _which_has(rng, first, second)
    if style < 0.72:
        counts = len(first.things), len(second.things)
        if rng.random() < 0.3 and (counts[0] != counts[1] or rng.random() < 0.4):
            return ask_yes_no(
                rng,
                "pair count",
                ("Do both pictures have the same number of shapes?",),
                counts[0] == counts[1],
            )
        if counts[0] == counts[1]:
            return None
        word = rng.choice(("more", "fewer"))
        place = PLACES[(counts[0] < counts[1]) == (word == "more")]
        return ask_word(
            rng, "pair count", (f"Which picture has {word} shapes, the first or the second?",), place
        )
    if style < 0.77:
        return ask_yes_no(
            rng,
            "pair same background",
            ("Do both pictures have the same background?",),
            first.background == second.background,
        )
    return _single_out(rng, first, second)


def _same_single(rng: Random, first: Scene, second: Scene) -> Question:
    what, word = rng.choice(
        (("kind", "shape"), ("kind", "shape"), ("colour", "colour"), ("colour", "colour"), ("size", "size"))
    )
    texts = (
        f"Do both pictures show the same {word}?",
        f"Is the {word} the same in both images?",
        f"Do the two pictures have the same {word}?",
        f"Same {word} in both pictures?",
    )
    truth = getattr(first.things[0], what) == getattr(second.things[0], what)
    return ask_yes_no(rng, f"pair same {word}", texts, truth)


def _which_has(rng: Random, first: Scene, second: Scene) -> Question | None:
    place = rng.choice((0, 1))
    here, there = (first, second) if place == 0 else (second, first)
    attribute, prefix = rng.choice((("name", ""), ("kind", ""), ("colour", "something ")))
    others = {getattr(thing, attribute) for thing in there.things}
    only = [getattr(thing, attribute) for thing in here.things if getattr(thing, attribute) not in others]
    if not only:
        return None
    value = rng.choice(only)
    name = f"{prefix}{value}" if prefix else with_article(value)
    return ask_word(rng, "pair which has", which_texts(name), PLACES[place])


def _single_out(rng: Random, first: Scene, second: Scene) -> Question | None:
    place = rng.choice((0, 1))
    scene = (first, second)[place]
    if len(scene.things) != 1:
        return None
    thing = scene.things[0]
    style = rng.random()
    if style < 0.35:
        return ask_word(
            rng, "pair single out", (f"What shape is in the {PLACES[place]} picture?",), thing.kind
        )
    if style < 0.7:
        texts = (
            f"What colour is the shape in the {PLACES[place]} picture?",
            f"What colour is in the {PLACES[place]} image?",
        )
        return ask_word(rng, "pair single out", texts, thing.colour)
    truth = rng.random() < 0.5
    shown = (
        thing.name
        if truth
        else f"{rng.choice([c for c in COLOURS if c != thing.colour])} {rng.choice((thing.kind, *KINDS))}"
    )
    return ask_yes_no(
        rng, "pair single out", (f"Does the {PLACES[place]} picture show {with_article(shown)}?",), truth
    )


def _about_mixed(rng: Random, first: Subject, second: Subject) -> Question:
    is_photo = [isinstance(subject, str) for subject in (first, second)]
    style = rng.random()
    if style < 0.35:
        asked = rng.choice((True, False))
        texts = which_texts("a photo" if asked else "a drawing")
        return ask_word(rng, "pair medium", texts, PLACES[is_photo.index(asked)])
    place = is_photo.index(True)
    word = str((first, second)[place])
    if style < 0.7:
        return ask_word(rng, "pair photos what", what_texts(PLACES[place]), word)
    truth = rng.random() < 0.5
    asked_word = word if truth else rng.choice([other for other in WORDS if other != word])
    return ask_yes_no(
        rng, "pair medium", (f"Does the {PLACES[place]} picture show {with_article(asked_word)}?",), truth
    )
