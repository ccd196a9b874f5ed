"""Folders with a PEFT adapter: loaded whole onto their base model, or an error."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from savs.backbones import load_backbone
from savs.errors import BackboneError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")  # peft's own use of it


def test__adapter_folder__without_peft__error_names_it(tmp_path, monkeypatch) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(BackboneError, match="pip install peft"):
        load_backbone(tmp_path)


def test__folder__model_and_adapter_in_one__refused(folder_of, tmp_path) -> None:
    shutil.copytree(folder_of("llama"), tmp_path / "m")
    (tmp_path / "m" / "adapter_config.json").write_text("{}")
    with pytest.raises(BackboneError, match="a folder of its own"):
        load_backbone(tmp_path / "m")


@pytest.fixture
def adapter(folder_of, tmp_path) -> Path:
    """Save an adapter of the llama folder, with an effect."""
    peft = pytest.importorskip("peft", reason="adapters need peft")
    torch.manual_seed(3)
    base = load_backbone(folder_of("llama")).model
    wrapped = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj", "o_proj"]))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    wrapped.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test__adapter_folder__base_and_adapter__as_pefts_own_loading(adapter, folder_of, examples_for) -> None:
    import peft

    examples = examples_for("llama")
    base = load_backbone(folder_of("llama"), batch_size=3)
    own = peft.PeftModel.from_pretrained(load_backbone(folder_of("llama")).model, str(adapter))
    expected = load_backbone(own, processor=base.processor, batch_size=3)
    loaded = load_backbone(adapter, batch_size=3)
    assert np.array_equal(loaded.extract(examples).features, expected.extract(examples).features)
    assert np.abs(loaded.extract(examples).features - base.extract(examples).features).max() > 0.1
    assert loaded.fingerprint["source"] == str(adapter)
    changed = {k for k in loaded.fingerprint if loaded.fingerprint[k] != expected.fingerprint[k]}
    assert changed == {"source", "config_file_digest", "processor_files_digest"}  # an object has no files


def test__fault_30__part_of_an_adapter_lost__error_not_silence(adapter) -> None:
    path = adapter / "adapter_model.safetensors"
    whole = load_file(path)
    first = sorted(whole)[0]
    save_file({name: value for name, value in whole.items() if name != first}, path)
    with pytest.raises(BackboneError, match="1 weights of the adapter are missing"):
        load_backbone(adapter)
    renamed = {name.replace("layers.0", "blocks.0"): value for name, value in whole.items()}
    save_file(renamed, path)
    with pytest.raises(BackboneError, match="4 weights of the adapter are missing"):
        load_backbone(adapter)
    save_file(whole | {"base_model.model.more.lora_A.weight": whole[first].clone()}, path)
    with pytest.raises(BackboneError, match="1 weights of the adapter do not fit the base model"):
        load_backbone(adapter)
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(BackboneError, match="the adapter cannot be loaded") as error:
        load_backbone(adapter)
    assert "\n" not in str(error.value)


def test__adapter_folder__own_tokenizer__used(adapter, folder_of) -> None:
    tokenizer = load_backbone(folder_of("llama")).processor
    tokenizer.chat_template = "mine: {{ messages[0]['content'] }}"
    tokenizer.save_pretrained(adapter)
    assert load_backbone(adapter).processor.chat_template.startswith("mine")


def test__adapter_folder__bad_base__one_line(adapter, folder_of) -> None:
    for base, message in (
        (None, "names no base model"),
        ("./nowhere/at/all", "its base model cannot be used: there is no folder"),
        (str(adapter), "is an adapter itself"),
        (str(folder_of("gpt2")), "the adapter cannot be loaded"),
    ):
        edit(adapter, base_model_name_or_path=base)
        with pytest.raises(BackboneError, match=message) as error:
            load_backbone(adapter)
        assert "\n" not in str(error.value)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(BackboneError, match="cannot be read as JSON"):
        load_backbone(adapter)


def test__adapter_folder__offloaded_base__says_merge_first(adapter, tmp_path) -> None:
    on_disk = ("model.embed_tokens", "model.layers", "model.norm", "lm_head")
    parts = dict.fromkeys(on_disk, "disk") | {"model.rotary_emb": "cpu"}
    with pytest.raises(BackboneError, match="merge it first"):
        load_backbone(adapter, device_map=parts, offload_folder=tmp_path / "o")
