from __future__ import annotations

import json

import pytest

from savs.cli import _inputs as streaming
from savs.cli._inputs import Source, in_chunks
from savs.data import ErrorLedger, ReadOptions, _readers, as_examples
from savs.errors import DataError, ExampleError, ItemError


def reader(ledger, positions, bad, ahead=0):
    """Yield examples at positions; errors are noted when their turn comes, or some positions earlier."""
    noted = set()
    for position in positions:
        for other in sorted(bad - noted):
            if other < position + ahead:
                noted.add(other)
                ledger.add(other, None, ExampleError("bad", code="bad"))
        if position not in bad:
            yield position, as_examples([f"text {position}"])[0]
    for other in sorted(bad - noted):
        ledger.add(other, None, ExampleError("bad", code="bad"))


@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("ahead", [0, 4, 100])
@pytest.mark.parametrize("bad", [set(), {0}, {19}, {3, 4, 5, 6, 17}, set(range(20))])
def test__in_chunks__any_errors__every_row_in_its_place(size, ahead, bad):
    ledger = ErrorLedger(-1)
    chunks = list(in_chunks(reader(ledger, range(20), bad, ahead), ledger, size))
    assert [position for chunk in chunks for position in chunk] == list(range(20))
    assert all(len(chunk) == size for chunk in chunks[:-1])
    wrong = {position for chunk in chunks for position, row in chunk.items() if isinstance(row, ItemError)}
    assert wrong == bad
    assert (ledger.n_errors, ledger.errors) == (len(bad), [])


def test__in_chunks__too_many_errors__raised():
    ledger = ErrorLedger(2)
    with pytest.raises(ExampleError):
        list(in_chunks(reader(ledger, range(9), {1, 3, 5}), ledger, 2))


def data(folder, n_rows, **columns):
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps({"question": f"{n}", **columns}) + "\n" for n in range(n_rows)))
    return path


def test__check__counts_rows_of_limit_and_shard(tmp_path):
    path = data(tmp_path, 11)
    assert Source(path).check(0) == 11
    assert Source(path, limit=7).check(0) == 7
    assert Source(path, limit=7, shard=(1, 3)).check(0) == 2
    assert Source(path, shard=(1, 3)).check(0) == 4


@pytest.mark.parametrize(("limit", "shard", "n_rows"), [(None, None, 700), (601, (0, 4), 151), (9, None, 9)])
def test__check__no_time__number_of_rows_all_the_same(tmp_path, monkeypatch, limit, shard, n_rows):
    monkeypatch.setattr(streaming, "_CHECK_SECONDS", -1.0)
    assert Source(data(tmp_path, 700), ReadOptions(), limit, shard).check(0) == n_rows


def test__check__missing_files__listed_up_to_twenty(tmp_path):
    path = data(tmp_path, 23, image="gone.png")
    with pytest.raises(DataError, match="23 of 23 examples name a file that cannot be used") as raised:
        Source(path).check(22)
    assert str(raised.value).endswith("... and 3 more")
    assert len(str(raised.value).splitlines()) == 22
    assert Source(path).check(23) == 23
    assert Source(path).check(-1) == 23


def test__check__missing_files_and_rows_that_are_none__both_counted(tmp_path):
    path = data(tmp_path, 3, image="gone.png")
    path.write_text(path.read_text() + '{"label": 1}\n' * 2)
    with pytest.raises(DataError, match=r"3 of 5 examples .* used, and 2 more rows are not examples:"):
        Source(path).check(4)
    assert Source(path).check(5) == 5


@pytest.mark.parametrize(
    ("most_rows", "most_bytes", "n_readings"), [(11, 2**20, 1), (10, 2**20, 2), (11, 12, 2)]
)
def test__rows__checked__read_once_unless_large(tmp_path, monkeypatch, most_rows, most_bytes, n_readings):
    path, readings = data(tmp_path, 11), []

    def rows(_address):
        readings.append(1)
        for line in path.read_text().splitlines():
            yield json.loads(line)

    monkeypatch.setattr(_readers._READERS, "_entries", {"counted": rows})
    monkeypatch.setattr(streaming, "_MOST_KEPT", most_rows)
    monkeypatch.setattr(streaming, "_MOST_KEPT_BYTES", most_bytes)
    source = Source("counted://rows")
    assert source.check(0) == 11
    ledger = ErrorLedger(0)
    assert [example.text for _, example in source.rows(ledger)] == [str(number) for number in range(11)]
    assert len(readings) == n_readings


def test__rows__checked__errors_in_their_places(tmp_path):
    path = data(tmp_path, 3)
    path.write_text(path.read_text() + '{"label": 1}\n' + '{"question": "q"}\n')
    source = Source(path)
    assert source.check(1) == 5
    ledger = ErrorLedger(1)
    assert [position for position, _ in source.rows(ledger)] == [0, 1, 2, 4]
    assert list(ledger.by_index) == [3]
    with pytest.raises(ItemError, match=r"data\.jsonl:4"):
        list(source.rows(ErrorLedger(0)))
