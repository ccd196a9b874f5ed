from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from savs.backbones import PromptTemplate
from savs.data import DataWarning, ErrorLedger, Example, Text, preflight, read_examples
from savs.data._folders import natural_order
from savs.errors import DataError, ExampleError, ItemError, SAVsError

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return write_file


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("L", (8, 8)).save(path, "PNG")


def summary(examples: list[Example]) -> list[tuple[Any, ...]]:
    return [(example.id, example.text, example.label) for example in examples]


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(SAVsError) as caught:
        read_examples(path, **options)
    assert isinstance(caught.value, DataError | ItemError)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
    return str(caught.value)


ROWS = [{"question": "p", "label": "x"}, {"question": 'a, "b"\u2028é', "label": "y"}]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test__fault_17__byte_order_mark_line_ends_and_blank_lines__read(
    write: Write, end: str, mark: str
) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    texts = [row["question"] for row in ROWS]
    jsonl = read_examples(write("a.jsonl", mark + end + lines[0] + end + "  " + end + lines[1] + end))
    assert summary(jsonl) == [("a.jsonl:2", texts[0], "x"), ("a.jsonl:4", texts[1], "y")]
    items = read_examples(write("a.json", mark + "[" + end + ("," + end).join(lines) + end + "]"))
    assert summary(items) == [("a.json:1", texts[0], "x"), ("a.json:2", texts[1], "y")]
    quoted = '"' + texts[1].replace('"', '""') + '"'
    csv = read_examples(write("a.csv", mark + end.join(["question,label", "p,x", "", quoted + ",y", ""])))
    assert summary(csv) == [("a.csv:2", texts[0], "x"), ("a.csv:4", texts[1], "y")]
    tsv = read_examples(write("a.tsv", mark + end.join(["question\tlabel", "p, q\tx"])))
    assert summary(tsv) == [("a.tsv:2", "p, q", "x")]


def test__read_examples__csv_cell_over_two_lines__row_named_by_its_first(write: Write) -> None:
    path = write("a.csv", 'question,label\n"one\ntwo",x\nthree,y\n')
    assert summary(read_examples(path)) == [("a.csv:2", "one\ntwo", "x"), ("a.csv:4", "three", "y")]


def test__read_examples__empty_csv_cells__no_value(write: Write) -> None:
    (example,) = read_examples(write("a.csv", "image_1,image_2,question,label\na.png,,q,\n"))
    assert (len(example.images), example.label, example.fields["image_2"]) == (1, None, None)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"question": "q"}\n{"question": NaN}', "a.jsonl:2"),
        ('{"question": "q"}\n\n{"question": Infinity}', "a.jsonl:3"),
        ('{"question": "q"', "a.jsonl:1"),
        ('{"question": "q"} x', "a.jsonl:1"),
        ('{"question": "q"}\n[1]', "a.jsonl:2"),
        ('{"question": "q"}\n"text"', "a.jsonl:2"),
        ('{"question": 3}', "a.jsonl:1"),
        ('{"foo": "q"}', "a.jsonl:1"),
        ("{}", "a.jsonl:1"),
        ('{"question": "q", "question": "r"}', "a.jsonl:1"),
        ('{"question": "q", "label": 0.5}', "a.jsonl:1"),
        ('{"question": "q", "label": ["x"]}', "a.jsonl:1"),
        ('{"question": "q", "n": ' + "1" * 5000 + "}", "a.jsonl:1"),
        ('{"question": "q", "n": ' + "[" * 100_000 + "}", "a.jsonl:1"),
        ('{"question": "q", "n": ' + '{"a":' * 100_000 + "}", "a.jsonl:1"),
        ('{"question": "\\ud800"}', "a.jsonl:1"),
        ('{"question": "q", "label": "\\udfff"}', "a.jsonl:1"),
        ('{"question": "q", "other": "\\udfff"}', "a.jsonl:1"),
        ('{"question": "q", "id": 1}\n{"question": "q", "id": "1"}', "a.jsonl:2"),
        ('{"question": "q", "id": 1.5}', "a.jsonl:1"),
        ('{"question": "<image> q"}', "a.jsonl:1"),
        ('{"question": "q", "image": "clip.m4a"}', "a.jsonl:1"),
        ('{"question": "q", "image": "https://x.y/a.png"}', "a.jsonl:1"),
        ('{"question": "q", "image": 3}', "a.jsonl:1"),
        (b'{"question": "q"}\n{"question": "\xff"}', "a.jsonl:2"),
        ('{"question": "q"}'.encode("utf-16"), "a.jsonl:1"),
    ],
)
def test__fault_17__bad_jsonl_row__error_with_file_and_line(
    write: Write, content: str | bytes, place: str
) -> None:
    assert refused(write("a.jsonl", content)).startswith(place + ":")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('[{"question": "q"},\n{"question": NaN}]', "a.json"),
        ('[{"question": "q"},\n{"question": }]', "a.json:2"),
        ('{"question": "q"}', "a.json"),
        ('{"question": "q"}\n{"question": }', "a.json:2"),
        ('[{"question": "q"}, 3]', "a.json:item 2"),
        ('[{"question": "q"}, {"x": 1}]', "a.json:item 2"),
        ("[" * 100_000, "a.json"),
        ('[{"question": "q", "id": "a"}, {"question": "q", "id": "a"}]', "a.json:item 2"),
    ],
)
def test__fault_17__bad_json_item__error_with_its_place(write: Write, content: str, place: str) -> None:
    assert refused(write("a.json", content)).startswith(place + ":")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("question,label\nq\n", "a.csv:2"),
        ("question,label\n\nq,x,y\n", "a.csv:3"),
        ('question,label\np,x\n"q,x\n', "a.csv:3"),
        ('question,label\n"q"r,x\n', "a.csv:2"),
        ("question,question\nq,x\n", "a.csv:1"),
        ("question,\nq,x\n", "a.csv:2"),
        ("foo,label\nq,x\n", "a.csv:2"),
        ("question;label\nq;x;y\n", "a.csv:2"),
        ("question\n" + "q" * 200_000, "a.csv:2"),
        ("id,question\na,p\na,q\n", "a.csv:3"),
    ],
)
def test__fault_17__bad_csv_row__error_with_file_and_line(write: Write, content: str, place: str) -> None:
    assert refused(write("a.csv", content)).startswith(place + ":")


@pytest.mark.parametrize(
    "named", ["image_column", "text_column", "label_column", "id_column", "audio_column"]
)
def test__fault_17__csv_without_a_named_column__error_with_file_and_line(write: Write, named: str) -> None:
    error = refused(write("a.csv", "question,label\nq,x\n"), **{named: "nowhere"})
    assert error.startswith("a.csv:2: there is no column 'nowhere'")


def test__columns__one_for_two_media__refused(write: Write) -> None:
    file = write("a.csv", "clip,label\na.mp4,x\n")
    for options in ({"video_column": "clip", "audio_column": "clip"}, {"image_column": ["clip", "clip"]}):
        assert "'clip' is named for two media" in refused(file, **options)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test__fault_13__empty_file__error_with_the_count(write: Write, name: str, content: str) -> None:
    assert "0 examples" in refused(write(name, content))


def test__fault_13__header_or_empty_list_only__error_with_the_count(write: Write) -> None:
    assert "0 examples" in refused(write("a.csv", "question,label\n"))
    assert "0 examples" in refused(write("a.json", "[]"))


def test__fault_15__labels_of_json__keep_their_type_and_do_not_mix(write: Write) -> None:
    for text, kind in (("1", int), ('"1"', str), ("true", bool)):
        (example,) = read_examples(write("a.jsonl", f'{{"question": "q", "label": {text}}}'))
        assert type(example.label) is kind
    row = '{"question": "q", "label": %s}\n'
    assert "mixed" in refused(write("a.jsonl", row % "1" + row % '"1"'))
    (example,) = read_examples(write("a.csv", "question,label\nq,1\n"))
    assert example.label == "1"


def test__fault_15__unicode_twins__warning(write: Write) -> None:
    path = write("a.csv", "question,label\np,caf\u00e9\nq,cafe\u0301\n")
    with pytest.warns(DataWarning, match="differ only in their Unicode"):
        read_examples(path)


def test__require_labels__missing__counted(write: Write) -> None:
    path = write(
        "a.jsonl", '{"question": "p", "label": "x"}\n{"question": "q"}\n{"question": "r", "label": ""}'
    )
    assert [example.label for example in read_examples(path)] == ["x", None, None]
    message = refused(path, require_labels=True)
    assert "2 of 3" in message
    assert "a.jsonl:2" in message


def test__columns__named__take_the_place_of_the_public_ones(write: Write, tmp_path: Path) -> None:
    path = write("a.csv", "photo,image,caption,question,class,label,key,id\np.png,i.png,c,q,x,y,k,1\n")
    (example,) = read_examples(
        path, image_column="photo", text_column="caption", label_column="class", id_column="key"
    )
    assert (example.text, example.label, example.id) == ("c", "x", "k")
    assert [image.source for image in example.images] == [(tmp_path / "p.png").resolve()]
    assert example.fields["image"] == "i.png"
    assert set(example.fields) == {"photo", "image", "caption", "question", "label", "key", "id"}
    assert example.label_column == "class"


@pytest.mark.parametrize("column", ["question", "text", "image", "class"])
def test__columns__label_in_a_column_of_content__is_the_label_alone(write: Write, column: str) -> None:
    path = write("a.jsonl", json.dumps({column: "secret", "caption": "c"}))
    (example,) = read_examples(path, text_column="caption", label_column=column)
    assert (example.text, example.images, example.label, dict(example.fields)) == (
        "c",
        (),
        "secret",
        {"caption": "c"},
    )
    with pytest.raises(SAVsError, match="neither an image"):
        read_examples(write("b.jsonl", json.dumps({"question": "secret"})), label_column="question")
    assert "must not stand in the prompt" in refused(path, text_column=column, label_column=column)


@pytest.mark.parametrize("option", ["image_column", "text_column", "label_column", "id_column"])
def test__columns__missing__error_that_lists_the_columns(write: Write, option: str) -> None:
    message = refused(write("a.jsonl", '{"question": "q", "label": 1}'), **{option: "nope"})
    assert message.startswith("a.jsonl:1:")
    assert "'nope'" in message
    assert "'question', 'label'" in message


def test__columns__no_label_column__message_lists_the_columns_of_the_file_alone(write: Write) -> None:
    assert refused(write("a.csv", "review,kind\nq,x\n")).endswith("its columns: 'review', 'kind'")


@pytest.mark.parametrize("limit_of_process", [131_072, 2**30])
def test__csv__cell_beyond_the_limit__message_says_what_to_do(write: Write, limit_of_process: int) -> None:
    before = csv.field_size_limit(limit_of_process)  # scipy.io.arff lifts it for everybody
    try:
        check_long_cell(write)
    finally:
        csv.field_size_limit(before)


def check_long_cell(write: Write) -> None:
    message = refused(write("a.csv", "question\nq\n" + "q" * 200_000))
    assert message == "a.csv:3: a cell has more than 131072 characters; write the data as JSONL or Parquet"


@pytest.mark.parametrize("content", ['[\n {"question": "q"}\n]', '{\n "question": "q"\n}'])
def test__jsonl__one_object_over_several_lines__named_as_json(write: Write, content: str) -> None:
    assert ".json" in refused(write("a.jsonl", content)).removeprefix("a.jsonl:1: ")
    assert ".json" not in refused(write("b.jsonl", "[1,")).removeprefix("b.jsonl:1: ")


def test__source__empty_name__refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "a" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert len(read_examples(".")) == 1
    with pytest.raises(DataError, match="the name of the data is empty"):
        read_examples("")


@pytest.mark.parametrize(
    ("ending", "content"), [("csv", "question\nq\n"), ("json", '[{"question": "q"}]'), ("png", "")]
)
def test__file__name_that_is_not_utf8__ids_that_can_be_written(
    tmp_path: Path, ending: str, content: str
) -> None:
    path = tmp_path / f"a\udcff.{ending}"
    try:
        path.write_text(content)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    if ending == "png":
        image(path)
    (example,) = read_examples(path)
    assert example.id.encode().startswith(b"a\\udcff." + ending.encode())


@pytest.mark.parametrize("source", ["a\udcff/0.parquet", "a\udcff", "hf://./a\udcff", "saved\udcff"])
def test__parquet_and_data_sets__path_that_is_not_utf8__error_says_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        Path("a\udcff").mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    pq.write_table(pa.table({"question": ["q"]}), "b.parquet")
    Path("b.parquet").rename("a\udcff/0.parquet")
    Path("saved\udcff").mkdir()
    for name in ("state.json", "dataset_info.json"):
        Path(f"saved\udcff/{name}").write_text("{}")
    with pytest.raises(DataError, match="is not UTF-8 and cannot be opened; rename it"):
        read_examples(source)


def test__columns__for_a_folder__error(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png")
    assert "data file" in refused(tmp_path, label_column="x")


def test__messages__in_jsonl__read_with_the_row_images(write: Write, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "<image> q"}], "images": ["i.png"], "label": 1}
    (example,) = read_examples(write("a.jsonl", json.dumps(row)))
    assert [part.text if isinstance(part, Text) else part.source for part in example.parts] == [
        (tmp_path / "i.png").resolve(),
        " q",
    ]


@pytest.mark.parametrize("image", ["../x.png", "/etc/passwd", "sub/../../x.png", "link/x.png"])
def test__fault_10__media_outside_the_root__refused_unless_allowed(
    write: Write, tmp_path: Path, image: str
) -> None:
    (tmp_path / "link").symlink_to("/tmp")
    (tmp_path / "sub").mkdir()
    path = write("a.jsonl", json.dumps({"image": image, "question": "q"}))
    message = refused(path)
    assert message.startswith("a.jsonl:1:")
    assert "leaves the dataset's folder" in message
    (example,) = read_examples(path, allow_outside=True)
    assert example.images[0].source == (tmp_path / image).resolve()
    if image.startswith("/"):
        assert len(read_examples(path, root="/")) == 1


def test__root__given__paths_are_relative_to_it(write: Write, tmp_path: Path) -> None:
    image(tmp_path / "media" / "a.png")
    path = write("lists/a.jsonl", '{"image": "a.png"}')
    (example,) = read_examples(path, root=tmp_path / "media")
    assert preflight([example]) == []
    assert "not a folder" in refused(path, root=tmp_path / "nowhere")


def test__root__relative_working_directory__found(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "media" / "a.png")
    write("a.jsonl", '{"image": "media/a.png"}')
    monkeypatch.chdir(tmp_path)
    assert preflight(read_examples("a.jsonl")) == []
    assert preflight(read_examples(Path("a.jsonl"), root="media/..")) == []


def test__path__no_data__error_that_says_what_is_read(write: Write, tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere")
    assert "is not read" in refused(write("a.xlsx", b"PK"))
    assert "is not a Parquet file" in refused(write("a.parquet", b"PAR1"))
    assert refused(tmp_path / "nowhere.jsonl") == (
        f"there is no file '{tmp_path / 'nowhere.jsonl'}'; check the path"
    )
    (tmp_path / "file").touch()
    assert "cannot be read" in refused(tmp_path / "file" / "a.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "not a regular file" in refused(tmp_path / "pipe.jsonl")


def test__folder__per_class__natural_order_and_one_warning(tmp_path: Path) -> None:
    for name in ("cat/10.png", "cat/2.PNG", "dog/deep/1.jpg", "dog/.hidden.png"):
        image(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / ".git").mkdir()
    with pytest.warns(DataWarning, match="2 hidden files or folders, 1 .txt file") as caught:
        examples = read_examples(tmp_path, require_labels=True)
    assert len(caught) == 1
    assert [(example.id, example.label) for example in examples] == [
        ("cat/2.PNG", "cat"),
        ("cat/10.png", "cat"),
        ("dog/deep/1.jpg", "dog"),
    ]
    assert preflight(examples) == []


def test__folder__flat__no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        image(tmp_path / name)
    assert [(example.id, example.label) for example in read_examples(tmp_path)] == [
        ("a.png", None),
        ("b.png", None),
    ]
    assert "2 of 2" in refused(tmp_path, require_labels=True)
    (single,) = read_examples(tmp_path / "a.png")
    assert (single.id, single.label, single.text) == ("a.png", None, "")


def test__folder__wrong_layout__error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "0 images" in refused(tmp_path / "empty")
    image(tmp_path / "a" / "x" / "1.png")
    image(tmp_path / "a" / "2.png")
    assert "beside" in refused(tmp_path / "a")
    image(tmp_path / "b" / "train" / "x" / "1.png")
    image(tmp_path / "b" / "test" / "x" / "1.png")
    assert "split" in refused(tmp_path / "b")
    image(tmp_path / "c" / "x" / "1.png")
    (tmp_path / "c" / "y").mkdir()
    assert "'y' holds 0 images" in refused(tmp_path / "c")
    image(tmp_path / "d" / "/".join("x" * 40) / "1.png")
    assert "levels deep" in refused(tmp_path / "d")


def test__fault_10__folder_links__never_lead_out_or_in_circles(tmp_path: Path) -> None:
    image(tmp_path / "outside" / "1.png")
    image(tmp_path / "set" / "a" / "1.png")
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "a" / "self.png").symlink_to("self.png")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "outside")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        (tmp_path / "set" / "a" / "self.png").unlink()
        assert "leaves" in refused(tmp_path / "set")
        examples = read_examples(tmp_path / "set", allow_outside=True)
    assert [example.id for example in examples] == ["a/1.png", "b/1.png"]


def test__folder__link_to_itself_and_undecodable_name__item_error(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "self.png").symlink_to("self.png")
    assert refused(tmp_path).startswith("a/self.png:")
    (tmp_path / "a" / "self.png").unlink()
    with suppress(OSError):
        os.rename(tmp_path / "a" / "1.png", os.fsencode(tmp_path / "a") + b"/\xff.png")  # noqa: PTH104
        assert refused(tmp_path).endswith("not valid Unicode; rename the file or its folder")


def test__natural_order__digits_by_value() -> None:
    names = ["img10", "img2", "1", "a", "img2b", "9" * 30, "10"]
    assert sorted(names, key=natural_order)[:2] == ["1", "10"]
    assert sorted(names, key=natural_order)[-3:] == ["img2", "img2b", "img10"]


def stand_ins(root: Path, rows: list[dict[str, Any]]) -> None:
    """Write an image wherever the rows point."""
    for row in rows:
        for name, value in row.items():
            if value and name.lower().startswith("image"):
                image(root / value)


THREE = "<image>\n<image>\n<image>\nWhich one? (A) the second image (B) the third image"
SAFETY = {"Category": "safety", "Text": "Is it?", "Image": "images/pairs/1.png"}
BLINK_IMAGES = {"image_1": "1.png", "image_2": "2.png", "image_3": "3.png", "image_4": None}
Expected = list[tuple[int, str, str]]
PUBLIC: list[tuple[str, list[dict[str, Any]], Expected]] = [
    (
        "vlguard_train.json",
        [{"image": "v/1.jpg", "instruction": "Who?", "label": "harmful"}],
        [(1, "Who?", "harmful")],
    ),
    (
        "mahalu_train.json",
        [{"image_path": "m/1.jpg", "claim": "A bus", "label": "hallucination"}],
        [(1, "A bus", "hallucination")],
    ),
    (
        "naturalbench_ret_train.jsonl",
        [
            {"image": "n/1.jpg", "question": "Does it?", "question_id": 1, "label": "Yes"},
            {"image": "n/1.jpg", "question": "Is it?", "question_id": 1, "label": "No"},
        ],
        [(1, "Does it?", "Yes"), (1, "Is it?", "No")],
    ),
    (
        "SC_swap_obj.jsonl",
        [{"image": "s/1.jpg", "question": "Q", "split": "swap_obj", "question_id": "0", "label": "Yes"}],
        [(1, "Q", "Yes")],
    ),
    (
        "eurosat_train.json",
        [{"image": "e/1.jpg", "question": "T?\nA. x B. y", "answer": "D", "label": "AnnualCrop"}],
        [(1, "T?\nA. x B. y", "AnnualCrop")],
    ),
    (
        "blink_art_style_train.json",
        [{"question": THREE, "label": "(A)", **BLINK_IMAGES}],
        [(3, THREE, "(A)")],
    ),
    (
        "mm_rewardbench_pairs_40.json",
        [{**SAFETY, "ID": "pairs_0000", "Output1": "a", "Output2": "b", "label": "Output1"}],
        [(1, "Is it?", "Output1")],
    ),
    (
        "mm_rewardbench_single_40.json",
        [{**SAFETY, "ID_original": "p", "ID": "p_1", "Output": "a", "label": "preferred"}],
        [(1, "Is it?", "preferred")],
    ),
    (
        "vizwiz_sav_train.jsonl",
        [{"image": "z/1.jpg", "question": "What?", "question_id": 11, "label": "unanswerable"}],
        [(1, "What?", "unanswerable")],
    ),
]


@pytest.mark.parametrize(("name", "rows", "expected"), PUBLIC)
def test__public_files__every_schema__read(
    write: Write, tmp_path: Path, name: str, rows: list[dict[str, Any]], expected: Expected
) -> None:
    stand_ins(tmp_path, rows)
    content = json.dumps(rows, indent=1) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
    examples = read_examples(write(name, content), require_labels=True)
    assert [(len(example.images), example.text, example.label) for example in examples] == expected
    unlabelled = [{column: cell for column, cell in row.items() if column != "label"} for row in rows]
    assert [dict(example.fields) for example in examples] == unlabelled
    assert len({example.id for example in examples}) == len(rows)
    assert preflight(examples) == []


def test__public_files__camerabench__a_video(write: Write) -> None:
    row = {
        "image": "v/KdfhMulBsyk.4.2.mp4",
        "question": "Does the camera pan?",
        "question_id": 0,
        "label": "No",
    }
    examples = read_examples(write("has_pan_left.jsonl", json.dumps(row)))
    assert [type(part).__name__ for part in examples[0].parts] == ["Video", "Text"]
    assert [error.code for error in preflight(examples)] == ["media_missing"]


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
rows = st.lists(
    st.fixed_dictionaries({"question": plain.filter(str.strip), "label": plain}), min_size=1, max_size=4
)
many = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(rows)
def test__read_examples__rows_written__come_back(write: Write, rows: list[dict[str, str]]) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    table = "question,label\r\n" + "".join(f"{quoted(r['question'])},{quoted(r['label'])}\r\n" for r in rows)
    contents = {
        "a.json": json.dumps(rows),
        "a.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "a.csv": table,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        for name, content in contents.items():
            got = [(example.text, example.label) for example in read_examples(write(name, content))]
            assert got == [(row["question"], row["label"]) for row in rows]


pieces = [
    '{"question": "q"}',
    "[",
    "]",
    "{",
    '"',
    ",",
    ":",
    "\n",
    "question",
    "image",
    "\\ud800",
    "NaN",
    "1e999",
    "\x00",
    "\r",
]


@many
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv"])
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(st.sampled_from(pieces), max_size=12).map("".join).map(str.encode),
    )
)
def test__read_examples__random_bytes__examples_or_savs_error(write: Write, name: str, data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        with suppress(DataError, ItemError):
            assert read_examples(write(name, data))


MIXED = [
    {"question": "fine", "id": "a"},
    {"question": "<image> q", "id": "b"},
    {"question": "q", "image": "https://x.y/a.png"},
    {"question": "q", "image": "../x.png", "id": "d"},
    {"question": "q", "image": "clip.m4a"},
    {"question": "q", "label": 0.5, "id": "f"},
    {"question": "fine too"},
]


def test__fault_18__ledger__rows_that_are_no_examples_are_noted_and_the_others_read(write: Write) -> None:
    path = write("a.jsonl", "\n".join(map(json.dumps, MIXED)))
    ledger = ErrorLedger(-1)
    examples = read_examples(path, ledger=ledger)
    assert [(example.id, example.text) for example in examples] == [("a", "fine"), ("a.jsonl:7", "fine too")]
    assert ledger.kept(len(examples)) == [0, 6]
    codes = ["marker_mismatch", "url_refused", "media_outside_root", "audio_format", "label"]
    assert [error.code for error in ledger.errors] == codes
    assert [error.id for error in ledger.errors] == ["b", "a.jsonl:3", "d", "a.jsonl:5", "f"]
    for line, error in enumerate(ledger.errors, start=2):
        assert f"a.jsonl:{line}: " in str(error)
    with pytest.raises(ItemError, match=r"^d: "):
        read_examples(path, ledger=ErrorLedger(2))
    assert len(read_examples(path, ledger=ErrorLedger(5))) == 2


def test__fault_17__ledger__a_broken_file_is_an_error_all_the_same(write: Write) -> None:
    lines = [json.dumps(row) for row in MIXED]
    with pytest.raises(DataError, match=r"a\.jsonl:8: not valid JSON"):
        read_examples(write("a.jsonl", "\n".join([*lines, "{"])), ledger=ErrorLedger(-1))
    again = json.dumps({"question": "again", "id": "b"})
    with pytest.raises(DataError, match=r"a.jsonl:8: the id 'b' stands at a.jsonl:2"):
        read_examples(write("a.jsonl", "\n".join([*lines, again])), ledger=ErrorLedger(-1))


def test__limit__only_the_first_rows_are_read(write: Write, tmp_path: Path) -> None:
    path = write("a.jsonl", "\n".join(map(json.dumps, MIXED)))
    assert len(read_examples(path, limit=1)) == 1
    ledger = ErrorLedger(1)
    assert (len(read_examples(path, limit=2, ledger=ledger)), list(ledger.by_index)) == (1, [1])
    for name in ("b.png", "a.png"):
        image(tmp_path / "set" / name)
    assert [example.id for example in read_examples(tmp_path / "set", limit=1)] == ["a.png"]


def test__fault_10__ledger__a_link_out_of_a_folder_is_noted(tmp_path: Path) -> None:
    for name in ("outside.png", "set/1.png", "set/3.png"):
        image(tmp_path / name)
    (tmp_path / "set" / "2.png").symlink_to(tmp_path / "outside.png")
    ledger = ErrorLedger(1)
    assert [e.id for e in read_examples(tmp_path / "set", ledger=ledger)] == ["1.png", "3.png"]
    assert [(index, error.id) for index, error in ledger.by_index.items()] == [(1, "2.png")]


def test__label_column__renamed__a_prompt_may_not_name_it(write: Write) -> None:
    path = write("a.csv", "question,klass,label\nq,secret,other\n")
    (example,) = read_examples(path, label_column="klass")
    assert (example.label, dict(example.fields)) == ("secret", {"question": "q", "label": "other"})
    for name in ("klass", "label"):
        with pytest.raises(ExampleError, match="the answer must not stand in the prompt"):
            PromptTemplate(f"{{{name}}}").apply(example)
