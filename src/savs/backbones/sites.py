"""Where the attention heads of a decoder are: one rule, from modules and configuration, never by model name.

A site is the output projection of one attention module: column block m of the projection's INPUT is the
vector of head m, softmax(q k^T / sqrt(d)) v. Its width is never guessed as hidden_size / heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from savs.backbones.attention_modules import (
    PROJECTIONS,
    attribute,
    geometry,
    is_gated,
    is_self_attention,
    output_projection,
)
from savs.errors import BackboneError
from savs.features import HeadLayout

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Anatomy", "AttentionSite", "find_decoder", "find_sites"]


@dataclass(frozen=True)
class AttentionSite:
    """The output projection of one attention module.

    Attributes
    ----------
    path : str
        Of the projection, from the model; for people only.
    projection : nn.Module
        Its input, (batch, tokens, n_heads * head_dim), holds the head vectors side by side.
    layer, first_index : int
        The heads are ``(layer, first_index) ... (layer, first_index + n_heads - 1)``.
    n_heads, head_dim : int
        Query heads and the width of each.
    gated : bool
        A gate, norm or mix stands between attention and projection: its input is not the raw head output.
    """

    path: str
    projection: nn.Module
    layer: int
    first_index: int
    n_heads: int
    head_dim: int
    gated: bool


@dataclass(frozen=True)
class Anatomy:
    """A model's decoder and its attention sites, in layer order."""

    decoder: nn.Module
    n_layers: int
    sites: tuple[AttentionSite, ...]

    @property
    def layout(self) -> HeadLayout:
        """All heads, by layer and index."""
        return HeadLayout(
            heads=tuple(
                head
                for site in self.sites
                for head in HeadLayout.uniform(1, site.n_heads, site.head_dim).heads
                for head in [head._replace(layer=site.layer, index=site.first_index + head.index)]
            ),
            dims=tuple(site.head_dim for site in self.sites for _ in range(site.n_heads)),
        )

    @property
    def gated(self) -> bool:
        """Whether any site is."""
        return any(site.gated for site in self.sites)


def find_sites(model: Any) -> Anatomy:
    """Locate the softmax self-attention heads of a model's decoder.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Only looked at.

    Raises
    ------
    BackboneError
        If it has no such heads, naming what was looked for.
    """
    decoder = find_decoder(model)
    config = _text_config(model)
    path, layers = _layer_stack(decoder, attribute(config, "num_hidden_layers"), config)
    prefix = _path_of(model, decoder)
    sites: list[AttentionSite] = []
    for number, layer in enumerate(layers):
        first = 0
        for name, module in _attentions(layer):
            site = _site(module, _layer_config(config, number), number, first)
            if site is None:
                continue
            found, suffix = site
            where = ".".join(part for part in (prefix, path, str(number), name, suffix) if part)
            sites.append(AttentionSite(where, **found))
            first += found["n_heads"]
    return Anatomy(decoder, len(layers), tuple(sites))


def find_decoder(model: Any) -> Any:
    """Return the language model's stack of layers: ``get_decoder()`` to a fixed point."""
    module = model
    while hasattr(module, "get_decoder"):
        inner = module.get_decoder()
        if inner is module or inner is None:
            break
        module = inner
    if _has_module_list(module):
        return module
    return getattr(model, "base_model", model)


def _has_module_list(module: Any) -> bool:
    from torch import nn

    return any(isinstance(child, nn.ModuleList) for child in module.modules())


def _text_config(model: Any) -> Any:
    config = model.config
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def _layer_config(config: Any, layer: int) -> Any:
    """Return a layer's own configuration where the model has one; global values are then ambiguous."""
    per_layer = attribute(config, "per_layer_config")
    try:
        return config if per_layer is None else per_layer[layer]
    except (AttributeError, KeyError, IndexError, TypeError):
        return config


def _layer_stack(decoder: Any, expected: int | None, config: Any) -> tuple[str, Any]:
    """Return the path and list of the decoder's layers: the outermost list with attention heads in it."""
    stacks = _outermost(_lists_with_heads(decoder, config))
    if not stacks:
        raise BackboneError(
            f"no attention heads found in {type(decoder).__name__}: looked in its layer lists for softmax "
            f"self-attention modules with an output projection ({', '.join(PROJECTIONS[:4])}, ...) whose "
            "input is as wide as heads * head_dim; models without them (Mamba, RWKV, ...) cannot be used"
        )
    fitting = _likeliest(stacks, expected)
    if len(fitting) != 1:
        names = ", ".join(name for name, _ in stacks)
        raise BackboneError(
            f"{type(decoder).__name__} has several stacks of attention layers ({names}), and its "
            "configuration does not say which one to read"
        )
    return fitting[0]


def _likeliest(stacks: list[tuple[str, Any]], expected: int | None) -> list[tuple[str, Any]]:
    """Keep the stacks of the configured length, and of those the ones nearest to the decoder's root."""
    fitting = [stack for stack in stacks if len(stack[1]) == expected] if len(stacks) > 1 else stacks
    nearest = min((name.count(".") for name, _ in fitting), default=0)
    return [(name, stack) for name, stack in fitting if name.count(".") == nearest]


def _lists_with_heads(decoder: Any, config: Any) -> list[tuple[str, Any]]:
    from torch import nn

    return [
        (name, module)
        for name, module in decoder.named_modules()
        if isinstance(module, nn.ModuleList)
        and any(_site(child, config, 0, 0) for layer in module for _, child in _attentions(layer))
    ]


def _outermost(stacks: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (name, stack)
        for name, stack in stacks
        if not any(name.startswith(f"{other}.") for other, _ in stacks)
    ]


def _path_of(model: Any, wanted: Any) -> str:
    return next((name for name, module in model.named_modules() if module is wanted), "")


def _attentions(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the self-attention modules of a layer that have an output projection, outermost first."""
    inside: list[str] = []
    for name, module in layer.named_modules(remove_duplicate=False):
        if any(name.startswith(outer) for outer in inside) or not is_self_attention(name, module):
            continue
        if output_projection(module) is not None:
            inside.append(f"{name}.")
            yield name, module


def _site(module: Any, config: Any, layer: int, first: int) -> tuple[dict[str, Any], str] | None:
    projection = output_projection(module)
    if projection is None:
        return None
    path, target, width = projection
    sizes = geometry(module, config, width)
    if sizes is None:
        return None
    found = {
        "projection": target,
        "layer": layer,
        "first_index": first,
        "n_heads": sizes[0],
        "head_dim": sizes[1],
        "gated": is_gated(module, width),
    }
    return found, path
