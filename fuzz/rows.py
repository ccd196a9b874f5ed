"""Data files: read with the public column names, and again with columns named and errors collected."""

from __future__ import annotations

import random
from pathlib import Path

from fuzz.json_changes import VALUES, change_text, dump
from fuzz.judging import check_message
from savs.data import ErrorLedger, Example, example_hash, read_examples
from savs.errors import DataError, ItemError

__all__ = ["ALLOWED", "SUFFIXES", "mutate", "place", "read"]

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
ALLOWED = (DataError, ItemError)

CELLS = (
    b"",
    b'""',
    b'"',
    b'"a\nb"',
    b'"a""b"',
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xed\xa0\x80",
    b"nan",
    b"1e999",
    b"=1+1",
    b"\r",
    b"a.png",
    b"<image>",
    "́".encode(),
    b"x" * 200_000,
)


def place(body: bytes, suffix: str, folder: Path) -> Path:
    """Write a data file."""
    path = folder / f"case{suffix}"
    path.write_bytes(body)
    return path


def read(path: Path) -> None:
    """Read a data file in two ways; what comes out must be examples with names, and hashable."""
    ledger = ErrorLedger(-1)
    collected = _read(path, ledger=ledger)
    named = _read(path, text_column="text", label_column="label", require_labels=True)
    for found in (collected, named):
        for example in found if isinstance(found, list) else []:
            _check(example)
    for error in ledger.errors:
        check_message(str(error))
        assert error.record()["id"]
    if not ledger.errors and isinstance(collected, list):
        assert [one.id for one in read_examples(path)] == [one.id for one in collected]
    if isinstance(collected, Exception) or ledger.errors:
        raise collected if isinstance(collected, Exception) else ledger.errors[0]


def _read(path: Path, **options: object) -> list[Example] | Exception:
    try:
        return read_examples(path, **options)  # type: ignore[arg-type]
    except ALLOWED as error:
        return error


def _check(example: Example) -> None:
    assert example.id
    assert example.parts
    assert isinstance(example.label, str | int | None)
    example.id.encode()
    example.text.encode()
    if not (example.images or example.audios):
        assert len(example_hash(example)) == 64


def mutate(body: bytes, suffix: str, chance: random.Random) -> bytes:
    """Change cells and rows, and leave the file what its ending says."""
    if suffix == ".json":
        return change_text(body, chance)
    if suffix == ".jsonl":
        return _lines_changed(body, chance)
    if suffix == ".parquet":
        return _parquet(chance) if chance.random() < 0.2 else _footer_changed(body, chance)
    return _table_changed(body, b"\t" if suffix == ".tsv" else b",", chance)


def _lines_changed(body: bytes, chance: random.Random) -> bytes:
    lines = body.split(b"\n")
    position = chance.randrange(len(lines))
    lines[position] = change_text(lines[position], chance)
    if chance.random() < 0.2:
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    if chance.random() < 0.1:
        lines.insert(0, dump(chance.choice(VALUES)))
    return b"\n".join(lines)


def _table_changed(body: bytes, delimiter: bytes, chance: random.Random) -> bytes:
    rows = [line.split(delimiter) for line in body.split(b"\n")]
    row = chance.choice(rows)
    position = chance.randrange(len(row))
    kind = chance.randrange(4)
    if kind == 0:
        row[position] = chance.choice(CELLS)
    elif kind == 1:
        row.insert(position, chance.choice(CELLS))
    elif kind == 2:
        del row[position]
    else:
        rows.insert(chance.randrange(len(rows) + 1), list(chance.choice(rows)))
    return b"\n".join(delimiter.join(cells) for cells in rows)


def _footer_changed(body: bytes, chance: random.Random) -> bytes:
    """Return Parquet bytes with a few bytes of the footer replaced: where the lengths stand."""
    changed = bytearray(body)
    length = int.from_bytes(body[-8:-4], "little")
    start = len(body) - 8 - length
    if not 0 <= start < len(body):
        start = 0
    for _ in range(chance.randint(1, 3)):
        if changed:
            changed[chance.randrange(start, len(changed))] = chance.randrange(256)
    return bytes(changed)


def _parquet(chance: random.Random) -> bytes:
    """Return a Parquet file with columns of types that examples have and have not."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    n_rows = chance.choice([0, 1, 2, 3])
    names = chance.sample(
        ["text", "image", "label", "id", "messages", "images", "more"], chance.randint(1, 4)
    )
    table = pa.table({name: _column(n_rows, chance) for name in names})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression=chance.choice(["none", "snappy", "zstd"]))
    return buffer.getvalue()


def _column(n_rows: int, chance: random.Random) -> object:
    import datetime

    import pyarrow as pa

    day = datetime.datetime(2020, 1, 1)
    kinds: tuple[tuple[object, pa.DataType], ...] = (
        ("a", pa.string()),
        ("a", pa.large_string()),
        (b"\xff", pa.binary()),
        (1, pa.int64()),
        (2**64 - 1, pa.uint64()),
        (1.5, pa.float64()),
        (float("nan"), pa.float32()),
        (True, pa.bool_()),
        (day, pa.timestamp("ns")),
        (datetime.timedelta(1), pa.duration("us")),
        (["a"], pa.list_(pa.string())),
        ([["a"]], pa.list_(pa.list_(pa.string()))),
        ({"bytes": b"\x89PNG", "path": None}, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ([("a", 1)], pa.map_(pa.string(), pa.int32())),
        (None, pa.null()),
        ("a", pa.dictionary(pa.int32(), pa.string())),
    )
    value, kind = chance.choice(kinds)
    return pa.array([None if chance.random() < 0.2 else value for _ in range(n_rows)], kind)
