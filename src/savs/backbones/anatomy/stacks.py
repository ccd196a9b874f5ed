"""Which list of layers a decoder runs, in the order in which it runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from savs.backbones.anatomy.attention_modules import attribute
from savs.errors import BackboneError

__all__ = ["find_decoder", "layer_config", "layers_in_order", "path_of", "text_config"]

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
    length, or the only one called a decoder (BLT). Of two stacks that are run in turns (HRM), every run of
    every layer counts, in the order of transformers' own cache slots.

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
    return [(f"{path}.{number}", layer) for number, layer in enumerate(stack)]


def _alternating(stacks: dict[str, Any], config: Any) -> Layers:
    """Return the runs of a slow and a fast stack: per slow step, several fast ones, then the slow one."""
    slow, fast = (next((p for p in stacks if p.startswith(f"{n}_module.")), None) for n in "HL")
    n_slow, n_fast = attribute(config, "H_cycles"), attribute(config, "L_cycles")
    if slow is None or fast is None or not isinstance(n_slow, int) or not isinstance(n_fast, int):
        return []
    runs = ([fast] * n_fast + [slow]) * n_slow
    return [(f"{path}.{number}", layer) for path in runs for number, layer in enumerate(stacks[path])]


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
