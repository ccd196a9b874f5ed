from __future__ import annotations

import pytest

from savs.baselines import answer_prompt, parse_answer, zero_shot
from savs.data import Example, Message, Text
from savs.errors import DataError
from savs.media import Image

PETS = ["cat", "dog", "sea lion", "lion"]
HARM = ["harmful", "unharmful"]
LETTERS = ["(A)", "(B)", "(C)"]


@pytest.mark.parametrize(
    ("text", "classes", "expected"),
    [
        ("cat", PETS, "cat"),
        (" Cat.\n", PETS, "cat"),
        ("**Dog**", PETS, "dog"),
        ("This is a dog, I think.", PETS, "dog"),
        ("a sea lion on a rock", PETS, "sea lion"),
        ("SEA  LION", PETS, "sea lion"),
        ("the lion", PETS, "lion"),
        ("a lion and a sea lion", PETS, None),
        ("a cat or a dog", PETS, None),
        ("category", PETS, None),
        ("", PETS, None),
        ("...", PETS, None),
        ("a horse", PETS, None),
        ("It is not a cat", PETS, None),
        ("not harmful", HARM, None),
        ("Unharmful.", HARM, "unharmful"),
        ("The image is harmful", HARM, "harmful"),
        ("non-hallucination", ["hallucination"], None),
        ("Yes", HARM, None),
        ("A", LETTERS, "(A)"),
        ("(b)", LETTERS, "(B)"),
        ("C.", LETTERS, "(C)"),
        ("The answer is (B).", LETTERS, "(B)"),
        ("A B", LETTERS, None),
        ("(D)", LETTERS, None),
        ("Yes, it is not a toy.", ["Yes", "No"], "Yes"),
        ("no", ["Yes", "No"], "No"),
        ("No. It does not.", ["Yes", "No"], "No"),
        ("nothing", ["Yes", "No"], None),
        ("yes", [False, True], True),
        ("False", [False, True], False),
        ("Yes", ["false", "true"], "true"),
        ("no.", ["false", "true"], "false"),
        ("3", [1, 2, 3], 3),
        ("Three.", [1, 2, 3], 3),
        ("There are two of them", [1, 2, 3], 2),
        ("13", [1, 3], None),
        ("1.3", [1, 3], None),
        ("-3", [3], None),
        ("-3", [-3, 3], -3),
        ("1, 2", [1, 2], None),
        ("three", ["3", "4"], "3"),
        ("cat", ["cat", "Cat"], "cat"),
        ("CAT", ["cat", "Cat"], None),
        ("Stra\u00dfe", ["strasse", "weg"], "strasse"),
        ("caf\u0065\u0301", ["caf\u00e9", "bar"], "caf\u00e9"),
        ("a (cat", ["a (cat", "b"], "a (cat"),
        ("9" * 5000, [9, 1], None),
    ],
)
def test__parse_answer__text__class_or_none(text, classes, expected):
    found = parse_answer(text, classes)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(B)", "ship"),
        ("b", "ship"),
        ("A. deer", "deer"),
        ("(C) truck", "truck"),
        ("(D)", None),
        ("a ship", "ship"),
        ("deer", "deer"),
        ("B deer", "deer"),
    ],
)
def test__parse_answer__lettered_options__stand_for_classes(text, expected):
    assert parse_answer(text, ["deer", "ship", "truck"], lettered=True) == expected
    if text in ("(B)", "b"):
        assert parse_answer(text, ["deer", "ship", "truck"]) is None


class Parrot:
    """Answers with the last word of each question."""

    def __init__(self, drop=0):
        self.asked, self.drop = [], drop

    def generate(self, examples, *, max_new_tokens=16):
        self.asked.extend(examples)
        self.limit = max_new_tokens
        return [example.text.split("\n")[0].split()[-1] for example in examples][self.drop :]


def ask(text, label=None):
    image = Image(b"not opened")
    return Example(
        (Message("system", (Text("Be brief."),)), Message("user", (image, Text(text)))), label, "x"
    )


def test__zero_shot__queries__asked_with_class_names_and_parsed():
    backbone = Parrot()
    queries = [ask("is it a cat"), ask("what is this thing")]
    found = zero_shot(backbone, queries, ["cat", "dog"])
    assert found.labels == ["cat", None]
    assert found.unparsed == [1]
    assert found.answers == ["cat", "thing"]
    first = backbone.asked[0]
    assert backbone.limit == 16
    assert first.messages[-1].parts[-1] == Text("is it a cat\nAnswer with one of: cat, dog.")
    assert first.messages[0] == queries[0].messages[0]
    assert first.images == queries[0].images
    assert queries[0].messages[-1].parts[-1] == Text("is it a cat")


def test__zero_shot__classes_not_named__query_unchanged():
    backbone, query = Parrot(), ask("cat")
    zero_shot(backbone, [query], ["cat"], name_classes=False)
    assert backbone.asked == [query]


def test__zero_shot__image_only__suffix_is_the_text():
    backbone = Parrot()
    zero_shot(backbone, [Example((Message("user", (Image(b""),)),))], ["cat", "dog"])
    assert backbone.asked[0].text == "Answer with one of: cat, dog."


def test__zero_shot__too_few_answers_or_no_classes__error():
    with pytest.raises(DataError, match="1 answers to 2"):
        zero_shot(Parrot(drop=1), [ask("a"), ask("b")], ["a", "b"])
    with pytest.raises(DataError, match="at least one class"):
        zero_shot(Parrot(), [ask("a")], [])
    assert zero_shot(Parrot(), [], ["a"]).labels == []


def test__answer_prompt__kinds_of_labels__sentence():
    assert answer_prompt([1, 2]) == "Answer with one of: 1, 2."
    assert answer_prompt(["No", "Yes"]) == "Answer with Yes or No."
