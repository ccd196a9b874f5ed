"""Where the attention heads of a decoder are: one rule, from modules and configuration, never by model name.

A site is the output projection of one attention module: column block m of the projection's INPUT is the
vector of head m, softmax(q k^T / sqrt(d)) v. Its width is never guessed as hidden_size / heads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from savs.backbones.anatomy.attention_modules import (
    PROJECTIONS,
    geometry,
    is_gated,
    is_self_attention,
    output_projection,
)
from savs.backbones.anatomy.named_sites import named_projections
from savs.backbones.anatomy.skipped import SkippedLayer, skipped_in_layer, skipped_outside
from savs.backbones.anatomy.stacks import find_decoder, layer_config, layers_in_order, path_of, text_config
from savs.errors import BackboneError
from savs.features import HeadLayout

if TYPE_CHECKING:
    from torch import nn

    from savs.backbones.base import JSONValue

__all__ = ["Anatomy", "AttentionSite", "SkippedLayer", "find_decoder", "find_sites"]


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
        A gate, norm, rotation or mix stands between attention and projection: its input is not the raw head
        output.
    call : int
        Which call of the projection in a forward pass it is; above 0 only where layers share a module.
    """

    path: str
    projection: nn.Module
    layer: int
    first_index: int
    n_heads: int
    head_dim: int
    gated: bool
    call: int = 0


@dataclass(frozen=True)
class Anatomy:
    """A model's decoder and its attention sites.

    Attributes
    ----------
    decoder : nn.Module
        The language model's stack of layers.
    n_layers : int
        Layers that a forward pass runs, with heads or not.
    sites : tuple of AttentionSite
        In the order in which they run.
    skipped : tuple of SkippedLayer
        What mixes tokens and is not read.
    named : bool
        Whether the user named the sites.
    """

    decoder: nn.Module
    n_layers: int
    sites: tuple[AttentionSite, ...]
    skipped: tuple[SkippedLayer, ...] = ()
    named: bool = False

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

    def describe(self) -> dict[str, JSONValue]:
        """Return a JSON-able record for metadata and people.

        ``layers``, ``layers_with_heads``, ``sites`` and ``gated_sites`` are counts; ``heads`` counts the
        sites of each geometry, as in ``{"16x128": 28}``; ``skipped`` counts by kind what is not read;
        ``sites_from`` is ``"rule"`` or ``"user"``.
        """
        heads = Counter(f"{site.n_heads}x{site.head_dim}" for site in self.sites)
        skipped = Counter(layer.kind for layer in self.skipped)
        return {
            "decoder": type(self.decoder).__name__,
            "layers": self.n_layers,
            "layers_with_heads": len({site.layer for site in self.sites}),
            "sites": len(self.sites),
            "heads": dict(heads),
            "gated_sites": sum(site.gated for site in self.sites),
            "skipped": dict(skipped),
            "sites_from": "user" if self.named else "rule",
        }


def find_sites(model: Any, paths: Sequence[str] | None = None) -> Anatomy:
    """Locate the softmax self-attention heads of a model's decoder.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Only looked at.
    paths : sequence of str, optional
        The output projections to read instead of those that the rule finds, each as ``path`` or
        ``path:heads=8,head_dim=64``. ``*`` stands for one part of a path, as a rule the layer's number:
        ``["model.layers.*.attn.my_out:heads=8"]``. One of the two numbers is enough; without them the module
        around the projection must tell them. The input of each must be heads * head_dim columns wide.

    Raises
    ------
    BackboneError
        If it has no such heads, naming what was looked for; or if a path is wrong, naming close ones.
    """
    decoder = find_decoder(model)
    if paths is not None:
        return _from_user(model, decoder, paths)
    config = text_config(model)
    layers = layers_in_order(decoder, config, lambda layer: bool(_found_in(layer, config)))
    prefix = path_of(model, decoder)
    sites: list[AttentionSite] = []
    skipped: dict[str, SkippedLayer] = {}
    for number, (place, layer) in enumerate(layers):
        path = f"{prefix}.{place}" if prefix else place
        found = _found_in(layer, layer_config(config, number))
        sites.extend(_sites(path, number, found))
        skipped |= {s.path: s for s in skipped_in_layer(path, layer, {id(f.module) for f in found})}
    if not sites:
        raise _nothing_found(decoder, prefix)
    outside = skipped_outside(prefix, decoder, set(_stack_paths(prefix, layers)))
    return Anatomy(decoder, len(layers), _with_calls(sites), (*skipped.values(), *outside))


@dataclass(frozen=True)
class _Found:
    """An attention module of a layer, by its path there, with its projection and heads."""

    name: str
    module: Any
    projection: Any
    n_heads: int
    head_dim: int
    gated: bool


def _found_in(layer: Any, config: Any) -> list[_Found]:
    """Return the self-attention modules of a layer that can be read, outermost first."""
    found = []
    for name, module in _attentions(layer):
        projection = output_projection(module)
        sizes = geometry(module, config, projection[2]) if projection else None
        if projection and sizes:
            path = ".".join(part for part in (name, projection[0]) if part)
            found.append(_Found(path, module, projection[1], *sizes, is_gated(module, projection[2])))
    return found


def _attentions(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the self-attention modules of a layer that have an output projection, outermost first."""
    inside: list[str] = []
    for name, module in layer.named_modules(remove_duplicate=False):
        if any(name.startswith(outer) for outer in inside) or not is_self_attention(name, module):
            continue
        if output_projection(module) is not None:
            inside.append(f"{name}.")
            yield name, module


def _sites(path: str, layer: int, found: list[_Found]) -> Iterator[AttentionSite]:
    first = 0
    for attention in found:
        yield AttentionSite(
            f"{path}.{attention.name}",
            attention.projection,
            layer,
            first,
            attention.n_heads,
            attention.head_dim,
            attention.gated,
        )
        first += attention.n_heads


def _with_calls(sites: Sequence[AttentionSite]) -> tuple[AttentionSite, ...]:
    """Return the sites with the calls of projections that several layers share numbered."""
    calls: Counter[int] = Counter()
    numbered = []
    for site in sites:
        numbered.append(replace(site, call=calls[id(site.projection)]))
        calls[id(site.projection)] += 1
    return tuple(numbered)


def _stack_paths(prefix: str, layers: Sequence[tuple[str, Any]]) -> Iterator[str]:
    for place, _ in layers:
        stack = place.rpartition(".")[0]
        yield f"{prefix}.{stack}" if prefix else stack


def _from_user(model: Any, decoder: Any, paths: Sequence[str]) -> Anatomy:
    named = named_projections(model, paths)
    first: Counter[int] = Counter()
    sites = []
    for one in named:
        sites.append(
            AttentionSite(
                one.path, one.projection, one.layer, first[one.layer], one.n_heads, one.head_dim, one.gated
            )
        )
        first[one.layer] += one.n_heads
    n_layers = max(_stack_length(model, site) for site in sites)
    return Anatomy(decoder, n_layers, _with_calls(sites), named=True)


def _stack_length(model: Any, site: AttentionSite) -> int:
    """Return the length of the list of layers that a site is in."""
    before = list(takewhile(lambda part: not part.isdecimal(), site.path.split(".")))
    stack = model.get_submodule(".".join(before))
    return max(len(stack) if _is_list(stack) else 0, site.layer + 1)


def _is_list(module: Any) -> bool:
    from torch import nn

    return isinstance(module, nn.ModuleList)


def _nothing_found(decoder: Any, prefix: str) -> BackboneError:
    seen = Counter(layer.kind for layer in _everything_skipped(decoder, prefix))
    what = ", ".join(f"{count} x {kind}" for kind, count in seen.items()) or "no layer list"
    return BackboneError(
        f"no attention heads found in {type(decoder).__name__}, which has {what}: looked in its layer lists "
        f"for softmax self-attention modules with an output projection ({', '.join(PROJECTIONS[:4])}, ...) "
        "whose input is as wide as heads * head_dim; if it has one under another name, give "
        "its path in sites=[...]"
    )


def _everything_skipped(decoder: Any, prefix: str) -> Iterator[SkippedLayer]:
    from torch import nn

    stack = max(
        (m for m in decoder.modules() if isinstance(m, nn.ModuleList)), key=len, default=nn.ModuleList()
    )
    for number, layer in enumerate(stack):
        yield from skipped_in_layer(f"{prefix}.{number}", layer, set())
