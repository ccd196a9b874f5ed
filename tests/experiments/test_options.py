from __future__ import annotations

import numpy as np
import pytest

from savs.data import Example, Message, Text
from savs.errors import DataError
from savs.experiments._options import find_options, permute_options

CASES = [
    ("What is it?\nA. cat B. dog C. sea lion D. lion", ["cat", "dog", "sea lion", "lion"]),
    ("What is it?\nA. cat\nB. dog\nAnswer with the letter.", ["cat", "dog"]),
    ("Which? (A) a cat (B) a dog", ["a cat", "a dog"]),
    ("Which?\nA) one\nB) two\nC) three\n", ["one", "two", "three"]),
    ("Which?\nA: one B: two", ["one", "two"]),
    ("In A. D. 1900 it rained. Which?\nA. cat B. dog", ["cat", "dog"]),
    ("Which? (A) deer (B) ship Answer with the letter.", ["deer", "ship"]),
    ("Which? (A) cat (B) cat food", ["cat", "cat food"]),
    ("True?\nA. Yes, it is B. No, by no means", ["Yes, it is", "No, by no means"]),
    ("Plan A. is good", []),
    ("no options", []),
    ("", []),
    ("A. only one", []),
]


@pytest.mark.parametrize(("text", "options"), CASES)
def test__find_options__texts_in_order(text, options):
    classes = ["deer", "ship", "cat", "dog", "sea lion", "cat food", "Yes", "No"]
    assert [text[start:end] for start, end in find_options(text, classes)] == options


def asked(text, label):
    return Example((Message("user", (Text(text),)),), label, id="a")


@pytest.mark.parametrize(("text", "options"), [case for case in CASES if case[1]])
def test__permute_options__every_text_once_and_the_letter_moves_with_it(text, options):
    classes = [*"ABCD", "deer", "ship", "cat", "cat food"]
    orders = set()
    for seed in range(20):
        for place in range(len(options)):
            found = permute_options(asked(text, "ABCD"[place]), classes, np.random.default_rng(seed))
            now = [found.text[start:end] for start, end in find_options(found.text, classes)]
            assert sorted(now) == sorted(options)
            assert now != options
            assert now["ABCD".index(found.label)] == options[place]
            assert len(found.text) == len(text)
            orders.add(tuple(now))
    assert len(orders) > 1 or len(options) == 2


@pytest.mark.parametrize(("label", "moved"), [("A", "B"), ("(A)", "(B)"), ("B.", "A."), ("cat", "cat")])
def test__permute_options__two_options__trade_places(label, moved):
    found = permute_options(asked("Which?\nA. cat B. dog", label), ["A", "B"], np.random.default_rng(0))
    assert (found.text, found.label) == ("Which?\nA. dog B. cat", moved)
    assert permute_options(asked("Which?", label), ["A", "B"], np.random.default_rng(0)) is None


def test__permute_options__label_that_is_no_option__refused():
    for label in (1, "lion", None):
        with pytest.raises(DataError, match="neither a letter nor one of the options"):
            permute_options(asked("Which?\nA. cat B. dog", label), ["x"], np.random.default_rng(0))
    found = permute_options(asked("Is it?\nA. Yes B. No", True), [True, False], np.random.default_rng(0))
    assert (found.text, found.label) == ("Is it?\nA. No B. Yes", True)
