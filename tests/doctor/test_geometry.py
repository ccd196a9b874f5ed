"""Declared heads against two witnesses: the attention interface, and the softmax of models that bypass it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from savs.backbones import TransformersBackbone
from savs.doctor._geometry import check_geometry
from savs.doctor._subject import admit

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 400}
BYPASSING = {
    "Falcon": SIZES,
    "Bloom": {"hidden_size": 32, "n_head": 4, "n_layer": 2, "vocab_size": 400},
    "GPTJ": {"n_embd": 32, "n_head": 4, "n_layer": 2, "vocab_size": 400, "rotary_dim": 4, "n_positions": 400},
    "Mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "vocab_size": 400, "max_seq_len": 400},
}
GATED = {
    "head_dim": 12,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "num_experts": 0,
    "mlp_only_layers": [0, 1],
}


def text_backbone(family: str, options: dict[str, Any], tokenizer: Any) -> TransformersBackbone:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        **options, pad_token_id=0, eos_token_id=1, bos_token_id=2
    )
    return TransformersBackbone(getattr(transformers, f"{family}ForCausalLM")(config).eval(), tokenizer)


@pytest.fixture
def tokenizer(patient) -> Any:
    return patient("llama").processor


def release() -> tuple[int, ...]:
    return tuple(map(int, transformers.__version__.split(".")[:2]))


def swapped(backbone: TransformersBackbone) -> TransformersBackbone:
    sites = [replace(site, n_heads=site.head_dim, head_dim=site.n_heads) for site in backbone._anatomy.sites]
    backbone._anatomy = replace(backbone._anatomy, sites=tuple(sites))
    return backbone


@pytest.mark.parametrize("family", BYPASSING)
def test__check_geometry__interface_bypassed__softmax_tells(family, tokenizer) -> None:
    backbone = text_backbone(family, BYPASSING[family], tokenizer)
    found = check_geometry(admit(backbone))
    seen, told = "softmax", "8 heads declared, the softmax has 4"
    if family == "GPTJ" and release() >= (5, 24):  # it goes through the interface from then on
        seen, told = "interface", "8 heads of 4 declared, the attention computes 4 of 8"
    assert (found.verdict, found.note) == ("ok", f"2 layers: 2 by the {seen}")
    wrong = check_geometry(admit(swapped(text_backbone(family, BYPASSING[family], tokenizer))))
    assert wrong.verdict == "unsafe"
    assert told in wrong.note


def test__check_geometry__gate_declared__ok_and_undeclared__caught(tokenizer) -> None:
    backbone = text_backbone("Qwen3Next", SIZES | GATED, tokenizer)
    assert backbone._anatomy.gated
    assert check_geometry(admit(backbone)).verdict == "ok"
    sites = [replace(site, gated=False) for site in backbone._anatomy.sites]
    backbone._anatomy = replace(backbone._anatomy, sites=tuple(sites))
    found = check_geometry(admit(backbone))
    assert found.verdict == "unsafe"
    assert "is not the attention's output, though no gate is declared" in found.note


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test__check_geometry__any_kernel__interface_tells_and_registry_is_as_before(kernel, patient) -> None:
    before = dict(transformers.AttentionInterface._global_mapping)
    backbone = patient("llava")
    backbone.model.set_attn_implementation(kernel)
    assert check_geometry(admit(backbone)).note == "2 layers: 2 by the interface"
    found = check_geometry(admit(swapped(backbone)))
    assert "12 heads of 4 declared, the attention computes 4 of 12" in found.note
    assert transformers.AttentionInterface._global_mapping == before


def test__check_geometry__one_layer_of_another_width__caught(patient) -> None:
    backbone = patient("llama")
    first, second = backbone._anatomy.sites
    backbone._anatomy = replace(backbone._anatomy, sites=(first, replace(second, n_heads=2, head_dim=24)))
    found = check_geometry(admit(backbone))
    assert found.verdict == "unsafe"
    assert "model.layers.1.self_attn.o_proj: 2 heads of 24 declared" in found.note
