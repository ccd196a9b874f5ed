from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.cache import FeatureStore, StoreWarning
from savs.cache import _files as files
from savs.cache._files import remove_stale

GROUPS = st.lists(st.integers(0, 12), min_size=1, max_size=6, unique=True)


def part_names(folder):
    return sorted(path.name for path in (folder / "parts").glob("*.parquet"))


def write_part_of(folder, writing, indices, scratch, **options):
    """Put a part into a store as another process would that has not seen the others."""
    with writing.open_store(scratch, **options) as store:
        store.append([writing.key(index) for index in indices], writing.rows(indices))
    for path in (scratch / "parts").glob("*.parquet"):
        path.rename(folder / "parts" / path.name)


def check_rows(folder, writing, indices):
    store = FeatureStore.existing(folder)
    got = store.get([writing.key(index) for index in indices])
    assert got.found.all()
    assert np.array_equal(got.features, writing.rows(indices))
    assert store.info()["rows"] == len(set(indices))
    return store


@settings(max_examples=20, deadline=None)
@given(groups=st.lists(GROUPS, min_size=1, max_size=6))
def test__prune__any_overlap__each_row_once_and_a_second_time_nothing(groups, tmp_path_factory, writing):
    root = tmp_path_factory.mktemp("prune")
    folder = root / "store"
    writing.open_store(folder)
    for number, group in enumerate(groups):
        write_part_of(folder, writing, group, root / str(number))
    everything = sorted({index for group in groups for index in group})
    store = check_rows(folder, writing, everything)
    n_rows = store.info()["rows"] + store.info()["duplicates"]
    pruned = writing.open_store(folder).prune()
    assert pruned.duplicates == n_rows - len(everything)
    assert check_rows(folder, writing, everything).info()["duplicates"] == 0
    before = part_names(folder)
    assert writing.open_store(folder).prune().duplicates == 0
    assert part_names(folder) == before
    # One small part at most beside those that are more than half full.
    assert len(before) <= 1 + len(everything) // (writing.PART_ROWS // 2 + 1)


def test__fault_26__two_prunes_that_saw_different_parts__nothing_lost(folder, writing, tmp_path, monkeypatch):
    """The second prune runs, parts added in between, while the first is about to delete."""
    writing.open_store(folder)
    write_part_of(folder, writing, range(6), tmp_path / "a")
    write_part_of(folder, writing, range(3, 8), tmp_path / "b")

    def other(point):
        if point == "pruned-written":
            monkeypatch.setattr(files, "_crash_point", lambda _name: None)
            write_part_of(folder, writing, [0, 7, 20], tmp_path / "c")
            monkeypatch.setattr("savs.cache.feature_store.locked", unlocked)
            writing.open_store(folder).prune()

    monkeypatch.setattr(files, "_crash_point", other)
    writing.open_store(folder).prune()
    store = check_rows(folder, writing, [*range(8), 20])
    store.prune()
    assert check_rows(folder, writing, [*range(8), 20]).info()["duplicates"] == 0


class unlocked:  # noqa: N801 - stands in for a function
    def __init__(self, _path):
        pass

    def __enter__(self):
        return False

    def __exit__(self, *_):
        return None


def test__reader__parts_pruned_under_it__finds_the_rows_in_the_new_ones(folder, writing, tmp_path):
    writing.open_store(folder)
    write_part_of(folder, writing, range(4), tmp_path / "a")
    write_part_of(folder, writing, range(2, 8), tmp_path / "b")
    reader = writing.open_store(folder)
    old = part_names(folder)
    reader._shelf.refresh = lambda: None  # the listing is as old as can be
    writing.open_store(folder).prune()
    assert not set(old) & set(part_names(folder))
    del reader._shelf.refresh
    got = reader.get([writing.key(index) for index in range(8)])
    assert got.found.all()
    assert np.array_equal(got.features, writing.rows(range(8)))


def test__prune__damaged_part__set_aside_its_other_rows_kept(folder, writing, tmp_path):
    writing.open_store(folder)
    write_part_of(folder, writing, range(4), tmp_path / "a")
    (name,) = part_names(folder)
    write_part_of(folder, writing, range(3, 8), tmp_path / "b")
    store = writing.open_store(folder)
    path = folder / "parts" / name
    raw = bytearray(path.read_bytes())
    raw[300] ^= 1
    path.write_bytes(raw)
    with pytest.warns(StoreWarning, match="altered"):
        pruned = store.prune()
    assert pruned.quarantined == 1
    check_rows(folder, writing, range(3, 8))


def test__prune__leftovers_of_killed_processes__deleted_those_in_use_stay(filled):
    (filled / "parts" / ".tmp-dead").write_bytes(b"half a part")
    (filled / ".tmp-dead").write_bytes(b"half a description")
    with files.whole_file(filled / "parts"):
        (alive,) = [path for path in (filled / "parts").glob(".tmp-*") if path.name != ".tmp-dead"]
        FeatureStore.existing(filled)
        assert alive.exists()
        assert remove_stale(filled / "parts") == 0
    assert not list(filled.rglob(".tmp-*"))


def test__store_without_anything_to_do__parts_stay_as_they_are(filled, writing):
    before = part_names(filled)
    pruned = writing.open_store(filled).prune()
    assert part_names(filled) == before
    assert (pruned.duplicates, pruned.parts_before, pruned.parts_after) == (0, 3, 3)


def test__fault_27__quarantine_that_leads_elsewhere__nothing_there_is_touched(filled, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    names = ["letter.txt", f"{'a' * 64}.parquet"]
    for name in names:
        (elsewhere / name).write_text("somebody's")
    (filled / "quarantine").symlink_to(elsewhere)
    damaged = sorted((filled / "parts").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    with pytest.warns(StoreWarning, match="its rows are computed again"):
        store = FeatureStore.existing(filled)
    assert store.info()["quarantined"] == 0
    assert store.prune().quarantined == 0
    assert sorted(path.name for path in elsewhere.iterdir()) == sorted(names)
    assert damaged.exists()


def test__fault_27__files_of_others_in_the_quarantine__stay(filled):
    (filled / "quarantine").mkdir()
    (filled / "quarantine" / "letter.txt").write_text("somebody's")
    (filled / "quarantine" / f"{'a' * 64}.parquet").write_text("a damaged part")
    assert FeatureStore.existing(filled).prune().quarantined == 1
    assert [path.name for path in (filled / "quarantine").iterdir()] == ["letter.txt"]
