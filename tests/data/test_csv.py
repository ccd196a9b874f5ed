"""CSV as spreadsheets and libraries write it: delimiters, blanks, headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from savs.data import read_examples
from savs.errors import DataError


def rows_of(path: Path, content: str | bytes, **options: Any) -> list[tuple[Any, ...]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(example.text, example.label) for example in read_examples(path, **options)]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        # A decimal comma is why spreadsheets of many languages write semicolons.
        ("question;score;label\nq;1,5;x\nr;2,25;y\n", [("q", "x"), ("r", "y")]),
        ("question;label\n1,5;1,5\n", [("1,5", "1,5")]),
        ('question;label\r\n"a;b";x\r\nc, d, e;y\r\n', [("a;b", "x"), ("c, d, e", "y")]),
        ("question\tlabel\na, b; c\tx\n", [("a, b; c", "x")]),
        ("question|label\na, b|x\n", [("a, b", "x")]),
        ("sep=;\nquestion;label\nq;x\n", [("q", "x")]),
        ("sep=;\r\nquestion;label\r\nq,r;x\r\n", [("q,r", "x")]),
        ("\ufeffquestion;label\nq;x\n", [("q", "x")]),
        # As many cells by either, but the header has one column by commas.
        ("question,label\na;b,x\nc;d,y\n", [("a;b", "x"), ("c;d", "y")]),
        ('question,label\n"a\n;b",x\n', [("a\n;b", "x")]),
        # Blanks after delimiters, in the header or in the rows or in both.
        ("question, label\nq, x\nr, y\n", [("q", "x"), ("r", "y")]),
        ("question,label\nq, x\nr, y\n", [("q", "x"), ("r", "y")]),
        ("question, label\nq,x\n", [("q", "x")]),
        ('"question", "label"\n"a, b", "x"\n', [("a, b", "x")]),
        ("question ,label\nq,x\n", [("q", "x")]),
        ("\ufeff\ufeffquestion,\u200blabel\nq,x\n", [("q", "x")]),
        # One blank is the text's own where other cells have none.
        ("question,label\nq,x\nr, y\n", [("q", "x"), ("r", " y")]),
        # Spreadsheets end each line with the delimiters of empty columns.
        ("question,label,,\nq,x,,\nr,y,,\n", [("q", "x"), ("r", "y")]),
        ("question,label\nq,x,\n", [("q", "x")]),
        # One column.
        ("question\nq\n", [("q", None)]),
        ("question\na; b\n", [("a; b", None)]),
    ],
)
def test__csv__delimiters_and_blanks__found_by_the_first_lines(
    tmp_path: Path, content: str, rows: list[Any]
) -> None:
    assert rows_of(tmp_path / "a.csv", content) == rows


def test__tsv__written_with_commas__read_all_the_same(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "a.tsv", "question,label\nq,x\n") == [("q", "x")]
    assert rows_of(tmp_path / "b.tsv", "question\tlabel\na,b\tx\n") == [("a,b", "x")]


def test__csv__long_file__delimiter_found_beyond_the_sample(tmp_path: Path) -> None:
    n_rows = 300
    content = "question;label\n" + "".join(f'"{row}\n,{row}";{row % 3}\n' for row in range(n_rows))
    rows = rows_of(tmp_path / "a.csv", content)
    assert rows == [(f"{row}\n,{row}", str(row % 3)) for row in range(n_rows)]


def test__csv__delimiter_named__wins(tmp_path: Path) -> None:
    content = "question;a,label;b\nq;1,x;2\n"
    named = rows_of(
        tmp_path / "a.csv", content, delimiter=",", text_column="question;a", label_column="label;b"
    )
    assert named == [("q;1", "x;2")]
    assert rows_of(tmp_path / "a.csv", "question:label\nq:x\n", delimiter=":") == [("q", "x")]
    for wrong in ("", ";;", "\n", '"'):
        with pytest.raises(DataError, match="the delimiter is one character"):
            read_examples(tmp_path / "a.csv", delimiter=wrong)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("question,label\nq,x,y\n", r"a\.csv:2: 3 cells, but the header names 2 columns.*--delimiter"),
        ("question,\nq,x\n", r"a\.csv:2: 2 cells, but the header names 1 columns"),
        (",question,label\n0,q,x\n", r"a column has no name.*to_csv\(index=False\)"),
        ("question,,label\nq,,x\n", "a column has no name"),
        ("label, label\nq, x\n", "column 'label' stands twice"),
    ],
)
def test__csv__cells_that_belong_to_no_column__error_with_the_cure(
    tmp_path: Path, content: str, words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        rows_of(tmp_path / "a.csv", content)
    assert "\n" not in str(caught.value)


def test__json__one_object_per_line__read_like_jsonl(tmp_path: Path) -> None:
    content = '{"question": "q", "label": "x"}\n\n{"question": "r", "label": "y"}\n'
    assert rows_of(tmp_path / "a.json", content) == rows_of(tmp_path / "a.ndjson", content)
    assert rows_of(tmp_path / "a.json", content) == [("q", "x"), ("r", "y")]
    with pytest.raises(DataError, match="write the list under 'data' alone into a file"):
        rows_of(tmp_path / "b.json", '{"data": [{"question": "q"}]}')


@pytest.mark.parametrize("name", ["id", "ID", "Id"])
def test__csv__id_column_in_any_usual_case__names_the_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"{name},text,label\n007,a,x\n8,b,y\n")
    assert [example.id for example in read_examples(tmp_path / "a.csv")] == ["007", "8"]
