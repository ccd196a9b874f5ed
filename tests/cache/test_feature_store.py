from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.cache import FeatureStore
from savs.layout import HeadLayout


def part_paths(folder):
    return sorted((folder / "parts").glob("*.parquet"))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test__get__any_layout_keys_and_heads__the_rows_that_went_in(data, tmp_path_factory):
    layers = data.draw(
        st.lists(
            st.tuples(st.integers(0, 200), st.integers(1, 3), st.integers(1, 4)),
            min_size=1,
            max_size=4,
            unique_by=lambda layer: layer[0],
        )
    )
    layout = HeadLayout.from_layers(layers)
    layout = layout.select(data.draw(st.permutations(layout.heads)))
    n_rows, part_rows = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    rows = np.random.default_rng(0).standard_normal((n_rows, layout.width), dtype=np.float32)
    keys = [bytes([index]) * 32 for index in range(n_rows)]
    store = FeatureStore.open(tmp_path_factory.mktemp("store"), {}, layout, part_rows=part_rows)
    store.append(keys, rows)
    wanted = data.draw(st.lists(st.integers(0, n_rows + 1), max_size=12))
    heads = data.draw(st.lists(st.sampled_from(layout.heads), min_size=1, unique=True))
    for _ in ("partly waiting", "written"):
        got = store.get([bytes([index]) * 32 for index in wanted], heads)
        for position, index in enumerate(wanted):
            assert got.found[position] == (index < n_rows)
            expected = (
                np.concatenate([rows[index, layout.columns(head)] for head in heads])
                if index < n_rows
                else np.full(got.features.shape[1], np.nan)
            )
            assert np.array_equal(got.features[position], expected, equal_nan=True)
        store.flush()


def without_values(path) -> bytes:
    """A part's bytes less the values of its columns."""
    raw, group = path.read_bytes(), pq.read_metadata(path).row_group(0)
    kept, end = b"", 0
    for number in range(group.num_columns):
        chunk = group.column(number)
        n_values = group.num_rows * pq.read_schema(path).field(number).type.byte_width
        stop = chunk.data_page_offset + chunk.total_compressed_size
        kept, end = kept + raw[end : stop - n_values], stop
    return kept + raw[end:]


def test__parts__are_named_by_what_is_not_values_and_readable_by_any_parquet_reader(filled, writing):
    tables = []
    for path in part_paths(filled):
        assert hashlib.sha256(without_values(path)).hexdigest() == path.stem
        tables.append(pq.read_table(path))
        assert pd.read_parquet(path)["key"].tolist() == tables[-1]["key"].to_pylist()
    found = {}
    for table in tables:
        assert table.column_names == ["key", "layer_000", "layer_001", "layer_004"]
        for row in table.to_pylist():
            layers = [row[name] for name in table.column_names[1:]]
            found[row["key"]] = np.concatenate([np.frombuffer(layer, "<f4") for layer in layers])
    assert found.keys() == {writing.key(index) for index in range(20)}
    assert all(np.array_equal(found[writing.key(index)], writing.row(index)) for index in range(20))


def test__same_rows__same_part_bytes(tmp_path, writing):
    names = []
    for name in ("one", "two"):
        with writing.open_store(tmp_path / name) as store:
            store.append([writing.key(index) for index in range(8)], writing.rows(range(8)))
        names.append([path.name for path in part_paths(tmp_path / name)])
    assert names[0] == names[1]
    assert len(names[0]) == 1


def test__get__five_layers__reads_no_byte_of_the_others(filled, writing):
    store = writing.open_store(filled)
    keys = [writing.key(index) for index in range(20)]
    for path in part_paths(filled):
        raw = bytearray(path.read_bytes())
        metadata = pq.read_metadata(path)
        chunk = metadata.row_group(0).column(2)  # layer_001
        raw[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size] = bytes(
            chunk.total_compressed_size
        )
        path.write_bytes(raw)
    got = store.get(keys, [(4, 0), (0, 1)])
    columns = writing.LAYOUT.column_indices([(4, 0), (0, 1)])
    assert got.found.all()
    assert np.array_equal(got.features, writing.rows(range(20))[:, columns])
    with pytest.warns(UserWarning, match="layer_001"):
        assert not store.get(keys).found.any()


def test__missing__keys_once_in_order_waiting_and_written_rows_are_there(folder, writing):
    store = writing.open_store(folder)
    store.append([writing.key(index) for index in range(10)], writing.rows(range(10)))
    assert len(store) == 8
    keys = [writing.key(index) for index in (12, 3, 9, 11, 12, 0)]
    assert store.missing(keys) == [writing.key(12), writing.key(11)]
    store.append([writing.key(index) for index in (11, 11, 3)], writing.rows((11, 12, 13)))
    store.flush()
    assert (len(store), store.info()["duplicates"]) == (11, 0)
    assert np.array_equal(store.get([writing.key(11), writing.key(3)]).features, writing.rows((11, 3)))


def test__states__optional_per_row_and_preferred(folder, writing):
    keys = [writing.key(index) for index in range(6)]
    states = writing.rows(range(6), writing.STATES_WIDTH)
    with writing.open_store(folder) as store:
        store.append(keys[:4], writing.rows(range(4)))
        store.append(keys[2:], writing.rows(range(2, 6)), states[2:])
        assert store.missing(keys, states=True) == keys[:2]
        store.append(keys[4:], writing.rows((4, 5)))
    store = FeatureStore.existing(folder)
    assert (len(store), store.info()["duplicates"]) == (6, 2)
    assert store.missing(keys) == []
    assert store.missing(keys, states=True) == keys[:2]
    got = store.get(keys, [(1, 2)], states=True)
    assert got.found.tolist() == [False] * 2 + [True] * 4
    assert np.array_equal(got.states[2:], states[2:])
    assert np.isnan(got.states[:2]).all()
    assert store.get(keys).states is None
    assert store.prune().duplicates == 2
    assert np.array_equal(store.get(keys, states=True).states[2:], states[2:])


def test__two_objects__each_sees_what_the_other_wrote(folder, writing):
    one, two = writing.open_store(folder), writing.open_store(folder)
    one.append([writing.key(0)], writing.rows([0]))
    assert two.missing([writing.key(0)]) == [writing.key(0)]
    one.flush()
    assert two.missing([writing.key(0)]) == []
    assert two.get([writing.key(0)]).found.all()


def test__flush__rows_another_has_written_meanwhile__are_not_written_twice(folder, writing):
    one, two = writing.open_store(folder), writing.open_store(folder)
    one.append([writing.key(index) for index in range(4)], writing.rows(range(4)))
    two.append([writing.key(index) for index in range(2, 6)], writing.rows(range(2, 6)))
    one.flush()
    two.flush()
    assert (two.info()["rows"], two.info()["duplicates"]) == (6, 0)
    assert np.array_equal(one.get([writing.key(i) for i in range(6)]).features, writing.rows(range(6)))


def test__info__counts(filled):
    info = FeatureStore.existing(filled).info()
    assert (info["rows"], info["parts"], info["layers"], info["duplicates"]) == (20, 3, 3, 0)
    assert info["bytes"] == sum(path.stat().st_size for path in part_paths(filled))
    assert info["fingerprint"]["dtype"] == "float32"


@pytest.mark.parametrize("key", [b"short", "a" * 32, bytes(33), bytearray(32), None])
def test__key_that_is_no_digest__value_error(folder, writing, key):
    store = writing.open_store(folder)
    for call in (store.missing, store.get, lambda keys: store.append(keys, writing.rows([0, 1]))):
        with pytest.raises(ValueError, match="key 1 is not a sha256"):
            call([bytes(32), key])
    assert len(store) == 0


def test__wrong_shapes_and_heads__errors_and_nothing_taken(folder, writing):
    store = writing.open_store(folder)
    keys = [writing.key(0)]
    for features, states in [
        (np.zeros((2, 17), np.float32), None),
        (np.zeros((1, 16), np.float32), None),
        (np.zeros((1, 17), np.float32), np.zeros((1, 5), np.float32)),
    ]:
        with pytest.raises(ValueError, match="shape"):
            store.append(keys, features, states)
    with pytest.raises(KeyError):
        store.get(keys, [(9, 9)])
    with pytest.raises(ValueError, match="states_width"):
        FeatureStore.open(folder.parent / "other", {}, writing.LAYOUT).get(keys, states=True)
    assert store.missing(keys) == keys


def test__nothing_asked__nothing_given(folder, writing):
    store = writing.open_store(folder)
    store.append([], np.zeros((0, 17), np.float32))
    store.flush()
    got = store.get([])
    assert got.features.shape == (0, 17)
    assert store.missing([]) == []
    assert part_paths(folder) == []


def test__with_block__rows_are_written_also_after_an_exception(folder, writing):
    def interrupted():
        with writing.open_store(folder) as store:
            store.append([writing.key(0)], writing.rows([0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert FeatureStore.existing(folder).get([writing.key(0)]).found.all()


def test__append__callers_arrays_may_change_afterwards(folder, writing):
    store, rows = writing.open_store(folder), writing.rows([0])
    store.append([writing.key(0)], rows)
    rows[:] = 0
    store.flush()
    assert np.array_equal(store.get([writing.key(0)]).features, writing.rows([0]))
