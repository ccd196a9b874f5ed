"""What a run comes to: answers and errors, each at the position of its example, and what the store spared."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from savs.cli.failures import remark
from savs.cli.session import Session

if TYPE_CHECKING:
    from savs.backbones import Backbone
    from savs.backbones.stored import Counts
    from savs.examples import ErrorLedger, Example, Label
    from savs.model import SAVModel

__all__ = ["answer", "held", "placed", "tell_counts", "tell_store"]


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


def held(backbone: Backbone) -> AbstractContextManager[None]:
    """Return a block within which a backbone's store, if it has one, fills its parts from call to call."""
    from savs.backbones.stored import StoredBackbone

    return backbone.holding() if isinstance(backbone, StoredBackbone) else nullcontext()


def tell_store(model: SAVModel, session: Session) -> dict[str, dict[str, int]]:
    """Say how many examples the store spared, and return it for ``--json``; nothing without a store."""
    return tell_counts(model.store_counts, session)


def tell_counts(counts: Counts | None, session: Session) -> dict[str, dict[str, int]]:
    """Do the same with the counts themselves."""
    if counts is None:
        return {}
    if not session.quiet:
        remark(
            f"{counts.stored} of {counts.examples} examples from the store, {counts.computed} forward passes"
        )
    return {"store": {"from_store": counts.stored, "computed": counts.computed}}
