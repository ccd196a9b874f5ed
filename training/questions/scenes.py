"""Questions about one drawn scene, answered from its description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from savs.demo.scenes import BACKGROUNDS, COLOURS, KINDS, RELATIONS, SIDE, Scene, Thing, relation_holds
from training.questions.photos import MEDIUM, caption_texts
from training.questions.wording import Question, ask, ask_options, ask_word, ask_yes_no, with_article

COLOUR_NAMES = tuple(COLOURS)
NUMBERS = {0: "none", 1: "one", 2: "two", 4: "four", 5: "five"}
"""Numbers that are ever answered or asked; three is held out."""

Asker = Callable[[Random, Scene], Question | None]


def about_scene(rng: Random, scene: Scene) -> Question:
    """Ask a question about a scene, a relation more than anything else where there are several things."""
    single = len(scene.things) == 1
    while True:
        askers, weights = (SINGLE, SINGLE_WEIGHTS) if single else (SEVERAL, SEVERAL_WEIGHTS)
        question = rng.choices(askers, weights)[0](rng, scene)
        if question is not None:
            return question


def unique(scene: Scene) -> list[Thing]:
    """Things whose colour and kind together occur once."""
    names = Counter(thing.name for thing in scene.things)
    return [thing for thing in scene.things if names[thing.name] == 1]


def refer(rng: Random, scene: Scene, thing: Thing) -> str:
    """Words that pick out one thing: "the circle", "the red thing" or "the red circle"."""
    ways = [f"the {thing.name}"]
    if sum(other.kind == thing.kind for other in scene.things) == 1:
        ways.append(f"the {thing.kind}")
    if sum(other.colour == thing.colour for other in scene.things) == 1:
        ways.append(f"the {thing.colour} {rng.choice(('thing', 'shape'))}")
    return rng.choice(ways)


def kind_of(rng: Random, scene: Scene) -> Question | None:
    """Ask for the shape of the only thing, or of the one of a colour."""
    thing, which = _one_by(rng, scene, "colour")
    if thing is None:
        return None
    texts: tuple[str, ...] = (
        f"What shape is {which}?",
        f"Which shape is {which}?",
        f"What is the shape of {which}?",
    )
    if which == "it":
        texts = (
            *texts,
            "What shape is this?",
            "What shape is in the picture?",
            "Name the shape.",
            "Which shape do you see?",
        )
    return ask_word(rng, "scene shape", texts, thing.kind)


def colour_of(rng: Random, scene: Scene) -> Question | None:
    """Ask for the colour of the only thing, or of the one of a kind."""
    thing, which = _one_by(rng, scene, "kind")
    if thing is None:
        return None
    word = rng.choice(("colour", "colour", "color"))
    texts: tuple[str, ...] = (
        f"What {word} is {which}?",
        f"Which {word} is {which}?",
        f"What is the {word} of {which}?",
    )
    if which == "it":
        texts = (*texts, f"What {word} is the shape?", f"Name the {word}.", f"What {word} do you see?")
    return ask_word(rng, "scene colour", texts, thing.colour)


def size_of(rng: Random, scene: Scene) -> Question | None:
    """Small or large."""
    things = unique(scene)
    if not things:
        return None
    thing = rng.choice(things)
    which = refer(rng, scene, thing)
    if rng.random() < 0.5:
        texts = (
            f"Is {which} small or large?",
            f"What size is {which}?",
            f"How big is {which}, small or large?",
        )
        return ask_word(rng, "scene size", texts, thing.size)
    asked = rng.choice(("small", "large"))
    return ask_yes_no(rng, "scene size", (f"Is {which} {asked}?",), asked == thing.size)


def background_of(rng: Random, scene: Scene) -> Question:
    """Plain, striped, dotted or noisy."""
    if rng.random() < 0.6:
        texts = (
            "What is the background like?",
            "Is the background plain, striped, dotted or noisy?",
            "Which background is it?",
            "Describe the background.",
        )
        return ask_word(rng, "scene background", texts, scene.background)
    truth = rng.random() < 0.5
    asked = (
        scene.background if truth else rng.choice([name for name in BACKGROUNDS if name != scene.background])
    )
    return ask_yes_no(rng, "scene background", (f"Is the background {asked}?",), truth)


def count_all(rng: Random, scene: Scene) -> Question | None:
    """How many things; never of three."""
    number = NUMBERS.get(len(scene.things))
    if number is None:
        return None
    if rng.random() < 0.25:
        truth = rng.random() < 0.5
        asked = (
            number
            if truth
            else rng.choice([name for name in NUMBERS.values() if name not in (number, "none")])
        )
        plural = "is one shape" if asked == "one" else f"are {asked} shapes"
        return ask_yes_no(
            rng,
            "scene count",
            (f"Does the picture have {plural[4:]}?", f"Is it true that there {plural}?"),
            truth,
        )
    texts = (
        "How many shapes are there?",
        "How many things are in the picture?",
        "Count the shapes.",
        "What is the number of shapes?",
        "How many objects do you see?",
    )
    return ask_word(rng, "scene count", texts, number)


def count_some(rng: Random, scene: Scene) -> Question | None:
    """How many of a colour or kind; never three."""
    by_colour = rng.random() < 0.5
    values = [thing.colour if by_colour else thing.kind for thing in scene.things]
    present = Counter(values)
    most = present.most_common(1)[0][0]
    asked = rng.choice((most, rng.choice(values), rng.choice(COLOUR_NAMES if by_colour else KINDS)))
    number = NUMBERS.get(present[asked])
    if number is None:
        return None
    things = f"{asked} {rng.choice(('shapes', 'things'))}" if by_colour else _plural(asked)
    return ask_word(
        rng, "scene count some", (f"How many {things} are there?", f"Count the {things}."), number
    )


def exists(rng: Random, scene: Scene) -> Question:
    """Whether something is there; wrong ones often mix the colour of one thing with the kind of another."""
    truth = rng.random() < 0.5
    style = rng.random()
    texts: tuple[str, ...]
    if style < 0.25:
        name = _present_or_not(rng, [thing.kind for thing in scene.things], KINDS, truth)
        texts = (
            f"Is there {with_article(name)}?",
            f"Does the picture have {with_article(name)}?",
            f"Do you see {with_article(name)}?",
        )
    elif style < 0.5:
        name = _present_or_not(rng, [thing.colour for thing in scene.things], COLOUR_NAMES, truth)
        texts = (
            f"Is there anything {name}?",
            f"Is any shape {name}?",
            f"Does the picture have a {name} thing?",
        )
    else:
        name = rng.choice(scene.things).name if truth else absent_name(rng, scene)
        texts = (
            f"Is there {with_article(name)}?",
            f"Does the image show {with_article(name)}?",
            f"Is {with_article(name)} in the picture?",
            f"Can you see {with_article(name)}?",
        )
    return ask_yes_no(rng, "scene exists", texts, truth)


def absent_name(rng: Random, scene: Scene) -> str:
    """Return a colour and kind that is not there, mostly mixed from what is."""
    present = {thing.name for thing in scene.things}
    while True:
        colours = [thing.colour for thing in scene.things] if rng.random() < 0.75 else COLOUR_NAMES
        kinds = [thing.kind for thing in scene.things] if rng.random() < 0.75 else KINDS
        name = f"{rng.choice(colours)} {rng.choice(kinds)}"
        if name not in present:
            return name
        if rng.random() < 0.3:
            name = f"{rng.choice(COLOUR_NAMES)} {rng.choice(KINDS)}"
            if name not in present:
                return name


def caption(rng: Random, scene: Scene) -> Question | None:
    """Whether a caption fits; the wrong one swaps the colours of two things or changes one word."""
    things = unique(scene)
    truth = rng.random() < 0.5
    if len(things) < 2:
        name = things[0].name if truth and things else absent_name(rng, scene)
        if truth and not things:
            return None
        return ask_yes_no(rng, "scene caption", caption_texts(with_article(name)), truth)
    first, second = rng.sample(things, 2)
    names = (first.name, second.name)
    if not truth:
        swapped = (f"{second.colour} {first.kind}", f"{first.colour} {second.kind}")
        present = {thing.name for thing in scene.things}
        if rng.random() < 0.7 and not set(swapped) <= present:
            names = swapped
        else:
            names = (first.name, absent_name(rng, scene))
    said = f"{with_article(names[0])} and {with_article(names[1])}"
    return ask_yes_no(rng, "scene caption", caption_texts(said), truth)


def describe(rng: Random, scene: Scene) -> Question | None:
    """Ask for a caption of one or two things, the second kind with the relation between them."""
    texts = (
        "Describe the picture.",
        "Describe the image.",
        "Write a caption.",
        "What is in this picture?",
        "What do you see?",
    )
    if len(scene.things) == 1:
        return ask(rng, "scene describe", texts, with_article(scene.things[0].name))
    if len(scene.things) != 2:
        return None
    first, second = rng.sample(scene.things, 2)
    relation = clear_relation(first, second)
    if relation is None:
        return None
    if relation in ("right of", "below"):
        first, second, relation = second, first, {"right of": "left of", "below": "above"}[relation]
    return ask(
        rng, "scene describe", texts, f"{with_article(first.name)} {relation} {with_article(second.name)}"
    )


def same_inside(rng: Random, scene: Scene) -> Question | None:
    """Whether two things share their colour, kind or size."""
    if len(scene.things) != 2:
        return None
    what, word = rng.choice((("colour", "colour"), ("kind", "shape"), ("size", "size")))
    first, second = scene.things
    texts = (
        f"Do both things have the same {word}?",
        f"Are the two of the same {word}?",
        f"Is the {word} of both the same?",
    )
    return ask_yes_no(rng, "scene same inside", texts, getattr(first, what) == getattr(second, what))


def location(rng: Random, scene: Scene) -> Question | None:
    """In which half or corner something is."""
    things = [thing for thing in unique(scene) if abs(thing.x - SIDE / 2) > 4 and abs(thing.y - SIDE / 2) > 4]
    if not things:
        return None
    thing = rng.choice(things)
    which = refer(rng, scene, thing) if len(scene.things) > 1 or rng.random() < 0.5 else "it"
    across, down = ("left" if thing.x < SIDE / 2 else "right"), ("top" if thing.y < SIDE / 2 else "bottom")
    style = rng.random()
    if style < 0.35:
        return ask_word(
            rng,
            "scene location",
            (f"Is {which} in the left or right half?", f"Is {which} on the left or on the right?"),
            across,
        )
    if style < 0.7:
        return ask_word(
            rng,
            "scene location",
            (f"Is {which} in the top or bottom half?", f"Is {which} at the top or at the bottom?"),
            down,
        )
    texts = (f"Where is {which}?", f"In which corner is {which}?", f"Where in the picture is {which}?")
    return ask_word(rng, "scene location", texts, f"{down} {across}")


def clear_relation(first: Thing, second: Thing) -> str | None:
    """Return the one relation that clearly describes where `first` is, None where two would do."""
    across, down = second.x - first.x, second.y - first.y
    if abs(across) > max(9.0, 1.5 * abs(down)):
        return "left of" if across > 0 else "right of"
    if abs(down) > max(9.0, 1.5 * abs(across)):
        return "above" if down > 0 else "below"
    return None


def relation_choice(rng: Random, scene: Scene) -> Question | None:
    """Left or right; above or below."""
    pair = _pair(rng, scene)
    if pair is None:
        return None
    first, second = pair
    words = rng.choice((("left of", "right of"), ("above", "below")))
    truth = relation_holds(first, words[0], second)
    if truth is None:
        return None
    a, b = refer(rng, scene, first), refer(rng, scene, second)
    short = [word.removesuffix(" of") for word in words]
    if short[0] == "left":
        texts = (
            f"Is {a} left or right of {b}?",
            f"Is {a} to the left or to the right of {b}?",
            f"Left or right: where is {a} from {b}?",
        )
    else:
        texts = (
            f"Is {a} above or below {b}?",
            f"Above or below: where is {a} from {b}?",
            f"Is {a} higher or lower than {b}, above or below?",
        )
    return ask_word(rng, "scene relation choice", texts, short[0] if truth else short[1])


def relation_where(rng: Random, scene: Scene) -> Question | None:
    """Where one thing is, seen from another."""
    pair = _pair(rng, scene)
    relation = clear_relation(*pair) if pair else None
    if pair is None or relation is None:
        return None
    a, b = refer(rng, scene, pair[0]), refer(rng, scene, pair[1])
    texts = (
        f"Where is {a} relative to {b}?",
        f"On which side of {b} is {a}?",
        f"Where is {a} seen from {b}?",
    )
    return ask_word(rng, "scene relation where", texts, relation.removesuffix(" of"))


def relation_yes_no(rng: Random, scene: Scene) -> Question | None:
    """Whether a relation holds, as a question or a caption."""
    pair = _pair(rng, scene)
    if pair is None:
        return None
    first, second = pair
    truth = rng.random() < 0.5
    fitting = [relation for relation in RELATIONS if relation_holds(first, relation, second) is truth]
    if not fitting:
        return None
    relation = rng.choice(fitting)
    if rng.random() < 0.5:
        a, b = refer(rng, scene, first), refer(rng, scene, second)
        return ask_yes_no(
            rng,
            "scene relation yes/no",
            (f"Is {a} {relation} {b}?", f"Is it true that {a} is {relation} {b}?"),
            truth,
        )
    said = f"{with_article(first.name)} {relation} {with_article(second.name)}"
    return ask_yes_no(rng, "scene relation caption", caption_texts(said), truth)


def relation_what(rng: Random, scene: Scene) -> Question | None:
    """Ask what stands left of, right of, above or below a thing, where only one thing does."""
    things = unique(scene)
    if not things:
        return None
    anchor = rng.choice(things)
    relation = rng.choice(RELATIONS)
    verdicts = [
        (other, relation_holds(other, relation, anchor)) for other in scene.things if other is not anchor
    ]
    holding = [other for other, verdict in verdicts if verdict]
    if len(holding) != 1 or any(verdict is None for _, verdict in verdicts):
        return None
    which, found = refer(rng, scene, anchor), holding[0]
    style = rng.random()
    if style < 0.34:
        return ask_word(
            rng, "scene relation what", (f"What colour is the shape {relation} {which}?",), found.colour
        )
    if style < 0.67:
        return ask_word(rng, "scene relation what", (f"Which shape is {relation} {which}?",), found.kind)
    return ask_word(
        rng,
        "scene relation what",
        (f"What is {relation} {which}?", f"Which thing is {relation} {which}?"),
        found.name,
    )


def extreme(rng: Random, scene: Scene) -> Question | None:
    """Ask for the leftmost, rightmost, highest or lowest thing."""
    word, axis, sign = rng.choice(
        (("leftmost", "x", 1), ("rightmost", "x", -1), ("highest", "y", 1), ("lowest", "y", -1))
    )
    ranked = sorted(scene.things, key=lambda thing: sign * float(getattr(thing, axis)))
    if abs(getattr(ranked[0], axis) - getattr(ranked[1], axis)) < 7:
        return None
    found = ranked[0]
    style = rng.random()
    if style < 0.4:
        return ask_word(
            rng,
            "scene extreme",
            (f"What colour is the {word} shape?", f"What colour is the {word} thing?"),
            found.colour,
        )
    if style < 0.8:
        return ask_word(
            rng,
            "scene extreme",
            (f"Which shape is the {word}?", f"What shape is the {word} thing?"),
            found.kind,
        )
    return ask_word(rng, "scene extreme", (f"What is the {word} thing?",), found.name)


def size_compare(rng: Random, scene: Scene) -> Question | None:
    """Which of two things is larger."""
    pair = _pair(rng, scene)
    if pair is None or pair[0].size == pair[1].size:
        return None
    a, b = refer(rng, scene, pair[0]), refer(rng, scene, pair[1])
    word = rng.choice(("larger", "smaller"))
    truth = (pair[0].size == "large") == (word == "larger")
    return ask_yes_no(rng, "scene size compare", (f"Is {a} {word} than {b}?",), truth)


def options(rng: Random, scene: Scene) -> Question | None:
    """Shape, colour or whole thing among options."""
    style = rng.random()
    things = unique(scene)
    if not things:
        return None
    thing = rng.choice(things)
    if style < 0.25:
        single, which = _one_by(rng, scene, "colour")
        if single is None:
            return None
        return ask_options(
            rng, "scene", (f"What shape is {which}?",), single.kind, [k for k in KINDS if k != single.kind]
        )
    if style < 0.5:
        single, which = _one_by(rng, scene, "kind")
        if single is None:
            return None
        wrong = [colour for colour in COLOUR_NAMES if colour != single.colour]
        return ask_options(rng, "scene", (f"What colour is {which}?",), single.colour, wrong)
    wrong = list({absent_name(rng, scene) for _ in range(4)})
    return ask_options(rng, "scene", ("What is in this picture?", "Which thing is shown?"), thing.name, wrong)


def medium(rng: Random, _scene: Scene) -> Question:
    """Photo, drawing or letter."""
    return ask_word(rng, "medium", MEDIUM, "drawing")


def _one_by(rng: Random, scene: Scene, attribute: str) -> tuple[Thing | None, str]:
    """Return a thing and words that pick it out without naming anything but `attribute` (or its size)."""
    if len(scene.things) == 1:
        return scene.things[0], rng.choice(
            ("it", "it", "the thing", "the shape") if attribute == "kind" else ("it", "it", "the thing")
        )
    ways: list[tuple[Thing, str]] = []
    for thing in scene.things:
        if sum(getattr(other, attribute) == getattr(thing, attribute) for other in scene.things) == 1:
            ways.append((thing, f"the {thing.kind}" if attribute == "kind" else f"the {thing.colour} thing"))
        if sum(other.size == thing.size for other in scene.things) == 1:
            ways.append((thing, f"the {thing.size} thing"))
    return rng.choice(ways) if ways else (None, "")


def _pair(rng: Random, scene: Scene) -> tuple[Thing, Thing] | None:
    things = unique(scene)
    if len(things) < 2:
        return None
    first, second = rng.sample(things, 2)
    return first, second


def _plural(kind: str) -> str:
    return f"{kind}es" if kind == "cross" else f"{kind}s"


def _present_or_not(rng: Random, present: list[str], names: tuple[str, ...], truth: bool) -> str:
    return rng.choice(present) if truth else rng.choice([name for name in names if name not in present])


SINGLE: tuple[Asker, ...] = (
    kind_of,
    colour_of,
    size_of,
    background_of,
    count_all,
    exists,
    caption,
    describe,
    location,
    options,
    medium,
)
SINGLE_WEIGHTS = (1.8, 1.8, 1.2, 1.0, 0.7, 1.2, 0.8, 1.0, 5.0, 1.2, 0.2)
SEVERAL: tuple[Asker, ...] = (
    relation_choice,
    relation_where,
    relation_yes_no,
    relation_what,
    extreme,
    location,
    kind_of,
    colour_of,
    size_of,
    size_compare,
    background_of,
    count_all,
    count_some,
    exists,
    caption,
    describe,
    same_inside,
    options,
)
SEVERAL_WEIGHTS = (
    4.5,
    1.5,
    3.5,
    1.2,
    1.5,
    4.0,
    0.9,
    0.9,
    0.6,
    0.4,
    0.4,
    0.8,
    1.0,
    1.2,
    1.5,
    0.8,
    0.5,
    0.9,
)
