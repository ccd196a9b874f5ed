"""Whether the declared heads are those that the attention computes.

Two witnesses, both independent of `find_sites`: the functions in transformers' attention registry,
which see (batch, tokens, heads, head_dim), and for models that bypass them the shape of the softmax before a
projection.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from savs.backbones._attention_sites import AttentionSite
from savs.backbones._forward import accepted_inputs, frozen, model_failures
from savs.doctor._reference import encode
from savs.doctor._subject import Subject
from savs.doctor.report import Check
from savs.errors import SAVsError


@dataclass
class _Witness:
    """What was seen in one forward pass.

    Attributes
    ----------
    outputs : dict of int to list of Tensor
        By the id of an attention module, what the interface returned, (batch, tokens, heads, head_dim).
    softmax_heads : list of (int, int)
        Id of a projection and the number of heads in the last softmax before it.
    inputs : dict of int to list of Tensor
        By the id of a projection, what entered it.
    """

    outputs: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    softmax_heads: dict[int, list[int | None]] = field(default_factory=dict)
    inputs: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    last_softmax: int | None = None


def check_geometry(subject: Subject) -> Check:
    """Compare every site's declared heads, and what enters its projection, with its attention's output."""
    position = (subject.positions("one image") or [0])[0]
    try:
        witness = _observe(subject, subject.examples[position])
    except SAVsError as error:
        return Check("geometry", "unsafe", note=f"fails: {error}")
    owners = _owners(subject.model, subject.sites)
    seen = [_verdict(site, witness, owners) for site in subject.sites]
    wrong = next((fault for _, fault in seen if fault), None)
    if wrong:
        return Check("geometry", "unsafe", note=wrong)
    counts = {how: sum(way == how for way, _ in seen) for how in ("interface", "softmax", "width")}
    if counts["width"] == len(seen):
        return Check("geometry", "skipped", note="neither the attention interface nor a softmax was called")
    said = [f"{n} by the {how}" for how, n in counts.items() if n]
    return Check("geometry", "ok", note=f"{len(seen)} layers: {', '.join(said)}")


def _observe(subject: Subject, example: Any) -> _Witness:
    witness = _Witness()
    inputs = encode(subject.processor, [example])
    model = subject.model
    with (
        frozen(model),
        _projections(subject.sites, witness),
        _interface(witness),
        _Softmax(witness),
        model_failures(model),
    ):
        model(**accepted_inputs(model, inputs))
    return witness


def _verdict(site: AttentionSite, witness: _Witness, owners: dict[int, list[int]]) -> tuple[str, str | None]:
    """Return how a site was checked, and what is wrong with it."""
    entered = _call(witness.inputs, id(site.projection), site.call)
    heads = _call(witness.softmax_heads, id(site.projection), site.call)
    if entered is None:
        return "width", f"{site.path} did not run"
    output = next(
        (
            found
            for owner in owners[id(site.projection)]
            if (found := _call(witness.outputs, owner, site.call)) is not None
        ),
        None,
    )
    if output is not None:
        return "interface", _interface_fault(site, output, entered)
    if heads is None:
        return "width", None
    if heads != site.n_heads:
        return "softmax", f"{site.path}: {site.n_heads} heads declared, the softmax has {heads}"
    return "softmax", None


def _call(calls: dict[int, list[Any]], key: int, number: int) -> Any:
    of_module = calls.get(key, [])
    return of_module[number] if number < len(of_module) else None


def _interface_fault(site: AttentionSite, output: torch.Tensor, entered: torch.Tensor) -> str | None:
    declared, actual = (site.n_heads, site.head_dim), tuple(output.shape[-2:])
    if declared != actual:
        return (
            f"{site.path}: {declared[0]} heads of {declared[1]} declared, the attention computes "
            f"{actual[0]} of {actual[1]}"
        )
    if site.gated:
        return None
    if output.numel() != entered.numel() or not torch.equal(output.flatten(), entered.flatten()):
        return f"{site.path}: its input is not the attention's output, though no gate is declared"
    return None


def _owners(model: Any, sites: Sequence[AttentionSite]) -> dict[int, list[int]]:
    """Return, by the id of a projection, the ids of the modules that it is in, innermost first."""
    projections = {id(site.projection) for site in sites}
    owners: dict[int, list[int]] = {key: [] for key in projections}
    for module in model.modules():
        for child in module.modules():
            if id(child) in projections:
                owners[id(child)].insert(0, id(module))
    return owners


@contextmanager
def _projections(sites: Sequence[AttentionSite], witness: _Witness) -> Iterator[None]:
    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered = args[0] if args else next(iter(kwargs.values()))
        witness.inputs.setdefault(id(module), []).append(entered.detach().clone())
        witness.softmax_heads.setdefault(id(module), []).append(witness.last_softmax)
        witness.last_softmax = None

    projections = {id(site.projection): site.projection for site in sites}
    handles = [p.register_forward_pre_hook(hook, with_kwargs=True) for p in projections.values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _interface(witness: _Witness) -> Iterator[None]:
    """Wrap every function of transformers' attention registry, and put the registry back as it was."""
    from transformers import AttentionInterface

    registry: dict[str, Callable[..., Any]] = AttentionInterface._global_mapping
    before = dict(registry)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def attend(module: Any, *args: Any, **kwargs: Any) -> Any:
            result = function(module, *args, **kwargs)
            witness.outputs.setdefault(id(module), []).append(result[0].detach().clone())
            return result

        return attend

    def eager(module: Any, *args: Any, **kwargs: Any) -> Any:
        # Eager attention has no entry: every model file has its own function of this name.
        own = sys.modules[type(module).__module__].eager_attention_forward
        return watched(own)(module, *args, **kwargs)

    registry.update({name: watched(function) for name, function in before.items()}, eager=eager)
    try:
        yield
    finally:
        registry.clear()
        registry.update(before)


class _Softmax(TorchFunctionMode):
    """Notes the number of heads of every softmax over (batch, heads, queries, keys)."""

    _NAMES = ("softmax", "scaled_dot_product_attention")

    def __init__(self, witness: _Witness) -> None:
        super().__init__()
        self.witness = witness

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in self._NAMES and args and args[0].dim() == 4:
            self.witness.last_softmax = int(args[0].shape[1])
        return func(*args, **(kwargs or {}))
