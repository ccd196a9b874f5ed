"""How to tell softmax self-attention, its output projection, and the number and width of its heads."""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "PROJECTIONS",
    "attribute",
    "geometry",
    "input_width",
    "is_attention",
    "is_cross_attention",
    "is_gated",
    "is_recurrent",
    "is_self_attention",
    "output_projection",
]

_ATTENTION = re.compile(r"[Aa]ttention|[Aa]ttn|MLA")
_CROSS = re.compile(r"cross|encoder_attn|encdec|encoder_decoder", re.IGNORECASE)
_RECURRENT = re.compile(r"deltanet|mamba|conv|lightning|recurrent|rwkv|lstm|ssm|retention", re.IGNORECASE)
# fmt: off
_QUERIES = (
    "q_proj", "query", "q", "wq", "Wqkv", "qkv", "qkv_proj", "query_key_value", "c_attn", "q_b_proj", "q_lin",
)
PROJECTIONS = (
    "o_proj", "out_proj", "dense", "c_proj", "o", "wo", "Wo", "out_lin", "attention_out", "output",
    "projection", "proj", "to_out", "o_a_proj",
)
# fmt: on
_EARLY_NORM = re.compile(
    r"(q|k|v|kv|qk|query|key|value)\d?(_.*)?|ln|LayerNorm|layer_?norm|(self_)?(attn|attention)_layer_?norm"
    r"|.*(input|pre)_?(layer_?)?norm"
)
_WIDTHS = ("v_head_dim", "head_dim", "attention_head_size", "head_size", "dim_per_head")
_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "num_query_heads", "head_num")


def attribute(owner: Any, name: str) -> Any:
    """Return an attribute or None; also for a global value that differs between layers, which raises."""
    try:
        return getattr(owner, name, None)
    except RuntimeError:
        return None


def is_attention(module: Any) -> bool:
    """Return whether a module is called attention or has a child that makes queries."""
    return bool(_ATTENTION.search(type(module).__name__)) or any(_child(module, query) for query in _QUERIES)


def is_cross_attention(name: str, module: Any) -> bool:
    """Return whether a module, at path `name` in its layer, is attention to something else than tokens."""
    if not is_attention(module):
        return False
    named = _CROSS.search(name) or _CROSS.search(type(module).__name__)
    return bool(named) or getattr(module, "is_cross_attention", False) is True


def is_self_attention(name: str, module: Any) -> bool:
    """Return whether a module, at path `name` in its layer, is softmax self-attention."""
    kind = type(module).__name__
    if _CROSS.search(name) or _CROSS.search(kind) or getattr(module, "is_cross_attention", False) is True:
        return False
    return is_attention(module) and not is_recurrent(kind, module)


def is_recurrent(kind: str, module: Any) -> bool:
    """Return whether attention of class `kind` is linear or a state-space layer, which has no softmax heads.

    The class name alone misleads (KimiLinearAttention, Doge): softmax attention shows in the members.
    """
    named = _RECURRENT.search(kind) or "linear" in kind.lower()
    if not named and not any(_RECURRENT.search(child) for child, _ in module.named_children()):
        return False
    softmax = hasattr(module, "num_key_value_groups") or (
        hasattr(module, "is_causal") and hasattr(module, "scaling")
    )
    return not softmax


def _child(module: Any, name: str) -> Any:
    from torch import nn

    child = getattr(module, name, None)
    return child if isinstance(child, nn.Module) else None


def output_projection(module: Any) -> tuple[str, Any, int] | None:
    """Return the path, module and input width of an attention's output projection."""
    for name in PROJECTIONS:
        child = _child(module, name)
        if child is None:
            continue
        for path, candidate in ((name, child), *((f"{name}.{n}", c) for n, c in child.named_children())):
            width = input_width(candidate)
            if width is not None and (candidate is child or _is_wrapper(child, path)):
                return path, candidate, width
    return None


def _is_wrapper(child: Any, path: str) -> bool:
    # BERT's `output.dense`, or a wrapper around a single linear layer.
    return path.endswith(".dense") or len(list(child.children())) == 1


def input_width(module: Any) -> int | None:
    """Return the number of columns that a projection takes per token, or None if it is not a projection."""
    width = attribute(module, "in_features")
    if isinstance(width, int):
        groups = attribute(module, "n_groups")  # DeepSeek-V4 projects groups of heads one by one
        return width * groups if isinstance(groups, int) else width
    if type(module).__name__ == "Conv1D":
        return int(module.weight.shape[0])
    return None


def geometry(module: Any, config: Any | None, width: int) -> tuple[int, int] | None:
    """Return (n_heads, head_dim) with n_heads * head_dim equal to the projection's input width.

    Without a `config`, from the module's own members alone.
    """
    # BERT keeps the numbers one level down, next to query, key and value.
    owners = [module, *(child for child in module.children() if any(_child(child, q) for q in _QUERIES))]
    widths = _numbers(owners, _WIDTHS)
    configs = [] if config is None else [config, getattr(module, "config", None)]
    counts = _numbers(owners, _COUNTS) + _numbers(configs, _COUNTS)
    for head_dim in widths:
        if any(count * head_dim == width for count in counts):
            return width // head_dim, head_dim
    if widths:
        return (width // widths[0], widths[0]) if width % widths[0] == 0 else None
    return next(((count, width // count) for count in counts if width % count == 0), None)


def _numbers(owners: list[Any], names: tuple[str, ...]) -> list[int]:
    values = [attribute(owner, name) for owner in owners for name in names if owner is not None]
    return [value for value in values if isinstance(value, int) and not isinstance(value, bool) and value > 0]


def is_gated(module: Any, width: int) -> bool:
    """Return whether a gate, norm, rotation or mix stands between the attention and its output projection."""
    members = [*(name for name, _ in module.named_children()), *module._parameters]
    if any("gate" in name or name == "g_proj" or name.startswith("lambda") for name in members):
        return True
    if any(_is_norm(child) and not _EARLY_NORM.fullmatch(name) for name, child in module.named_children()):
        return True
    if _child(module, "o_a_proj") is not None:  # DeepSeek-V4 turns the values' rotary part back
        return True
    query = getattr(_child(module, "q_proj"), "out_features", None)
    return query == 2 * width


def _is_norm(module: Any) -> bool:
    # Norms of the layer's input, of queries, keys, values and their latents stand before the attention.
    # A norm has no children; whole classes are called after one (RobertaPreLayerNormSelfAttention).
    return "norm" in type(module).__name__.lower() and not list(module.children())
