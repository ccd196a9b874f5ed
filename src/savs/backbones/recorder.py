"""Reads head vectors off a forward pass: one pre-hook per attention site, last real token only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from savs.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from savs.backbones.sites import AttentionSite

__all__ = ["Recorded", "RecordingComplete", "last_real_tokens", "recording", "recording_states"]


class RecordingComplete(BaseException):
    """Raised inside the forward pass once everything wanted is there; never leaves this package.

    Not an `Exception`, so that no model code catches it by accident.
    """


@dataclass
class Recorded:
    """What a forward pass left behind.

    Attributes
    ----------
    vectors : dict of AttentionSite to Tensor
        float32 on the CPU, each of shape (n_examples, n_heads * head_dim).
    states : Tensor or None
        float32 on the CPU, shape (n_examples, hidden_size), the decoder's final hidden state.
    """

    vectors: dict[AttentionSite, torch.Tensor] = field(default_factory=dict)
    states: torch.Tensor | None = None


def last_real_tokens(attention_mask: torch.Tensor) -> torch.Tensor:
    """Return the index of the last position whose mask is 1, shape (n_examples,); right for any padding side.

    Raises
    ------
    BackboneError
        If an example has no real token.
    """
    real = attention_mask.ne(0)
    if not bool(real.any(dim=1).all()):
        raise BackboneError("a prompt has no tokens")
    return real.shape[1] - 1 - real.flip(1).int().argmax(dim=1)


@contextmanager
def recording(sites: Sequence[AttentionSite], attention_mask: torch.Tensor) -> Iterator[Recorded]:
    """Record the given sites during the forward pass inside the block; end the pass when all have fired.

    Parameters
    ----------
    sites : sequence of AttentionSite
        A projection shared by several layers is keyed by the order of its calls.
    attention_mask : Tensor of int, shape (n_examples, n_tokens)
        1 at real tokens.

    Raises
    ------
    BackboneError
        If a projection's input is not laid out as (example, token, column) over the same tokens as the mask
        (a wrong token is never read silently), or if the pass ended without all sites.
    """
    recorded = Recorded()
    reader = _TokenReader(attention_mask)
    handles = []
    try:
        for projection, shared in _by_projection(sites):
            hook = _SiteHook(shared, recorded, reader, len(sites))
            handles.append(projection.register_forward_pre_hook(hook, with_kwargs=True))
        with _until_complete():
            yield recorded
        missing = [site.path for site in sites if site not in recorded.vectors]
        if missing:
            raise BackboneError(
                f"{len(missing)} of {len(sites)} attention layers did not run, first {missing[0]}"
            )
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recording_states(decoder: nn.Module, attention_mask: torch.Tensor) -> Iterator[Recorded]:
    """Record the decoder's final hidden state during the forward pass inside the block; end the pass there.

    Raises
    ------
    BackboneError
        If the decoder did not run or its output is not over the same tokens as the mask.
    """
    recorded = Recorded()
    reader = _TokenReader(attention_mask)

    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        recorded.states = reader.read(output[0] if not hasattr(output, "shape") else output, "the decoder")
        raise RecordingComplete

    handle = decoder.register_forward_hook(hook)
    try:
        with _until_complete():
            yield recorded
        if recorded.states is None:
            raise BackboneError("the decoder did not run")
    finally:
        handle.remove()


@contextmanager
def _until_complete() -> Iterator[None]:
    try:
        yield
    except RecordingComplete:
        return


def _by_projection(sites: Sequence[AttentionSite]) -> list[tuple[nn.Module, list[AttentionSite]]]:
    found: dict[int, tuple[nn.Module, list[AttentionSite]]] = {}
    for site in sites:
        found.setdefault(id(site.projection), (site.projection, []))[1].append(site)
    return list(found.values())


class _TokenReader:
    """Takes the last real token of every example out of a layer's tensor."""

    def __init__(self, attention_mask: torch.Tensor) -> None:
        self.shape = tuple(attention_mask.shape)
        self.last = last_real_tokens(attention_mask)

    def read(self, tensor: torch.Tensor, where: str, width: int | None = None) -> torch.Tensor:
        import torch

        n_examples, n_tokens = self.shape
        shape = tuple(tensor.shape)
        if len(shape) == 2 and n_examples * n_tokens == shape[0]:
            tensor = tensor.view(n_examples, n_tokens, -1)  # some models fold the batch away
        if tuple(tensor.shape[:2]) != self.shape:
            raise BackboneError(
                f"{where} works on {shape[:-1]} tokens where the prompt has {self.shape}; the last token "
                "cannot be told, so this architecture is not supported"
            )
        rows = torch.arange(n_examples, device=tensor.device)
        values = tensor.detach()[rows, self.last.to(tensor.device)].reshape(n_examples, -1)
        if width is not None and values.shape[1] != width:
            raise BackboneError(f"{where} takes {values.shape[1]} columns, expected {width}")
        return values.to(device="cpu", dtype=torch.float32, copy=True)


class _SiteHook:
    def __init__(
        self, sites: list[AttentionSite], recorded: Recorded, reader: _TokenReader, n_wanted: int
    ) -> None:
        self.pending = list(sites)
        self.recorded = recorded
        self.reader = reader
        self.n_wanted = n_wanted

    def __call__(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.pending:
            return
        site = self.pending.pop(0)
        tensor = args[0] if args else next(iter(kwargs.values()))
        width = site.n_heads * site.head_dim
        self.recorded.vectors[site] = self.reader.read(tensor, site.path, width)
        if len(self.recorded.vectors) == self.n_wanted:
            raise RecordingComplete
