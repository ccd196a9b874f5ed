"""`savs doctor`: its table, its JSON, its exit codes, and the mode it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from savs.backbones._modes import find_mode

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAVS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "home"


def test__doctor__safe_backbone__table_verdict_and_stored_mode(savs, backbone, home) -> None:
    code, out, err = savs("doctor", backbone, "--batch-size", 4)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= max(100, 8 + len(str(home)) + 80)
    assert "LlavaForConditionalGeneration" in lines[0]
    assert any(line.split()[:4] == ["batches", "of", "4", "ok"] for line in lines)
    assert "safe" in lines
    stored = next(line.removeprefix("stored: ") for line in lines if line.startswith("stored: "))
    assert Path(stored).parent == home / "modes"


def test__doctor__json__one_object_and_the_mode_is_found(savs, backbone) -> None:
    from savs.backbones import load_backbone

    code, out, err = savs("doctor", backbone, "--batch-size", 2, "--json")
    found = json.loads(out)
    assert (code, err, found["safe"]) == (0, "", True)
    assert out.count("\n") == 1
    assert found["backbone"]["heads_per_layer"] == [[0, 2, 4, 8]]
    names = {"name", "verdict", "max_difference", "min_cosine", "label_flips", "tolerance", "note"}
    assert all(names <= check.keys() for check in found["checks"])
    loaded = load_backbone(backbone, batch_size=1)
    mode = find_mode(loaded.model, loaded.processor)
    assert mode is not None
    assert found["mode"] == {**vars(mode)}
    assert Path(found["stored"]).is_file()


def test__doctor__unsafe__exit_1_and_nothing_kept(savs, backbone, home, monkeypatch) -> None:
    from savs.backbones import _record as recorder

    honest = recorder.last_real_tokens
    monkeypatch.setattr(recorder, "last_real_tokens", lambda mask: honest(mask) - 1)
    code, out, _ = savs("doctor", backbone, "--batch-size", 2)
    assert code == 1
    assert any(line.split()[:2] == ["reference", "UNSAFE"] for line in out.splitlines())
    assert any(line.startswith("UNSAFE: reference") for line in out.splitlines())
    code, out, _ = savs("doctor", backbone, "--batch-size", 1, "--json")
    found = json.loads(out)
    assert (code, found["safe"], found["mode"], found["stored"]) == (1, False, None, None)
    assert not home.exists()


def test__doctor__quiet_and_no_store__verdict_only_and_no_file(savs, backbone, home) -> None:
    code, out, err = savs("doctor", backbone, "--batch-size", 1, "--quiet", "--no-store")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "safe"
    assert len(out.splitlines()) == 2
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments", [("no/such/folder",), ("tiny", "--dtype", "int8"), ("tiny", "--device", "abc")]
)
def test__doctor__cannot_be_loaded__one_line_and_exit_1(savs, arguments) -> None:
    code, out, err = savs("doctor", *arguments, "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "backbone_error"
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["", " "])
def test__doctor__empty_name__one_line_and_not_the_current_folder(savs, name, backbone, monkeypatch) -> None:
    monkeypatch.chdir(backbone)
    code, out, err = savs("doctor", name)
    assert (code, out) == (1, "")
    assert err == (
        "savs: error: the name of the backbone is empty: give tiny, a model folder or a hub name\n"
    )


def test__doctor__wrong_usage__exit_2(savs) -> None:
    assert savs("doctor")[0] == 2
    assert savs("doctor", "tiny", "--batch-size", 0)[0] == 2
