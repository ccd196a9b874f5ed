"""What a decoder has beside the heads that are read: other mixers, cross-attention, unreadable attention."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from savs.backbones.anatomy.attention_modules import is_attention, is_cross_attention, is_recurrent

__all__ = ["SkippedLayer", "skipped_in_layer", "skipped_outside"]

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


@dataclass(frozen=True)
class SkippedLayer:
    """A part of the decoder that mixes tokens and is not read.

    Attributes
    ----------
    path : str
        From the model.
    kind : str
        ``"cross-attention"``, ``"linear attention"``, ``"Mamba"``, ``"convolution"``, ``"recurrent"``,
        ``"attention without readable heads"``, or ``"no attention"`` (a layer of experts or an MLP alone).
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
    found = False
    inside: list[str] = []
    for name, module in layer.named_modules(remove_duplicate=False):
        if any(name.startswith(outer) for outer in inside):
            continue
        if id(module) in read:
            found = True
            inside.append(f"{name}.")
            continue
        kind = None if _holds(module, read) else _kind(name, module)
        if kind is not None:
            found = True
            inside.append(f"{name}.")
            yield SkippedLayer(f"{path}.{name}" if name else path, kind)
    if not found:
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
