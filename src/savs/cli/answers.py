"""Answers and errors of a run, each at the position of its example in the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savs.examples import ErrorLedger, Example, Label
    from savs.model import SAVModel

__all__ = ["answer", "placed"]


def placed(examples: list[Example], ledger: ErrorLedger) -> dict[int, Example]:
    """Return examples by their position among all rows of the data, those that were not read included."""
    return dict(zip(ledger.kept(len(examples)), examples, strict=True))


def answer(
    model: SAVModel, examples: Mapping[int, Example], ledger: ErrorLedger, *, progress: bool = False
) -> dict[int, tuple[Label, list[float]]]:
    """Return label and vote shares by position; the errors of the others go to the ledger."""
    if not examples:
        return {}
    found = model.predict_each(list(examples.values()), max_errors=ledger.left, progress=progress)
    indices = list(examples)
    answered = [indices[row] for row in found.indices.tolist()]
    ledger.note_rest(examples, set(answered), found.errors)
    return dict(zip(answered, zip(found.labels, found.proba.tolist(), strict=True), strict=True))
