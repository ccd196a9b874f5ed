"""Memory that recording takes on top of a bare forward of the same batch.

On a CPU every tensor's storage is followed from birth to death; on CUDA the allocator counts. Both passes are
compared at the same places, where each decoder layer begins and at their peaks, so that a large moment
elsewhere (the vision tower) hides nothing.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.findings import Finding, Goal
from benchmarks.images import QUESTION, ask, jpeg
from benchmarks.plain import bare_forward, plain_inputs
from benchmarks.setting import Setting

__all__ = ["LiveBytes", "measure_memory"]

BATCHES = (1, 4)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages made while it is on and still alive.

    Parameters
    ----------
    known : iterable of Tensor
        Made before; their storages do not count.

    Attributes
    ----------
    now, peak : int
    """

    def __init__(self, known: Any) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def measure_memory(setting: Setting) -> list[Finding]:
    """Return the bytes that recording adds over the bytes of the rows kept, for batches of 1 and 4."""
    findings = []
    for size in BATCHES:
        setting.advance(f"memory of a batch of {size}")
        examples = [ask(jpeg(30_000 + 4 * number), QUESTION) for number in range(size)]
        inputs = {name: value.cpu() for name, value in plain_inputs(setting.built, examples).items()}
        backbone = setting.backbone(size, prefix_reuse=False)
        backbone.extract(examples)
        bare = _watched(setting, partial(_bare, setting, inputs))
        recorded = _watched(setting, partial(backbone.extract, examples))
        rows = size * backbone.layout.width * 4
        extra = max(a - b for a, b in zip(recorded, bare, strict=True))
        note = f"rows {rows / 2**20:.2f} MiB; peak of the bare forward {bare[-1] / 2**20:.1f} MiB"
        measure = f"memory added by recording, batch of {size}: bytes over the rows kept"
        ratio = extra / rows
        findings.append(Finding(setting.name, measure, ratio, ratio, ratio, Goal("<=", 2.0), note=note))
    return findings


def _bare(setting: Setting, inputs: dict[str, Any]) -> None:
    device = setting.built.model.device
    bare_forward(setting.built.model, {name: value.to(device) for name, value in inputs.items()})


def _watched(setting: Setting, run: Callable[[], object]) -> list[int]:
    """Return the live bytes where each decoder layer begins, and the peak."""
    gc.collect()
    model, layers = setting.built.model, cast(Iterable[Any], setting.anatomy.decoder.layers)
    samples: list[int] = []
    # Views of the model's inputs count in both passes: they are made outside, in one on another thread.
    with _live(setting.device, [*model.parameters(), *model.buffers()]) as (now, peak):
        handles = [layer.register_forward_pre_hook(lambda *_args: samples.append(now())) for layer in layers]
        try:
            run()
        finally:
            for handle in handles:
                handle.remove()
        return [*samples, peak()]


@contextmanager
def _live(device: str, known: Any) -> Iterator[tuple[Callable[[], int], Callable[[], int]]]:
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield (
            lambda: torch.cuda.memory_allocated() - before,
            lambda: torch.cuda.max_memory_allocated() - before,
        )
    else:
        with LiveBytes(known) as live:
            yield lambda: live.now, lambda: live.peak
