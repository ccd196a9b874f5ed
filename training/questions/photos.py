"""Questions about one photograph."""

from __future__ import annotations

from random import Random

from training.photos import NAMED, spoken
from training.questions.wording import Question, ask, ask_options, ask_word, ask_yes_no, with_article

WORDS = tuple(spoken(name) for name in NAMED)
ANIMALS = ("bird", "cat", "dog", "frog", "horse")
VEHICLES = ("airplane", "car")
FACTS: dict[str, tuple[str, ...]] = {
    "Does it have wheels?": ("car", "airplane"),
    "Can it fly?": ("airplane", "bird"),
    "Does it have wings?": ("airplane", "bird"),
    "Does it have fur?": ("cat", "dog", "horse"),
    "Does it have four legs?": ("cat", "dog", "horse", "frog"),
    "Is it a machine?": ("airplane", "car"),
    "Is it alive?": ANIMALS,
    "Is it a pet?": ("cat", "dog"),
}
WHAT = (
    "What is in this picture?",
    "What is this?",
    "What does the photo show?",
    "What is in the image?",
    "What do you see?",
    "Name the main object.",
    "What object is this?",
    "Which thing is shown here?",
    "What kind of object is in the picture?",
)
MEDIUM = (
    "Is this a photo, a drawing or a letter?",
    "What kind of picture is this: photo, drawing or letter?",
    "Photo, drawing or letter?",
)


def about_photo(rng: Random, word: str) -> Question:
    """Ask a question about a photograph of `word`."""
    return rng.choices((what, is_it, caption, nature, fact, options, describe, medium), WEIGHTS)[0](rng, word)


WEIGHTS = (2.4, 1.6, 1.2, 0.8, 1.2, 1.8, 0.5, 0.25)


def what(rng: Random, word: str) -> Question:
    """Ask for the class, freely."""
    texts: tuple[str, ...] = WHAT
    if rng.random() < 0.25:
        nature_of = "animal" if word in ANIMALS else "vehicle"
        texts = (
            f"What {nature_of} is this?",
            f"Which {nature_of} is in the picture?",
            f"Name the {nature_of}.",
        )
    return ask_word(rng, "photo what", texts, word)


def is_it(rng: Random, word: str) -> Question:
    """Whether it is of a class."""
    truth = rng.random() < 0.5
    name = with_article(word if truth else _other(rng, word))
    texts = (
        f"Is this {name}?",
        f"Is there {name} in the picture?",
        f"Is it {name}?",
        f"Does the picture show {name}?",
        f"Can you see {name} in the image?",
    )
    return ask_yes_no(rng, "photo is it", texts, truth)


def caption(rng: Random, word: str) -> Question:
    """Whether a caption fits."""
    truth = rng.random() < 0.5
    name = with_article(word if truth else _other(rng, word))
    said = rng.choice((name, f"a photo of {name}", f"a picture of {name}", f"{name} in a photo"))
    return ask_yes_no(rng, "photo caption", caption_texts(said), truth)


def caption_texts(said: str) -> tuple[str, ...]:
    """Ways to ask whether a caption fits."""
    return (
        f"Does this image show '{said}'?",
        f"Does this picture show {said}?",
        f"Caption: {said}. Is the caption right?",
        f'Does the caption "{said}" fit the picture?',
        f"Is this true? {said}",
    )


def nature(rng: Random, word: str) -> Question:
    """Animal or vehicle."""
    answer = "animal" if word in ANIMALS else "vehicle"
    if rng.random() < 0.5:
        texts = (
            "Is it an animal or a vehicle?",
            "Animal or vehicle?",
            "Does the picture show an animal or a vehicle?",
        )
        return ask_word(rng, "photo nature", texts, answer)
    asked = rng.choice(("animal", "vehicle"))
    name = with_article(asked)
    texts = (f"Is this {name}?", f"Does the image show {name}?", f"Is there {name} in the picture?")
    return ask_yes_no(rng, "photo nature", texts, asked == answer)


def fact(rng: Random, word: str) -> Question:
    """Ask for a property that the class implies."""
    truth = rng.random() < 0.5
    fitting = [text for text, words in FACTS.items() if (word in words) == truth]
    return ask_yes_no(rng, "photo fact", fitting, truth)


def options(rng: Random, word: str) -> Question:
    """Ask for the class among options."""
    stems = ("What is this?", "What is in this picture?", "Which is it?", "What does the image show?")
    return ask_options(rng, "photo", stems, word, [other for other in WORDS if other != word])


def describe(rng: Random, word: str) -> Question:
    """Ask for a short caption."""
    texts = (
        "Describe the picture.",
        "Describe the image.",
        "Write a caption.",
        "What does the picture show? Describe it.",
    )
    return ask(rng, "photo describe", texts, f"a photo of {with_article(word)}")


def medium(rng: Random, _word: str) -> Question:
    """Photo, drawing or letter."""
    return ask_word(rng, "medium", MEDIUM, "photo")


def _other(rng: Random, word: str) -> str:
    same = ANIMALS if word in ANIMALS else VEHICLES
    pool = same if rng.random() < 0.5 else WORDS
    return rng.choice([other for other in pool if other != word])
