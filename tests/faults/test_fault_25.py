"""A store that vanishes or turns read-only midway; a classifier on a disk that cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from tests.faults import test_fault_23 as saving

from savs.artifact import load_artifact, save_artifact
from savs.backbones import FakeBackbone
from savs.cache import StoreWarning, with_store
from savs.data import as_examples
from savs.errors import ArtifactError, StoreError

TEXTS = [f"number {index}" for index in range(20)]
PARTS = {"part_rows": 4}


@pytest.fixture
def disk(mount_disk):
    """A file system of one MiB."""
    return mount_disk("1m")


def take_away(folder: Path, how: str) -> None:
    if how == "renamed":
        folder.rename(folder.with_name("elsewhere"))
        return
    shutil.rmtree(folder / "parts" if how == "parts" else folder)
    if how == "file":
        folder.write_text("something else")


@pytest.mark.parametrize("how", ["deleted", "parts", "renamed", "file"])
@pytest.mark.parametrize("n_before", [2, 6], ids=["before the first part", "after a part"])
def test__fault_25__store_vanishes_midway__said_once_and_every_vector_still_right(tmp_path, how, n_before):
    folder = tmp_path / "store"
    backbone = with_store(FakeBackbone(), folder, **PARTS)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with backbone.holding():
            first = backbone.extract(as_examples(TEXTS[:n_before])).features
            take_away(folder, how)
            second = backbone.extract(as_examples(TEXTS[n_before:])).features
        again = backbone.extract(as_examples(TEXTS)).features
    assert [one.category for one in said] == [StoreWarning]
    assert "the run goes on and keeps no more features" in str(said[0].message)
    expected = FakeBackbone().extract(as_examples(TEXTS)).features
    assert np.array_equal(np.concatenate([first, second]), expected)
    assert np.array_equal(again, expected)


@pytest.mark.parametrize("how", ["deleted", "parts", "renamed", "file"])
def test__fault_25__store_vanishes_midway__stops_with_one_line_by_setting(tmp_path, how):
    folder = tmp_path / "store"
    backbone = with_store(FakeBackbone(), folder, on_full="raise", **PARTS)
    backbone.fill(as_examples(TEXTS[:6]))
    take_away(folder, how)
    with pytest.raises(StoreError, match=r"cannot write the feature store .*store: ") as caught:
        backbone.fill(as_examples(TEXTS[6:]))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("on_full", ["warn", "raise"])
def test__fault_25__disk_turns_read_only_midway__by_setting_and_what_was_written_is_whole(disk, on_full):
    backbone = with_store(FakeBackbone(), disk.path / "store", on_full=on_full, **PARTS)
    backbone.fill(as_examples(TEXTS[:8]))
    disk.remount("ro")
    if on_full == "warn":
        with pytest.warns(StoreWarning, match="Read-only file system; the run goes on") as said:
            backbone.fill(as_examples(TEXTS[8:]))
        assert len(said) == 1
        backbone.fill(as_examples(TEXTS))  # a second warning would be an error
    else:
        with pytest.raises(StoreError, match="Read-only file system"):
            backbone.fill(as_examples(TEXTS[8:]))
    disk.remount("rw")
    rest = with_store(FakeBackbone(), disk.path / "store", **PARTS)
    rest.fill(as_examples(TEXTS))
    assert (rest.n_stored, rest.n_computed) == (8, 12)
    assert rest.store.verify() == []
    assert not list(disk.path.rglob(".tmp-*"))


def test__fault_25__store_of_a_running_extraction_deleted__exit_1_and_one_line(tmp_path, warm_python):
    store, data = tmp_path / "store", tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"text": f"number {index}"}) + "\n" for index in range(20_000)))
    command = ["-m", "savs", "extract", data, "-b", "tiny", "-o", store, "--part-rows", "8"]
    process = warm_python.start(command, env={**os.environ, "SAVS_HOME": str(tmp_path / "home")})
    deadline = time.monotonic() + 120
    while not list(store.glob("parts/*.parquet")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    store.rename(tmp_path / "gone")
    text, error = process.communicate(timeout=120)
    assert (process.returncode, text) == (1, "")
    assert error == f"savs: error: cannot write the feature store {store}: No such file or directory\n"


def test__fault_25__classifier_on_a_read_only_disk__old_one_intact_no_temp_files(disk):
    save_artifact(saving.SAVING.artifact(1.0), disk.path / "old", card="card")
    before = {path.name: path.read_bytes() for path in (disk.path / "old").iterdir()}
    disk.remount("ro")
    for folder in (disk.path / "old", disk.path / "new"):
        with pytest.raises(ArtifactError, match=r"cannot write .*Read-only file system") as caught:
            save_artifact(saving.SAVING.artifact(2.0), folder, card="card")
        assert str(caught.value).isprintable()
    assert {path.name: path.read_bytes() for path in (disk.path / "old").iterdir()} == before
    assert load_artifact(disk.path / "old").prompt == "1.0"
    assert not (disk.path / "new").exists()
