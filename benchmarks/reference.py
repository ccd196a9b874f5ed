"""The published procedure, told again: what the public code of Mitra et al. (arXiv 2412.00142) does.

Three forward passes over the shots, one example at a time: class means of all heads; hits of every head;
class means of the kept heads. Each forward keeps input and output of every output projection for all tokens,
fills a cache and computes the logits of all tokens. Means and cosines are in the model's own dtype. Heads are
found and cut as savs does, since the public code has them hard-coded for one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.plain import plain_inputs
from benchmarks.shapes import Built
from savs.backbones._attention_sites import Anatomy, AttentionSite
from savs.data import Example

__all__ = ["Reference", "fit_reference", "read_heads"]


@dataclass(frozen=True)
class Reference:
    """What the published procedure learns.

    Attributes
    ----------
    heads : list of int
        The kept heads by position in the layout, best first.
    hits : list of int
        Of every head.
    means : Tensor, shape (n_classes, n_kept, head_dim)
    classes : list
        In the order of their first shot.
    """

    heads: list[int]
    hits: list[int]
    means: torch.Tensor
    classes: list[Any]


class _Keep:
    """Input and output of a module, all tokens."""

    def __init__(self) -> None:
        self.input: torch.Tensor | None = None
        self.output: torch.Tensor | None = None

    def __call__(self, _module: Any, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        self.input, self.output = args[0], output


@torch.no_grad()
def read_heads(built: Built, sites: Sequence[AttentionSite], example: Example) -> torch.Tensor:
    """Return the head vectors at the last token, shape (n_heads, head_dim), in the model's dtype."""
    kept = [_Keep() for _ in sites]
    handles = [site.projection.register_forward_hook(keep) for site, keep in zip(sites, kept, strict=True)]
    try:
        answer = built.model(**plain_inputs(built, [example]))
    finally:
        for handle in handles:
            handle.remove()
    # All tokens of all layers are cut into heads and stacked before the last token is taken, while the kept
    # tensors and the logits are still alive.
    layers = [
        keep.input.view(*keep.input.shape[:-1], site.n_heads, site.head_dim)
        for site, keep in zip(sites, kept, strict=True)
        if keep.input is not None
    ]
    stacked = torch.vstack(layers).permute(0, 2, 1, 3)
    last = stacked[:, :, -1, :].flatten(0, 1).clone()
    del answer
    return last


def fit_reference(built: Built, anatomy: Anatomy, shots: Sequence[Example], n_heads: int = 20) -> Reference:
    """Pick the heads and their class means."""
    sites = anatomy.sites
    classes = list(dict.fromkeys(shot.label for shot in shots))
    means = _class_means(built, sites, shots, classes, None)
    hits = [0] * means.shape[1]
    for shot in shots:
        _count_hits(hits, means, read_heads(built, sites, shot), classes.index(shot.label))
    kept = [int(head) for head in np.argsort(np.array(hits))[-n_heads:][::-1]]
    return Reference(kept, hits, _class_means(built, sites, shots, classes, kept), classes)


def _class_means(
    built: Built,
    sites: Sequence[AttentionSite],
    shots: Sequence[Example],
    classes: list[Any],
    kept: list[int] | None,
) -> torch.Tensor:
    sums: dict[Any, torch.Tensor] = {}
    counts: dict[Any, int] = {}
    for shot in shots:
        vectors = read_heads(built, sites, shot)
        vectors = vectors if kept is None else vectors[kept]
        sums[shot.label] = sums[shot.label] + vectors if shot.label in sums else vectors
        counts[shot.label] = counts.get(shot.label, 0) + 1
    return torch.stack([sums[label] / counts[label] for label in classes])


def _count_hits(hits: list[int], means: torch.Tensor, vectors: torch.Tensor, label: int) -> None:
    for head in range(means.shape[1]):
        cosines = torch.nn.functional.cosine_similarity(means[:, head], vectors[head], dim=-1)
        if int(cosines.argmax()) == label:
            hits[head] += 1
