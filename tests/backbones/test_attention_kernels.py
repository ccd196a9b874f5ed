"""No kernel is fetched from a repository, whoever asks for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers.utils import import_utils

from savs.backbones import load_backbone
from savs.backbones._checkpoints import check_kernel_name, kernels_of
from savs.backbones._modes import Mode, checked_versions, store_mode
from savs.errors import BackboneError

KERNEL = "somebody/their-kernel"
PACKAGES = {2: "flash-attn", 3: "flash-attn-3"}


def copied(tmp_path: Path, folder: Path, *parts: str) -> Path:
    """Return a copy of a model folder whose configuration, or a part of it, names a kernel on the hub."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    whole = json.loads((copy / "config.json").read_text())
    data = whole
    for part in parts:
        data = data[part]
    data["attn_implementation"] = KERNEL
    (copy / "config.json").write_text(json.dumps(whole))
    return copy


@pytest.mark.parametrize("kernel", ["sdpa", "eager", "flex_attention", "nonsense"])
def test__check_kernel_name__nothing_to_fetch__passes(kernel) -> None:
    check_kernel_name(kernel)


@pytest.mark.parametrize("version", PACKAGES)
@pytest.mark.parametrize("prefix", ["", "paged|"])
def test__check_kernel_name__flash_attention_without_its_package__named(version, prefix, monkeypatch) -> None:
    # With the package kernels, transformers would take the code from the hub instead.
    kernel, available = f"flash_attention_{version}", f"is_flash_attn_{version}_available"
    monkeypatch.setattr(import_utils, available, lambda: False)
    with pytest.raises(BackboneError, match=f"{kernel} needs the package {PACKAGES[version]},"):
        check_kernel_name(prefix + kernel)
    monkeypatch.setattr(import_utils, available, lambda: True)
    check_kernel_name(prefix + kernel)


def test__load__kernel_of_a_repository_asked_for__refused(folder_of) -> None:
    with pytest.raises(BackboneError, match=f"{KERNEL} is code from a repository"):
        load_backbone(folder_of("llama"), attn_implementation=KERNEL)


def test__load__flash_attention_without_its_package__named(folder_of, monkeypatch) -> None:
    monkeypatch.setattr(import_utils, "is_flash_attn_2_available", lambda: False)
    with pytest.raises(BackboneError, match="needs the package flash-attn,"):
        load_backbone(folder_of("llama"), attn_implementation="flash_attention_2")


def test__load__kernel_of_a_repository_in_the_configuration__refused(folder_of, tmp_path) -> None:
    copy = copied(tmp_path, folder_of("llama"))
    with pytest.raises(BackboneError, match=f"{copy}: in its config.json, the attention kernel {KERNEL}"):
        load_backbone(copy)


def test__load__kernel_of_a_repository_in_a_part_of_the_configuration__not_set(folder_of, tmp_path) -> None:
    loaded = load_backbone(copied(tmp_path, folder_of("llava"), "text_config"))
    assert kernels_of(loaded.model.config) == {"sdpa"}


def test__stored_mode__flash_attention_that_is_gone__not_set(folder_of, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SAVS_HOME", str(tmp_path))
    monkeypatch.setattr(import_utils, "is_flash_attn_2_available", lambda: False)
    backbone = load_backbone(folder_of("llama"))
    store_mode(backbone.model, backbone.processor, Mode(3, False, "flash_attention_2", checked_versions()))
    again = load_backbone(folder_of("llama"))
    assert again.batch_size == "auto"
    assert kernels_of(again.model.config) == {"sdpa"}
