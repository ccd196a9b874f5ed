"""Damaged, foreign and hostile parts: set aside and computed again; never a crash, never a wrong value."""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from savs.cache import FeatureStore, StoreWarning
from savs.errors import SAVsError
from savs.layout import HeadLayout


def part_paths(folder):
    return sorted((folder / "parts").glob("*.parquet"))


def write_like_a_part(folder, table, **options) -> None:
    path = folder / "made.parquet"
    pq.write_table(table, path, **options)
    path.replace(folder / "parts" / (hashlib.sha256(path.read_bytes()).hexdigest() + ".parquet"))


def read_everything(folder, writing):
    """Return the rows that a reader gets, and what it was told."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        got = writing.open_store(folder).get([writing.key(index) for index in range(20)])
    return got, [str(warning.message) for warning in said if warning.category is StoreWarning]


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.5, 0.9, -1])
def test__fault_27__truncated_part__detected_at_opening_quarantined_and_recomputed(filled, writing, kept):
    path = max(part_paths(filled), key=lambda part: part.stat().st_size)
    size = path.stat().st_size
    os.truncate(path, int(kept * size) if isinstance(kept, float) else kept % size)
    with pytest.warns(StoreWarning, match=r"quarantine/ and its rows are computed again"):
        store = writing.open_store(filled)
    assert [bad.name for bad in store.verify()] == [path.name]
    keys = [writing.key(index) for index in range(20)]
    missing = store.missing(keys)
    assert len(missing) == 8
    assert (filled / "quarantine" / path.name).exists()
    lost = [keys.index(key) for key in missing]
    store.append(missing, writing.rows(lost))
    store.flush()
    got = store.get(keys)
    assert got.found.all()
    assert np.array_equal(got.features, writing.rows(range(20)))


def test__fault_27__any_single_flipped_bit__never_a_wrong_value(filled, writing):
    """Bits all over a part, every byte of its footer and of its first page header among them."""
    path = part_paths(filled)[0]
    raw, n_rows = path.read_bytes(), pq.read_metadata(path).num_rows
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    spots = [*range(60), *range(60, footer, 29), *range(footer, len(raw), 11), *range(len(raw) - 8, len(raw))]
    harmless = 0
    for number, spot in enumerate(spots):
        damaged = bytearray(raw)
        damaged[spot] ^= 1 << number % 8
        path.write_bytes(damaged)
        got, said = read_everything(filled, writing)
        assert np.array_equal(got.features[got.found], writing.rows(np.flatnonzero(got.found)))
        assert got.found.all() or (said and got.found.sum() == 20 - n_rows), spot
        harmless += bool(got.found.all())
        if got.found.all():
            with pytest.warns(StoreWarning, match=r"sha256 .* is not its name"):
                assert len(FeatureStore.existing(filled).verify()) == 1
        (filled / "quarantine" / path.name).rename(path)
    assert harmless < len(spots) / 2


def test__fault_27__flipped_bit_found_while_reading__the_other_parts_still_answer(filled, writing):
    store = writing.open_store(filled)
    path = part_paths(filled)[0]
    raw = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    raw[start + 100] ^= 4
    path.write_bytes(raw)
    with pytest.warns(StoreWarning, match="values of column layer_000 were altered"):
        got = store.get([writing.key(index) for index in range(20)])
    assert got.found.sum() in (12, 16)
    assert np.array_equal(got.features[got.found], writing.rows(np.flatnonzero(got.found)))
    assert store.info()["quarantined"] == 1


def test__fault_27__damaged_row_that_stands_elsewhere_too__is_taken_from_there(folder, writing, tmp_path):
    for place in (folder, tmp_path / "twin"):
        with writing.open_store(place) as store:
            n_rows = 4 if place == folder else 3
            store.append([writing.key(index) for index in range(n_rows)], writing.rows(range(n_rows)))
    (twin,) = part_paths(tmp_path / "twin")
    twin.rename(folder / "parts" / twin.name)
    for damaged in part_paths(folder):
        raw = damaged.read_bytes()
        store = writing.open_store(folder)
        damaged.write_bytes(raw[:200] + bytes([raw[200] ^ 1]) + raw[201:])
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            got = store.get([writing.key(index) for index in range(3)])
        assert got.found.all()
        assert np.array_equal(got.features, writing.rows(range(3)))
        (folder / "quarantine").mkdir(exist_ok=True)
        damaged.write_bytes(raw)


CONTENTS = {
    "empty": b"",
    "zeros": bytes(4096),
    "pickle": pickle.dumps({"a": np.zeros(3)}),
    "magic only": b"PAR1PAR1",
    "magic and zeros": b"PAR1" + bytes(500) + b"PAR1",
    "huge footer": b"PAR1" + bytes(100) + (2**31 - 1).to_bytes(4, "little") + b"PAR1",
    "footer of the whole file": b"PAR1" + bytes(100) + (100).to_bytes(4, "little") + b"PAR1",
    "negative footer": b"PAR1" + bytes(100) + (2**32 - 5).to_bytes(4, "little") + b"PAR1",
    "encrypted": b"PARE" + bytes(100) + (50).to_bytes(4, "little") + b"PARE",
    "varints": b"PAR1" + b"\xff" * 300 + (300).to_bytes(4, "little") + b"PAR1",
    "deep": b"PAR1" + b"\x1c" * 3000 + (3000).to_bytes(4, "little") + b"PAR1",
    "long list": b"PAR1"
    + b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07"
    + bytes(91)
    + (100).to_bytes(4, "little")
    + b"PAR1",
    "numpy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }",
    "zip": b"PK\x03\x04" + bytes(200),
}


@pytest.mark.parametrize("content", [pytest.param(value, id=name) for name, value in CONTENTS.items()])
def test__fault_27__foreign_bytes_named_like_a_part__set_aside(filled, writing, content):
    name = hashlib.sha256(content).hexdigest() + ".parquet"
    (filled / "parts" / name).write_bytes(content)
    got, said = read_everything(filled, writing)
    assert got.found.all()
    assert len(said) == 1
    assert name in said[0]
    assert (filled / "quarantine" / name).read_bytes() == content


def binary(values, width):
    return pa.array(values, pa.binary(width))


def tables(real: pa.Table):
    """Parquet files that a savs never wrote, with its names and its metadata where they help."""
    n = len(real)
    yield "no metadata", real.replace_schema_metadata({}), {}
    yield "other columns", pa.table({"a": [1, 2]}), {}
    yield "lists", real.set_column(1, "layer_000", pa.array([[1.0]] * n)), {}
    yield "nulls", real.set_column(1, "layer_000", binary([None] * n, 24)), {}
    yield "narrower", real.set_column(1, "layer_000", binary([b"x" * 20] * n, 20)), {}
    yield "compressed", real, {"compression": "zstd"}
    yield "dictionary", real, {"compression": "none", "use_dictionary": True}
    yield "several groups", real, {"compression": "none", "use_dictionary": False, "row_group_size": 2}
    plain = {"compression": "none", "use_dictionary": False}
    yield "pages", real, plain | {"data_page_size": 1, "write_batch_size": 1}
    yield "no rows", real.slice(0, 0), {"compression": "none", "use_dictionary": False}
    yield "fewer rows", real.slice(0, n - 1), {"compression": "none", "use_dictionary": False}
    yield "not json", real.replace_schema_metadata({"savs": b"\xff{"}), {}
    yield "deep json", real.replace_schema_metadata({"savs": b"[" * 100_000}), {}
    yield "no digests", real.replace_schema_metadata({"savs": b'{"store": "x", "digests": []}'}), {}


def test__fault_27__parquet_of_another_hand__set_aside(filled, writing):
    (real, *_) = [pq.read_table(path) for path in part_paths(filled)]
    for name, table, options in tables(real):
        write_like_a_part(filled, table, **options)
        got, said = read_everything(filled, writing)
        assert got.found.all(), name
        assert np.array_equal(got.features, writing.rows(range(20))), name
        assert len(said) == 1, name


def test__fault_27__part_of_another_store__set_aside(filled, writing, tmp_path):
    with FeatureStore.open(tmp_path / "other", {"weights_digest": "cd"}, writing.LAYOUT) as other:
        other.append([writing.key(0)], np.ones((1, 17), np.float32))
    (foreign,) = part_paths(tmp_path / "other")
    foreign.rename(filled / "parts" / foreign.name)
    got, said = read_everything(filled, writing)
    assert np.array_equal(got.features, writing.rows(range(20)))
    assert "belongs to another store" in said[0]


def test__other_files_and_folders_among_the_parts__left_alone(filled, writing):
    (filled / "parts" / "notes.txt").write_text("mine")
    (filled / "parts" / "x.parquet").write_bytes(b"")
    (filled / "parts" / ("0" * 64 + ".parquet")).mkdir()
    got, said = read_everything(filled, writing)
    assert got.found.all()
    assert len(said) == 1
    assert (filled / "parts" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("seed", range(int(os.environ.get("SAVS_STORE_FUZZ", "120"))))
def test__fuzz__mangled_part__typed_outcome_only(seed, tmp_path_factory, writing):
    """Bytes of a real part cut, doubled, overwritten: a right value or no value, never another error."""
    folder = tmp_path_factory.mktemp("fuzz") / "store"
    with writing.open_store(folder) as store:
        store.append([writing.key(index) for index in range(4)], writing.rows(range(4)))
    (path,) = part_paths(folder)
    rng = np.random.default_rng(seed)
    raw = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 4)):
        start, length = int(rng.integers(0, len(raw))), int(rng.integers(1, 64))
        kind = rng.integers(0, 4)
        if kind == 0:
            raw[start : start + length] = rng.bytes(length)
        elif kind == 1:
            del raw[start : start + length]
        elif kind == 2:
            raw[start:start] = raw[start : start + length]
        else:
            number = int(rng.choice([0, 2**31 - 1, 2**32 - 1, 2**63 - 1]))
            raw[start : start + 8] = number.to_bytes(8, "little")
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        try:
            got = writing.open_store(folder).get([writing.key(index) for index in range(4)])
        except SAVsError:
            return
    assert np.array_equal(got.features[got.found], writing.rows(range(4))[got.found])


def test__layout_of_a_thousand_layers__columns_found_by_name(folder):
    layout = HeadLayout.uniform(1001, 1, 1)
    rows = np.arange(2 * 1001, dtype=np.float32).reshape(2, -1)
    with FeatureStore.open(folder, {}, layout) as store:
        store.append([bytes(32), b"\1" * 32], rows)
    got = FeatureStore.existing(folder).get([b"\1" * 32], [(1000, 0), (7, 0)])
    assert got.features.tolist() == [[2001.0, 1008.0]]
