"""Stored modes: found again, kept apart by what decides them, and never in the way."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from savs.backbones._modes import (
    Mode,
    ModeWarning,
    apply_mode,
    checked_versions,
    find_mode,
    mode_path,
    remove_mode,
    store_mode,
)

MODE = Mode(4, False, "eager", {"savs": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAVS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def llama(fresh_family) -> Any:
    return fresh_family("llama")


def test__store_mode__then_find__the_same(llama, home) -> None:
    assert find_mode(llama.model, llama.processor) is None
    path = store_mode(llama.model, llama.processor, MODE)
    assert path.parent == home / "modes"
    assert find_mode(llama.model, llama.processor) == MODE
    newer = replace(MODE, batch_size=8)
    assert store_mode(llama.model, llama.processor, newer) == path
    assert find_mode(llama.model, llama.processor) == newer
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert remove_mode(llama.model, llama.processor) == path
    assert remove_mode(llama.model, llama.processor) is None
    assert find_mode(llama.model, llama.processor) is None


def test__find_mode__another_dtype_processor_or_model__none(llama, fresh_family) -> None:
    store_mode(llama.model, llama.processor, MODE)
    other = fresh_family("qwen3")
    assert find_mode(other.model, llama.processor) is None
    assert find_mode(llama.model, other.processor) is None
    llama.model.set_attn_implementation("eager")  # the mode names the kernel; it is no part of the key
    assert find_mode(llama.model, llama.processor) == MODE
    llama.model.to(torch.bfloat16)
    assert find_mode(llama.model, llama.processor) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 10_000,
        b"[]",
        b"null",
        b"{}",
        b'{"schema_version": 2}',
        b" " * 100_000,
        json.dumps({"schema_version": 1, "batch_size": 4}).encode(),
    ]
    + [
        json.dumps({"schema_version": 1, **vars(MODE), **wrong}).encode()
        for wrong in (
            {"batch_size": 0},
            {"batch_size": True},
            {"batch_size": 4.0},
            {"batch_size": 10**9},
            {"prefix_reuse": 1},
            {"prefix_reuse": None},
            {"attn_implementation": "someone/kernels"},
            {"attn_implementation": 3},
            {"checked": None},
            {"checked": {"torch": 2}},
            {"more": 1},
        )
    ],
)
def test__find_mode__damaged_file__ignored_with_a_warning(content, llama) -> None:
    store_mode(llama.model, llama.processor, MODE)
    mode_path(llama.model, llama.processor).write_bytes(content)
    with pytest.warns(ModeWarning, match=r"is ignored: .*; savs doctor writes it anew$") as said:
        assert find_mode(llama.model, llama.processor) is None
    assert len(said) == 1
    assert store_mode(llama.model, llama.processor, MODE)
    assert find_mode(llama.model, llama.processor) == MODE


def test__find_mode__folder_in_its_place__ignored_with_a_warning(llama) -> None:
    mode_path(llama.model, llama.processor).mkdir(parents=True)
    with pytest.warns(ModeWarning, match="is ignored"):
        assert find_mode(llama.model, llama.processor) is None
    with pytest.warns(ModeWarning, match="not stored"):
        assert store_mode(llama.model, llama.processor, MODE) is None
    with pytest.warns(ModeWarning, match="cannot be removed"):
        assert remove_mode(llama.model, llama.processor) is None


def test__fault_25__home_cannot_be_written__a_warning(llama, home) -> None:
    home.write_text("a file where the folder should be")
    assert find_mode(llama.model, llama.processor) is None
    with pytest.warns(ModeWarning, match=r"not stored: .*; SAVS_HOME names another folder$"):
        assert store_mode(llama.model, llama.processor, MODE) is None
    assert remove_mode(llama.model, llama.processor) is None


def test__fault_25__home_that_no_folder_can_be__a_warning_and_nothing_kept(llama, monkeypatch) -> None:
    monkeypatch.setenv("SAVS_HOME", "x" * 5000)
    with pytest.warns(ModeWarning, match=r"x: File name too long; SAVS_HOME names another folder$") as said:
        assert apply_mode(llama.model, llama.processor, None, None, set_kernel=True) == ("auto", True)
    with pytest.warns(ModeWarning, match=r"not stored: x.*: File name too long") as stored:
        assert store_mode(llama.model, llama.processor, MODE) is None
    assert [len(one) for one in (said, stored)] == [1, 1]
    assert max(len(str(one.message)) for one in (*said, *stored)) < 400


def test__fault_25__home_on_a_read_only_disk__a_warning(llama, home, mount_disk) -> None:
    mount_disk("64k", read_only=True, path=home)
    assert find_mode(llama.model, llama.processor) is None
    with pytest.warns(ModeWarning, match="not stored: .*: Read-only file system; SAVS_HOME names"):
        assert store_mode(llama.model, llama.processor, MODE) is None


def test__fault_25__disk_full__old_mode_intact_and_no_temporary_file(llama, monkeypatch) -> None:
    path = store_mode(llama.model, llama.processor, MODE)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(ModeWarning, match="No space left on device"):
        assert store_mode(llama.model, llama.processor, replace(MODE, batch_size=1)) is None
    assert find_mode(llama.model, llama.processor) == MODE
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test__mode_path__environment__decides_the_folder(llama, home, tmp_path, monkeypatch) -> None:
    def where() -> Path:
        return mode_path(llama.model, llama.processor).parent

    assert where() == home / "modes"
    monkeypatch.setenv("SAVS_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert where() == tmp_path / "cache" / "savs" / "modes"
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for unset in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert where() == tmp_path / "me" / ".cache" / "savs" / "modes"


def test__apply_mode__nothing_stored__defaults(llama) -> None:
    assert apply_mode(llama.model, llama.processor, None, None, set_kernel=True) == ("auto", True)
    assert apply_mode(llama.model, llama.processor, None, None, set_kernel=True, default=8) == (8, True)


def test__apply_mode__stored__fills_what_was_left_open(llama) -> None:
    store_mode(llama.model, llama.processor, MODE)
    in_use = llama.model.config._attn_implementation
    assert in_use == "sdpa"
    assert apply_mode(llama.model, llama.processor, 2, True, set_kernel=True) == (2, True)
    assert apply_mode(llama.model, llama.processor, None, None, set_kernel=False) == ("auto", True)
    assert apply_mode(llama.model, llama.processor, 2, None, set_kernel=True) == (2, True)
    assert llama.model.config._attn_implementation == in_use
    assert apply_mode(llama.model, llama.processor, None, True, set_kernel=True) == (4, True)
    assert llama.model.config._attn_implementation == "eager"
    assert apply_mode(llama.model, llama.processor, None, None, set_kernel=False) == (4, False)
    assert apply_mode(llama.model, llama.processor, 2, None, set_kernel=False) == (2, False)


def test__apply_mode__kernel_gone__defaults_and_model_as_it_was(llama) -> None:
    store_mode(llama.model, llama.processor, replace(MODE, attn_implementation="flash_attention_2"))
    before = llama.model.config._attn_implementation
    assert apply_mode(llama.model, llama.processor, None, None, set_kernel=True) == ("auto", True)
    assert llama.model.config._attn_implementation == before


def test__checked_versions__name_what_decides() -> None:
    assert checked_versions().keys() == {"savs", "torch", "transformers"}
