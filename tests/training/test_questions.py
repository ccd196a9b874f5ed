"""Questions are answered rightly, evenly, and never show what is held out."""

import re
from collections import Counter, defaultdict
from random import Random

import numpy as np
import pytest
from training.drawings import render_drawings
from training.photos import synthetic_photos
from training.questions import rules
from training.questions.mixture import Mixture
from training.questions.photos import about_photo
from training.questions.rules import HELD_OUT_RULES, JOINS, joined, verdict
from training.questions.scenes import clear_relation, relation_choice, relation_yes_no

from savs.demo.scenes import Scene, Thing

HELD_OUT_WORDS = re.compile(
    r"\b(deer|ships?|trucks?|three|vowels?|consonants?|digits?|[0-9]{2,})\b", re.IGNORECASE
)


@pytest.fixture(scope="module")
def questions():
    mixture = Mixture(synthetic_photos(np.random.default_rng(0), 10), render_drawings(300, 52, 1), 1)
    return [sample.ask() for sample in (mixture.sample() for _ in range(1500)) for _ in range(6)]


def test__mixture__never_says_what_is_held_out(questions):
    found = [q for q in questions if HELD_OUT_WORDS.search(f"{q.text} {q.answer}")]
    assert found == []


def test__yes_no_families__are_answered_evenly(questions):
    answers = defaultdict(Counter)
    for question in questions:
        if question.answer in ("yes", "no"):
            answers[question.family][question.answer] += 1
    shares = {
        family: counts["yes"] / counts.total() for family, counts in answers.items() if counts.total() > 150
    }
    assert len(shares) > 8
    assert all(0.33 < share < 0.67 for share in shares.values()), shares


def test__rules__never_join_a_held_out_pair(monkeypatch):
    pairs = []
    spoken = rules.rule_text

    def spy(rng, join, condition, other):
        pairs.append((condition, other))
        return spoken(rng, join, condition, other)

    monkeypatch.setattr(rules, "rule_text", spy)
    rng = Random(0)
    scene = Scene(
        (Thing("triangle", "red", "large", 20, 20), Thing("star", "blue", "small", 50, 50)), "striped"
    )
    for _ in range(2000):
        joined(rng, rng.choice((scene, "cat", "car")), rng.choice(JOINS))
    assert len(set(pairs)) > 200
    assert not set(pairs) & HELD_OUT_RULES


@pytest.mark.parametrize(
    ("join", "table"), [("and", "1000"), ("or", "1110"), ("one", "0110")], ids=["and", "or", "exactly one"]
)
def test__verdict__follows_its_truth_table(join, table):
    sides = [(True, True), (True, False), (False, True), (False, False)]
    assert "".join(str(int(verdict(join, *pair))) for pair in sides) == table


def test__relations__are_read_from_positions():
    left, right = Thing("circle", "red", "large", 12, 30), Thing("square", "blue", "large", 50, 34)
    assert clear_relation(left, right) == "left of"
    assert clear_relation(right, left) == "right of"
    scene, rng = Scene((left, right), "plain"), Random(0)
    for _ in range(100):
        question = relation_choice(rng, scene)
        if question is not None:
            circle_first = (
                re.search(r"circle|red", question.text.lower()).start()
                < re.search(r"square|blue", question.text.lower()).start()
            )
            assert question.answer == ("left" if circle_first else "right")
    for _ in range(100):
        question = relation_yes_no(rng, scene)
        if question is not None and "left of" in question.text.lower():
            text = question.text.lower()
            circle_first = re.search(r"circle|red", text).start() < re.search(r"square|blue", text).start()
            assert question.answer == ("yes" if circle_first else "no")


def test__photo_questions__name_only_known_classes():
    rng = Random(0)
    answers = {about_photo(rng, "car").answer for _ in range(500)}
    assert answers <= {"car", "yes", "no", "vehicle", "photo", "a photo of a car", "A", "B", "C", "D"}
