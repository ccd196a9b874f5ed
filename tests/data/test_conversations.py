"""Chats of training sets, and columns with text that nothing reads."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.tables import png, write_jsonl, write_parquet

from savs.backbones import FakeBackbone
from savs.data import DataWarning, Example, Text, as_example, as_examples, read_examples
from savs.data._unread import UnreadColumns
from savs.errors import DataError, ExampleError
from savs.model import SAVModel

HUMAN, GPT, SYSTEM = ("human", "What?"), ("gpt", "a cat"), ("system", "Be brief.")


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": speaker, "value": text} for speaker, text in pairs]


def told(example: Example) -> list[tuple[str, list[str]]]:
    return [
        (message.role, [part.text if isinstance(part, Text) else str(part.source) for part in message.parts])
        for message in example.messages
    ]


LLAVA = [
    {
        "id": "000",
        "image": "coco/1.png",
        "conversations": turns(
            ("human", "<image>\nWhat is it?"), ("gpt", "A cat."), ("human", "Is it red?"), ("gpt", "Yes.")
        ),
        "label": "yes",
    },
    {"id": "001", "conversations": turns(("human", "Only text"), ("gpt", "Fine.")), "label": "no"},
    {
        "id": "002",
        "image": ["coco/1.png", "coco/2.png"],
        "conversations": turns(("human", "Left <image> or <image>?"), ("gpt", "Left.")),
        "label": "no",
    },
]


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test__llava_rows__images_at_their_tokens_up_to_the_last_question(tmp_path: Path, form: str) -> None:
    for number in (1, 2):
        (tmp_path / "coco").mkdir(exist_ok=True)
        (tmp_path / "coco" / f"{number}.png").write_bytes(png(number))
    rows = [dict(row, image=_listed(row.get("image"))) for row in LLAVA]
    path = tmp_path / f"llava.{form}"
    if form == "parquet":
        write_parquet(path, rows)
    elif form == "json":
        path.write_text(json.dumps(LLAVA))
    else:
        write_jsonl(path, LLAVA)
    first, second, third = read_examples(path)
    one, two = (str((tmp_path / "coco" / f"{number}.png").resolve()) for number in (1, 2))
    assert told(first) == [
        ("user", [one, "\nWhat is it?"]),
        ("assistant", ["A cat."]),
        ("user", ["Is it red?"]),
    ]
    assert told(second) == [("user", ["Only text"])]
    assert told(third) == [("user", ["Left ", one, " or ", two, "?"])]
    assert [example.label for example in (first, second, third)] == ["yes", "no", "no"]
    assert [example.id for example in (first, second, third)] == ["000", "001", "002"]


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else [value]


def test__llava_rows__answer_as_the_label__if_it_is_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"conversations": turns(HUMAN, GPT)}])
    with pytest.raises(DataError, match="--label-column conversations takes the last answers"):
        read_examples(path, require_labels=True)
    (example,) = read_examples(path, label_column="conversations")
    assert (told(example), example.label) == ([("user", ["What?"])], "a cat")
    assert "conversations" not in example.fields
    open_end = write_jsonl(tmp_path / "b.jsonl", [{"conversations": turns(HUMAN)}])
    (example,) = read_examples(open_end, label_column="conversations")
    assert example.label is None


@pytest.mark.parametrize(
    ("conversation", "roles"),
    [
        (turns(SYSTEM, HUMAN, GPT), ["system", "user"]),
        (turns(HUMAN), ["user"]),
        (turns(HUMAN, GPT, GPT), ["user"]),
        ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], ["user"]),
        ([{"from": "Human", "value": "q", "role": None, "content": None}], ["user"]),
    ],
)
def test__conversation__speakers_of_every_name__roles(conversation: Any, roles: list[str]) -> None:
    example = as_example({"conversations": conversation})
    assert [message.role for message in example.messages] == roles


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        ("Hello", "a conversation is a list of"),
        ([], "a conversation is a list of"),
        ([{"from": "human"}], "a conversation is a list of"),
        (turns(("alien", "x")), "not 'alien'"),
        (turns(GPT), "no turn of the user"),
        (turns(SYSTEM), "the last message must be the user's"),
        (turns(("human", "<image> q")), "1 <image> marker"),
    ],
)
def test__conversation__that_is_none__error(conversation: Any, words: str) -> None:
    with pytest.raises(ExampleError, match=words):
        as_example({"conversations": conversation})


# Columns that reach no prompt.


def warned(rows: list[dict[str, Any]], named: tuple[str, ...] = ()) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tracker = UnreadColumns(named)
        for _ in range(2):
            tracker.warn(as_examples(rows))
    return [str(warning.message) for warning in caught]


def test__unread_columns__named_once_with_what_to_do() -> None:
    rows = [{"image": "a.png", "sentence": "A dog on grass", "title": "Two words"}] * 3
    (message,) = warned(rows)
    assert message == (
        "text in the columns 'sentence', 'title' is not read; name one as the text (--text-column), or in "
        "the prompt, as {sentence}"
    )
    assert warned(rows, ("sentence", "title")) == []


@pytest.mark.parametrize(
    "row",
    [
        {"image": "dir/my cat.png", "question": "What is it?", "category": "animal", "source": "coco"},
        {"question": "Is <image> red or blue?", "image": "a.png"},
        {"conversations": turns(SYSTEM, HUMAN), "image": "a.png"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}]},
        {"question": "What is it?", "url": "https://x.org/a b", "second": "other/a b.png"},
        {"question": "What is it?", "n": 3, "ids": [1, 2], "empty": None, "box": {"x": 1.5}},
    ],
)
def test__unread_columns__text_that_is_read_and_columns_without__nothing(row: dict[str, Any]) -> None:
    assert warned([row]) == []


@pytest.mark.parametrize(
    "value", ["two words", ["a b", "c"], {"text": "what is it"}, [{"speaker": "x", "says": "well then"}]]
)
def test__unread_columns__text_at_any_depth__named(value: Any) -> None:
    (message,) = warned([{"question": "q", "other": value}])
    assert "'other'" in message


def test__model__fit_and_predict__warn_once_of_columns_that_the_prompt_leaves_out() -> None:
    rows = [
        {"question": f"q{number}", "caption": f"a thing {number}", "label": "ab"[number % 2]}
        for number in range(6)
    ]
    model = SAVModel(FakeBackbone(), n_heads=2)
    with pytest.warns(DataWarning, match="text in the columns 'caption' is not read"):
        model.fit(rows)
    assert len(model.predict(rows)) == 6  # a warning would be an error
    other = SAVModel(FakeBackbone(), prompt="{question} {caption}", n_heads=2).fit(rows)
    assert len(other.predict(rows)) == 6


MARKERS = [
    *("<image 1>", "<image_2>", "<Image>", "<img>", "<|image_1|>", "<|image_pad|>", "<|vision_start|>"),
    *("<start_of_image>", "[IMG]", "<video 1>", "<|audio|>", "<image_placeholder>"),
]


@pytest.mark.parametrize("marker", MARKERS)
def test__model__marker_of_another_model__warns_once(marker: str) -> None:
    rows = [{"question": f"{marker} q{number}", "label": "ab"[number % 2]} for number in range(6)]
    model = SAVModel(FakeBackbone(), n_heads=2)
    with pytest.warns(DataWarning, match=f"{re.escape(repr(marker))} in a prompt is plain text") as caught:
        model.fit(rows)
    assert len(caught) == 1
    assert len(model.predict(rows)) == 6  # a warning would be an error
    with pytest.warns(DataWarning, match="in a prompt is plain text"):
        SAVModel(FakeBackbone(), prompt=marker, n_heads=2).fit(["q", "r", "s", "t"], [*"aabb"])


@pytest.mark.parametrize(
    "text", ["a <video> in HTML", "<imagine>", "image 1", "<images>", "5 <image> 3", "[img"]
)
def test__model__text_without_another_marker__no_warning(text: str) -> None:
    image = np.zeros((8, 8), np.uint8)
    item = (image, text) if "<image>" in text else text
    assert len(SAVModel(FakeBackbone(), n_heads=2).fit([item, "r", "s", "t"], [*"aabb"]).predict([item])) == 1


def test__nan_in_rows_of_pandas__empty_in_every_field() -> None:
    row = {"question": "q", "hint": float("nan"), "image": np.float32("nan"), "conversations": None}
    example = as_example(row)
    assert (dict(example.fields)["hint"], told(example)) == (None, [("user", ["q"])])


PNG = png(1)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"question": "q", "image1": "a.png", "image2": "b.png"}, "'image1', 'image2'"),
        ({"question": "q", "img": "a.png"}, "'img'"),
        ({"question": "q", "img_path": "a.png"}, "'img_path'"),
        ({"question": "q", "image_url": "https://x.org/a"}, "'image_url'"),
        ({"question": "q", "jpg": PNG}, "'jpg'"),
        ({"question": "q", "picture": {"bytes": PNG, "path": None}}, "'picture'"),
        ({"question": "q", "scene": {"bytes": PNG, "path": None}}, "'scene'"),
        ({"question": "q", "shots": ["a.mp4", "b.mp4"]}, "'shots'"),
        ({"question": "q", "data": "data:image/png;base64,AAAA"}, "'data'"),
        ({"question": "q", "image": "a.png", "images": ["b.png"]}, "'images'"),
        ({"question": "q", "image": "a.png", "image_1": "b.png"}, "'image_1'"),
        ({"question": "q", "image": "a.png", "second_image": "b.png"}, "'second_image'"),
    ],
)
def test__unread_media__named_once_with_the_options(tmp_path: Path, row: dict[str, Any], names: str) -> None:
    words = f"images, videos or audio clips in the columns {names} are not read; name those to read"
    with pytest.warns(DataWarning, match=words) as caught:
        as_examples([row] * 3)
    assert len(caught) == 1
    path = write_parquet(tmp_path / "a.parquet", [row] * 3)
    with pytest.warns(DataWarning, match=words) as caught:
        read_examples(path)
    assert len(caught) == 1
    first, *others = (name.strip("' ") for name in names.split(","))
    read_examples(path, image_column=[first, *others], allow_outside=True, fetch=lambda _url, _kind: path)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "image": "a.png", "file_name": "a.png", "image_path_original": "b.png"},
        {"question": "q", "image": "a.png", "url": "https://x.org/a.png", "image_source": "x/a.jpg"},
        {"question": "see a.png", "note": "image", "category": "photo"},
        {"question": "q", "image": "a.png", "video": "b.mp4", "image_id": "c.png"},
        {"question": "q", "raw": b"abc", "image": None},
        {"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]},
        {"array": np.zeros(8, np.float32), "sampling_rate": 16000},
    ],
)
def test__unread_media__read_or_only_told_about__nothing(row: dict[str, Any]) -> None:
    assert len(as_examples([row])) == 1


def test__prompt__column_of_bytes__error() -> None:
    from savs.backbones.prompts import PromptTemplate

    example = as_example({"question": "q", "raw": b"abc"})
    with pytest.raises(ExampleError, match="that column holds bytes and no text"):
        PromptTemplate("{raw} {question}").apply(example)


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        ("split", ("train", "test")),
        ("Usage", ("Training", "PublicTest")),
        ("set", ("dev", "train")),
        ("subset", ("Validation", "Test")),
    ],
)
def test__split_column__rows_of_several_parts__warns_once(
    tmp_path: Path, column: str, parts: tuple[str, str]
) -> None:
    rows = [{"text": f"q{number}", column: parts[number // 2]} for number in range(4)]
    words = f"the column {column!r} holds {parts[0]!r} and {parts[1]!r}, the parts of a split"
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    for read in (lambda: as_examples(rows), lambda: read_examples(path)):
        with pytest.warns(DataWarning, match=words) as caught:
            assert len(read()) == 4
        assert len(caught) == 1
    assert len(read_examples(path, limit=2)) == 2
    assert len(read_examples(path, label_column=column)) == 4  # it is the class


@pytest.mark.parametrize("cells", [("swap_obj", "add_obj"), ("train", "train"), ("train", None), (1, 2)])
def test__split_column__one_part_or_something_else__no_warning(cells: tuple[Any, Any]) -> None:
    assert len(as_examples([{"text": "q", "split": cell} for cell in cells])) == 2


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"video": "a.mp4", "start": 1.5, "end": 3}, "'start', 'end'"),
        ({"video": "a.mp4", "start time": "137.72", "end time": "149.44"}, "'start time', 'end time'"),
        ({"audio": "a.wav", "Start_Sec": np.float32(0)}, "'Start_Sec'"),
        ({"audio": "a.wav", "timestamps": [0.5, 2.0]}, "'timestamps'"),
        ({"image": "a.png", "bbox": [0, 0, 5, 5]}, "'bbox'"),
        ({"image": "a.png", "bbox": "[0, 0, 5, 5]"}, "'bbox'"),
        ({"image": "a.png", "box": {"x": 1, "y": 2}}, "'box'"),
    ],
)
def test__unread_columns__part_of_a_medium__named_once(row: dict[str, Any], names: str) -> None:
    (message,) = warned([{**row, "text": "q"}] * 2)
    assert message.startswith(f"the columns {names} name a part of an image, video or audio clip")


@pytest.mark.parametrize(
    "row",
    [
        {"text": "q", "start": 1, "bbox": [1, 2]},
        {"image": "a.png", "start": 1},
        {"image": "a.png", "bboxes": [[0, 0, 5, 5]]},
        {"video": "a.mp4", "start": None, "duration": 3.0, "end": "never"},
    ],
)
def test__unread_columns__numbers_that_are_no_part_of_a_medium__no_warning(row: dict[str, Any]) -> None:
    assert warned([row]) == []
