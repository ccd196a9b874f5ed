"""Prompt templates: plain names, never a dropped text, markers that match the images."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.backbones import PromptTemplate
from savs.data import Example, Message, Text, as_example
from savs.errors import ExampleError
from savs.media import Image

IMAGE = np.zeros((30, 30, 3), dtype=np.uint8)


def example(*parts: str | int, **fields: object) -> Example:
    made = tuple(Text(part) if isinstance(part, str) else Image(IMAGE) for part in parts)
    return Example((Message("user", made),), label="a", id="x", fields=fields)


def shape(item: Example) -> list[str]:
    return [part.text if isinstance(part, Text) else "#" for part in item.messages[-1].parts]


@pytest.mark.parametrize(
    ("template", "item", "expected"),
    [
        ("Q: {question}!", example("red?"), ["Q: red?!"]),
        ("Q: {text}!", example("red?"), ["Q: red?!"]),
        ("Q: {text}!", example("red?", text="blue"), ["Q: blue!"]),
        ("Q: {question}!", example("red?", question="other"), ["Q: red?!"]),
        ("Answer Yes or No.", example("red?"), ["red?\nAnswer Yes or No."]),
        ("Answer.", example(1), ["#", "Answer."]),
        ("Answer.", example(1, "red?"), ["#", "red?\nAnswer."]),
        ("Answer.", example("is ", 1, " red?"), ["is ", "#", " red?\nAnswer."]),
        ("{question} Yes?", example(1, 1, "same?"), ["#", "#", "same? Yes?"]),
        ("<image> and <image>: {question}", example(1, 1, "same?"), ["#", " and ", "#", ": same?"]),
        ("{question}", example(1, " or ", 1), ["#", " or ", "#"]),
        ("{{{question}}} {{x}}", example("a"), ["{a} {x}"]),
        ("{claim} {number}", example("", claim="c{question}", number=3), ["c{question} 3"]),
        ("{none}.", example("", none=None), ["."]),
        ("{my column}", example("", **{"my column": "v"}), ["v"]),
    ],
)
def test__apply__placeholders__filled_once(template, item, expected) -> None:
    found = PromptTemplate(template).apply(item)
    assert shape(found) == expected
    assert (found.label, found.id, found.fields) == (item.label, item.id, item.fields)


def test__apply__earlier_messages__stay() -> None:
    turns = (Message("system", (Text("s"),)), Message("user", (Text("q"),)))
    found = PromptTemplate("<{question}>").apply(Example(turns))
    assert found.messages[0] == turns[0]
    assert found.text == "<q>"


def test__apply__unknown_name__error_lists_the_columns() -> None:
    with pytest.raises(ExampleError, match=r"^x: .*\{claim\}.*columns: a, b$"):
        PromptTemplate("{claim}").apply(example("q", a=1, b=2))
    with pytest.raises(ExampleError, match="columns: none"):
        PromptTemplate("{claim}").apply(example("q"))


@pytest.mark.parametrize(
    "template", ["{", "}", "a {b", "{}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{0.x}", "{ }"]
)
def test__template__not_a_plain_name__error(template) -> None:
    with pytest.raises(ExampleError, match="brace"):
        PromptTemplate(template)


@pytest.mark.parametrize("template", ["", " ", "\n"])
def test__template__blank__error(template) -> None:
    with pytest.raises(ExampleError, match="the prompt template is blank; leave it out"):
        PromptTemplate(template)


def test__template__not_a_string__error() -> None:
    with pytest.raises(ExampleError, match="not int"):
        PromptTemplate(3)


@pytest.mark.parametrize("name", ["label", "klass", "text"])
def test__template__names_the_label_column__refused_whatever_it_is_called(name) -> None:
    column = "klass" if name == "label" else name
    item = replace(example("q", a=1), label="secret", label_column=column)
    with pytest.raises(ExampleError, match=rf"^x: .*{{{name}}}, the label: the answer must not stand"):
        PromptTemplate(f"{{question}} {{{name}}}").apply(item)
    assert PromptTemplate("{question} {a}").apply(item).text == "q 1"


@pytest.mark.parametrize(
    ("template", "item", "numbers"),
    [
        ("<image> {question}", example("q"), ("1", "0")),
        ("<image><image> {question}", example(1, "q"), ("2", "1")),
        ("<image> {question}", example("a ", 1, " b"), ("2", "1")),
        ("{c}", example(1, "q", c="<image><image><image>"), ("3", "1")),
    ],
)
def test__fault_18__markers_do_not_match_images__error_with_both_numbers(template, item, numbers) -> None:
    with pytest.raises(ExampleError) as error:
        PromptTemplate(template).apply(item)
    assert all(number in str(error.value) for number in numbers)
    assert error.value.id == "x"


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=30), st.text(max_size=30))
def test__apply__any_text__own_text_is_never_dropped_or_expanded(before, own) -> None:
    template = PromptTemplate(
        before.replace("{", "{{").replace("}", "}}").replace("<image>", "") + "{question}"
    )
    if "<image>" in before + own:
        return
    found = template.apply(example(own, secret="s"))
    assert found.text == before + own


@pytest.mark.parametrize("cell", [b"GIF8", [b"GIF8"], {"bytes": b"GIF8", "path": None}, [{"bytes": b"GIF8"}]])
def test__prompt_template__media_at_any_depth_of_a_column__refused(cell: object) -> None:
    example = as_example({"text": "q", "shots": cell})
    with pytest.raises(ExampleError, match="holds bytes and no text") as caught:
        PromptTemplate("{shots} {text}").apply(example)
    assert caught.value.code == "prompt_column"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (np.array([1, 2]), "[1, 2]"),
        (np.int64(3), "3"),
        ({"a": np.int64(1), "b": [np.str_("x")]}, "{'a': 1, 'b': ['x']}"),
        (np.array([np.array([1, 2]), np.array([3])], dtype=object), "[[1, 2], [3]]"),
        (torch.tensor(4), "4"),
        (torch.tensor([1, 2]), "[1, 2]"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (2.0, "2.0"),
    ],
)
def test__apply__cell_of_any_library__is_written_as_a_list_or_number_of_python(cell, expected) -> None:
    made = as_example({"text": "own", "other": cell})
    assert PromptTemplate("{other}").apply(made).text == expected
