"""Tables in the form that VLMEvalKit writes; their contents are made up here."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PILImage

from savs import SAVModel
from savs.backbones import FakeBackbone
from savs.classifiers import SAVClassifier
from savs.data import DataWarning, ErrorLedger, read_examples
from savs.errors import DataError, ItemError

OPTIONS = ["index", "image", "question", "hint", "A", "B", "C", "answer", "category"]
ASKED = "Please select the correct answer from the options above."


def encoded(color: tuple[int, int, int], side: int = 32) -> str:
    file = io.BytesIO()
    PILImage.new("RGB", (side, side), color).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def noise(side: int) -> str:
    """An image whose base64 is longer than a cell that the csv module reads."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def table(path: Path, header: list[str], *rows: list[str]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    return f"vlmevalkit://{path}"


def color(example: Any, place: int = 0) -> tuple[int, ...]:
    return PILImage.open(io.BytesIO(example.images[place].source)).getpixel((0, 0))


def test__read_examples__multiple_choice__hint_question_options_and_letter(tmp_path):
    source = table(
        tmp_path / "MMBench_DEV_EN.tsv",
        OPTIONS,
        [
            "7",
            encoded((9, 8, 7)),
            'Which is "it"?\nLook\twell',
            "Two are alike.",
            "a cat",
            "None",
            "",
            "B",
            "k",
        ],
        ["8", noise(320), "Which?", "", "a", "b", "c", "A", "k"],
    )
    first, second = read_examples(source)
    assert first.text == (
        'Hint: Two are alike.\nQuestion: Which is "it"?\nLook\twell\nOptions:\nA. a cat\nB. None\n' + ASKED
    )
    assert second.text == "Question: Which?\nOptions:\nA. a\nB. b\nC. c\n" + ASKED
    assert [(one.id, one.label) for one in (first, second)] == [("7", "B"), ("8", "A")]
    assert color(first) == (9, 8, 7)
    assert len(second.images[0].source) > 131_072
    assert first.fields["plain_question"] == 'Which is "it"?\nLook\twell'
    assert (first.fields["category"], first.fields["image"], first.fields["C"]) == ("k", None, None)


def test__read_examples__any_cells__those_of_pandas(tmp_path):
    cells = [
        "plain",
        'a "quoted" one',
        "line\nbreak",
        "tab\tinside",
        "it's",
        "7",
        "007",
        "é中",
        " blanks ",
        "NA",
    ]
    path = tmp_path / "set.tsv"
    frame = pd.DataFrame({"index": range(10), "question": cells, "answer": cells[::-1], "category": "c"})
    frame.to_csv(path, sep="\t", index=False)
    read = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    found = read_examples(f"vlmevalkit://{path}")
    assert [one.fields["question"] for one in found] == list(read["question"])
    assert [one.label for one in found] == list(read["answer"])


def test__read_examples__rows_with_the_index_of_another__its_image_once_in_memory(tmp_path):
    source = table(
        tmp_path / "POPE.tsv",
        ["index", "image", "question", "answer"],
        ["0", "2", "before it?", "No"],
        ["1", encoded((1, 1, 1)), "own?", "Yes"],
        ["2", encoded((2, 2, 2)), "it?", "Yes"],
        ["3", "2", "after it?", "No"],
        ["4", "1", "another?", "No"],
    )
    found = read_examples(source)
    assert [color(one)[0] for one in found] == [2, 1, 2, 2, 1]
    assert found[0].images[0].source is found[2].images[0].source is found[3].images[0].source
    assert found[0].text == "before it?"  # without options, the question alone


def test__read_examples__several_images__in_order_in_python_or_json_lists(tmp_path):
    one, two = encoded((1, 0, 0)), encoded((2, 0, 0))
    source = table(
        tmp_path / "BLINK.tsv",
        ["index", "image", "image_path", "question", "answer"],
        ["a", str([one, two]), "['x.png', \"it's.png\"]", "Which?", "A"],
        ["b", f'["{two}", "{one}"]', "", "Which?", "B"],
        ["c", "a", "", "Which?", "B"],
    )
    first, second, third = read_examples(source)
    assert [color(example, place)[0] for example in (first, second, third) for place in (0, 1)] == [
        *(1, 2, 2, 1, 1, 2)
    ]
    assert first.fields["image"] == ["x.png", "it's.png"]
    assert second.fields["image"] == [None, None]


def test__read_examples__files_in_place_of_base64__under_the_root(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        PILImage.new("RGB", (32, 32), (number, 0, 0)).save(folder / f"{number}.png")
    source = table(
        tmp_path / "MMMU_local.tsv",
        ["index", "image_path", "question", "answer"],
        ["1", "0.png", "One?", "Yes"],
        ["2", "['1.png', '2.png']", "Two?", "No"],
    )
    first, second = read_examples(source, root=folder)
    assert [image.source for image in (*first.images, *second.images)] == [
        folder / f"{number}.png" for number in range(3)
    ]


def test__read_examples__rows_without_image__left_out_and_counted(tmp_path):
    source = table(
        tmp_path / "ScienceQA_VAL.tsv",
        ["index", "image", "question", "answer"],
        ["1", "", "Blind?", "No"],
        ["2", encoded((1, 1, 1)), "Seen?", "Yes"],
    )
    with pytest.warns(DataWarning, match=r"ScienceQA_VAL.tsv: 1 of 2 rows have no image and are left out"):
        assert [one.id for one in read_examples(source)] == ["2"]


def test__read_examples__damaged_image__that_row_alone(tmp_path):
    source = table(
        tmp_path / "set.tsv",
        ["index", "image", "question", "answer"],
        ["1", "?" * 80, "Seen?", "No"],
        ["2", encoded((1, 1, 1)), "Seen?", "Yes"],
    )
    with pytest.raises(ItemError, match=r"1: .*the image's base64 is damaged") as raised:
        read_examples(source)
    assert "???" not in str(raised.value)
    ledger = ErrorLedger(1)
    assert [one.id for one in read_examples(source, ledger=ledger)] == ["2"]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        pytest.param(
            ["index", "image", "question"],
            ["1", "7", "secret"],
            "row 1: its image is that of the row '7', but no such row has one",
            id="image of no row",
        ),
        pytest.param(
            ["index", "image", "question"],
            ["1", "x" * 80],
            "after row 0: 2 cells, but the header names 3",
            id="too few cells",
        ),
        pytest.param(
            ["id", "image", "question"], ["1", "7", "secret"], "no column 'index'", id="another table"
        ),
        pytest.param(
            ["index", "question", "question"], ["1", "7", "secret"], "a column stands twice", id="twice"
        ),
    ],
)
def test__read_examples__no_such_table__one_line_without_its_cells(header, row, message, tmp_path):
    with pytest.raises(DataError, match=message) as raised:
        read_examples(table(tmp_path / "set.tsv", header, row))
    assert "secret" not in str(raised.value)
    assert "xxx" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test__read_examples__not_utf8_or_not_there__one_line(tmp_path):
    path = tmp_path / "set.tsv"
    path.write_bytes(b"index\tquestion\tanswer\n1\t\xff\xfe\tYes\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_examples(f"vlmevalkit://{path}")
    with pytest.raises(DataError, match="there is no file"):
        read_examples(f"vlmevalkit://{tmp_path}/none.tsv")


def test__read_examples__test_part_without_answers__no_labels(tmp_path):
    source = table(
        tmp_path / "MMBench_TEST_EN.tsv", ["index", "image", "question"], ["1", encoded((1, 1, 1)), "Which?"]
    )
    assert read_examples(source)[0].label is None
    with pytest.raises(DataError):
        read_examples(source, require_labels=True)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test__read_examples__file_of_windows__same_rows(end, mark, tmp_path):
    path = tmp_path / "set.tsv"
    lines = [f"{mark}index\timage\tquestion\tanswer", f'1\t{encoded((1, 1, 1))}\t"Is ""it""?"\tYes', ""]
    path.write_bytes(end.join(lines).encode())
    (example,) = read_examples(f"vlmevalkit://{path}")
    assert (example.id, example.text, example.label) == ("1", 'Is "it"?', "Yes")


@pytest.mark.parametrize("cell", ["[" * 5000 + "]" * 5000, "[a]+[b]", "['C:\\dir\\x.png']", "[1, {}]"])
def test__read_examples__strange_list_of_names__no_crash(cell, tmp_path):
    source = table(
        tmp_path / "set.tsv",
        ["index", "image", "image_path", "question", "answer"],
        ["1", encoded((1, 1, 1)), cell, "Is it?", "Yes"],
    )
    (example,) = read_examples(source)
    assert len(example.images) == 1


@pytest.mark.parametrize("text", ["", "index\tquestion\n"])
def test__read_examples__empty_table__one_line(text, tmp_path):
    (tmp_path / "set.tsv").write_text(text)
    with pytest.raises(DataError, match=r"set\.tsv(: this is no table| holds 0 examples)"):
        read_examples(f"vlmevalkit://{tmp_path}/set.tsv")


def test__fit__table__through_the_model(tmp_path):
    rows = [[str(row), encoded((9 * row, 99 * row % 256, 0)), "Is it?", "YN"[row % 2]] for row in range(8)]
    source = table(tmp_path / "set.tsv", ["index", "image", "question", "answer"], *rows)
    model = SAVModel(FakeBackbone(), method=SAVClassifier(n_heads=4)).fit(read_examples(source))
    assert set(model.predict(read_examples(source))) == {"Y", "N"}
