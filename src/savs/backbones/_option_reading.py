"""Log likelihoods of options behind prompts, from one forward pass of each prompt.

Where every option is one token, prompts go through the model in batches and the last position says all. Else
a prompt is read once, its keys and values are kept, and the options are read on top of them in one batch,
padded on the right. A model that cannot do that reads prompt and option as one text, for every option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from savs.backbones._batching import Batch, Item
from savs.backbones._forward import accepted_inputs, run_forward
from savs.backbones._known_faults import refuse_known_faults
from savs.backbones._memory import BatchSize, OutOfMemoryError
from savs.backbones._option_tokens import OptionEncoder, OptionTokens
from savs.backbones._passes import Passes, Work
from savs.backbones._prefixes import SharedBatch, forward_prefix, suffix_inputs
from savs.backbones._record import last_real_tokens, relative_difference
from savs.errors import ActivationError, BackboneError

Sums = NDArray[np.float64]
"""Log likelihood of each option behind one prompt, shape (n_options,)."""


@dataclass(kw_only=True)
class OptionPasses(Passes[Sums]):
    """`Passes` that know which prompts can be read together: those whose options are one token each.

    Parameters
    ----------
    options : OptionEncoder
    tokens : dict of int to OptionTokens
        Filled by position of the example.
    """

    options: OptionEncoder
    tokens: dict[int, OptionTokens] = field(default_factory=dict)

    def _prepare(self, items: Sequence[Item]) -> Iterator[Work]:
        together: list[Item] = []
        for item in items:
            tokens, errors = self.options.tokens(item)
            if tokens is None:
                yield Work(errors=errors)
                continue
            self.tokens[item.index] = tokens
            if tokens.are_single or self.read_shared is None:
                together.append(item)
            else:
                yield self._on_one_prompt(item, tokens)
        yield from self._plain(together)

    def _on_one_prompt(self, item: Item, tokens: OptionTokens) -> Work:
        batches, errors = self.encoder.encode([item])
        shared = self.options.share(batches[0], tokens) if batches else None
        return Work((), shared, errors) if shared else Work(batches, errors=errors)


class OptionReading:
    """Reads the log likelihood of every option.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Inside `frozen`.
    options : OptionEncoder
    tokens : mapping of int to OptionTokens
        By position of the example.
    size : BatchSize
    forget : callable
        Makes the model forget the calls before.
    accept_faults : bool, default=False
        Read what this release of transformers is known to read wrongly.
    """

    def __init__(
        self,
        model: Any,
        options: OptionEncoder,
        tokens: Mapping[int, OptionTokens],
        size: BatchSize,
        forget: Callable[[], None],
        *,
        accept_faults: bool = False,
    ) -> None:
        self.model = model
        self.options = options
        self.tokens = tokens
        self.size = size
        self.forget = forget
        self.accept_faults = accept_faults
        self._is_causal = False

    def read(self, batch: Batch) -> list[Sums]:
        """Return one row per prompt of a batch."""
        if all(self.tokens[index].are_single for index in batch.indices):
            return list(self._first_tokens(batch).numpy())
        return [self._whole(item) for item in batch.items]

    def _first_tokens(self, batch: Batch) -> torch.Tensor:
        """Return the log probability of each option's first token, (n_prompts, n_options)."""
        tokens = [self.tokens[index] for index in batch.indices]
        dropped = torch.tensor([one.n_dropped for one in tokens])
        places = last_real_tokens(batch.attention_mask) - dropped
        wanted = torch.stack([one.table[:1] for one in tokens])
        return self.log_proba(batch.inputs, places[:, None], wanted)[:, 0]

    def read_shared(self, shared: SharedBatch) -> list[Sums]:
        """Return the row of one prompt, whose options are read on top of it."""
        self.forget()
        try:
            return [self._read_shared(shared)]
        finally:
            self.forget()  # positions that the model remembers are this prompt's

    def _read_shared(self, shared: SharedBatch) -> Sums:
        def run(inputs: dict[str, Any]) -> None:
            self._logits(inputs, torch.tensor([[shared.n_prefix - 1]]))

        tokens, suffixes = self.tokens[shared.items[0].index], shared.suffixes
        cache = forward_prefix(shared, self.model.config.get_text_config(decoder=True), run)
        longest = max(suffix["input_ids"].shape[1] for suffix in suffixes)
        size = self.size.next_suffixes(shared.n_prefix, longest)
        logs: list[torch.Tensor] = []
        for start in range(0, len(suffixes), size):
            chunk = suffixes[start : start + size]
            inputs, mask = suffix_inputs(cache, chunk, last=start + size >= len(suffixes))
            n_places = mask.shape[1]
            places = torch.arange(n_places).expand(mask.shape)
            wanted = tokens.table[:n_places].expand(len(chunk), -1, -1)
            logs.extend(self.log_proba(inputs, places, wanted))
        return np.array(
            [
                float(logs[row][:count, option].sum())
                for option, (row, count) in enumerate(zip(tokens.rows, tokens.counts, strict=True))
            ]
        )

    def _whole(self, item: Item) -> Sums:
        """Return the row of one prompt from one whole text per option."""
        tokens = self.tokens[item.index]
        logs = torch.full((len(tokens.options), len(tokens.table)), torch.nan, dtype=torch.float64)
        waiting = [Item(number, one.rendered) for number, one in enumerate(self.options.whole(item))]
        n_tokens: int | None = None
        while waiting:
            group = waiting[: self.size.next(n_tokens)]
            batches, errors = self.options.encoder.encode(group)
            if errors:
                raise next(iter(errors.values()))
            try:
                for batch in batches:
                    logs[batch.indices] = self._of_whole(batch, tokens)
            except OutOfMemoryError:
                if len(group) == 1:
                    raise
                self.size.halve(len(group))
                continue
            n_tokens = max(batch.longest for batch in batches)
            del waiting[: len(group)]
        self._check_causal(item, logs[:, 0])
        return np.array([float(one[:count].sum()) for one, count in zip(logs, tokens.counts, strict=True)])

    def _of_whole(self, batch: Batch, tokens: OptionTokens) -> torch.Tensor:
        """Return the log probabilities of the options' tokens, (n_whole_texts, most tokens of an option)."""
        counts = torch.tensor([tokens.counts[number] for number in batch.indices])
        ends = last_real_tokens(batch.attention_mask)
        places = (ends - counts)[:, None] + torch.arange(len(tokens.table))
        wanted = tokens.table.T[batch.indices][:, :, None]
        return self.log_proba(batch.inputs, places.minimum(ends[:, None]), wanted)[:, :, 0]

    def _check_causal(self, item: Item, first: torch.Tensor) -> None:
        """Refuse a model in which a prompt sees what follows it: what it says of an option it has seen.

        Parameters
        ----------
        item : Item
        first : Tensor of float64, shape (n_options,)
            Log probability of each option's first token, with the options behind the prompt.
        """
        if self._is_causal:
            return
        batches, _ = self.options.encoder.encode([item])
        alone = self._first_tokens(batches[0])[0]
        if self.difference(first.numpy(), alone.numpy()) is not None:
            raise BackboneError(
                f"{type(self.model).__name__} reads a prompt in both directions, so it has seen an option "
                "before it can say how likely that is; take its generated answers (zero_shot) instead"
            )
        self._is_causal = True

    def difference(self, row: Sums, whole: Sums) -> str | None:
        """Return how a row read on a shared beginning differs from the same row read in full, or None."""
        difference = relative_difference(row, whole, self.model.dtype)
        return (
            None if difference is None else f"log likelihoods differ from the full pass by {difference:.1e}"
        )

    def non_finite(self, row: Sums) -> ActivationError | None:
        """Return the error of a row with a NaN or an infinite value."""
        if np.isfinite(row).all():
            return None
        return ActivationError(
            "the backbone gave no finite number for the likelihood of an option; try dtype='float32' or "
            "'bfloat16', or check the model's weights",
            code="activation_not_finite",
        )

    def log_proba(
        self, inputs: Mapping[str, Any], places: torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        """Return log probabilities of some next tokens at some places.

        Parameters
        ----------
        inputs : mapping
            Model inputs of n_prompts prompts.
        places : Tensor of int, shape (n_prompts, n_places)
            Positions in each prompt.
        wanted : Tensor of int, shape (n_prompts, n_places, n_wanted)
            Ids of tokens.

        Returns
        -------
        Tensor of float64, shape (n_prompts, n_places, n_wanted), on the CPU
        """
        logits = self._logits(inputs, places).float()
        chosen = logits.gather(-1, wanted.to(logits.device))
        return (chosen - logits.logsumexp(-1, keepdim=True)).double().cpu()

    def _logits(self, inputs: Mapping[str, Any], places: torch.Tensor) -> torch.Tensor:
        if not self.accept_faults:
            refuse_known_faults(self.model, inputs)
        with _only_at(self.model, places, tuple(inputs["input_ids"].shape)) as cut:
            out = run_forward(self.model, accepted_inputs(self.model, inputs))
        logits = getattr(out, "logits", None)
        if logits is None or logits.dim() != 3:
            raise BackboneError(f"{type(self.model).__name__} gives no probabilities of tokens")
        return torch.as_tensor(logits if cut else logits[_index(places, logits.device)])


@contextmanager
def _only_at(model: Any, places: torch.Tensor, shape: tuple[int, ...]) -> Iterator[list[bool]]:
    """Let the output embeddings see some positions only: a vocabulary's logits at all would fill the memory.

    Yields
    ------
    list
        Not empty after the pass if the logits are those of `places`.
    """
    cut: list[bool] = []

    def hook(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        states = args[0] if args else None
        if not isinstance(states, torch.Tensor) or tuple(states.shape[:2]) != shape or cut:
            return None
        cut.append(True)
        return (states[_index(places, states.device)], *args[1:])

    head = model.get_output_embeddings()
    handle = None if head is None else head.register_forward_pre_hook(hook)
    try:
        yield cut
    finally:
        if handle is not None:
            handle.remove()


def _index(places: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(len(places), device=device)[:, None], places.to(device)
