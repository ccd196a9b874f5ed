"""What is measured on: the model, the examples, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from benchmarks.plain import plain_inputs
from benchmarks.shapes import Built
from savs.backbones import TransformersBackbone
from savs.backbones._attention_sites import Anatomy, find_sites

__all__ = ["Counts", "Setting"]


@dataclass(frozen=True)
class Counts:
    """How much is measured.

    Attributes
    ----------
    classes, shots : int
        Of the fit; shots per class.
    queries : int
        Images of the query, batch and equality measures.
    images : int
        Of the measure with eight questions each.
    repeats : int
    largest_batch : int
    """

    classes: int = 10
    shots: int = 20
    queries: int = 16
    images: int = 16
    repeats: int = 3
    largest_batch: int = 8


@dataclass(frozen=True)
class Setting:
    """One model under measurement.

    Attributes
    ----------
    built : Built
    device : str
        ``"cpu"`` or ``"cuda"``.
    counts : Counts
    advance : callable
        Told what is being done, for the progress display.
    """

    built: Built
    device: str
    counts: Counts
    advance: Callable[[str], object] = lambda _what: None

    @property
    def name(self) -> str:
        """The model's."""
        return self.built.name

    @cached_property
    def anatomy(self) -> Anatomy:
        """Where the heads are."""
        return find_sites(self.built.model)

    @cached_property
    def n_tokens(self) -> int:
        """Tokens of a prompt with one of the largest images."""
        from benchmarks.images import QUESTION, ask, jpeg

        inputs: dict[str, Any] = plain_inputs(self.built, [ask(jpeg(0), QUESTION)])
        return int(inputs["input_ids"].shape[1])

    def backbone(
        self, batch_size: int | Literal["auto"] = "auto", *, prefix_reuse: bool = True
    ) -> TransformersBackbone:
        """Return savs's view of the model."""
        return TransformersBackbone(
            self.built.model, self.built.processor, batch_size=batch_size, prefix_reuse=prefix_reuse
        )
