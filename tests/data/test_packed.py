"""Text files packed by gzip: read as the file in them, within the same limits."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from pathlib import Path

import pytest

from savs.data import as_example, count_rows, iter_examples, read_examples, register_reader
from savs.errors import DataError, ExampleError

ROWS = [{"text": f"line {number}", "label": "ab"[number % 2], "n": "007"} for number in range(5)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CELLS = "text;label;n\n" + "".join(";".join(row.values()) + "\n" for row in ROWS)
FILES = {
    "a.jsonl": LINES,
    "a.ndjson": LINES,
    "a.json": json.dumps(ROWS),
    "lines.json": LINES,
    "a.csv": "\ufeff" + CELLS,
    "a.tsv": CELLS.replace(";", "\t"),
}


def packed(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.mark.parametrize(("name", "text"), FILES.items(), ids=FILES)
def test__packed_file__read_as_the_file_in_it(tmp_path: Path, name: str, text: str) -> None:
    plain = tmp_path / name
    plain.write_text(text, encoding="utf-8")
    path = packed(tmp_path, name, text)
    expected, found = read_examples(plain), read_examples(path)
    assert [(e.text, e.label, e.fields) for e in found] == [(e.text, e.label, e.fields) for e in expected]
    assert [e.id for e in found] == [e.id.replace(name, f"{name}.gz") for e in expected]
    assert [e.label for e in found] == ["a", "b", "a", "b", "a"]
    assert count_rows(path) == count_rows(plain)


def test__packed_in_several_members_and_upper_case__read_whole(tmp_path: Path) -> None:
    path = tmp_path / "A.JSONL.GZ"
    half = LINES.index("\n", len(LINES) // 2) + 1
    path.write_bytes(gzip.compress(LINES[:half].encode()) + gzip.compress(LINES[half:].encode()))
    assert len(read_examples(path)) == len(ROWS)
    assert len(read_examples(tmp_path / "*.GZ")) == len(ROWS)


def damages() -> dict[str, bytes]:
    whole = gzip.compress(LINES.encode())
    middle = len(whole) // 2
    return {
        "cut short": whole[:middle],
        "without its end": whole[:-4],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "something behind": whole + b"more",
        "plain": LINES.encode(),
        "zlib": zlib.compress(LINES.encode()),
    }


@pytest.mark.parametrize("damage", damages())
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz"])
def test__fault_17__packed_file_that_is_damaged__one_line(tmp_path: Path, damage: str, name: str) -> None:
    (tmp_path / name).write_bytes(damages()[damage])
    with pytest.raises(
        DataError, match=rf"^'{name}' cannot be unpacked: it is damaged, cut short or not gzip$"
    ):
        read_examples(tmp_path / name)


def test__fault_17__line_that_unpacks_beyond_the_limit__error_in_little_memory(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("savs.data._text_files.LONGEST_LINE", 2**16)
    monkeypatch.setattr("savs.data._text_files._LARGEST_UNPACKED", 2**18)
    lines = packed(tmp_path, "a.jsonl", LINES + '{"text": "' + "x" * 2**25 + '"}\n')
    whole = packed(tmp_path, "a.json", json.dumps([{"text": "x" * 2**25}]))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"^a\.jsonl\.gz:6: the line is longer than 65536 bytes$"):
            list(iter_examples(lines))
        with pytest.raises(DataError, match=r"the line is longer than 65536 bytes"):
            read_examples(whole)
        monkeypatch.setattr("savs.data._text_files.LONGEST_LINE", 2**28)
        assert tracemalloc.get_traced_memory()[1] < 2**21
        with pytest.raises(
            DataError, match=r"^a\.json\.gz holds more than 262144 bytes; write .* \.jsonl\.gz$"
        ):
            read_examples(whole)
    finally:
        tracemalloc.stop()


def test__packed__other_formats_and_texts__named(tmp_path: Path) -> None:
    packed(tmp_path, "a.parquet", "x")
    with pytest.raises(DataError, match=r"^'a\.parquet\.gz' is not read; unpack it, or give "):
        read_examples(tmp_path / "a.parquet.gz")
    path = packed(tmp_path, "a.jsonl", LINES)
    with pytest.raises(ExampleError, match="read_examples"):
        as_example(str(path))
    with pytest.raises(ValueError, match=r"savs reads '\.csv\.gz' itself"):
        register_reader(".csv.gz", lambda _path: [])
