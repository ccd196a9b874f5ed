"""`TransformersBackbone`: any transformers model with attention heads, read and never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from savs.backbones.base import Extraction, JSONValue
from savs.backbones.batching import Batch, BatchEncoder, ErrorLedger, PaddingSide, plan_batches
from savs.backbones.fingerprint import fingerprint
from savs.backbones.frozen import accepted_inputs, frozen, run_forward
from savs.backbones.generation import generate_answers
from savs.backbones.recorder import Recorded, recording, recording_states
from savs.backbones.rendering import reads_images
from savs.backbones.sites import Anatomy, AttentionSite, find_sites
from savs.errors import ActivationError, BackboneError
from savs.examples import Example
from savs.features import Head, HeadLayout

__all__ = ["TransformersBackbone"]


class TransformersBackbone:
    """A frozen transformers model with its processor; see `savs.backbones.load_backbone`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its weights, mode, hooks and configuration are as before after every call, also after an exception.
    processor : transformers processor or tokenizer
        Never changed.
    source, revision, commit : str, optional
        Where the model came from, for the fingerprint.
    batch_size : int, default=8
        Examples per forward pass.

    Raises
    ------
    BackboneError
        If the model has no softmax self-attention heads, or the batch size is not positive.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        source: str | None = None,
        revision: str | None = None,
        commit: str | None = None,
        batch_size: int = 8,
    ) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise BackboneError(f"the batch size is a positive integer, not {batch_size!r}")
        self.model = model
        self.processor = processor
        self.batch_size = batch_size
        self._origin: dict[str, JSONValue] = {"source": source, "revision": revision, "commit": commit}
        self._anatomy: Anatomy = find_sites(model)
        self._encoder = BatchEncoder(processor, _max_tokens(model))

    @cached_property
    def layout(self) -> HeadLayout:
        """The heads of a full feature row."""
        return self._anatomy.layout

    @cached_property
    def fingerprint(self) -> Mapping[str, JSONValue]:
        """What decides the vectors, computed once, at the first use."""
        return self._origin | fingerprint(self.model, self.processor, self._anatomy)

    @property
    def modalities(self) -> frozenset[str]:
        """``{"text"}`` or ``{"text", "image"}``."""
        return frozenset({"text", "image"} if reads_images(self.processor) else {"text"})

    def __repr__(self) -> str:
        sizes = f"{self._anatomy.n_layers} layers, {self.layout.n_heads} heads"
        return f"{type(self).__name__}({type(self.model).__name__}, {sizes})"

    def extract(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        max_errors: int = 0,
        progress: bool = False,
    ) -> Extraction:
        """Return head vectors at the last real token; see `savs.backbones.base.Backbone.extract`.

        Raises
        ------
        ItemError
            When more than `max_errors` examples cannot be read.
        BackboneError
            If the model fails, or a wanted head does not exist.
        """
        layout = self._select(heads)
        sites = [site for site in self._anatomy.sites if _wanted(site, layout)]

        def read(batch: Batch) -> NDArray[np.float32]:
            with recording(sites, batch.attention_mask) as recorded:
                self._forward(batch)
            return _rows(recorded, sites, layout)

        rows, ledger = self._run(examples, read, max_errors, progress, _non_finite_head(layout))
        indices = np.asarray(sorted(rows), dtype=np.intp)
        features = np.empty((len(indices), layout.width), dtype=np.float32)
        for position, index in enumerate(indices):
            features[position] = rows[int(index)]
        return Extraction(features, indices, ledger.errors)

    def last_layer_states(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """Return the decoder's final hidden state at the last real token, shape (n_examples, hidden_size).

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """

        def read(batch: Batch) -> NDArray[np.float32]:
            with recording_states(self._anatomy.decoder, batch.attention_mask) as recorded:
                self._forward(batch)
            if recorded.states is None:  # pragma: no cover - the recorder has raised by then
                raise BackboneError("the decoder did not run")
            return recorded.states.numpy()

        rows, _ = self._run(examples, read, 0, False, lambda _row: "the last layer")
        hidden = int(self.model.config.get_text_config(decoder=True).hidden_size)
        return (
            np.stack([rows[i] for i in range(len(examples))]) if rows else np.empty((0, hidden), np.float32)
        )

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 16) -> list[str]:
        """Return the model's own answer to each example, decoded greedily, stripped.

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """
        answers: dict[int, str] = {}
        with frozen(self.model):
            for batch in self._batches(examples, ErrorLedger(0), "left"):
                inputs = accepted_inputs(self.model, batch.inputs)
                texts = generate_answers(self.model, self.processor, inputs, max_new_tokens)
                answers |= zip(batch.indices, texts, strict=True)
        return [answers[index] for index in range(len(examples))]

    def _select(self, heads: Sequence[Head] | None) -> HeadLayout:
        if heads is None:
            return self.layout
        try:
            return self.layout.select(heads)
        except KeyError as error:
            raise BackboneError(f"this backbone has no head {tuple(error.args[0])}") from None
        except ValueError as error:
            raise BackboneError(f"the wanted heads cannot be used: {error}") from None

    def _batches(
        self,
        examples: Sequence[Example],
        ledger: ErrorLedger,
        padding_side: PaddingSide = "right",
        advance: Callable[[int], object] = lambda _n: None,
    ) -> Iterator[Batch]:
        for group in plan_batches(self.processor, examples, self.batch_size, ledger):
            yield from self._encoder.encode(group, examples, ledger, padding_side)
            advance(len(group))

    def _run(
        self,
        examples: Sequence[Example],
        read: Callable[[Batch], NDArray[np.float32]],
        max_errors: int,
        progress: bool,
        locate: Callable[[NDArray[np.float32]], str],
    ) -> tuple[dict[int, NDArray[np.float32]], ErrorLedger]:
        rows: dict[int, NDArray[np.float32]] = {}
        ledger = ErrorLedger(max_errors)
        with frozen(self.model), _bar(len(examples), progress) as advance:
            for batch in self._batches(examples, ledger, advance=advance):
                for index, row in zip(batch.indices, read(batch), strict=True):
                    if np.isfinite(row).all():
                        rows[index] = row
                    else:
                        ledger.add(index, examples[index], _non_finite(locate(row)))
        return rows, ledger

    def _forward(self, batch: Batch) -> None:
        run_forward(self.model, accepted_inputs(self.model, batch.inputs))


def _max_tokens(model: Any) -> int | None:
    config = model.config.get_text_config(decoder=True)
    limit = getattr(config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _wanted(site: AttentionSite, layout: HeadLayout) -> bool:
    indices = range(site.first_index, site.first_index + site.n_heads)
    return any(head.layer == site.layer and head.index in indices for head in layout.heads)


def _rows(recorded: Recorded, sites: Sequence[AttentionSite], layout: HeadLayout) -> NDArray[np.float32]:
    """Return the wanted heads' columns side by side, shape (n_examples, layout.width)."""
    found: dict[tuple[int, int], torch.Tensor] = {}
    for site in sites:
        vectors = torch.split(recorded.vectors[site], site.head_dim, dim=1)
        found |= {(site.layer, site.first_index + i): vector for i, vector in enumerate(vectors)}
    rows: NDArray[np.float32] = torch.cat([found[head] for head in layout.heads], dim=1).numpy()
    return rows


def _non_finite_head(layout: HeadLayout) -> Callable[[NDArray[np.float32]], str]:
    def locate(row: NDArray[np.float32]) -> str:
        bad = next(head for head in layout.heads if not np.isfinite(row[layout.columns(head)]).all())
        return f"layer {bad.layer}, head {bad.index}"

    return locate


def _non_finite(where: str) -> ActivationError:
    return ActivationError(
        f"the backbone gave a NaN or infinite value at {where}; try dtype='float32' or 'bfloat16', or check "
        "the model's weights",
        code="activation_not_finite",
    )


@contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[int], object]]:
    """Show a bar on stderr if asked to, stderr is a terminal and it takes longer than two seconds."""
    from tqdm import tqdm

    with tqdm(total=total, unit="example", delay=2, disable=None if progress else True, leave=False) as bar:
        yield bar.update
