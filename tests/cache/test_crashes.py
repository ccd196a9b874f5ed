"""kill -9 at every named point and at random moments; two processes; no space. Real processes, real disks."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from savs.cache import FeatureStore, StoreWarning
from savs.errors import StoreError

pytestmark = pytest.mark.slow

POINTS = [
    *[(point, occurrence) for point in ("created", "written", "synced", "renamed") for occurrence in (1, 3)],
    *[(point, occurrence) for point in ("encoded", "folder-synced") for occurrence in (1, 4)],
]
# Each kill costs two starts of Python; by hand SAVS_STORE_KILLS=100 takes some minutes.
RANDOM_KILLS = int(os.environ.get("SAVS_STORE_KILLS", "4"))


def computed(log: Path) -> Counter[int]:
    return Counter(map(int, log.read_text().split())) if log.exists() else Counter()


def check_whole(folder: Path, writing) -> None:
    """Every row is there once, bit for bit, every part is whole, and nothing else is left."""
    store = FeatureStore.existing(folder)
    got = store.get([writing.key(index) for index in range(writing.N_ROWS)])
    assert got.found.all()
    assert np.array_equal(got.features.view(np.uint32), writing.rows(range(writing.N_ROWS)).view(np.uint32))
    assert store.verify() == []
    assert (store.info()["rows"], store.info()["duplicates"]) == (writing.N_ROWS, 0)
    assert not list(folder.rglob(".tmp-*"))
    assert not (folder / "quarantine").exists()


@pytest.mark.parametrize(("point", "occurrence"), POINTS)
def test__fault_23__killed_at_a_named_point__rerun_ends_the_same(
    folder, tmp_path, start, writing, point, occurrence
):
    log = tmp_path / "log"
    assert start(folder, log, point, occurrence).wait(60) == -signal.SIGKILL
    writing.run(folder, log)
    check_whole(folder, writing)
    assert computed(log).keys() == set(range(writing.N_ROWS))
    assert sum(computed(log).values()) <= writing.N_ROWS + writing.PART_ROWS


@pytest.mark.parametrize("point", ["pruned-written", "pruned-deleted"])
def test__fault_23__killed_while_pruning__no_row_lost(folder, tmp_path, start, writing, point):
    scratch = tmp_path / "scratch"
    for place, indices in ((folder, range(6)), (scratch, range(3, 10))):
        with writing.open_store(place) as store:
            store.append([writing.key(index) for index in indices], writing.rows(indices))
    for path in (scratch / "parts").glob("*.parquet"):
        path.rename(folder / "parts" / path.name)
    assert start(folder, tmp_path / "log", point, 1).wait(60) == -signal.SIGKILL
    again = tmp_path / "again"
    writing.run(folder, again)
    assert not again.exists(), "a row was computed again"
    check_whole(folder, writing)


def test__fault_23__killed_at_random_moments__rerun_ends_the_same(folder, tmp_path, start, writing):
    seconds = random.Random(os.environ.get("SAVS_STORE_SEED", "0"))
    log = tmp_path / "log"
    for _ in range(RANDOM_KILLS):
        running = start(folder, log, PAUSE="0.02")
        while not log.exists() and running.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds.uniform(0, 0.35))
        before = sum(computed(log).values())
        running.kill()
        assert running.wait(60) in (-signal.SIGKILL, 0)
        writing.run(folder, log)
        check_whole(folder, writing)
        after = sum(computed(log).values())
        kept = writing.N_ROWS - (after - before)
        assert kept >= before - writing.PART_ROWS - writing.BATCH
        shutil.rmtree(folder)
        log.unlink()


def test__fault_26__two_processes_forced_to_overlap__both_succeed_nothing_twice_or_lost(
    folder, tmp_path, start, writing
):
    """The first stands still with a part written and not yet named, while the second computes everything."""
    go, log = tmp_path / "go", tmp_path / "log"
    first = start(folder, log, "synced", 3, go)
    deadline = time.monotonic() + 60
    while not Path(f"{go}.reached").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    second = start(folder, log)
    time.sleep(0.5)
    go.touch()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    check_whole(folder, writing)


def test__fault_26__four_processes_at_once__all_succeed_nothing_twice_or_lost(
    folder, tmp_path, start, writing
):
    runs = [start(folder, tmp_path / f"log{number}", PAUSE="0.01") for number in range(4)]
    assert [run.wait(120) for run in runs] == [0] * 4
    check_whole(folder, writing)


def test__fault_26__a_stopped_process_holds_the_lock__others_go_on(folder, writing, monkeypatch):
    """A lock that is never given back costs patience, not rows."""
    import fcntl

    store = writing.open_store(folder)
    with (folder / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        from savs.cache import _writing

        locked = _writing.locked
        monkeypatch.setattr(_writing, "locked", lambda path: locked(path, patience=0.05))
        store.append([writing.key(0)], writing.rows([0]))
        store.flush()
    assert writing.open_store(folder).get([writing.key(0)]).found.all()


@pytest.fixture
def disk(mount_disk):
    return mount_disk("256k")


@pytest.fixture
def small_disk(disk):
    """A file system of 256 KiB."""
    return disk.path


def fill(store, writing, n_rows=4000, step=100):
    for start in range(0, n_rows, step):
        indices = range(start, start + step)
        store.append([writing.key(index) for index in indices], np.full((step, 17), start, np.float32))
    store.flush()


def test__fault_25__disk_full__warns_once_and_goes_on_uncached_no_temporary_file(small_disk, writing):
    store = writing.open_store(small_disk / "store", on_full="warn", part_rows=500)
    with pytest.warns(StoreWarning, match="No space left on device; the run goes on") as said:
        fill(store, writing)
    assert len(said) == 1
    assert not store.caching
    kept = len(store)
    assert 0 < kept < 4000
    assert not list(small_disk.rglob(".tmp-*"))
    again = FeatureStore.existing(small_disk / "store")
    assert again.verify() == []
    assert again.get([writing.key(index) for index in range(kept)]).found.all()


def test__fault_25__disk_full__stops_by_setting_and_the_rows_wait_for_space(small_disk, writing):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(235 * 1024))
    store = writing.open_store(small_disk / "store", on_full="raise", part_rows=500)
    with pytest.raises(StoreError, match="No space left on device"):
        fill(store, writing, 500)
    assert not list(small_disk.rglob(".tmp-*"))
    ballast.unlink()
    store.flush()
    assert len(FeatureStore.existing(small_disk / "store")) == 500


def test__fault_25__disk_full_while_pruning__stops_and_loses_nothing(small_disk, writing):
    folder = small_disk / "store"
    for start in range(0, 1200, 100):
        with writing.open_store(folder, part_rows=100) as store:
            indices = range(start, start + 100)
            store.append([writing.key(index) for index in indices], np.full((100, 17), start, np.float32))
    (small_disk / "ballast").write_bytes(bytes(80 * 1024))
    store = writing.open_store(folder, part_rows=2000)
    with pytest.raises(StoreError, match="No space left"):
        store.prune()
    assert not list(small_disk.rglob(".tmp-*"))
    assert FeatureStore.existing(folder).get([writing.key(index) for index in range(1200)]).found.all()


def test__fault_25__file_size_limit__same_as_a_full_disk(folder, writing, warm_python):
    """Runs where nothing can be mounted."""
    code = f"""
        import resource, sys, warnings
        sys.path.insert(0, {str(Path(writing.__file__).parent)!r})
        import writing, numpy as np
        from pathlib import Path
        store = writing.open_store(Path({str(folder)!r}), on_full="warn", part_rows=500)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for start in (0, 500, 1000):
                keys = [writing.key(index) for index in range(start, start + 500)]
                store.append(keys, np.ones((500, 17), np.float32))
        print(len(said), said[0].category.__name__, str(said[0].message), store.caching, sep="|")
    """
    done = warm_python.run(["-c", textwrap.dedent(code)], check=True)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000
    count, kind, message, caching = done.stdout.strip().split("|")
    assert (count, kind, caching) == ("1", "StoreWarning", "False")
    assert "File too large" in message
    assert [path.name for path in (folder / "parts").iterdir()] == []


@pytest.fixture
def read_only(disk, writing):
    """A store of 4 rows on a file system that cannot be written."""
    with writing.open_store(disk.path / "store") as store:
        store.append([writing.key(index) for index in range(4)], writing.rows(range(4)))
    disk.remount("ro")
    return disk.path


def test__fault_25__read_only_store__is_read_and_warns_once_at_the_first_write(read_only, writing):
    store = writing.open_store(read_only / "store", on_full="warn")
    assert np.array_equal(
        store.get([writing.key(index) for index in range(4)]).features, writing.rows(range(4))
    )
    indices = range(4, 40)
    with pytest.warns(StoreWarning, match="Read-only file system") as said:
        store.append([writing.key(index) for index in indices], writing.rows(indices))
    store.flush()
    assert len(said) == 1
    strict = writing.open_store(read_only / "store")
    strict.append([writing.key(9)], writing.rows([9]))
    with pytest.raises(StoreError, match="Read-only"):
        strict.flush()


def test__fault_25__folder_that_cannot_be_made__uncached_or_refused(read_only, writing):
    with pytest.warns(StoreWarning, match="Read-only") as said:
        store = writing.open_store(read_only / "new", on_full="warn")
    store.append([writing.key(0)], writing.rows([0]))
    store.flush()
    assert len(said) == 1
    assert store.missing([writing.key(0)]) == [writing.key(0)]
    assert store.verify() == []
    with pytest.raises(StoreError, match="Read-only"):
        writing.open_store(read_only / "new")


def test__fault_27__damaged_part_on_a_read_only_disk__passed_over(read_only, disk, writing):
    disk.remount("rw")
    (path,) = (read_only / "store" / "parts").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    disk.remount("ro")
    with pytest.warns(StoreWarning, match="its rows are computed again"):
        store = writing.open_store(read_only / "store", on_full="warn")
    assert len(store.missing([writing.key(index) for index in range(4)])) == 4
    assert path.exists()
