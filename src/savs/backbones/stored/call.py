"""One call of a backbone with a store: what is wanted, what is there, what a store was good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from savs.errors import BackboneError, ItemError
from savs.examples import Example
from savs.examples.ledger import ErrorLedger
from savs.features import Head, HeadLayout

__all__ = ["Call", "Counts", "Rows", "named", "note_all", "selected"]

Rows = NDArray[np.float32]


@dataclass
class Counts:
    """What a store was good for.

    Attributes
    ----------
    examples : int
        Examples handed in.
    stored : int
        Those whose row was in the store.
    computed : int
        Rows that the model computed; examples with the same content share one.
    """

    examples: int = 0
    stored: int = 0
    computed: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return both together."""
        return Counts(
            self.examples + other.examples, self.stored + other.stored, self.computed + other.computed
        )


@dataclass
class Call:
    """One call of `extract`: what is wanted, and what is there so far, by position of the example."""

    examples: Sequence[Example]
    columns: NDArray[np.intp]
    states_wanted: bool
    ledger: ErrorLedger
    features: Rows | None = None  # None where nothing is handed back
    states: Rows | None = None
    done: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.done = np.zeros(len(self.examples), bool)

    def put(self, positions: Sequence[int], features: Rows, states: Rows | None) -> None:
        """Take in rows of the wanted heads."""
        if not positions or self.features is None:
            return
        self.features[positions] = features
        self.done[positions] = True
        if states is not None:
            if self.states is None:
                self.states = np.empty((len(self.examples), states.shape[1]), np.float32)
            self.states[positions] = states


def named(example: Example, index: int) -> Example:
    """Return an example with its place for an id if it has none."""
    return example if example.id else replace(example, id=str(index))


def note_all(call: Call, failed: Sequence[tuple[Sequence[int], ItemError]]) -> None:
    """Note the error of each content for all its examples, in their order and each under its own name."""
    errors = {
        index: error if index == group[0] else type(error)(error.message, code=error.code)
        for group, error in failed
        for index in group
    }
    for index, error in sorted(errors.items()):
        call.ledger.add(index, call.examples[index], error)


def selected(layout: HeadLayout, heads: Sequence[Head] | None) -> tuple[HeadLayout, NDArray[np.intp]]:
    """Return the wanted heads and their columns, or what a backbone says of wrong ones."""
    try:
        wanted = layout if heads is None else layout.select(heads)
        return wanted, layout.column_indices(wanted.heads)
    except KeyError as error:
        raise BackboneError(f"this backbone has no head {tuple(error.args[0])}") from None
    except ValueError as error:
        raise BackboneError(f"the wanted heads cannot be used: {error}") from None
