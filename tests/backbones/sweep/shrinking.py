"""Shrinks any configuration to a few thousand parameters, by the names of its fields, keeping its pattern.

Every width becomes 32, so that parts that must fit together still do; layer lists keep one layer of every
kind in their order; token numbers move below the new vocabulary. What this cannot know is in `families`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN, HEADS, VOCABULARY, POSITIONS, WINDOW = 32, 4, 256, 128, 4
FIRST_SPECIAL = 160  # text tokens are below, moved token numbers from here on
_DROPPED = {"transformers_version", "architectures", "id2label", "label2id", "dtype", "torch_dtype"}
_PICTURE_OR_SOUND = re.compile(
    r"vision|visual|vit|audio|speech|image|sam|qformer|q_former|vq|codec|encoder_config|perceiver|resampler|"
    r"acoustic|semantic|talker|token2wav|projector|backbone|protein|mel|depth_decoder"
)
_LAYERS = re.compile(
    r"(num_)?((hidden|encoder|decoder)_)?layers?|n_layers?|depth|num_(encoder|decoder)_layers"
)
_LAYER_NUMBERS = re.compile(r".*(indexes|indices|layer_ids|blocks|_idxs|_layers|layer_index(es)?)")

# The first pattern that fits a field's whole name gives the value; `None` keeps it.
_RULES: tuple[tuple[str, int | None], ...] = (
    (r"num_channels|in_channels|in_chans|audio_channels|channels", None),
    (r".*vocab(ulary)?_size.*|n_words|codebook_size|.*_vocab|decoder_vocab_size", VOCABULARY),
    (
        r"(original_)?max_position_embeddings|n_positions|n_ctx|max_seq_len|context_length|max_(source|target)_positions"
        r"|max_sequence_length|seq_length",
        POSITIONS,
    ),
    (
        r"(.*_)?(sliding_window|sliding_window_size|attention_window_size|window_len|attention_chunk_size|local_attention)",
        WINDOW,
    ),
    (r"qk_nope_head_dim|qk_rope_head_dim", 8),
    (r"v_head_dim", 10),
    (r"qk_head_dim|index_head_dim", 16),
    (
        r"linear_(num_)?(key_|value_)?head(s|_dim)|mamba_(n_heads|num_heads|d_head|headdim|head_dim|d_state)|ssm_state_size",
        8,
    ),
    (r"mamba_d_ssm", 64),
    (r".*lora_rank", 16),
    (r"head_dim|kv_channels|d_kv|d_head|attention_head_dim|attention_head_size", 16),
    (r"global_head_dim", 32),
    (
        r"(n|num|index_n)_heads?|n_head|.*attention_heads|num_query_groups|resampler_heads|n_mamba_heads",
        HEADS,
    ),
    (r"(n|num)_(routed_|local_)?experts|moe_num_experts", 4),
    (
        r"num_experts_per_tok(en)?|.*top_?k(_experts)?|moe_k|.*num_shared_experts|n_shared_experts|zero_expert_num",
        2,
    ),
    (r"n_group|num_expert_group|topk_group|n_groups|mamba_n_groups|mamba_ngroups", 1),
    (r"image_size|img_size|resolution|crop_size", 32),
    (r"patch_size", 8),
    (
        r".*(intermediate|ffn|feed_forward|mlp_dim|dim_ff|dff|d_ff|n_inner|d_inner|inner_dim|shared_expert).*",
        64,
    ),
    (r"time_step_rank|mamba_dt_rank", 4),
    (r".*chunk_size", 8),
    (
        r"d_model|n_embd|.*(hidden|embed|model|projection|projector|input|output|out|embedding|proj)_?(size|dim)"
        r"|width|lru_width|embed_dim|.*hidden_size.*|.*_dim",
        HIDDEN,
    ),
)
_COMPILED = tuple((re.compile(pattern), value) for pattern, value in _RULES)


def shrunk(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a small configuration, from `config.to_dict()`.

    Parameters
    ----------
    config : mapping
        The default configuration.
    overrides : mapping of str to value
        By dotted path; applied last.
    """
    found = _shrunk(config, _Tokens(), is_text=True)
    for path, value in overrides.items():
        *parents, name = path.split(".")
        owner = found
        for parent in parents:
            owner = owner.setdefault(parent, {})
        owner[name] = value
    return found


class _Tokens:
    """Moves token numbers below the small vocabulary, the same number always to the same place."""

    def __init__(self) -> None:
        self.moved: dict[int, int] = {}

    def __call__(self, number: int) -> int:
        if number < 30:
            return number
        return self.moved.setdefault(number, FIRST_SPECIAL + len(self.moved))


def _shrunk(config: Mapping[str, Any], tokens: _Tokens, is_text: bool) -> dict[str, Any]:
    kept = _kept_layers(config) if is_text else [0, 1]
    found = {}
    for name, value in config.items():
        if not isinstance(name, str) or name in _DROPPED or name.startswith("_"):
            continue
        found[name] = _value(name, value, config, tokens, kept, is_text)
    return found


def _value(
    name: str, value: Any, config: Mapping[str, Any], tokens: _Tokens, kept: list[int], is_text: bool
) -> Any:
    if isinstance(value, Mapping):
        if name == "rope_parameters":
            return _rope(value, _rotated(config, is_text))
        if name == "per_layer_config":
            return _per_layer(value, kept)
        return _shrunk(value, tokens, is_text and not _PICTURE_OR_SOUND.search(name))
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return value
    if re.fullmatch(
        r".*(token|image|video|audio|start|end|patch|mask|pad|newline|bos|eos)_(id|index|idx|ids)", name
    ):
        return [tokens(v) for v in value] if isinstance(value, (list, tuple)) else tokens(value)
    if isinstance(value, (list, tuple)):
        return _list(name, list(value), config, kept)
    return _number(name, value, config, kept, is_text)


def _number(name: str, value: int, config: Mapping[str, Any], kept: list[int], is_text: bool) -> int:
    if _LAYERS.fullmatch(name):
        return min(value, len(kept))
    if re.fullmatch(r"vision_feature_layer|.*_feature_layer", name):
        return -1
    if re.fullmatch(r".*(key_value|kv)_heads?|kv_n_heads|.*n_kv_heads?", name):
        heads = config.get("num_attention_heads") or config.get("num_heads")
        return HEADS if value == heads else 1 if value == 1 else 2
    for pattern, small in _COMPILED:
        if pattern.fullmatch(name):
            if small is None:
                return value
            if name == "head_dim" and (not is_text or value == config.get("qk_rope_head_dim")):
                return min(value, 8)
            return min(value, small) if value > 0 else value
    return value if value <= 128 else HIDDEN


def _list(name: str, values: list[Any], config: Mapping[str, Any], kept: list[int]) -> list[Any]:
    if len(values) == _n_layers(config) and len(values) > len(kept):
        values = [values[i] for i in kept]
    if _LAYER_NUMBERS.fullmatch(name) and all(isinstance(v, int) for v in values):
        return [v for v in values if v < len(kept)] or ([len(kept) - 1] if values else [])
    if re.fullmatch(r"vision_feature_layer|.*_feature_layer", name):
        return [-1] * len(values)
    if all(isinstance(v, int) and not isinstance(v, bool) and v > 64 for v in values):
        return [HIDDEN] * len(values)
    return values


def _per_layer(value: Mapping[str, Any], kept: list[int]) -> dict[str, Any]:
    """Return the special layers among the kept ones, still other than the rest: wider heads, or fewer."""
    return {
        str(kept.index(int(layer))): {
            name: 32 if name == "head_dim" else 2 if name.endswith("_heads") else 16 for name in own
        }
        for layer, own in value.items()
        if int(layer) in kept
    }


def _rotated(config: Mapping[str, Any], is_text: bool) -> int:
    """Return half the width of what rotary embeddings turn, before any partial factor."""
    return 8 if config.get("head_dim") and is_text else 4


def _rope(value: Mapping[str, Any], half: int) -> dict[str, Any]:
    half = int(half * (value.get("partial_rotary_factor") or 1))
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            found[name] = _rope(item, half)
        elif name == "original_max_position_embeddings":
            found[name] = POSITIONS // 2
        elif name in {"short_factor", "long_factor"} and item:
            found[name] = [1.0] * half
        elif name.endswith("rope_section") and item:
            third = half // 3
            found[name] = [half - 2 * third, third, third] if len(item) == 3 else [half // 4] * 4
        else:
            found[name] = item
    return found


def _n_layers(config: Mapping[str, Any]) -> int | None:
    for name in ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"):
        if isinstance(config.get(name), int):
            return int(config[name])
    return None


def _kept_layers(config: Mapping[str, Any]) -> list[int]:
    """Return the layers to keep: the shortest beginning that shows every kind, or one of each kind."""
    n_layers = _n_layers(config) or 2
    kinds = [
        value
        for name, value in config.items()
        if isinstance(value, (list, tuple))
        and len(value) == n_layers
        and all(isinstance(v, (str, int)) for v in value)
        and not _LAYER_NUMBERS.fullmatch(name)
    ]
    rows = list(zip(*kinds, strict=True)) if kinds else [()] * n_layers
    first = {row: rows.index(row) for row in rows}
    kept = sorted(first.values())
    last = kept[-1] + 1
    if last <= 4:
        return list(range(min(max(last, 2), n_layers)))
    return kept if len(kept) > 1 else [0, 1]
