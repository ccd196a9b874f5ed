"""Runs one small model and compares what the locating rule says with what its attention really did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from savs.backbones._attention_sites import Anatomy, AttentionSite
from savs.backbones._forward import frozen, run_forward
from savs.backbones._record import recording


@dataclass
class Calls:
    """What happened in a forward pass, per projection call in the order of `Anatomy.sites`.

    Attributes
    ----------
    inputs : dict of AttentionSite to Tensor
        The input of the projection, of all tokens.
    outputs : dict of AttentionSite to Tensor
        What the attention interface returned just before, (batch, tokens, heads, head_dim); absent if the
        module does not go through it.
    """

    inputs: dict[AttentionSite, torch.Tensor] = field(default_factory=dict)
    outputs: dict[AttentionSite, torch.Tensor] = field(default_factory=dict)


@contextmanager
def spied(model: Any, anatomy: Anatomy) -> Iterator[Calls]:
    """Record projection inputs with plain hooks, and attention outputs at the attention interface."""
    from transformers import AttentionInterface

    calls = Calls()
    paths = {id(module): name for name, module in model.named_modules()}
    last: list[tuple[str, torch.Tensor]] = []
    original = AttentionInterface.get_interface

    def get_interface(self: Any, implementation: Any, default: Any) -> Any:
        attend = original(self, implementation, default)

        def spy(module: Any, *args: Any, **options: Any) -> Any:
            output = attend(module, *args, **options)
            last[:] = [(paths.get(id(module), ""), output[0])]
            return output

        return spy

    pending: dict[int, list[AttentionSite]] = {}
    for site in anatomy.sites:
        pending.setdefault(id(site.projection), []).append(site)

    def projected(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not pending[id(module)]:
            return
        site = pending[id(module)].pop(0)
        calls.inputs[site] = (args[0] if args else next(iter(kwargs.values()))).detach().clone()
        if last and _same_attention(last[0][0], paths[id(module)]):
            calls.outputs[site] = last[0][1].detach().clone()
        last.clear()

    modules = {id(site.projection): site.projection for site in anatomy.sites}.values()
    handles = [module.register_forward_pre_hook(projected, with_kwargs=True) for module in modules]
    AttentionInterface.get_interface = get_interface
    try:
        yield calls
    finally:
        AttentionInterface.get_interface = original
        for handle in handles:
            handle.remove()


def _same_attention(attention: str, projection: str) -> bool:
    # BERT's attention is `attention.self`, its projection `attention.output.dense`.
    owner = attention.rpartition(".")[0] if attention.endswith(".self") else attention
    return projection.startswith(f"{owner}.")


def full_pass(model: Any, anatomy: Anatomy, inputs: dict[str, Any]) -> Calls:
    """Return everything of one forward pass to its end."""
    with frozen(model), spied(model, anatomy) as calls:
        run_forward(model, inputs)
    return calls


def recorded(
    model: Any, sites: Sequence[AttentionSite], inputs: dict[str, Any], mask: torch.Tensor
) -> list[torch.Tensor]:
    """Return each site's head vectors at the last real tokens, with early stop, as a backbone takes them."""
    with frozen(model), recording(sites, mask) as found:
        run_forward(model, inputs)
    return [found.vectors[site] for site in sites]
