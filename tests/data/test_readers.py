"""Readers that users register, and those of installed packages, from `read_examples` to the command line."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.data.tables import png

from savs import SAVModel
from savs.data import (
    ErrorLedger,
    ReadOptions,
    _readers,
    count_rows,
    iter_examples,
    read_examples,
    register_reader,
)
from savs.errors import DataError, ItemError

pytestmark = pytest.mark.slow

READER = """
def read_pets(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        image, label = line.split(" is a ")
        yield {"image": image, "question": "Which animal?", "label": label}
"""
PETS = ["1.png is a cat", "2.png is a dog", "3.png is a cat", "4.png is a dog"]


def read_pets(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        image, label = line.split(" is a ")
        yield {"image": image, "question": "Which animal?", "label": label}


def read_table(address: str) -> list[dict[str, Any]]:
    with sqlite3.connect(address.removeprefix("sqlite://")) as connection:
        rows = connection.execute("select id, question, label from rows").fetchall()
    return [{"id": id, "question": question, "label": label} for id, question, label in rows]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register readers for the time of a test."""
    monkeypatch.setattr(_readers._READERS, "_entries", {})
    register_reader(".pets", read_pets)
    register_reader("sqlite", read_table)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for number in range(1, 5):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    (tmp_path / "four.pets").write_text("\n".join(PETS))
    return tmp_path / "four.pets"


@pytest.mark.usefixtures("registered")
def test__reader__file__examples_with_ids_and_media_beside_it(pets: Path) -> None:
    examples = read_examples(pets, require_labels=True)
    assert [(e.id, e.text, e.label) for e in examples] == [
        (f"four.pets:{number}", "Which animal?", label)
        for number, label in enumerate(["cat", "dog", "cat", "dog"], start=1)
    ]
    assert examples[0].images[0].source == (pets.parent / "1.png").resolve()
    assert [position for position, _ in iter_examples(pets, shard=(1, 2), limit=3)] == [1]
    assert count_rows(pets) is None
    assert [
        e.id for e in read_examples(pets, ReadOptions(limit=2, text_column="label", label_column="question"))
    ]


@pytest.mark.usefixtures("registered")
def test__reader__address__rows_of_a_database(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table rows (id integer, question text, label text)")
        connection.execute("insert into rows values (7, 'red?', 'warm'), (8, 'blue?', 'cold')")
    examples = read_examples(f"sqlite://{path}")
    assert [(e.id, e.text, e.label) for e in examples] == [("7", "red?", "warm"), ("8", "blue?", "cold")]


@pytest.mark.usefixtures("registered")
def test__reader__fit_and_predict__answers(pets: Path) -> None:
    model = SAVModel.from_backbone("tiny").fit(read_examples(pets))
    assert model.predict(read_examples(pets)).shape == (4,)


@pytest.mark.usefixtures("registered")
def test__reader__bad_rows__item_errors_with_file_and_row(pets: Path) -> None:
    register_reader(".rows", lambda path: json.loads(path.read_text()))
    path = pets.with_name("a.rows")
    path.write_text(json.dumps([{"question": "q"}, {"label": "x"}, {"question": "r", "image": "../x.png"}]))
    ledger = ErrorLedger(-1)
    assert [e.id for e in read_examples(path, ledger=ledger)] == ["a.rows:1"]
    assert [(error.id, error.code) for error in ledger.errors] == [
        ("a.rows:2", "row"),
        ("a.rows:3", "media_outside_root"),
    ]
    with pytest.raises(ItemError, match=r"^a\.rows:2: the row has neither"):
        read_examples(path)


def broken(rows: list[Any], error: Exception | None = None) -> Callable[[Path], Iterator[Any]]:
    def read(_path: Path) -> Iterator[Any]:
        yield from rows
        if error is not None:
            raise error

    return read


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (
            broken([{"question": "q"}], ValueError("no\nend")),
            r"a\.b:2: the reader of \.b failed \(ValueError: no end\)",
        ),
        (broken([], DataError("bad header")), r"a\.b:1: the reader of \.b failed \(bad header\)"),
        (broken([]), r"a\.b holds 0 examples"),
        (broken([["q", "x"]]), r"a\.b:1: a row must be a mapping of column names to values, not list"),
        (broken([{1: "q"}]), r"a\.b:1: a row must be a mapping of column names to values, not dict"),
        (broken([{"question": "\ud800"}]), r"a\.b:1: the column 'question' holds half of a surrogate pair"),
        (lambda _path: 7, r"a\.b:1: the reader of \.b failed \(TypeError: 'int' object is not iterable\)"),
        (broken([{"question": "q", "id": 1}] * 2), r"a\.b:2: the id '1' stands at a\.b:1 already"),
    ],
)
def test__fault_17__reader_fails__one_line_with_file_and_row(
    tmp_path: Path, reader: Any, message: str
) -> None:
    register_reader(".b", reader)
    (tmp_path / "a.b").write_text("x")
    with pytest.raises(DataError, match=f"^{message}") as caught:
        read_examples(tmp_path / "a.b")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("registered")
def test__reader__address_with_a_password__not_in_messages() -> None:
    register_reader("db", broken([], OSError("refused")))
    with pytest.raises(DataError, match=r"^db://host/table:1: the reader of db failed") as caught:
        read_examples("db://user:secret@host/table?key=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("registered")
def test__register_reader__format_of_savs_or_name_twice__refused() -> None:
    for name in (".jsonl", ".CSV", ".parquet", "hf", "hf://"):
        with pytest.raises(ValueError, match=r"savs reads .* itself"):
            register_reader(name, read_pets)
    with pytest.raises(ValueError, match=r"a reader named '\.pets' exists"):
        register_reader(".PETS", read_pets)
    register_reader(".pets", read_pets, replace=True)


@pytest.mark.usefixtures("registered")
def test__source__unknown_suffix_or_scheme__message_lists_the_readers(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(DataError, match=r"'a\.xyz' is not read; give .*, \.pets, sqlite://$"):
        read_examples(tmp_path / "a.xyz")
    with pytest.raises(DataError, match=r"^s3:// web addresses are not opened; .*, sqlite://$"):
        read_examples("s3://bucket/a.pets")
    with pytest.raises(DataError, match="has no splits"):
        read_examples("sqlite://x", split="train")


@pytest.fixture
def package(tmp_path: Path) -> dict[str, str]:
    """Return the environment in which a package with a reader is installed."""
    site = tmp_path / "site"
    info = site / "savs_pets-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "savs_pets.py").write_text(READER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: savs-pets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[savs.readers]\n.pets = savs_pets:read_pets\n")
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SAVS_HOME": str(tmp_path / "home")}


def test__entry_point__installed_package__its_format_reaches_every_command(
    pets: Path, package: dict[str, str], tmp_path: Path
) -> None:
    def savs(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "savs", *map(str, arguments)]
        return subprocess.run(command, env=package, capture_output=True, text=True, check=False)

    fitted = savs("fit", pets, "-b", "tiny", "-o", tmp_path / "model")
    assert fitted.returncode == 0, fitted.stderr
    predicted = savs("predict", tmp_path / "model", pets)
    assert predicted.returncode == 0, predicted.stderr
    assert [json.loads(line)["id"] for line in predicted.stdout.splitlines()] == [
        f"four.pets:{number}" for number in range(1, 5)
    ]
    for command in (
        ("evaluate", tmp_path / "model", pets),
        ("extract", pets, "-b", "tiny", "-o", tmp_path / "s"),
    ):
        done = savs(*command)
        assert done.returncode == 0, done.stderr
    pets.write_text("1.png is a cat\nnonsense\n")
    broken = savs("predict", tmp_path / "model", pets)
    assert broken.returncode == 1
    assert "four.pets:2: the reader of .pets failed (ValueError: " in broken.stderr
