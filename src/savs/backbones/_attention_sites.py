"""Where the attention heads of a decoder are: one rule, from modules and configuration, never by model name.

A site is ``path`` or ``path:heads=8,head_dim=64``. `path` leads from the model to the projection; ``*``
stands for one part of it, as a rule the layer's number: ``model.layers.*.attn.my_out``.

A site is the output projection of one attention module: column block m of the projection's INPUT is the
vector of head m, softmax(q k^T / sqrt(d)) v. Its width is never guessed as hidden_size / heads.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from savs.backbones._decoder_stack import (
    PROJECTIONS,
    find_decoder,
    geometry,
    input_width,
    is_attention,
    is_cross_attention,
    is_gated,
    is_recurrent,
    is_self_attention,
    layer_config,
    layers_in_order,
    output_projection,
    path_of,
    text_config,
)
from savs.errors import BackboneError
from savs.layout import HeadLayout

if TYPE_CHECKING:
    from torch import nn

    from savs.backbones.base import JSONValue

# The first pattern found in the class name names the kind.
_KINDS = (
    ("Mamba", re.compile(r"mamba|ssm|mixer")),
    ("linear attention", re.compile(r"deltanet|delta|lightning|linear|kda|retention|rwkv|lstm")),
    ("recurrent", re.compile(r"recurrent|rglru")),
    ("convolution", re.compile(r"conv")),
)
_MIXER = re.compile(
    r"mamba|deltanet|deltaattention|lightning|recurrentblock|shortconv|rwkvselfattention|lstmlayer|mixer"
)
_GEOMETRY = re.compile(r"(heads|head_dim)=([1-9]\d*)")


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
    layers : tuple of nn.Module
        The decoder's layers in running order; empty where one runs several times, or the user named sites.
    """

    decoder: nn.Module
    n_layers: int
    sites: tuple[AttentionSite, ...]
    skipped: tuple[SkippedLayer, ...] = ()
    named: bool = False
    layers: tuple[nn.Module, ...] = ()

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
    layers = layers_in_order(decoder, config, lambda layer: bool(_readable_attentions(layer, config)))
    prefix = path_of(model, decoder)
    sites: list[AttentionSite] = []
    skipped: dict[str, SkippedLayer] = {}
    for number, (place, layer) in enumerate(layers):
        path = f"{prefix}.{place}" if prefix else place
        attentions = _readable_attentions(layer, layer_config(config, number))
        sites.extend(_sites(path, number, attentions))
        skipped |= {s.path: s for s in skipped_in_layer(path, layer, {id(f.module) for f in attentions})}
    if not sites:
        raise _nothing_found(decoder, prefix)
    outside = skipped_outside(prefix, decoder, set(_stack_paths(prefix, layers)))
    modules = tuple(layer for _, layer in layers)
    once = modules if len({id(layer) for layer in modules}) == len(modules) else ()
    return Anatomy(decoder, len(layers), _with_calls(sites), (*skipped.values(), *outside), layers=once)


@dataclass(frozen=True)
class _Attention:
    """An attention module of a layer, by its path there, with its projection and heads."""

    name: str
    module: Any
    projection: Any
    n_heads: int
    head_dim: int
    gated: bool


def _readable_attentions(layer: Any, config: Any) -> list[_Attention]:
    """Return the self-attention modules of a layer that can be read, outermost first."""
    attentions = []
    for name, module in _attentions(layer):
        projection = output_projection(module)
        sizes = geometry(module, config, projection[2]) if projection else None
        if projection and sizes:
            path = ".".join(part for part in (name, projection[0]) if part)
            attentions.append(
                _Attention(path, module, projection[1], *sizes, is_gated(module, projection[2]))
            )
    return attentions


def _attentions(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the self-attention modules of a layer that have an output projection, outermost first."""
    inside: list[str] = []
    for name, module in layer.named_modules(remove_duplicate=False):
        if any(name.startswith(outer) for outer in inside) or not is_self_attention(name, module):
            continue
        if output_projection(module) is not None:
            inside.append(f"{name}.")
            yield name, module


def _sites(path: str, layer: int, attentions: list[_Attention]) -> Iterator[AttentionSite]:
    first = 0
    for attention in attentions:
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


@dataclass(frozen=True)
class NamedProjection:
    """A projection that the user named, with its heads; see `AttentionSite`."""

    path: str
    projection: Any
    owner: Any
    layer: int
    n_heads: int
    head_dim: int
    gated: bool


def named_projections(model: Any, names: Sequence[str]) -> list[NamedProjection]:
    """Return the named projections, by layer, those of one layer in the order of the names.

    The layer is the first number in a path; without one, its place among all that are named.

    Raises
    ------
    BackboneError
        If a name fits no module, or one that is not a projection; if the heads are neither given nor told by
        the modules around it; if heads * head_dim is not the width of its input; or if one is named twice.
    """
    if isinstance(names, str) or not names:
        raise BackboneError(f"sites is a list of paths of output projections, not {names!r}")
    modules = dict(model.named_modules(remove_duplicate=False))
    projections: list[NamedProjection] = []
    for name in names:
        path, sizes = _parsed(name)
        for match in _matching(modules, path):
            if any(match == other.path for other in projections):
                raise BackboneError(f"sites names {match} twice")
            projections.append(_projection(modules, match, sizes, len(projections)))
    return sorted(projections, key=lambda projection: projection.layer)


def _parsed(name: Any) -> tuple[str, dict[str, int]]:
    if not isinstance(name, str):
        raise BackboneError(f"a site is a text such as 'model.layers.*.attn.out', not {name!r}")
    path, colon, rest = name.strip().partition(":")
    sizes: dict[str, int] = {}
    for part in rest.split(",") if colon else ():
        match = _GEOMETRY.fullmatch(part.strip())
        if match is None or match[1] in sizes:
            raise BackboneError(
                f"site {name!r}: after the colon comes heads=N,head_dim=N, not {part.strip()!r}"
            )
        sizes[match[1]] = int(match[2])
    return path, sizes


def _matching(modules: dict[str, Any], path: str) -> list[str]:
    pattern = re.compile(re.escape(path).replace(r"\*", r"[^.]+"))
    matches = [name for name in modules if name and pattern.fullmatch(name)]
    if matches:
        return matches
    projections = dict.fromkeys(_starred(name) for name, module in modules.items() if input_width(module))
    close = difflib.get_close_matches(_starred(path), projections, n=3, cutoff=0.5)
    advice = f"; close to it: {', '.join(close)}" if close else ""
    raise BackboneError(f"sites names {path!r}, and the model has no such module{advice}")


def _starred(path: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", path)


def _projection(modules: dict[str, Any], path: str, sizes: dict[str, int], place: int) -> NamedProjection:
    projection = modules[path]
    width = input_width(projection)
    if width is None:
        inside = [name for name, child in projection.named_children() if input_width(child)]
        advice = f"; it has {', '.join(f'{path}.{name}' for name in inside[:4])}" if inside else ""
        raise BackboneError(f"sites names {path}, a {type(projection).__name__} and not a projection{advice}")
    owners = list(_owners(modules, path))
    n_heads, head_dim = _checked(path, width, sizes, owners)
    numbers = [int(part) for part in path.split(".") if part.isdecimal()]
    return NamedProjection(
        path=path,
        projection=projection,
        owner=owners[0],
        layer=numbers[0] if numbers else place,
        n_heads=n_heads,
        head_dim=head_dim,
        gated=is_gated(owners[0], width),
    )


def _owners(modules: dict[str, Any], path: str) -> Iterator[Any]:
    """Yield the module that holds the projection, and an attention around that (BERT's `output.dense`)."""
    parents = path.split(".")[:-1]
    yield modules[".".join(parents)]
    around = modules[".".join(parents[:-1])] if parents else None
    if around is not None and is_attention(around):
        yield around


def _checked(path: str, width: int, sizes: dict[str, int], owners: list[Any]) -> tuple[int, int]:
    if sizes:
        n_heads = sizes.get("heads") or width // sizes["head_dim"]
        head_dim = sizes.get("head_dim") or width // n_heads
        if n_heads * head_dim != width:
            raise BackboneError(
                f"site {path}: {_product(sizes)} does not give the {width} columns of its input"
            )
        return n_heads, head_dim
    own_sizes = next((own for owner in owners if (own := geometry(owner, None, width))), None)
    if own_sizes is None:
        raise BackboneError(
            f"site {path} takes {width} columns, and {type(owners[0]).__name__} does not tell its heads; "
            f"give them as in '{path}:heads=8,head_dim=64'"
        )
    return own_sizes


def _product(sizes: dict[str, int]) -> str:
    return " and ".join(f"{name}={number}" for name, number in sizes.items())


@dataclass(frozen=True)
class SkippedLayer:
    """A part of the decoder that mixes tokens and is not read.

    Attributes
    ----------
    path : str
        From the model.
    kind : str
        ``"cross-attention"``, ``"linear attention"``, ``"Mamba"``, ``"convolution"``, ``"recurrent"``,
        ``"attention without readable heads"``, or ``"no attention"`` (a layer of base estimators or an MLP
        alone).
    """

    path: str
    kind: str


def skipped_in_layer(path: str, layer: Any, read: Collection[int]) -> Iterator[SkippedLayer]:
    """Yield what is not read in a layer.

    Parameters
    ----------
    path : str
        Of the layer, from the model.
    layer : nn.Module
        One layer of the decoder.
    read : collection of int
        Identities of its attention modules that are read.
    """
    any_part = False
    inside: list[str] = []
    for name, module in layer.named_modules(remove_duplicate=False):
        if any(name.startswith(outer) for outer in inside):
            continue
        if id(module) in read:
            any_part = True
            inside.append(f"{name}.")
            continue
        kind = None if _holds(module, read) else _kind(name, module)
        if kind is not None:
            any_part = True
            inside.append(f"{name}.")
            yield SkippedLayer(f"{path}.{name}" if name else path, kind)
    if not any_part:
        yield SkippedLayer(path, "no attention")


def _holds(module: Any, read: Collection[int]) -> bool:
    # A layer that is called attention (ZambaAttentionDecoderLayer) holds the attention that is read.
    return any(id(inner) in read for inner in module.modules())


def skipped_outside(prefix: str, decoder: Any, paths: Collection[str]) -> Iterator[SkippedLayer]:
    """Yield the cross-attention modules of a decoder that are in none of its layers (Idefics)."""
    inside: list[str] = []
    for name, module in decoder.named_modules():
        where = f"{prefix}.{name}" if prefix else name
        if any(where.startswith(f"{path}.") for path in (*paths, *inside)):
            continue
        if is_cross_attention(name, module):
            inside.append(where)
            yield SkippedLayer(where, "cross-attention")


def _kind(name: str, module: Any) -> str | None:
    if not name or not list(module.children()):
        return None
    if is_cross_attention(name, module):
        return "cross-attention"
    class_name = type(module).__name__
    lower = class_name.lower()
    if _MIXER.search(lower) or (is_attention(module) and is_recurrent(class_name, module)):
        return next((kind for kind, pattern in _KINDS if pattern.search(lower)), "linear attention")
    if is_attention(module):
        return "attention without readable heads"
    return None
