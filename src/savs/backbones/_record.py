"""Reads head vectors off a forward pass: one pre-hook per attention site, last real token only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from savs.backbones._attention_sites import Anatomy, AttentionSite
from savs.backbones._batching import Batch
from savs.backbones._forward import accepted_inputs, run_forward
from savs.backbones._known_faults import refuse_known_faults
from savs.backbones._memory import BatchSize
from savs.backbones._prefixes import SharedBatch, forward_prefix, suffix_inputs
from savs.errors import ActivationError, BackboneError
from savs.layout import Head, HeadLayout

if TYPE_CHECKING:
    from torch import nn

    from savs.backbones._early_exit import Departures

# Largest difference between a row read on top of a shared beginning and the same row read in full, relative
# to its largest entry: another order of sums; a wrong position or a lost image is off by far more.
_EXACT = 1e-4
_ROUNDING_STEPS = 4


def relative_difference(
    row: NDArray[np.floating], whole: NDArray[np.floating], dtype: torch.dtype
) -> float | None:
    """Return the largest difference of two readings of one row, relative to its largest entry.

    None if it is no more than another order of sums explains.

    Parameters
    ----------
    row : ndarray of float
        Read on top of a shared beginning.
    whole : ndarray of float
        The same row read in full.
    dtype : torch.dtype
        Of the model.
    """
    precision = torch.finfo(dtype).eps
    tolerance = max(_EXACT, _ROUNDING_STEPS * precision if precision > 1e-6 else 0.0)
    scale, difference = float(np.abs(whole).max()), float(np.abs(row - whole).max())
    return None if difference <= tolerance * scale else difference / max(scale, 1e-30)


class Reading:
    """Reads rows of shape (layout.width + hidden_size,) float32.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Inside `frozen`.
    anatomy : Anatomy
    layout : HeadLayout or None
        The wanted heads, in the order of the columns.
    size : BatchSize
    forget : callable
        Makes the model forget the calls before.
    states : bool
        Read the decoder's final hidden state as well.
    accept_faults : bool, default=False
        Read what this release of transformers is known to read wrongly.
    """

    def __init__(
        self,
        model: Any,
        anatomy: Anatomy,
        layout: HeadLayout | None,
        size: BatchSize,
        forget: Callable[[], None],
        *,
        states: bool,
        accept_faults: bool = False,
    ) -> None:
        self.model = model
        self.accept_faults = accept_faults
        self.layout = layout
        self.size = size
        self.forget = forget
        self.decoder = anatomy.decoder
        self.states = states
        self.sites = [] if layout is None else [site for site in anatomy.sites if _wanted(site, layout)]

    def read(self, batch: Batch) -> list[NDArray[np.float32]]:
        """Return one row per example of a batch."""
        return self._read_pass(batch.inputs, batch.attention_mask)

    def _read_pass(self, inputs: dict[str, Any], mask: torch.Tensor) -> list[NDArray[np.float32]]:
        with self._recording(mask) as recorded:
            self._forward(inputs)
        return list(self._rows(recorded))

    def read_shared(self, shared: SharedBatch) -> list[NDArray[np.float32]]:
        """Return one row per example of prompts with a common beginning."""
        self.forget()
        try:
            return self._read_shared(shared)
        finally:
            self.forget()  # positions that the model remembers are the shared beginning's

    def _read_shared(self, shared: SharedBatch) -> list[NDArray[np.float32]]:
        def run(inputs: dict[str, Any]) -> None:
            with self._recording(shared.prefix["input_ids"].new_ones((1, shared.n_prefix))):
                self._forward(inputs)

        cache = forward_prefix(shared, self.model.config.get_text_config(decoder=True), run)
        longest = max(suffix["input_ids"].shape[1] for suffix in shared.suffixes)
        size = self.size.next_suffixes(shared.n_prefix, longest)
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(shared.suffixes), size):
            chunk = shared.suffixes[start : start + size]
            inputs, mask = suffix_inputs(cache, chunk, last=start + size >= len(shared.suffixes))
            rows.extend(self._read_pass(inputs, mask))
        return rows

    def difference(self, row: NDArray[np.float32], whole: NDArray[np.float32]) -> str | None:
        """Return how a row read on a shared beginning differs from the same row read in full, or None."""
        difference = relative_difference(row, whole, self.model.dtype)
        return None if difference is None else f"vectors differ from the full pass by {difference:.1e}"

    def non_finite(self, row: NDArray[np.float32]) -> ActivationError | None:
        """Return the error of a row with a NaN or an infinite value, naming the first head that has one."""
        if np.isfinite(row).all():
            return None
        bad = None if self.layout is None else _first_non_finite(row, self.layout)
        where = "the last layer" if bad is None else f"layer {bad.layer}, head {bad.index}"
        return ActivationError(
            f"the backbone gave a NaN or infinite value at {where}; try dtype='float32' or 'bfloat16', or "
            "check the model's weights",
            code="activation_not_finite",
        )

    def _recording(self, mask: torch.Tensor) -> AbstractContextManager[Recorded]:
        return recording(self.sites, mask, self.decoder if self.states else None)

    def _forward(self, inputs: dict[str, Any]) -> None:
        if not self.accept_faults:
            refuse_known_faults(self.model, inputs)
        run_forward(self.model, accepted_inputs(self.model, inputs))

    def _rows(self, recorded: Recorded) -> NDArray[np.float32]:
        """Return the wanted heads' columns side by side, then the state."""
        columns = [] if self.layout is None else head_columns(recorded, self.sites, self.layout)
        if recorded.states is not None:
            columns.append(recorded.states)
        rows: NDArray[np.float32] = torch.cat(columns, dim=1).numpy()
        return rows


def _first_non_finite(row: NDArray[np.float32], layout: HeadLayout) -> Head | None:
    return next((head for head in layout.heads if not np.isfinite(row[layout.columns(head)]).all()), None)


def _wanted(site: AttentionSite, layout: HeadLayout) -> bool:
    indices = range(site.first_index, site.first_index + site.n_heads)
    return any(head.layer == site.layer and head.index in indices for head in layout.heads)


def head_columns(
    recorded: Recorded, sites: Sequence[AttentionSite], layout: HeadLayout
) -> list[torch.Tensor]:
    by_head: dict[tuple[int, int], torch.Tensor] = {}
    for site in sites:
        vectors = torch.split(recorded.vectors[site], site.head_dim, dim=1)
        by_head |= {(site.layer, site.first_index + i): vector for i, vector in enumerate(vectors)}
    return [by_head[head] for head in layout.heads]


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
        float32, on the CPU after the pass, each of shape (n_examples, n_heads * head_dim).
    states : Tensor or None
        float32, on the CPU after the pass, shape (n_examples, hidden_size), the decoder's final hidden state.
    reader : TokenReader or None
        What takes the last tokens out of tensors.
    """

    vectors: dict[AttentionSite, torch.Tensor] = field(default_factory=dict)
    states: torch.Tensor | None = None
    reader: TokenReader | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.vectors) + (self.states is not None)


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
def recording(
    sites: Sequence[AttentionSite],
    attention_mask: torch.Tensor,
    decoder: nn.Module | None = None,
    departures: Departures | None = None,
) -> Iterator[Recorded]:
    """Record the given sites during the forward pass inside the block; end the pass when all have fired.

    Parameters
    ----------
    sites : sequence of AttentionSite
        A projection shared by several layers is read at the call that each site names.
    attention_mask : Tensor of int, shape (n_examples, n_tokens)
        1 at real tokens.
    decoder : nn.Module, optional
        Record its final hidden state as well.
    departures : Departures, optional
        Asked after each site which examples need no more of them; the pass ends when none is left.

    Raises
    ------
    BackboneError
        If a projection's input is not laid out as (example, token, column) over the same tokens as the mask
        (a wrong token is never read silently), or if the pass ended without everything wanted.
    """
    reader = TokenReader(attention_mask)
    recorded = Recorded(reader=reader)
    n_wanted = len(sites) + (decoder is not None)
    handles = []
    try:
        for projection, shared in _by_projection(sites):
            hook = _SiteHook(shared, recorded, reader, n_wanted, departures)
            handles.append(projection.register_forward_pre_hook(hook, with_kwargs=True))
        if decoder is not None:
            handles.append(decoder.register_forward_hook(_StateHook(recorded, reader, n_wanted)))
        with _until_complete():
            yield recorded
        if departures is None or len(departures.left):
            _check_complete(recorded, sites, decoder is not None)
        _to_cpu(recorded)
    finally:
        for handle in handles:
            handle.remove()


def _to_cpu(recorded: Recorded) -> None:
    # Only now: copying inside the pass would make an accelerator wait at every layer.
    for site, vectors in recorded.vectors.items():
        recorded.vectors[site] = vectors.cpu()
    if recorded.states is not None:
        recorded.states = recorded.states.cpu()


def _check_complete(recorded: Recorded, sites: Sequence[AttentionSite], with_states: bool) -> None:
    missing = [site.path for site in sites if site not in recorded.vectors]
    if missing:
        raise BackboneError(
            f"{len(missing)} of {len(sites)} attention layers did not run, first {missing[0]}"
        )
    if with_states and recorded.states is None:
        raise BackboneError("the decoder did not run")


@contextmanager
def _until_complete() -> Iterator[None]:
    try:
        yield
    except RecordingComplete:
        return


def _by_projection(sites: Sequence[AttentionSite]) -> list[tuple[nn.Module, list[AttentionSite]]]:
    groups: dict[int, tuple[nn.Module, list[AttentionSite]]] = {}
    for site in sites:
        groups.setdefault(id(site.projection), (site.projection, []))[1].append(site)
    return list(groups.values())


class TokenReader:
    """Takes the last real token of every example out of a layer's tensor."""

    def __init__(self, attention_mask: torch.Tensor) -> None:
        self.shape = tuple(attention_mask.shape)
        self._last = last_real_tokens(attention_mask)
        self._where: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._kept: torch.Tensor | None = None

    def narrow(self, rows: NDArray[np.intp]) -> None:
        """Expect tensors of these examples alone from now on; the others' vectors are NaN.

        Parameters
        ----------
        rows : ndarray of int, ascending
            Of all examples.
        """
        self._kept, self._where = torch.as_tensor(rows), {}

    def _places(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        if device not in self._where:
            last = self._last if self._kept is None else self._last[self._kept]
            self._where[device] = torch.arange(len(last), device=device), last.to(device)
        return self._where[device]

    def read(self, tensor: torch.Tensor, where: str, width: int | None = None) -> torch.Tensor:
        n_all, n_tokens = self.shape
        n_examples = n_all if self._kept is None else len(self._kept)
        shape = tuple(tensor.shape)
        if len(shape) == 2 and n_examples * n_tokens == shape[0]:
            tensor = tensor.view(n_examples, n_tokens, -1)  # some models fold the batch away
        if tuple(tensor.shape[:2]) != (n_examples, n_tokens):
            raise BackboneError(
                f"{where} works on {shape[:-1]} tokens where the prompt has {(n_examples, n_tokens)}; the "
                "last token cannot be told, so this architecture is not supported"
            )
        values = tensor.detach()[self._places(tensor.device)].reshape(n_examples, -1)
        if width is not None and values.shape[1] != width:
            raise BackboneError(f"{where} takes {values.shape[1]} columns, expected {width}")
        vectors = values.to(dtype=torch.float32, copy=True)
        if self._kept is None:
            return vectors
        whole = vectors.new_full((n_all, vectors.shape[1]), torch.nan)
        whole[self._kept.to(whole.device)] = vectors
        return whole


class _SiteHook:
    def __init__(
        self,
        sites: list[AttentionSite],
        recorded: Recorded,
        reader: TokenReader,
        n_wanted: int,
        departures: Departures | None,
    ) -> None:
        self.departures = departures
        self.wanted = {site.call: site for site in sites}
        self.calls = 0
        self.recorded = recorded
        self.reader = reader
        self.n_wanted = n_wanted

    def __call__(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        site = self.wanted.get(self.calls)
        self.calls += 1
        if site is None:
            return
        tensor = args[0] if args else next(iter(kwargs.values()))
        width = site.n_heads * site.head_dim
        self.recorded.vectors[site] = self.reader.read(tensor, site.path, width)
        if self.departures is not None:
            self.departures.after_site(self.recorded)
        if len(self.recorded) == self.n_wanted:
            raise RecordingComplete


class _StateHook:
    def __init__(self, recorded: Recorded, reader: TokenReader, n_wanted: int) -> None:
        self.recorded = recorded
        self.reader = reader
        self.n_wanted = n_wanted

    def __call__(self, _module: nn.Module, _args: Any, output: Any) -> None:
        states = output if hasattr(output, "shape") else output[0]
        self.recorded.states = self.reader.read(states, "the decoder")
        if len(self.recorded) == self.n_wanted:
            raise RecordingComplete
