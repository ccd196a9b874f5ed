from __future__ import annotations

import base64
import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from savs.data import (
    IMAGE_MARKER,
    DataWarning,
    Example,
    Message,
    Text,
    as_example,
    as_examples,
    place_images,
    preflight,
)
from savs.errors import DataError, ExampleError, ItemError
from savs.media import Image

GREY = np.zeros((8, 8), np.uint8)


def png() -> bytes:
    buffer = io.BytesIO()
    PILImage.new("L", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def shape(example: Example) -> list[Any]:
    """Texts as they are, images as their source."""
    return [part.text if isinstance(part, Text) else part.source for part in example.parts]


def refused(item: Any, **options: Any) -> ExampleError:
    with pytest.raises(ExampleError) as caught:
        as_example(item, **options)
    assert "\n" not in caught.value.message
    assert " at 0x" not in caught.value.message
    return caught.value


A, B = Path("a.png"), Path("b.png")


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        ("Is it red?", ["Is it red?"]),
        ("cat.png?", ["cat.png?"]),
        ("data:cat/dog, which?", ["data:cat/dog, which?"]),
        (Text("cat.png"), ["cat.png"]),
        ("https://example.com is down", ["https://example.com is down"]),
        ("a.png", [A]),
        ("x/A.JPeG", [Path("x/A.JPeG")]),
        (np.str_("a.png"), [A]),
        (A, [A]),
        (b"bytes", [b"bytes"]),
        (bytearray(b"bytes"), [b"bytes"]),
        (("a.png", "q"), [A, "q"]),
        (("no suffix", "q"), [Path("no suffix"), "q"]),
        (("a.png", ""), [A]),
        ((["a.png", B], "q"), [A, B, "q"]),
        ((["a.png", B], "<image> or <image>?"), [A, " or ", B, "?"]),
        (["left", "a.png", "right", B], ["left", A, "right", B]),
        (["<image> and <image>", A, B], [A, " and ", B]),
        ([Text("a.png"), Image(A)], ["a.png", A]),
        ([{"type": "text", "text": "a.png"}, {"type": "image", "path": "a.png"}], ["a.png", A]),
        ({"text": "https://example.com/a.png"}, ["https://example.com/a.png"]),
    ],
)
def test__as_example__accepted_form__parts_in_order(item: Any, parts: list[Any]) -> None:
    example = as_example(item)
    assert shape(example) == parts
    assert [message.role for message in example.messages] == ["user"]
    assert all(type(part.text) is str for part in example.parts if isinstance(part, Text))


def test__as_example__pil_array_and_data_url__images() -> None:
    pil = PILImage.new("L", (8, 8))
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert shape(as_example(pil)) == [pil]
    assert as_example(GREY).images[0].source is GREY
    assert shape(as_example(url)) == [png()]
    assert shape(as_example({"image": url, "question": "q"})) == [png(), "q"]


def test__as_example__name_with_white_space__image_only_if_it_exists(tmp_path: Path) -> None:
    (tmp_path / "my cat.png").touch()
    assert shape(as_example("my cat.png", root=tmp_path)) == [tmp_path / "my cat.png"]
    message = refused("my dog.png", root=tmp_path).message
    assert "'my dog.png' is the name of a file that does not exist" in message


@pytest.mark.parametrize(
    "text",
    [
        "my photo.jpg",
        "cat.png\n",
        " cat.png",
        "Look at cat.PNG",
        "dir/a b.png",
        "a long name of a picture/from last summer in Rome 1.jpg",
        r"C:\photos\my cat.jpg",
        r"C:\photos\cat",
        r"photos\my cat.webp",
        "../data/img 1.tif",
        "./photos/001",
        "~/photos/001",
        "my clip.mp4",
        "my sound.wav",
        "my photo.heic",
    ],
)
def test__as_example__path_that_is_not_there__error_that_says_how_to_tell(text: str) -> None:
    for item in (text, [text, "why?"]):
        error = refused(item)
        assert error.code == "part_type"
        assert (
            "is the name of a file that does not exist; check the path, or give savs.Text(...)"
            in error.message
        )
    assert refused(text).message.count("\n") == 0
    assert shape(as_example(Text(text))) == shape(as_example({"text": text})) == [text]
    assert as_example({"role": "user", "content": text} | {"text": text}).text == text


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines.png",
        "Is this a cat? I mean cat.jpg",
        "Please compare both of these with the picture cat.jpg",
        "No, see photo.png",
        'The file is called "cat".png',
    ],
)
def test__as_example__sentence_that_ends_like_a_file__text_with_a_warning(text: str) -> None:
    for item, parts in ((text, [text]), ([text, "why?"], [text, "why?"])):
        with pytest.warns(DataWarning, match=r"pathlib.Path\(...\) for a file.*savs.Text\(...\) for text"):
            assert shape(as_example(item)) == parts


@pytest.mark.parametrize(
    "text",
    [
        "and/or",
        "w/o sugar",
        "1/2",
        "/start",
        "/r/pics",
        "A 50/50 chance. See a/b.",
        "cat.png.",
        "What is in cat.png?",
        ".",
        "...",
        "/",
        "C: drive",
        "config.json",
        "he/she went to the/an.html",
    ],
)
def test__as_example__text_with_a_slash_or_dot__is_text(text: str) -> None:
    assert shape(as_example(text)) == [text]


def test__as_examples__folder_or_data_file__error_that_says_what_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos" / "a b").mkdir(parents=True)
    (tmp_path / "rows.csv").write_text("text\nq\n")
    monkeypatch.chdir(tmp_path)
    for folder in ("photos/", "./photos", "photos/a b", str(tmp_path)):
        assert "is a folder; savs.read_examples reads it" in refused(folder).message
        with pytest.raises(ExampleError, match="is a folder"):
            as_examples(["q", folder])
    assert "'rows.csv' is a data file; savs.read_examples reads it" in refused("rows.csv").message
    assert "savs.read_examples reads data files" in refused(Path("rows.csv")).message
    (error,) = preflight([as_example(Path("photos"))])
    assert "is a folder; an image file is needed; savs.read_examples reads folders" in error.message
    with pytest.warns(DataWarning, match="'photos' is the name of a folder too, but is read as text"):
        assert shape(as_example("photos")) == ["photos"]


@pytest.mark.parametrize("image", ["cat.png", Path("cat.png"), b"x", np.zeros((2, 2), np.uint8), ["cat.png"]])
def test__as_examples__one_pair_in_place_of_a_list__refused(image: Any) -> None:
    with pytest.raises(DataError, match=r"one example: put it into a list, \[\(image, text\)\]"):
        as_examples((image, "What is it?"))
    with pytest.raises(DataError, match="one example"):
        as_examples((image, "What is it?"), ["a", "b"])
    assert len(as_examples([image, "What is it?"])) == 2
    assert len(as_examples([(image, "What is it?")])) == 1
    assert len(as_examples((image, image))) == len(as_examples(("What", "is"))) == 2


@pytest.mark.parametrize(
    ("item", "words"), [(3, "an int is not an example"), ({1}, "a set is not an example")]
)
def test__as_example__wrong_type__named_with_its_article(item: Any, words: str) -> None:
    assert words in refused(item).message
    with pytest.raises(DataError, match="not an int"):
        as_examples(["a"], 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", ["http://x.y/a.png", "HTTPS://x.y/a", "file:///etc/passwd", "ftp://x/a.png", "s3://bucket/a.png"]
)
def test__fault_12__address_as_image__refused(value: str) -> None:
    chat = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": value}}]}]
    for item in (value, (value, "q"), {"image": value}, {"image_1": value}, chat):
        assert refused(item).code == "url_refused"


@pytest.mark.parametrize("name", ["song.mp3", "a.WAV", "data:audio/wav;base64,AAAA"])
def test__audio__wherever_a_image_may_stand__audio_part(name: str) -> None:
    for item in (
        name,
        (name, "q"),
        [name, "q"],
        {"image": name, "question": "q"},
        {"images": ["a.png", name]},
    ):
        example = as_example(item)
        (audio,) = example.audios
        assert audio.source == (b"\0\0\0" if name.startswith("data:") else Path(name))
        assert len(example.images) == (isinstance(item, dict) and "images" in item)
    with pytest.raises(ExampleError) as caught:
        as_example([{"role": "user", "content": [{"type": "image", "image": name}]}])
    assert caught.value.code == "image_type"


class Tensor:
    """Stands for what has no place here."""


@pytest.mark.parametrize(
    "item",
    [
        None,
        3,
        2.5,
        True,
        {1},
        frozenset(),
        iter([]),
        (part for part in "ab"),
        Tensor(),
        "",
        " \n",
        [],
        [""],
        (),
        ("a.png", "b", "c"),
        ("a.png", 3.5),
        ("a.png", None),
        ("q", "a.png"),
        ("a", "b", "c"),
        {},
        {"foo": 1},
        {1: "a"},
        {"question": None},
        {"question": 3},
        {"image": 3},
        {"image": {"foo": 1}},
        [["a"]],
        [None],
        [{"foo": 1}],
        [{"type": "text"}],
        [{"type": "image"}],
        [{"type": "image", "path": "a.png", "image": "b.png"}],
        Example(()),
        Example((Message("user", ()),)),
    ],
)
def test__as_example__anything_else__example_error_without_its_content(item: Any) -> None:
    assert refused(item).code in {"example_type", "empty", "row", "image_type", "part_type", "chat"}


def test__as_example__refused_type__named() -> None:
    assert "set" in refused({1}).message
    assert "Tensor" in refused(Tensor()).message
    assert "accepted are" in refused(None).message


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.full((8, 8), 7.0), "uint8"),
        (np.zeros((8, 8), np.int64), "uint8"),
        (np.zeros((3, 8, 8), np.uint8), "transpose"),
        (np.zeros((8, 8, 2), np.uint8), "(height, width"),
        (np.zeros(8, np.uint8), "(height, width"),
        (np.zeros((0, 8), np.uint8), "(height, width"),
        (np.asarray("a"), "uint8"),
    ],
)
def test__as_example__array_that_is_no_image__says_what_to_do(array: np.ndarray, hint: str) -> None:
    error = refused(array)
    assert error.code == "image_array"
    assert hint in error.message


@pytest.mark.parametrize("body", ["", "A", "AAA$", "é"])
def test__as_example__damaged_data_url__refused_without_echo(body: str) -> None:
    error = refused({"image": "data:image/png;base64," + body})
    assert error.code == "data_url"


def test__as_example__bare_base64__not_echoed() -> None:
    body = base64.b64encode(png()).decode()
    for text in (body, "Q" * 5000):
        error = refused({"image": text})
        assert error.code == "image_path"
        assert text[:20] not in error.message


@pytest.mark.parametrize(("text", "n_images"), [("<image>", 0), ("<image>", 2), ("<image><image> x", 1)])
def test__fault_18__markers_and_images_differ__both_numbers(text: str, n_images: int) -> None:
    images = ["a.png"] * n_images
    row = {"question": text, **{f"image_{i}": path for i, path in enumerate(images)}}
    chat = [
        {
            "role": "user",
            "content": [{"type": "text", "text": text}, *({"type": "image", "image": "a.png"},) * n_images],
        }
    ]
    for item in ((images, text), [text, *images], row, chat):
        error = refused(item)
        assert error.code == "marker_mismatch"
        assert f"{text.count(IMAGE_MARKER)} <image>" in error.message
        assert f"{n_images} image" in error.message


def test__as_example__public_fields__numbered_in_order_nulls_left_out() -> None:
    row = {
        "question": "q",
        "image_10": "c.png",
        "image_2": "b.png",
        "image_1": "a.png",
        "image_3": None,
        "image_4": float("nan"),
        "label": "(A)",
        "ID": 7,
        "question_id": 0,
        "answer": "D",
    }
    before = copy.deepcopy(row)
    example = as_example(row)
    assert shape(example) == [A, B, Path("c.png"), "q"]
    assert (example.label, example.id) == ("(A)", "7")
    assert repr(row) == repr(before)
    known = {name: before[name] for name in before if name != "label"}
    assert dict(example.fields) == known | {"image_4": None}
    assert example.fields is not row


@pytest.mark.parametrize("name", ["question", "text", "prompt", "claim", "instruction", "Text"])
@pytest.mark.parametrize("image", ["image", "image_path", "Image", "images", "image_1"])
def test__as_example__public_names__text_and_image(name: str, image: str) -> None:
    assert shape(as_example({name: "q", image: ["a.png"] if image == "images" else "a.png"})) == [A, "q"]


def test__as_example__first_text_column__wins_and_others_stay_as_fields() -> None:
    example = as_example({"instruction": "i", "question": "q"})
    assert example.text == "q"
    assert example.fields["instruction"] == "i"


def test__as_example__chat__roles_parts_and_markers() -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "One <image> here"}],
        },
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "see b.png"},
    ]
    before = copy.deepcopy(chat)
    example = as_example(chat)
    assert [message.role for message in example.messages] == ["system", "user", "assistant", "user"]
    assert shape(example) == ["Be brief.", "One ", A, " here", "Yes.", "see b.png"]
    assert example.text == "see b.png"
    assert chat == before
    assert shape(as_example({"messages": chat, "label": 1})) == shape(example)


@pytest.mark.parametrize(
    "content",
    [[{"type": "image"}, {"type": "text", "text": "q"}], "<image>q", [{"type": "text", "text": "q"}]],
)
def test__as_example__messages_and_images_beside_them__filled_in(content: Any) -> None:
    row = {"messages": [{"role": "user", "content": content}], "images": ["a.png"]}
    assert shape(as_example(row)) == [A, "q"]
    row["images"].append("b.png")
    if content != [{"type": "text", "text": "q"}]:
        error = refused(row)
        assert error.code == "marker_mismatch"
        assert "2 image" in error.message


def test__as_example__chat_with_base64_parts__decoded() -> None:
    body = base64.b64encode(png()).decode()
    for part in (
        {"type": "image", "base64": body},
        {"type": "image", "url": "data:image/png;base64," + body},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + body}},
        {"type": "image_url", "image_url": "data:image/png;base64," + body},
    ):
        assert shape(as_example([{"role": "user", "content": [part]}])) == [png()]


@pytest.mark.parametrize(
    "chat",
    [
        [{"role": "assistant", "content": "x"}],
        [{"role": "tool", "content": "x"}],
        [{"role": ["user"], "content": "x"}],
        [{"role": "user", "content": None}],
        [{"role": "user"}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": 3}],
        [{"role": "user", "content": "x", "tool_calls": [1]}],
        [{"role": "user", "content": "x"}, "y"],
        [{"role": "user", "content": [{"type": "image"}]}],
        {"messages": []},
        {"messages": "x"},
    ],
)
def test__as_example__chat_of_wrong_shape__example_error(chat: Any) -> None:
    assert refused(chat).code == "chat"


def test__as_example__example__itself_or_a_completed_copy() -> None:
    example = as_example("q", label=1, id="a")
    assert as_example(example) is example
    assert as_example(example, label=2).label == 2
    assert example.label == 1
    by_hand = Example((Message("user", (Text("<image>!"), Image(A))),), label=np.int64(3))  # type: ignore[arg-type]
    assert shape(as_example(by_hand)) == [A, "!"]
    assert type(as_example(by_hand).label) is int


def test__text__canonical_form() -> None:
    a, b = Image(A), Image(B)
    cases = [
        ((), ""),
        ((a,), ""),
        ((a, b, Text("q")), "q"),
        ((Text("q"), a), "q<image>"),
        ((a, Text("q"), b), "<image>q<image>"),
        ((a, Text("p"), Text("q")), "<image>pq"),
        ((Text("p"), Text("q")), "pq"),
        ((a, Text("<image>")), "<image><image>"),
    ]
    for parts, expected in cases:
        assert Example((Message("user", parts),)).text == expected
    assert Example(()).text == ""


pieces = st.lists(st.one_of(st.just(IMAGE_MARKER), st.text("ab \n<>", max_size=5)), max_size=6)


@settings(deadline=None, max_examples=200)
@given(pieces)
def test__text__placed_again__same_parts(pieces: list[str]) -> None:
    text = "".join(pieces)
    images = [Image(Path(f"{number}.png")) for number in range(text.count(IMAGE_MARKER) or 2)]
    parts = place_images(text, images)
    example = Example((Message("user", parts),))
    assert list(example.images) == images
    assert place_images(example.text, images) == parts
    if IMAGE_MARKER in text:
        assert "".join(IMAGE_MARKER if isinstance(part, Image) else part.text for part in parts) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "image",
                    "question",
                    "label",
                    "id",
                    "messages",
                    "role",
                    "content",
                    "type",
                    "text",
                    "image_1",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(json_values)
def test__as_example__any_value__example_or_item_error_and_unchanged(value: Any) -> None:
    before = repr(value)
    try:
        example = as_example(value)
    except ItemError:
        pass
    else:
        assert example.parts
        assert as_example(example) is example
    assert repr(value) == before


def test__as_examples__labels_and_ids__per_item() -> None:
    examples = as_examples(["a.png", ("b.png", "q"), {"text": "t", "id": "own"}], np.array([0, 1, 1]))
    assert [example.id for example in examples] == ["0", "1", "own"]
    assert [(example.label, type(example.label)) for example in examples] == [(0, int), (1, int), (1, int)]


def test__as_examples__error__carries_the_position() -> None:
    with pytest.raises(ExampleError) as caught:
        as_examples(["q", None])
    assert caught.value.id == "1"
    with pytest.raises(ExampleError) as caught:
        as_examples(["p", "q"], ["x", 0.5])
    assert (caught.value.id, caught.value.code) == ("1", "label")


class Table(dict):  # type: ignore[type-arg]
    columns = ("image",)


@pytest.mark.parametrize(
    "items",
    [
        "q",
        {"text": "q"},
        {1, 2},
        Path("a.png"),
        b"x",
        3,
        None,
        Table(),
        PILImage.new("L", (8, 8)),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        as_example("q"),
    ],
)
def test__as_examples__one_item_instead_of_many__data_error(items: Any) -> None:
    with pytest.raises(DataError, match="list of examples"):
        as_examples(items)


def test__as_examples__stack_of_images__one_each() -> None:
    assert len(as_examples(np.zeros((5, 8, 8), np.uint8))) == 5
    assert len(as_examples(np.zeros((5, 8, 8, 3), np.uint8))) == 5


@pytest.mark.parametrize(
    "labels", ["ab", {"a": 1, "b": 2}, {1, 2}, 3, [1], [1, 2, 3], [1, None], [None, None]]
)
def test__as_examples__labels_not_one_per_item__data_error(labels: Any) -> None:
    with pytest.raises(DataError):
        as_examples(["p", "q"], labels)


@pytest.mark.parametrize("labels", [[1, "1"], [1, True], ["yes", False], [np.int64(1), np.str_("1")]])
def test__fault_15__mixed_types__error_that_shows_both(labels: list[Any]) -> None:
    with pytest.raises(DataError, match=r"\((int|str)\) and .*\((str|bool)\)"):
        as_examples(["p", "q"], labels)


@pytest.mark.parametrize(
    "label", [0.5, 1.0, float("nan"), np.float32(1), "", b"a", [1], (1,), "\ud800", 2**63, Tensor()]
)
def test__fault_15__label_that_is_none__item_error(label: Any) -> None:
    for item in ("q", {"text": "q"}):
        assert refused(item, label=label).code in {"label", "lone_surrogate"}
    if label == label:  # a cell of a row may be missing, and NaN is how tables say so
        assert refused({"text": "q", "label": label}).code in {"label", "lone_surrogate"}


def test__fault_15__whole_number_beyond_printing__refused() -> None:
    # Not a parameter: Python refuses to turn it into text, pytest's test ids included.
    assert refused("q", label=10**5000).code == "label"


def test__fault_15__numpy_labels__python_types() -> None:
    labels = [
        as_example("q", label=label).label for label in (np.int8(3), np.bool_(True), np.str_("a"), -(2**63))
    ]
    assert [(label, type(label)) for label in labels] == [(3, int), (True, bool), ("a", str), (-(2**63), int)]


def test__fault_15__unicode_twins__warning() -> None:
    with pytest.warns(DataWarning, match=r"'cafe\\u0301' and 'caf\\xe9' differ only in their Unicode form"):
        as_examples(["p", "q"], ["caf\u00e9", "cafe\u0301"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("cat", "cat "), "'cat' and 'cat ' differ only in white space"),
        (("\tcat", "cat"), r"'\\tcat' and 'cat' differ only in white space"),
        (("Cat", "cat"), "'Cat' and 'cat' differ only in case"),
        (("STRASSE", "stra\u00dfe"), r"'STRASSE' and 'stra\\xdfe' differ only in case"),
        (("CAF\u00c9", "cafe\u0301 "), "differ only in case"),
    ],
)
def test__fault_15__labels_that_look_alike__warning_names_both(labels: tuple[str, str], words: str) -> None:
    with pytest.warns(DataWarning, match=words):
        as_examples(["p", "q"], labels)
    as_examples(["p", "q", "r"], [labels[0], labels[0], "other"])


@pytest.mark.parametrize(
    "item", ["a\udc00", ("a.png", "\ud83d"), {"text": "\udfff"}, [{"role": "user", "content": "\ud800"}]]
)
def test__fault_15__lone_surrogate_in_text__refused(item: Any) -> None:
    assert refused(item).code == "lone_surrogate"
    assert refused(item).message.encode()


def test__open_file__is_its_image_and_stands_where_it_stood(tmp_path):
    path = tmp_path / "a.png"
    PILImage.new("RGB", (9, 9), "red").save(path)
    with path.open("rb") as file:
        example = as_example((file, "What?"))
        assert file.tell() == 0
    assert example.images[0].source == path.read_bytes()
    buffer = io.BytesIO(b"xx" + path.read_bytes())
    buffer.seek(2)
    assert as_examples([buffer])[0].images[0].source == path.read_bytes()
    assert buffer.tell() == 2


def test__open_file__as_text_or_closed__is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with (tmp_path / "a.png").open() as file, pytest.raises(ExampleError, match="mode 'rb'"):
        as_example(file)
    with pytest.raises(ExampleError, match="cannot be read"):
        as_example(file)


def test__chat__video_parts_without_a_source__filled_from_the_column() -> None:
    turn = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "or"}, {"type": "video"}]}
    videos = ["a.mp4", "b.mp4"]
    example = as_example({"messages": [turn], "videos": videos, "image": "c.png"})
    assert [str(image.source) for image in example.images] == ["c.png", *videos]
    assert example.text == "<image><video>or<video>"
    early = [turn, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "and now?"}]
    example = as_example({"messages": early, "videos": videos})
    assert [type(part).__name__ for part in example.messages[0].parts] == ["Video", "Text", "Video"]


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({}, "a video part names no video"),
        ({"image": "c.png"}, "a video part names no video"),
        ({"video": "a.mp4"}, r"2 <video> marker\(s\) but 1 video\(s\)"),
    ],
)
def test__chat__more_video_parts_than_videos__item_error(beside, message) -> None:
    turn = {"role": "user", "content": [{"type": "video"}, {"type": "video"}]}
    with pytest.raises(ExampleError, match=message):
        as_example({"messages": [turn], **beside})


@pytest.mark.parametrize("blank", [" ", "\n\t", "\u00a0"])
def test__text_of_blanks_alone__is_no_example_in_any_form(blank: str) -> None:
    turn = {"role": "user", "content": blank}
    parts = {"role": "user", "content": [{"type": "text", "text": blank}]}
    forms = (
        blank,
        [blank],
        {"text": blank},
        {"messages": [turn]},
        [turn],
        [parts],
        Example((Message("user", (Text(blank),)),)),
    )
    for form in forms:
        assert refused(form).code in ("empty", "row")
    assert as_example([{"role": "system", "content": "Be kind."}, turn]).text == blank
