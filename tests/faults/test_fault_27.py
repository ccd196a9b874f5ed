"""What may stand in a store's folder in place of its files."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from savs.cache import FeatureStore, StoreWarning
from savs.errors import StoreError
from savs.layout import HeadLayout

KEY = b"\1" * 32


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    with FeatureStore.open(folder, {"a": 1}, HeadLayout.uniform(1, 2, 3)) as made:
        made.append([KEY], np.ones((1, 6), np.float32))
    return folder


def put(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"endless device": "/dev/zero", "link to itself": path.name}[kind])


@pytest.mark.parametrize("kind", ["pipe", "endless device", "folder", "link to itself"])
def test__fault_27__something_else_in_place_of_the_description__one_line(store, kind):
    (store / "store.json").unlink()
    put(store / "store.json", kind)
    with pytest.raises(StoreError) as caught:
        FeatureStore.existing(store)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["pipe", "endless device", "folder", "link to itself"])
def test__fault_27__something_else_named_like_a_part__passed_over_and_said(store, kind):
    put(store / "parts" / ("0" * 64 + ".parquet"), kind)
    with pytest.warns(StoreWarning, match="its rows are computed again"):
        found = FeatureStore.existing(store).get([KEY]).found
    assert found.all()


def test__fault_27__part_of_a_terabyte_of_nothing__set_aside_unread(store):
    path = store / "parts" / ("0" * 64 + ".parquet")
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.warns(StoreWarning, match="not a Parquet file"):
        assert FeatureStore.existing(store).get([KEY]).found.all()
    assert not path.exists()


def test__fault_27__footer_with_an_unknown_compression__set_aside_and_the_process_lives(store):
    """pyarrow ends the process when it is asked for the name of such a compression."""
    (part,) = (store / "parts").iterdir()
    content = part.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for spot in range(footer, len(content) - 8):
        part.write_bytes(content[:spot] + bytes([(content[spot] + 38) % 256]) + content[spot + 1 :])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert not FeatureStore.existing(store).get([KEY]).found.any()
        assert len(said) == 1
        (store / "quarantine" / part.name).unlink()


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test__fault_27__name_that_no_folder_can_have__one_line(name):
    with pytest.raises(StoreError):
        FeatureStore.existing(name)
    with pytest.raises(StoreError):
        FeatureStore.open(name, {}, HeadLayout.uniform(1, 2, 3), on_full="raise")
