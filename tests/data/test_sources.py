from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.tables import png, write_jsonl, write_parquet

from savs.data import count_rows, iter_examples, read_examples
from savs.data._sources import is_untyped
from savs.errors import DataError

TYPES: dict[str, Any] = {
    "text_view": pa.array(["a"] * 5).cast(pa.string_view()),
    "bytes_view": pa.array([b"a"] * 5).cast(pa.binary_view()),
    "long_text": pa.array(["a"] * 5, pa.large_string()),
    "codes": pa.array(list("abaab")).dictionary_encode(),
    "pairs": pa.array([[("k", 1)]] * 5, pa.map_(pa.string(), pa.int64())),
    "nanoseconds": pa.array([1] * 5, pa.timestamp("ns", "UTC")),
    "half": pa.array(np.ones(5, np.float16)),
    "nothing": pa.nulls(5),
    "three_bytes": pa.array([b"abc"] * 5, pa.binary(3)),
    "deep": pa.array([{"a": {"b": [1]}}] * 5),
}


@pytest.mark.parametrize("name", TYPES)
def test__parquet__any_type_of_column__read_whole_and_in_shards(tmp_path: Path, name: str) -> None:
    table = pa.table({"question": list("pqrst"), name: TYPES[name]})
    pq.write_table(table, tmp_path / "a.parquet")
    whole = [example.fields[name] for example in read_examples(tmp_path / "a.parquet")]
    shards = [dict(iter_examples(tmp_path / "a.parquet", shard=(index, 2))) for index in range(2)]
    assert [repr((shards[0] | shards[1])[position].fields[name]) for position in range(5)] == list(
        map(repr, whole)
    )
    assert len(whole) == 5


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "the name of the data is empty"),
        ("x" * 5000, "does not exist"),
        ("x" * 5000 + ".parquet", "cannot be read"),
        ("\0", "does not exist"),
        ("x\0.parquet", "cannot be read"),
        ("\ud800", "does not exist"),
        ("https://x.org/a.parquet", "web addresses are not opened"),
        ("s3://x/a.jsonl", "web addresses are not opened"),
        ("file:///etc/passwd", "web addresses are not opened"),
        ("[.parquet", "no file is called"),
        ("*.parquet", "no file is called"),
        ("nowhere/*.parquet", "no file is called"),
    ],
)
def test__source__that_is_none__one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (read_examples, count_rows, iter_examples):
        with pytest.raises(DataError, match=words) as caught:
            call(source)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 6000


def test__source__working_directory__is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "test"):
        write_parquet(tmp_path / "set" / f"{name}.parquet", [{"question": name}])
    monkeypatch.chdir(tmp_path / "set")
    assert [e.id for e in read_examples(".", split="test")] == ["test.parquet:1"]
    with pytest.raises(DataError, match=r"^set has several splits"):
        read_examples(".")


def test__is_untyped__places_that_have_only_text(tmp_path: Path) -> None:
    for name in ("images/x/1.png", "set/a.parquet", "a.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "images" / "x" / "1.png").write_bytes(png(1))
    write_parquet(tmp_path / "set" / "a.parquet", [{"question": "q"}])
    write_jsonl(tmp_path / "a.jsonl", [{"question": "q"}])
    untyped = ["images", "a.csv", "a.tsv", "B.CSV"]
    assert all(is_untyped(tmp_path / name) for name in untyped)
    assert not any(
        is_untyped(tmp_path / name) for name in ("set", "a.parquet", "a.jsonl", "a.json", "nowhere")
    )
    assert not is_untyped("hf://owner/name")


def test__count_rows__jsonl__blank_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf\r\n{"question": "p"}\r\n  \r\n{"question": "q"}')
    assert count_rows(tmp_path / "a.jsonl") == 2 == len(read_examples(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(("name", "form"), [("a.jsonl", "%s"), ("a.json", "[%s]")])
def test__json__number_beyond_all_numbers__error(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / name
    path.write_text(form % '{"text": "a", "label": "x", "size": -1e400}')
    with pytest.raises(DataError, match=r"a\.json.*-1e400 is too large for a number; write it as text"):
        read_examples(path)
    path.write_text(form % '{"text": "a", "label": "x", "size": 1e300}')
    assert read_examples(path)[0].fields["size"] == 1e300
