"""The decoder, its layers in running order, and which modules of a layer are attention and projection."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from savs.errors import BackboneError

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
_LOOPS = (
    ("n_input_layers", "n_recurrent_layers", "n_recurrent_loops"),  # Dory
    ("loop_layer_index_start", "loop_layer_index_end", "loop_num_passes"),  # Inkling 2, looped
)
Layers = list[tuple[str, Any]]


def find_decoder(model: Any) -> Any:
    """Return the language model's stack of layers: ``get_decoder()`` to a fixed point.

    Raises
    ------
    BackboneError
        If the model has no forward pass of its own (Qwen2.5-Omni), naming the part that has one.
    """
    _check_runs(model)
    module = model
    while hasattr(module, "get_decoder"):
        inner = module.get_decoder()
        if inner is module or inner is None:
            break
        module = inner
    if _has_module_list(module):
        return module
    return getattr(model, "base_model", model)


def _check_runs(model: Any) -> None:
    if getattr(type(model), "forward", None) is not _unimplemented():
        return
    parts = [name for name, part in model.named_children() if hasattr(part, "get_decoder")]
    advice = f"; use its part model.{parts[0]}" if parts else ""
    raise BackboneError(f"{type(model).__name__} has no forward pass of its own{advice}")


def _unimplemented() -> Any:
    from torch import nn

    return nn.Module.forward


def _has_module_list(module: Any) -> bool:
    from torch import nn

    return any(isinstance(child, nn.ModuleList) for child in module.modules())


def text_config(model: Any) -> Any:
    """Return the configuration of a model's decoder."""
    config = model.config
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def layer_config(config: Any, layer: int) -> Any:
    """Return a layer's own configuration where the model has one; global values are then ambiguous."""
    per_layer = attribute(config, "per_layer_config")
    try:
        return config if per_layer is None else per_layer[layer]
    except (AttributeError, KeyError, IndexError, TypeError):
        return config


def path_of(model: Any, wanted: Any) -> str:
    """Return the path of a module in a model, empty if it is the model itself or not in it."""
    return next((name for name, module in model.named_modules() if module is wanted), "")


def layers_in_order(decoder: Any, config: Any, has_heads: Callable[[Any], bool]) -> Layers:
    """Return path (from the decoder) and module of every layer that a forward pass runs, in that order.

    One stack as a rule: the outermost list with attention heads in it, of several the one of the configured
    length, or the only one called a decoder (BLT). A layer that runs several times is there several times. Of
    two stacks that are run in turns (HRM), every run of every layer counts, in the order of transformers' own
    cache slots.

    Parameters
    ----------
    decoder : torch.nn.Module
        From `find_decoder`.
    config : transformers.PreTrainedConfig
        That of the text model.
    has_heads : callable
        Whether a layer has attention heads.

    Raises
    ------
    BackboneError
        If no list has heads, or the configuration does not say which of several to read.
    """
    stacks = _outermost(_lists_with_heads(decoder, has_heads))
    if not stacks:
        return []
    alternating = _alternating(dict(stacks), config)
    if alternating:
        return alternating
    fitting = _likeliest(stacks, attribute(config, "num_hidden_layers"))
    if len(fitting) != 1:
        names = ", ".join(f"{name} of {len(stack)} layers" for name, stack in stacks)
        raise BackboneError(
            f"{type(decoder).__name__} has several stacks of attention layers ({names}), and its "
            "configuration does not say which one to read; name its output projections, as in "
            f"sites=['{stacks[-1][0]}.*....']"
        )
    path, stack = fitting[0]
    return [(f"{path}.{number}", stack[number]) for number in _runs(len(stack), config)]


def _alternating(stacks: dict[str, Any], config: Any) -> Layers:
    """Return the runs of a slow and a fast stack: per slow step, several fast ones, then the slow one."""
    slow, fast = (next((p for p in stacks if p.startswith(f"{n}_module.")), None) for n in "HL")
    n_slow, n_fast = attribute(config, "H_cycles"), attribute(config, "L_cycles")
    if slow is None or fast is None or not isinstance(n_slow, int) or not isinstance(n_fast, int):
        return []
    runs = ([fast] * n_fast + [slow]) * n_slow
    return [(f"{path}.{number}", layer) for path in runs for number, layer in enumerate(stacks[path])]


def _runs(n_layers: int, config: Any) -> list[int]:
    """Return the layers in the order in which they run: some models run the middle ones several times."""
    order = list(range(n_layers))
    for first, end, times in _LOOPS:
        start, stop, passes = attribute(config, first), attribute(config, end), attribute(config, times)
        if all(isinstance(number, int) for number in (start, stop, passes)):
            stop = start + stop if end == "n_recurrent_layers" else stop  # Dory counts them, Inkling numbers
            runs: list[int] = order[:start] + order[start:stop] * passes + order[stop:]
            return runs
    return order


def _likeliest(stacks: Layers, expected: int | None) -> Layers:
    """Keep the stacks of the configured length, and of those the ones nearest to the decoder's root."""
    if len(stacks) == 1:
        return stacks
    fitting = [stack for stack in stacks if len(stack[1]) == expected]
    if not fitting:
        return [stack for stack in stacks if "decoder" in stack[0]]
    nearest = min(name.count(".") for name, _ in fitting)
    return [(name, stack) for name, stack in fitting if name.count(".") == nearest]


def _lists_with_heads(decoder: Any, has_heads: Callable[[Any], bool]) -> Layers:
    from torch import nn

    return [
        (name, module)
        for name, module in decoder.named_modules()
        if isinstance(module, nn.ModuleList) and any(has_heads(layer) for layer in module)
    ]


def _outermost(stacks: Layers) -> Layers:
    return [
        (name, stack)
        for name, stack in stacks
        if not any(name.startswith(f"{other}.") for other, _ in stacks)
    ]


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
    # BERT's `output.dense`, or a wrapper around a single linear layer, beside its gate (Inkling 2).
    name = path.rpartition(".")[2]
    others = [other for other, _ in child.named_children() if other != name and not _is_gate(other)]
    return name == "dense" or not (others or _is_gate(name))


def _is_gate(name: str) -> bool:
    return "gate" in name or name == "g_proj"


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

    Parameters
    ----------
    module : torch.nn.Module
        An attention module.
    config : transformers.PreTrainedConfig or None
        That of its layer.
    width : int
        Columns of its output projection's input.
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
    if any(_is_gate(name) or name.startswith("lambda") for name in members):
        return True
    projection = output_projection(module)
    wrapper = None if projection is None else _child(module, projection[0].partition(".")[0])
    if wrapper is not None and any(_is_gate(name) for name, _ in wrapper.named_children()):
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
