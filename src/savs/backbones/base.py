"""What the rest of savs asks of a frozen model: two methods and three facts.

`savs.backbones.transformers_backbone.TransformersBackbone` is the real one,
`savs.backbones.fake.FakeBackbone` a deterministic stand-in for tests.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.data import Example
from savs.errors import ItemError
from savs.layout import Head, HeadLayout

__all__ = ["Backbone", "Extraction", "JSONValue", "RunReport"]

JSONValue = str | int | float | bool | None | list["JSONValue"] | dict[str, "JSONValue"]


@dataclass(frozen=True)
class Extraction:
    """Vectors of the examples that could be read, and the errors of those that could not.

    Attributes
    ----------
    features : ndarray of float32, shape (n_ok, width)
        One row per example that was read, in the order of the examples.
    indices : ndarray of int, shape (n_ok,)
        Which example each row belongs to, ascending.
    errors : list of ItemError
        One per example that could not be read, in the order of the examples, each with the example's id.
    states : ndarray of float32, shape (n_ok, hidden_size), or None
        The decoder's final hidden states at the same tokens, if they were asked for.
    """

    features: NDArray[np.float32]
    indices: NDArray[np.intp]
    errors: list[ItemError] = field(default_factory=list)
    states: NDArray[np.float32] | None = None

    __repr__ = short_repr


@dataclass
class RunReport:
    """How the last call went through the model.

    Attributes
    ----------
    n_examples : int
        Examples handed in.
    n_forward : int
        Prompts that went through the model in full, one more for each check of a shared beginning.
    n_prefixes : int
        Shared beginnings that went through the model.
    n_reused : int
        Examples read on top of one of them.
    batch_size : int
        Largest number of examples that a batch may have at the end.
    n_out_of_memory : int
        Forward passes that did not fit into memory.
    prefix_failure : str or None
        Why shared beginnings are no longer used with this model.
    checked : set
        The kinds of prompts whose shared beginning was compared with the full pass, in this call or before.
    """

    n_examples: int = 0
    n_forward: int = 0
    n_prefixes: int = 0
    n_reused: int = 0
    batch_size: int = 0
    n_out_of_memory: int = 0
    prefix_failure: str | None = None
    checked: set[Hashable] = field(default_factory=set)

    @property
    def prefix_check(self) -> str | None:
        """``"passed"``, ``"failed: ..."``, or None if there was nothing to check."""
        if self.prefix_failure:
            return f"failed: {self.prefix_failure}"
        return "passed" if self.checked else None


@runtime_checkable
class Backbone(Protocol):
    """A frozen model, read at the last real token of each rendered example."""

    @property
    def layout(self) -> HeadLayout:
        """The heads of a full feature row."""

    @property
    def fingerprint(self) -> Mapping[str, JSONValue]:
        """What decides the vectors: model, commit, weights, processor, template, dtype, kernel, versions."""

    @property
    def modalities(self) -> frozenset[str]:
        """The content parts that the model reads: ``"text"``, ``"image"``, ``"audio"``, ``"video"``."""

    def extract(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        max_errors: int = 0,
        progress: bool = False,
        states: bool = False,
    ) -> Extraction:
        """Return head vectors, one row per example, laid out by ``layout.select(heads)``.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        heads : sequence of Head, optional
            The heads wanted; all of `layout` by default. The forward pass ends at the deepest one.
        max_errors : int, default=0
            How many examples may fail before an error is raised; -1 means any number.
        progress : bool, default=False
            Show a progress bar when the work takes longer than two seconds and stderr is a terminal.
        states : bool, default=False
            Read the decoder's final hidden state in the same pass, which then runs through all layers.

        Returns
        -------
        Extraction
            ``features`` is float32 of shape (n_ok, width), one row per example that could be read. The width
            is that of ``layout.select(heads)``.

        Raises
        ------
        ItemError
            When more than `max_errors` examples cannot be read.
        """

    def last_layer_states(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """Return the decoder's final hidden state at the last real token, shape (n_examples, hidden_size)."""

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 16) -> list[str]:
        """Return the model's own answer to each example: greedy decoding, outer whitespace removed.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        max_new_tokens : int, default=16
            Largest number of tokens in an answer.

        Returns
        -------
        list of str
            One answer per example, in the order of the examples.

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """
