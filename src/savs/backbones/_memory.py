"""How many examples go through the model at once; `_passes` halves a batch that does not fit."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from typing import Literal

import torch

from savs.errors import BackboneError, CapacityError

_LOG = logging.getLogger(__name__)

_LARGEST = 256
# Tokens from which a larger batch stops paying, by device. On a CPU a batch saves only the cost of starting
# each operation (docs/performance.md, batch-size curve); accelerators need thousands of tokens to be busy.
_BUDGET = {"cpu": 512, "cuda": 16384, "xpu": 16384}
_OTHER_BUDGET = 4096
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


class OutOfMemoryError(BackboneError):
    """A forward pass did not fit into memory; never leaves this package."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch ran out of memory, on any device: only CUDA and XPU have an exception for it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


def release() -> None:
    """Give back what a failed pass left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def check_batch_size(wanted: object) -> int | Literal["auto"]:
    """Return a batch size as given.

    Raises
    ------
    BackboneError
        If it is neither a positive integer nor ``"auto"``.
    """
    if wanted == "auto":
        return "auto"
    if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted > 0:
        return wanted
    raise BackboneError(f"the batch size is a positive integer or 'auto', not {wanted!r}")


class BatchSize:
    """The number of examples in the next batch.

    Parameters
    ----------
    wanted : int or "auto"
        A fixed number; or as many examples as fill the device with tokens, which on a CPU may be one. Both
        depend on the examples alone, never on a clock, so that two runs give the same vectors.
    device : str
        Type of the device, ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, wanted: int | Literal["auto"], device: str) -> None:
        self.limit = _LARGEST if wanted == "auto" else wanted
        self.budget = _BUDGET.get(device, _OTHER_BUDGET) if wanted == "auto" else None

    def next(self, n_tokens: int | None) -> int:
        """Return the number of examples, where the last ones had up to `n_tokens` tokens (None: unknown)."""
        if self.budget is None:
            return self.limit
        return 1 if n_tokens is None else max(1, min(self.limit, self.budget // max(1, n_tokens)))

    def next_suffixes(self, n_prefix: int, n_suffix: int) -> int:
        """Return how many suffixes of `n_suffix` tokens may follow one prefix of `n_prefix` tokens.

        Together they have no more tokens than a batch of whole prompts. Each carries the keys and values of
        the whole prefix, so there are at most eight times as many as whole prompts.
        """
        whole = self.next(n_prefix + n_suffix)
        return max(1, min(8 * whole, whole * (n_prefix + n_suffix) // max(1, n_suffix), self.limit * 8))

    def halve(self, failed: int) -> None:
        """Take the smaller size for good after `failed` examples did not fit (one log line)."""
        smaller = max(1, failed // 2)
        if smaller < self.limit:
            self.limit = smaller
        _LOG.warning("out of memory with %d examples in a batch; going on with %d", failed, smaller)


def too_large(n_tokens: int, sizes: Sequence[tuple[int, int]]) -> CapacityError:
    """Return the error of one example, with images of these sizes, that does not fit into memory alone."""
    shown = ", ".join(f"{width}x{height}" for width, height in sizes)
    images = f" and {len(sizes)} image(s) of {shown} pixels" if sizes else ""
    remedy = "smaller images, a smaller dtype or another device" if sizes else "a shorter text"
    return CapacityError(
        f"it does not fit into memory even alone, with {n_tokens} tokens{images}; use {remedy}",
        code="out_of_memory",
    )
