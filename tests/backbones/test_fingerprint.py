"""The fingerprint: the same for the same thing everywhere, another for anything that changes the vectors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import savs
from savs.backbones import load_backbone

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
        assert set(here) == ENTRIES
        assert differing(here, there) == {"source"}
        assert here["versions"]["savs"] == savs.__version__
        assert here["versions"]["torch"] == torch.__version__


def test__fingerprint__after_use__same(folder_of, examples_for) -> None:
    backbone = load_backbone(folder_of("llava"))
    backbone.extract(examples_for("llava"))
    assert dict(backbone.fingerprint) == fingerprint(folder_of("llava"))


def test__fault_30__anything_that_matters_changes__so_does_its_entry(folder_of, tmp_path) -> None:
    base = fingerprint(folder_of("llava"))

    def changed(name: str, change: Any) -> set[str]:
        copy = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(folder_of("llava"), copy)
        change(copy) if name == "" else edit(copy, name, change)
        return differing(base, fingerprint(copy)) - {"source"}

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
