"""The fingerprint: the same for the same thing everywhere, another for anything that changes the vectors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import savs
from savs.backbones import TransformersBackbone, load_backbone
from savs.backbones._fingerprint import weights_digest
from savs.cache import with_store
from savs.data import as_examples

pytestmark = pytest.mark.slow

ENTRIES = {
    "source",
    "revision",
    "commit",
    "model_class",
    "config_digest",
    "weights_digest",
    "processor_class",
    "processor_digest",
    "processor_backend",
    "dtype",
    "attn_implementation",
    "layers",
    "gated",
    "skipped",
    "quantization",
    "adapters",
    "sites",
    "versions",
}
FILES = {"config_file_digest", "processor_files_digest"}
RECORDED = {"config", "device", "processor", "tokenizer_digest", "unnamed_weights_digest"}


def fingerprint(folder: Any, **options: Any) -> dict[str, Any]:
    return dict(load_backbone(folder, **options).fingerprint)


def differing(first: dict[str, Any], second: dict[str, Any]) -> set[str]:
    return {name for name in ENTRIES if first[name] != second[name]}


def edit(folder: Path, name: str, change: Any) -> None:
    data = json.loads((folder / name).read_text())
    change(data)
    (folder / name).write_text(json.dumps(data))


def test__fingerprint__same_folder_in_another_process_and_place__same(folder_of, tmp_path) -> None:
    names = ["llava", "qwen2_5_vl", "gemma3", "llama"]
    for name in names:
        shutil.copytree(folder_of(name), tmp_path / name)
    program = (
        "import json, sys; from savs.backbones import load_backbone;"
        "print(json.dumps([dict(load_backbone(folder).fingerprint) for folder in sys.argv[1:]]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(savs.__file__).parents[1]), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", program, *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    for name, there in zip(names, json.loads(done.stdout), strict=True):
        here = fingerprint(folder_of(name))
        assert set(here) == ENTRIES | FILES | RECORDED
        assert {name for name in here if here[name] != there[name]} == {"source"}
        assert None not in {here[name] for name in FILES}
        assert here["versions"]["savs"] == savs.__version__
        assert here["versions"]["torch"] == version("torch")


def test__fingerprint__after_use__same(folder_of, examples_for) -> None:
    backbone = load_backbone(folder_of("llava"))
    backbone.extract(examples_for("llava"))
    assert dict(backbone.fingerprint) == fingerprint(folder_of("llava"))


def test__files__loaded_configuration_or_processor_changed__are_not_its_files_any_more(folder_of) -> None:
    backbone = load_backbone(folder_of("llava"))
    assert all(backbone.fingerprint[name] for name in FILES)
    backbone.processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    assert backbone.fingerprint["processor_files_digest"] is None
    assert backbone.fingerprint["config_file_digest"] is not None
    backbone.model.config.text_config.rope_parameters["rope_theta"] = 9.0
    assert backbone.fingerprint["config_file_digest"] is None
    given = load_backbone(folder_of("llava"), processor=load_backbone(folder_of("llava")).processor)
    assert given.fingerprint["processor_files_digest"] is None


def test__files__written_anew_with_other_spaces_and_versions__same(folder_of, tmp_path) -> None:
    shutil.copytree(folder_of("llava"), tmp_path / "copy")
    before = fingerprint(tmp_path / "copy")
    for name in ("config.json", "processor_config.json"):
        content = json.loads((tmp_path / "copy" / name).read_text())
        content = dict(reversed(content.items())) | {"transformers_version": "5.3.0"}
        (tmp_path / "copy" / name).write_text(json.dumps(content, indent=7))
    assert {name: fingerprint(tmp_path / "copy")[name] for name in FILES} == {
        name: before[name] for name in FILES
    }


def test__fault_30__anything_that_matters_changes__so_does_its_entry(folder_of, tmp_path) -> None:
    base = fingerprint(folder_of("llava"))

    def changed(name: str, change: Any) -> set[str]:
        copy = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(folder_of("llava"), copy)
        change(copy) if name == "" else edit(copy, name, change)
        found = fingerprint(copy)
        other = differing(base, found) - {"source"}
        assert (found["config_file_digest"] != base["config_file_digest"]) == ("config_digest" in other)
        assert (found["processor_files_digest"] != base["processor_files_digest"]) == (
            "processor_digest" in other
        )
        return other

    def image_size(data: dict[str, Any]) -> None:
        data["image_processor"]["image_mean"] = [0.1, 0.1, 0.1]

    def vocabulary(data: dict[str, Any]) -> None:
        vocab = data["model"]["vocab"]
        vocab["!"], vocab["?"] = vocab["?"], vocab["!"]

    def rope(data: dict[str, Any]) -> None:
        data["text_config"]["rope_parameters"]["rope_theta"] = 9.0

    def swap(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        (name,) = [
            name for name in weights if name.endswith("language_model.model.layers.1.self_attn.o_proj.weight")
        ]
        weights[name] += 1e-3
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    def template(folder: Path) -> None:
        path = folder / "chat_template.jinja"
        path.write_text(path.read_text() + " ")

    assert changed("processor_config.json", image_size) == {"processor_digest"}
    assert changed("tokenizer.json", vocabulary) == {"processor_digest"}
    assert changed("", template) == {"processor_digest"}
    assert changed("config.json", rope) == {"config_digest"}
    assert changed("", swap) == {"weights_digest"}
    half = fingerprint(folder_of("llava"), dtype="bfloat16")
    assert differing(base, half) == {"dtype", "weights_digest"}
    eager = fingerprint(folder_of("llava"), attn_implementation="eager")
    assert differing(base, eager) == {"attn_implementation"}


def test__fingerprint__every_family__is_json_without_addresses(any_family, family) -> None:
    built = family(any_family)
    text = json.dumps(dict(load_backbone(built.model, processor=built.processor).fingerprint))
    assert " at 0x" not in text
    assert '"processor_backend": "pil"' in text or '"processor_backend": null' in text


def test__fingerprint__model_or_processor_changed_in_between__noticed(fresh_family) -> None:
    built = fresh_family("llava")
    backbone = TransformersBackbone(built.model, built.processor)
    digests = [backbone.fingerprint["weights_digest"]]
    assert backbone.fingerprint is backbone.fingerprint  # computed once, as long as nothing changes
    with torch.no_grad():
        next(built.model.parameters()).mul_(2)
    digests.append(backbone.fingerprint["weights_digest"])
    assert len(set(digests)) == 2
    before = backbone.fingerprint["processor_digest"]
    built.processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    after = backbone.fingerprint["processor_digest"]
    built.processor.chat_template += "!"
    assert len({before, after, backbone.fingerprint["processor_digest"]}) == 3


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
def test__fault_28__adapter_switched_off__not_answered_from_the_store(fresh_family, tmp_path) -> None:
    peft = pytest.importorskip("peft")
    built = fresh_family("llama")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = peft.get_peft_model(built.model, config)
    backbone = TransformersBackbone(model, built.processor)
    stored = with_store(backbone, tmp_path / "store")
    examples = as_examples(["the red dog", "is this a cat?"])
    adapted = stored.extract(examples).features
    with model.disable_adapter():
        plain = stored.extract(examples).features
        np.testing.assert_array_equal(plain, backbone.extract(examples).features)
    assert np.abs(plain - adapted).max() > 0.01
    np.testing.assert_array_equal(stored.extract(examples).features, adapted)
    assert stored.n_stored == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool])
def test__weights_digest__any_single_value_changed__noticed(dtype) -> None:
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.zeros(5000, 13).to(dtype), requires_grad=False)
    before = weights_digest(model)
    for place in (0, 1, 4095 * 8, 32771, 64_999):
        with torch.no_grad():
            model.weight.view(-1)[place] = 1
        assert weights_digest(model) != before
        with torch.no_grad():
            model.weight.view(-1)[place] = 0
    assert weights_digest(model) == before


def test__weights_digest__same_values_in_any_memory__same() -> None:
    model, other = torch.nn.Module(), torch.nn.Module()
    values = torch.arange(999 * 7, dtype=torch.float32)
    model.weight = torch.nn.Parameter(values.reshape(999, 7))
    strided = torch.cat([torch.zeros(1), values])[1:].reshape(999, 7).t().contiguous().t()
    other.weight = torch.nn.Parameter(strided)
    assert not other.weight.is_contiguous()
    assert weights_digest(model) == weights_digest(other)
