"""Folders, names and objects to backbones; every way to fail is one line that says what to do."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from savs.backbones import TransformersBackbone, load_backbone
from savs.errors import BackboneError

SAVED = ("llava", "gemma3", "qwen2_5_vl", "llava_onevision", "internvl", "idefics3", "llama", "gpt2")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if anything opens a connection."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", SAVED)
def test__load__saved_folder__same_vectors_as_the_object(name, folder_of, fresh_family, examples_for) -> None:
    built, examples = fresh_family(name), examples_for(name)
    loaded = load_backbone(folder_of(name), batch_size=3)
    expected = TransformersBackbone(built.model, built.processor).extract(examples).features
    np.testing.assert_allclose(loaded.extract(examples).features, expected, atol=1e-5)
    assert loaded.fingerprint["source"] == str(folder_of(name).resolve())
    assert loaded.fingerprint["commit"] is None
    assert loaded.fingerprint["dtype"] == "float32"
    assert not any(module.training for module in loaded.model.modules())


def test__load__string_relative_and_tilde__same_folder(folder_of, monkeypatch) -> None:
    folder = folder_of("llama")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    sources = [
        load_backbone(name).fingerprint["source"] for name in (str(folder), folder.name, f"~/{folder.name}")
    ]
    assert sources == [str(folder)] * 3


@pytest.mark.parametrize(
    ("given", "expected"), [("bfloat16", "bfloat16"), (torch.float16, "float16"), (None, "float32")]
)
def test__load__dtype__as_asked(given, expected, folder_of) -> None:
    assert load_backbone(folder_of("llama"), dtype=given).fingerprint["dtype"] == expected


def test__load__attention_kernel__as_asked(folder_of) -> None:
    backbone = load_backbone(folder_of("llama"), attn_implementation="eager")
    assert backbone.fingerprint["attn_implementation"] == "eager"


def test__load__kernel_that_one_part_has_no_choice_of__the_others_take_it(folder_of, tmp_path) -> None:
    from transformers import FastVlmConfig, FastVlmForConditionalGeneration, LlamaConfig, ResNetConfig

    tower = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", hidden_size=16
    )
    text = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=320
    )
    config = FastVlmConfig(
        vision_config=tower, text_config=text, image_token_index=3, vision_feature_layer=-1
    )
    shutil.copytree(folder_of("llava"), tmp_path / "m")
    FastVlmForConditionalGeneration(config).save_pretrained(tmp_path / "m")
    for kernel in ("sdpa", "eager"):
        backbone = load_backbone(tmp_path / "m", attn_implementation=kernel)
        assert backbone.fingerprint["attn_implementation"] == kernel
        assert backbone.model.get_decoder().config._attn_implementation == kernel


def test__load__snapshot_of_a_hub_cache__records_the_commit(folder_of, tmp_path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder_of("llama"), tmp_path / commit)
    assert load_backbone(tmp_path / commit).fingerprint["commit"] == commit


def test__load__model_object__used_as_it_is(fresh_family) -> None:
    built = fresh_family("llama")
    backbone = load_backbone(built.model, processor=built.processor, batch_size=2)
    assert backbone.model is built.model
    assert backbone.fingerprint["source"] is None
    with pytest.raises(BackboneError, match="needs its processor"):
        load_backbone(built.model)
    with pytest.raises(BackboneError, match="not Linear"):
        load_backbone(torch.nn.Linear(2, 2), processor=built.processor)


def test__load__progress_and_verbosity__settings_of_transformers_stay(folder_of, capfd) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_backbone(folder_of("llama"))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def broken(folder: Path, tmp_path: Path, change: str) -> Path:
    """Return a copy of a model folder with one thing wrong."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    edits: dict[str, dict[str, Any]] = {
        "no model_type": {"model_type": None},
        "unknown": {"model_type": "megabrain"},
        "remote code": {"model_type": "megabrain", "auto_map": {"AutoConfig": "code.py"}},
        "encoder": {"model_type": "clip_vision_model"},
        "more layers": {"num_hidden_layers": 3, "layer_types": None},
        "other shape": {"intermediate_size": 64},
    }
    if change in edits:
        (copy / "config.json").write_text(json.dumps(config | edits[change]))
    elif change == "garbage weights":
        (copy / "model.safetensors").write_bytes(b"\xff" * 64)
    elif change == "half the weights":
        (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:-2000])
    elif change == "garbage config":
        (copy / "config.json").write_text("{")
    else:
        (copy / change).unlink()
    return copy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("config.json", "no config.json"),
        ("garbage config", "cannot be read as JSON"),
        ("no model_type", "names no model_type"),
        ("unknown", "does not know the architecture megabrain"),
        ("remote code", "needs code from its repository, which savs never runs"),
        ("encoder", "not a generative model"),
        ("model.safetensors", "no weights"),
        ("garbage weights", "cannot be loaded"),
        ("half the weights", "cannot be loaded"),
        ("more layers", r"weights are missing from the checkpoint, first model\.layers\.2"),
        ("other shape", "cannot be loaded"),
        ("tokenizer.json", "no processor or tokenizer|no tokenizer"),
    ],
)
def test__load__broken_folder__one_line_that_names_it(change, message, folder_of, tmp_path) -> None:
    copy = broken(folder_of("llama"), tmp_path, change)
    with pytest.raises(BackboneError, match=message) as error:
        load_backbone(copy)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test__fault_30__remote_code_in_a_folder__never_runs(folder_of, tmp_path) -> None:
    copy = tmp_path / "evil"
    shutil.copytree(folder_of("llama"), copy)
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilModel"}
    (copy / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((copy / "tokenizer_config.json").read_text())
    tokenizer["auto_map"] = {"AutoTokenizer": ["evil.Evil", None], "AutoProcessor": "evil.Evil"}
    (copy / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    backbone = load_backbone(copy)
    assert type(backbone.model).__module__.startswith("transformers.")
    assert not (tmp_path / "ran").exists()


def test__load__no_such_folder__error(tmp_path) -> None:
    with pytest.raises(BackboneError, match="there is no folder"):
        load_backbone(tmp_path / "nothing")
    with pytest.raises(BackboneError, match="there is no folder"):
        load_backbone("./nothing/at/all")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackboneError, match="is a file"):
        load_backbone(tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float99"}, "not a floating-point dtype"),
        ({"dtype": "int8"}, "not a floating-point dtype"),
        ({"device": "cuda:7"}, "no device cuda:7"),
        ({"device": "toaster"}, "no device toaster"),
        ({"device": "cpu", "device_map": "auto"}, "not both"),
        ({"attn_implementation": "telepathy"}, "cannot be loaded"),
        ({"batch_size": 0}, "batch size"),
    ],
)
def test__load__bad_options__error(options, message, folder_of) -> None:
    if options.get("device") == "cuda:7" and torch.cuda.device_count() > 7:
        pytest.skip("there is such a device")
    with pytest.raises(BackboneError, match=message):
        load_backbone(folder_of("llama"), **options)


def test__load__device_map__same_vectors(folder_of, examples_for) -> None:
    examples = examples_for("llama")
    plain = load_backbone(folder_of("llama")).extract(examples).features
    mapped = load_backbone(folder_of("llama"), device_map={"": "cpu"}).extract(examples).features
    assert np.array_equal(plain, mapped)


@pytest.mark.parametrize(
    ("options", "batch_size", "prefix_reuse"),
    [
        ({}, "auto", True),
        ({"batch_size": 5}, 5, True),
        ({"batch_size": "auto", "prefix_reuse": False}, "auto", False),
    ],
)
def test__load__how_it_runs__as_asked_else_the_default(
    options, batch_size, prefix_reuse, folder_of, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("SAVS_HOME", str(tmp_path))
    backbone = load_backbone(folder_of("llama"), **options)
    assert backbone.batch_size == batch_size
    assert backbone.prefix_reuse is prefix_reuse
    given = load_backbone(backbone.model, processor=backbone.processor, **options)
    assert (given.batch_size, given.prefix_reuse) == (batch_size, prefix_reuse)


def test__load__sites__used_and_recorded(folder_of, examples_for) -> None:
    plain = load_backbone(folder_of("llama"), batch_size=3)
    assert plain.fingerprint["sites"] is None
    paths = [f"model.layers.{layer}.self_attn.o_proj" for layer in (0, 1)]
    backbone = load_backbone(folder_of("llama"), batch_size=3, sites=paths)
    assert backbone.fingerprint["sites"] == paths
    examples = examples_for("llama")
    assert np.array_equal(backbone.extract(examples).features, plain.extract(examples).features)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"model_type": "llama", "hidden_size": "wide"}',
        '{"model_type": "llava", "text_config": 3}',
    ],
)
def test__load__configuration_of_wrong_types__backbone_error(content, folder_of, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder_of("llama"), copy)
    (copy / "config.json").write_text(content)
    with pytest.raises(BackboneError, match=r"config\.json (is not a valid|cannot be read)"):
        load_backbone(copy)


@pytest.mark.parametrize("name", ["x" * 5000, "~no-such-user/folder"])
def test__load__name_that_no_file_can_have__backbone_error(name) -> None:
    with pytest.raises(BackboneError, match="there is no folder"):
        load_backbone(name)


def test__load__home_of_nobody__no_mode_and_no_error(folder_of, monkeypatch) -> None:
    monkeypatch.setenv("SAVS_HOME", "~no-such-user/savs")
    assert load_backbone(folder_of("llama")).batch_size == "auto"


@pytest.mark.parametrize(("terminal", "progress", "large"), [(1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test__load__bar_for_large_weights__only_where_wanted(
    terminal, progress, large, folder_of, monkeypatch, capsys
) -> None:
    folder = folder_of("llama")
    capsys.readouterr()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: bool(terminal))
    monkeypatch.setattr("savs.backbones.loading._LARGE", 0 if large else 2**30)
    load_backbone(folder, progress=bool(progress))
    assert ("Loading weights" in capsys.readouterr().err) == bool(terminal and progress and large)
