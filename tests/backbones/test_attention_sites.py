"""The locating rule, checked against what each model's attention really computes."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface

from savs.backbones import TransformersBackbone
from savs.backbones._attention_sites import SkippedLayer, find_sites
from savs.errors import BackboneError

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 400,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GQA = SMALL | {"num_key_value_heads": 2}

# Configuration and model class, options, expected (layer, heads, head_dim).
DECODERS: dict[str, tuple[str, str, dict[str, Any], list[tuple[int, int, int]]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", GQA, [(0, 4, 8), (1, 4, 8)]),
    "decoupled head_dim": (
        "Qwen3Config",
        "Qwen3ForCausalLM",
        GQA | {"head_dim": 20},
        [(0, 4, 20), (1, 4, 20)],
    ),
    "gpt2 Conv1D": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"n_embd": 32, "n_head": 4, "n_layer": 2, "vocab_size": 400},
        [(0, 4, 8), (1, 4, 8)],
    ),
    "bert output.dense": (
        "BertConfig",
        "BertLMHeadModel",
        SMALL | {"is_decoder": True},
        [(0, 4, 8), (1, 4, 8)],
    ),
    "neox dense": ("GPTNeoXConfig", "GPTNeoXForCausalLM", SMALL, [(0, 4, 8), (1, 4, 8)]),
    "falcon dense": (
        "FalconConfig",
        "FalconForCausalLM",
        {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 400},
        [(0, 4, 8), (1, 4, 8)],
    ),
    "opt out_proj": (
        "OPTConfig",
        "OPTForCausalLM",
        SMALL | {"ffn_dim": 48, "word_embed_proj_dim": 32},
        [(0, 4, 8), (1, 4, 8)],
    ),
    "MLA: values narrower than keys": (
        "DeepseekV3Config",
        "DeepseekV3ForCausalLM",
        GQA
        | {
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 8,
            "v_head_dim": 10,
            "first_k_dense_replace": 2,
        },
        [(0, 4, 10), (1, 4, 10)],
    ),
    "ragged": (
        "Gemma4TextConfig",
        "Gemma4ForCausalLM",
        GQA
        | {
            "num_hidden_layers": 3,
            "head_dim": 8,
            "global_head_dim": 16,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 400,
            "num_kv_shared_layers": 0,
        },
        [(0, 4, 8), (1, 4, 8), (2, 4, 16)],
    ),
    "hybrid: linear layers skipped": (
        "Qwen3NextConfig",
        "Qwen3NextForCausalLM",
        GQA
        | {
            "head_dim": 12,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "num_experts": 0,
            "mlp_only_layers": [0, 1],
        },
        [(1, 4, 12)],
    ),
    "two attentions in a layer": (
        "LongcatFlashConfig",
        "LongcatFlashForCausalLM",
        {
            "hidden_size": 32,
            "ffn_hidden_size": 48,
            "expert_ffn_hidden_size": 16,
            "num_attention_heads": 4,
            "num_layers": 1,
            "num_hidden_layers": 2,
            "vocab_size": 400,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 8,
            "v_head_dim": 10,
            "head_dim": 8,
            "n_routed_experts": 4,
            "zero_expert_num": 2,
            "moe_topk": 2,
        },
        [(0, 8, 10)],
    ),
}


def build(name: str) -> Any:
    config_name, model_name, options, _ = DECODERS[name]
    torch.manual_seed(0)
    config = getattr(transformers, config_name)(**options)
    return getattr(transformers, model_name)(config).eval()


@pytest.fixture
def spy() -> Iterator[list[tuple[int, int]]]:
    """Record (heads, head_dim) of every attention output, as the attention interface sees them."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    seen: list[tuple[int, int]] = []

    def attend(module: Any, *args: Any, **options: Any) -> Any:
        output = sdpa_attention_forward(module, *args, **options)
        seen.append(tuple(output[0].shape[2:]))
        return output

    AttentionInterface.register("savs_spy", attend)
    AttentionMaskInterface.register("savs_spy", sdpa_mask)
    yield seen
    AttentionInterface._global_mapping.pop("savs_spy")
    AttentionMaskInterface._global_mapping.pop("savs_spy")


def triples(model: Any) -> list[tuple[int, int, int]]:
    found: dict[tuple[int, int], int] = {}
    for head, dim in zip(find_sites(model).layout.heads, find_sites(model).layout.dims, strict=True):
        found[head.layer, dim] = found.get((head.layer, dim), 0) + 1
    return [(layer, count, dim) for (layer, dim), count in found.items()]


@pytest.mark.parametrize("name", DECODERS)
def test__find_sites__many_decoders__geometry_of_each_layer(name) -> None:
    model = build(name)
    assert triples(model) == DECODERS[name][3]
    for site in find_sites(model).sites:
        assert model.get_submodule(site.path) is site.projection


@pytest.mark.parametrize("name", [n for n in DECODERS if not n.startswith(("falcon", "bert"))])
def test__find_sites__many_decoders__agree_with_the_attention_interface(name, spy) -> None:
    model = build(name)
    model.set_attn_implementation("savs_spy")
    with torch.no_grad():
        model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False)
    assert [(site.n_heads, site.head_dim) for site in find_sites(model).sites] == spy


def test__find_sites__images__only_the_language_model(image_family, family) -> None:
    anatomy = find_sites(family(image_family).model)
    assert anatomy.n_layers == 2
    assert [site.layer for site in anatomy.sites] == [0, 1]
    assert not any("vis" in site.path or "encoder" in site.path for site in anatomy.sites)


def test__find_sites__cross_attention_layers__skipped() -> None:
    from transformers import MllamaForCausalLM
    from transformers.models.mllama.configuration_mllama import MllamaTextConfig

    config = MllamaTextConfig(
        **GQA | {"num_hidden_layers": 3}, cross_attention_layers=[1], bos_token_id=1, eos_token_id=2
    )
    assert [site.layer for site in find_sites(MllamaForCausalLM(config)).sites] == [0, 2]


@pytest.mark.parametrize(
    ("name", "gated"),
    [("llama", False), ("decoupled head_dim", False), ("hybrid: linear layers skipped", True)],
)
def test__gated__says_whether_the_projection_sees_raw_heads(name, gated) -> None:
    assert find_sites(build(name)).gated is gated


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Mamba", {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "vocab_size": 99}),
        ("JetMoe", GQA | {"kv_channels": 8, "num_local_experts": 2, "num_experts_per_tok": 2}),
        ("Rwkv", {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 99}),
    ],
)
def test__find_sites__no_softmax_heads__error_says_what_was_looked_for(kind, options) -> None:
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**options))
    with pytest.raises(
        BackboneError,
        match=rf"no attention heads found in {kind}Model, which has 2 x .*o_proj.*heads \* head_dim.*sites=",
    ):
        find_sites(model)


def test__find_sites__no_forward_of_its_own__error_names_the_part_that_has_one() -> None:
    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.thinker = build("llama")
            self.config = self.thinker.config

    with pytest.raises(
        BackboneError, match=r"Whole has no forward pass of its own; use its part model\.thinker"
    ):
        find_sites(Whole())


def test__describe__hybrid__json_of_what_is_read_and_what_is_not() -> None:
    anatomy = find_sites(build("hybrid: linear layers skipped"))
    assert json.loads(json.dumps(anatomy.describe())) == {
        "decoder": "Qwen3NextModel",
        "layers": 2,
        "layers_with_heads": 1,
        "sites": 1,
        "heads": {"4x12": 1},
        "gated_sites": 1,
        "skipped": {"linear attention": 1},
        "sites_from": "rule",
    }
    assert anatomy.skipped == (SkippedLayer("model.layers.0.linear_attn", "linear attention"),)


@pytest.mark.parametrize("name", DECODERS)
def test__named_sites__the_paths_of_the_rule__the_same_sites(name) -> None:
    model = build(name)
    by_rule = find_sites(model)
    paths = [f"{site.path}:heads={site.n_heads},head_dim={site.head_dim}" for site in by_rule.sites]
    by_user = find_sites(model, paths)
    assert by_user.sites == by_rule.sites
    assert by_user.n_layers == by_rule.n_layers
    assert by_user.describe()["sites_from"] == "user"


def test__named_sites__glob_and_geometry_from_the_module__every_layer_in_order() -> None:
    model = build("decoupled head_dim")
    paths = ["model.layers.*.self_attn.o_proj:heads=4"]
    assert find_sites(model, paths).sites == find_sites(model).sites
    only = find_sites(model, ["model.layers.1.self_attn.o_proj:head_dim=20"])
    assert [(site.layer, site.first_index, site.n_heads, site.head_dim) for site in only.sites] == [
        (1, 0, 4, 20)
    ]
    gpt2 = build("gpt2 Conv1D")
    assert find_sites(gpt2, ["transformer.h.*.attn.c_proj"]).sites == find_sites(gpt2).sites


def test__named_sites__an_unknown_name__read_like_the_known_one(family, ask) -> None:
    built = family("llama")
    expected = TransformersBackbone(built.model, built.processor).extract([ask("is this a cat?")]).features
    config = built.model.config
    other = copy.deepcopy(built.model)
    for layer in other.model.layers:
        attention = layer.self_attn
        attention.my_out = attention.o_proj
        attention.forward = types.MethodType(_forward_with_my_out, attention)
        del attention.o_proj
    with pytest.raises(BackboneError, match=r"sites=\[\.\.\.\]"):
        find_sites(other)
    sites = [f"model.layers.*.self_attn.my_out:heads={config.num_attention_heads}"]
    found = (
        TransformersBackbone(other, built.processor, sites=sites).extract([ask("is this a cat?")]).features
    )
    np.testing.assert_array_equal(found, expected)


def _forward_with_my_out(self: Any, *args: Any, **options: Any) -> Any:
    object.__setattr__(self, "o_proj", self.my_out)
    return type(self).forward(self, *args, **options)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("model.layers.*.self_attn.o_proj", "sites is a list"),
        ([], "sites is a list"),
        ([3], "a site is a text"),
        (
            ["model.layers.*.self_attn.out"],
            r"no such module; close to it: .*model\.layers\.\*\.self_attn\.o_proj",
        ),
        (
            ["model.layers.9.self_attn.o_proj"],
            r"'model\.layers\.9\.self_attn\.o_proj', and the model has no such",
        ),
        ([""], "no such module"),
        (["model.layers.0.self_attn"], r"a LlamaAttention and not a projection; it has .*self_attn\.q_proj"),
        (["model.norm"], "a LlamaRMSNorm and not a projection"),
        (
            ["model.layers.0.mlp.down_proj"],
            r"takes 48 columns, and LlamaMLP does not tell.*down_proj:heads=8",
        ),
        (["model.layers.0.self_attn.o_proj:heads=5"], "heads=5 does not give the 32 columns"),
        (["model.layers.0.self_attn.o_proj:head_dim=64"], "head_dim=64 does not give the 32 columns"),
        (["model.layers.0.self_attn.o_proj:heads=4,head_dim=4"], "heads=4 and head_dim=4 does not give"),
        (["model.layers.0.self_attn.o_proj:heads=0"], "after the colon"),
        (["model.layers.0.self_attn.o_proj:"], "after the colon"),
        (["model.layers.0.self_attn.o_proj:heads=4,heads=4"], "after the colon"),
        (
            ["model.layers.*.self_attn.o_proj", "model.layers.1.self_attn.o_proj"],
            r"layers\.1\.self_attn\.o_proj twice",
        ),
    ],
)
def test__named_sites__wrong__one_line_that_says_what(paths, message) -> None:
    with pytest.raises(BackboneError, match=message) as raised:
        find_sites(build("llama"), paths)
    assert "\n" not in str(raised.value)


def rotated(x: np.ndarray, positions: np.ndarray, theta: float) -> np.ndarray:
    """Rotary embedding of (tokens, heads, dim), pairing column i with i + dim / 2."""
    half = x.shape[-1] // 2
    angle = positions[:, None] * theta ** (-np.arange(half) / half)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def heads_by_hand(model: Any, ids: list[int]) -> np.ndarray:
    """Return all heads at the last token, softmax(q k^T / sqrt(d)) v in float64, from the weights alone."""
    weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    config = model.config
    n, n_kv, dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    positions = np.arange(len(ids), dtype=float)
    causal = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.rms_norm_eps) * weights[name]

    x = weights["model.embed_tokens.weight"][ids]
    found = []
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        normed = norm(x, prefix + "input_layernorm.weight")
        q, k, v = (
            (normed @ weights[f"{prefix}self_attn.{p}_proj.weight"].T).reshape(len(ids), -1, dim)
            for p in "qkv"
        )
        q, k = (rotated(part, positions, config.rope_parameters["rope_theta"]) for part in (q, k))
        outputs = []
        for head in range(n):
            shared = head // (n // n_kv)
            scores = q[:, head] @ k[:, shared].T / np.sqrt(dim) + causal
            attention = np.exp(scores - scores.max(-1, keepdims=True))
            outputs.append(attention / attention.sum(-1, keepdims=True) @ v[:, shared])
        found.append(np.concatenate([output[-1] for output in outputs]))
        x = x + np.concatenate(outputs, axis=-1) @ weights[prefix + "self_attn.o_proj.weight"].T
        normed = norm(x, prefix + "post_attention_layernorm.weight")
        gate, up = (normed @ weights[f"{prefix}mlp.{p}_proj.weight"].T for p in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[prefix + "mlp.down_proj.weight"].T
    return np.concatenate(found)


def test__extract__grouped_queries_and_decoupled_head_dim__equal_attention_by_hand(family, ask) -> None:
    built = family("llama")
    assert built.model.config.num_key_value_heads == 2
    assert (
        built.model.config.head_dim * built.model.config.num_attention_heads != built.model.config.hidden_size
    )
    examples = [ask("is this a cat?"), ask("Yes"), ask("the red dog sat on a blue mat")]
    found = TransformersBackbone(built.model, built.processor).extract(examples).features
    for example, row in zip(examples, found, strict=True):
        ids = built.processor(f"<bos><|user|>{example.text}<|assistant|>", add_special_tokens=False)[
            "input_ids"
        ]
        expected = heads_by_hand(built.model, ids)
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(row, expected, atol=2e-5)


def test__find_sites__middle_layers_run_several_times__every_run_is_there() -> None:
    model = small_llama(num_hidden_layers=4)
    model.config.n_input_layers, model.config.n_recurrent_layers = 1, 2  # as Dory says it
    model.config.n_recurrent_loops = 2
    sites = find_sites(model).sites
    assert [site.path.split(".")[2] for site in sites] == ["0", "1", "2", "1", "2", "3"]
    assert [site.layer for site in sites] == list(range(6))
    assert [site.call for site in sites] == [0, 0, 0, 1, 1, 0]


def test__find_sites__projection_with_its_gate_beside_it__read_behind_the_gate() -> None:
    class Gated(nn.Module):  # as in Inkling 2
        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.gate_proj = nn.Linear(32, linear.in_features, bias=False)
            self.linear = linear

    model = small_llama(num_hidden_layers=1)
    attention = model.model.layers[0].self_attn
    linear = attention.o_proj
    attention.o_proj = Gated(linear)
    (site,) = find_sites(model).sites
    assert site.projection is linear
    assert site.gated
    assert (site.n_heads, site.head_dim) == (4, 8)


def small_llama(**sizes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=32,
        num_attention_heads=4,
        num_key_value_heads=2,
        **sizes,
    )
    return LlamaForCausalLM(config)
