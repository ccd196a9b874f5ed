"""A representative part of the sweep over transformers' model maps; `scripts/sweep_backbones.py` runs all."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
import transformers
from tests.backbones.sweep.entries import entries
from tests.backbones.sweep.expected import BYPASSING, EXPECTED
from tests.backbones.sweep.families import CONFIG_PART, INPUTS, NEWEST, OVERRIDES
from tests.backbones.sweep.observing import spied
from tests.backbones.sweep.outcomes import Outcome, build, sweep, unexpected
from tests.backbones.sweep.shrinking import shrunk
from tests.backbones.sweep.table import BEGIN, END, rendered, replaced
from transformers import AttentionInterface

from savs.backbones import _attention_sites as locating

pytestmark = pytest.mark.slow

REPRESENTATIVE = {
    "grouped queries": ["llama", "qwen3", "mistral4", "gpt_oss"],
    "other projections": ["gpt2", "bert", "opt", "gpt_neox", "phi", "roberta-prelayernorm"],
    "latent attention": ["deepseek_v2", "deepseek_v3", "kimi_k25"],
    "ragged": ["gemma4_text", "dots3_note_text"],
    "shared modules, several stacks": ["zamba2", "hrm_text", "blt"],
    "two attentions in a layer": ["longcat_flash"],
    "grouped projection": ["deepseek_v4"],
    "hybrid": [
        "qwen3_next",
        "jamba",
        "falcon_h1",
        "nemotron_h",
        "kimi_linear",
        "lfm2",
        "recurrent_gemma",
        "minimax",
    ],
    "gate, norm or mix": ["afmoe", "bitnet", "diffllama", "step3p7"],
    "cross-attention": ["mllama", "idefics", "florence2", "udop"],
    "beside the interface": ["bloom", "falcon", "git", "gptj"],
    "pictures": ["llava", "qwen2_5_vl", "gemma3", "blip", "kosmos-2", "instructblip"],
    "refused": ["mamba", "rwkv", "xlnet", "jetmoe", "cpmant", "prophetnet", "qwen2_5_omni"],
}


def _need(family: str) -> None:
    if family in NEWEST - set(entries()):
        pytest.skip(f"transformers {transformers.__version__} has no model type {family}")


@pytest.mark.parametrize(
    "family", [pytest.param(name, id=name) for names in REPRESENTATIVE.values() for name in names]
)
def test__sweep__representative_families__as_expected(family) -> None:
    _need(family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the models' own configurations
        outcome = sweep(family)
    assert unexpected(outcome) is None


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("zamba2", {"layers": 5, "layers_with_heads": 3, "skipped": {"Mamba": 5}}),
        ("hrm_text", {"shared": True, "layers": 16, "sites": 16, "gated": 16}),
        ("longcat_flash", {"layers": 2, "sites": 4, "heads": ["4x10"]}),
        ("gemma4_text", {"heads": ["4x16", "4x32"], "skipped": {}}),
        ("dots3_note_text", {"heads": ["2x10", "4x10"]}),
        ("mllama", {"layers_with_heads": 1, "skipped": {"cross-attention": 1}}),
        ("idefics", {"layers_with_heads": 2, "skipped": {"cross-attention": 2}}),
        ("nemotron_h", {"layers_with_heads": 1, "skipped": {"Mamba": 1, "no attention": 2}}),
        ("deepseek_v4", {"heads": ["4x16"], "gated": 3}),
        ("qwen3_next", {"gated": 1, "skipped": {"linear attention": 3}}),
        ("roberta-prelayernorm", {"gated": 0}),
    ],
)
def test__sweep__special_anatomies__what_is_read_and_what_is_not(family, wanted) -> None:
    _need(family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = sweep(family)
    assert {name: getattr(outcome, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("patched", "message"),
    [
        ({"geometry": lambda _module, _config, width: (8, width // 8)}, "the interface saw"),
        ({"is_gated": lambda *_: True}, "gated is True, values differ: False"),
    ],
)
def test__sweep__a_wrong_rule__is_caught(monkeypatch, patched, message) -> None:
    for name, function in patched.items():
        monkeypatch.setattr(locating, name, function)
    outcome = sweep("llama")
    assert outcome.status == "wrong"
    assert message in outcome.reason
    assert unexpected(outcome) is not None


def test__unexpected__exceptions_are_strict() -> None:
    assert unexpected(Outcome("llama", "ok", interface="agrees")) is None
    assert unexpected(Outcome("mamba", "refused")) is None
    assert "expected refused" in str(unexpected(Outcome("mamba", "ok")))
    assert "bypassing: True" in str(unexpected(Outcome("bloom", "ok", interface="agrees")))
    assert "bypassing: False" in str(unexpected(Outcome("llama", "ok", interface="bypassed")))


def test__families__every_listed_one__is_in_the_maps() -> None:
    chosen = {name for names in REPRESENTATIVE.values() for name in names}
    listed = {*OVERRIDES, *INPUTS, *CONFIG_PART, *EXPECTED, *BYPASSING, *chosen}
    assert listed - NEWEST <= set(entries())


def test__spied__afterwards__the_interface_and_the_hooks_are_as_before() -> None:
    model = build("llama")
    before = AttentionInterface.get_interface
    with spied(model, locating.find_sites(model)):
        assert AttentionInterface.get_interface is not before
    assert AttentionInterface.get_interface is before
    assert not any(module._forward_pre_hooks for module in model.modules())


def test__shrunk__layer_lists__one_of_every_kind_and_small_numbers() -> None:
    config = {
        "num_hidden_layers": 8,
        "hidden_size": 4096,
        "layer_types": ["a", "a", "a", "b"] * 2,
        "image_token_id": 151655,
        "vocab_size": 152064,
        "text_config": {"hidden_size": 4096, "image_token_id": 151655},
    }
    small = shrunk(config, {"text_config.extra": 3})
    assert small["layer_types"] == ["a", "a", "a", "b"]
    assert small["num_hidden_layers"] == 4
    assert small["hidden_size"] == small["text_config"]["hidden_size"] == 32
    assert small["image_token_id"] == small["text_config"]["image_token_id"] < small["vocab_size"] == 256
    assert small["text_config"]["extra"] == 3


def test__documented_table__has_a_row_for_every_family() -> None:
    root = Path(__file__).parents[3]
    if f"transformers=={transformers.__version__}\n" not in (root / "constraints.txt").read_text():
        pytest.skip("the table is that of the pinned transformers")
    document = (root / "docs" / "backbones.md").read_text(encoding="utf-8")
    table = document.partition(BEGIN)[2].partition(END)[0]
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")} - {"family"}
    assert rows == set(entries())


def test__rendered__refused_and_run__reason_and_kind() -> None:
    outcomes = [
        Outcome("mamba", "refused", "BackboneError: long"),
        Outcome(
            "zamba2",
            "ok",
            layers=5,
            layers_with_heads=3,
            sites=3,
            heads=["4x16"],
            shared=True,
            interface="agrees",
        ),
    ]
    table = rendered(outcomes)
    assert f"| mamba | refused | | | {EXPECTED['mamba'][1]} | | |" in table
    assert "| zamba2 | ok | 3 of 5 | 4x16 | shared module | same | agrees |" in table
    assert replaced(f"x {BEGIN} old {END} y", table) == f"x {table} y"
    with pytest.raises(ValueError, match="sweep: begin"):
        replaced("no markers", table)


def test__build__small_model__no_constant_and_no_broken_parameter() -> None:
    model = build("qwen3")
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
    assert not any(
        parameter.unique().numel() == 1 for parameter in model.parameters() if parameter.numel() > 1
    )
