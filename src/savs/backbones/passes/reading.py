"""What is read off one forward pass: the wanted heads' vectors side by side, and the final state if asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from savs.backbones.anatomy.sites import Anatomy, AttentionSite
from savs.backbones.passes.batching import Batch
from savs.backbones.passes.frozen import accepted_inputs, run_forward
from savs.backbones.passes.memory import BatchSize
from savs.backbones.passes.prefixes import SharedBatch, forward_prefix, suffix_inputs
from savs.backbones.passes.recorder import Recorded, recording
from savs.errors import ActivationError
from savs.features import Head, HeadLayout

__all__ = ["Reading"]

# Largest difference between a row read on top of a shared beginning and the same row read in full, relative
# to its largest entry: another order of sums; a wrong position or a lost picture is off by far more.
_EXACT = 1e-4
_ROUNDING_STEPS = 4


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
    ) -> None:
        self.model = model
        self.layout = layout
        self.size = size
        self.forget = forget
        self.decoder = anatomy.decoder
        self.states = states
        self.sites = [] if layout is None else [site for site in anatomy.sites if _wanted(site, layout)]

    def read(self, batch: Batch) -> list[NDArray[np.float32]]:
        """Return one row per example of a batch."""
        with self._recording(batch.attention_mask) as recorded:
            self._forward(batch.inputs)
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
            with self._recording(mask) as recorded:
                self._forward(inputs)
            rows.extend(self._rows(recorded))
        return rows

    def difference(self, row: NDArray[np.float32], whole: NDArray[np.float32]) -> str | None:
        """Say what is wrong with a row read on top of a shared beginning, given the same row read in full."""
        precision = torch.finfo(self.model.dtype).eps
        tolerance = max(_EXACT, _ROUNDING_STEPS * precision if precision > 1e-6 else 0.0)
        scale = float(np.abs(whole).max())
        difference = float(np.abs(row - whole).max())
        if difference <= tolerance * scale:
            return None
        return f"vectors differ from the full pass by {difference / max(scale, 1e-30):.1e}"

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
        run_forward(self.model, accepted_inputs(self.model, inputs))

    def _rows(self, recorded: Recorded) -> NDArray[np.float32]:
        """Return the wanted heads' columns side by side, then the state."""
        columns = [] if self.layout is None else _head_columns(recorded, self.sites, self.layout)
        if recorded.states is not None:
            columns.append(recorded.states)
        rows: NDArray[np.float32] = torch.cat(columns, dim=1).numpy()
        return rows


def _first_non_finite(row: NDArray[np.float32], layout: HeadLayout) -> Head | None:
    return next((head for head in layout.heads if not np.isfinite(row[layout.columns(head)]).all()), None)


def _wanted(site: AttentionSite, layout: HeadLayout) -> bool:
    indices = range(site.first_index, site.first_index + site.n_heads)
    return any(head.layer == site.layer and head.index in indices for head in layout.heads)


def _head_columns(
    recorded: Recorded, sites: Sequence[AttentionSite], layout: HeadLayout
) -> list[torch.Tensor]:
    found: dict[tuple[int, int], torch.Tensor] = {}
    for site in sites:
        vectors = torch.split(recorded.vectors[site], site.head_dim, dim=1)
        found |= {(site.layer, site.first_index + i): vector for i, vector in enumerate(vectors)}
    return [found[head] for head in layout.heads]
