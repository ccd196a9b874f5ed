from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from savs.cache import FeatureStore
from savs.layout import HeadLayout


@pytest.fixture
def store(tmp_path):
    """A store of six rows in two parts."""
    folder = tmp_path / "features"
    layout = HeadLayout.uniform(3, 2, 4)
    keys = [hashlib.sha256(bytes([index])).digest() for index in range(6)]
    rows = np.random.default_rng(0).standard_normal((6, 24), dtype=np.float32)
    with FeatureStore.open(folder, {"model_class": "Lmm"}, layout, part_rows=4) as opened:
        opened.append(keys, rows)
    return folder


def damage(store):
    path = sorted((store / "parts").glob("*.parquet"))[0]
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 16
    path.write_bytes(raw)
    return path.name


def test__info__json__counts_and_fingerprint(savs, store):
    code, out, err = savs("store", "info", store, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert {name: found[name] for name in ("rows", "parts", "layers")} == {"rows": 6, "parts": 2, "layers": 3}
    assert found["fingerprint"] == {"model_class": "Lmm"}
    assert found["bytes"] == sum(path.stat().st_size for path in (store / "parts").glob("*.parquet"))


def test__info__text__names_the_model(savs, store):
    code, out, _ = savs("store", "info", store)
    assert code == 0
    assert "rows         6" in out
    assert "model_class: Lmm" in out


def test__verify__whole__exit_0(savs, store):
    code, out, _ = savs("store", "verify", store, "--json")
    assert (code, json.loads(out)) == (0, {"bad": [], "parts": 2, "rows": 6, "quarantined": 0})


@pytest.mark.parametrize("form", ["json", "text"])
def test__fault_27__verify_of_a_damaged_part__exit_1_once_then_whole(savs, store, form):
    name = damage(store)
    code, out, err = savs("store", "verify", store, *(["--json"] if form == "json" else []))
    assert code == 1
    assert name in out
    assert "savs: warning:" in err
    if form == "json":
        (bad,) = json.loads(out)["bad"]
        assert bad["part"] == name
    code, out, err = savs("store", "verify", store)
    assert (code, err) == (0, "")
    assert "1 damaged parts are in quarantine/" in out


def test__prune__merges_small_parts_and_empties_the_quarantine(savs, store):
    damage(store)
    savs("store", "verify", store, "--quiet")
    code, out, _ = savs("store", "prune", store, "--json")
    found = json.loads(out)
    assert (code, found["quarantined"], found["parts_after"]) == (0, 1, 1)
    assert not list((store / "quarantine").iterdir())
    assert savs("store", "prune", store)[0] == 0


@pytest.mark.parametrize("command", ["info", "verify", "prune"])
def test__no_store__one_line_error(savs, tmp_path, command):
    for folder in (tmp_path, tmp_path / "gone", __file__):
        code, out, err = savs("store", command, folder, "--json")
        assert code == 1
        assert json.loads(out)["error"]["code"] == "store_error"
        assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test__store__without_a_command__shows_its_commands(savs):
    code, out, _ = savs("store", "--help")
    assert code == 0
    assert all(name in out for name in ("info", "verify", "prune"))
