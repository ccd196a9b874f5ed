"""What a run comes to: answers and errors, each at the position of its example, and what the store spared."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from savs.cli.failures import remark
from savs.cli.session import Session

if TYPE_CHECKING:
    from savs.backbones import Backbone
    from savs.backbones.stored import Counts
    from savs.examples import ErrorLedger, Example, Label
    from savs.model import Caution, Cautions, SAVModel

__all__ = ["Answer", "answer", "held", "placed", "tell_counts", "tell_store"]


def placed(examples: list[Example], ledger: ErrorLedger) -> dict[int, Example]:
    """Return examples by their position among all rows of the data, those that were not read included."""
    return dict(zip(ledger.kept(len(examples)), examples, strict=True))


class Answer(NamedTuple):
    """Label and probabilities of one example, and what holds the answer back, by name in a row of output."""

    label: Label
    shares: list[float]
    cautions: dict[str, Any]


def answer(
    model: SAVModel,
    examples: Mapping[int, Example],
    ledger: ErrorLedger,
    *,
    caution: Caution | None = None,
    progress: bool = False,
) -> dict[int, Answer]:
    """Return answers by position; the errors of the others go to the ledger."""
    if not examples:
        return {}
    items = list(examples.values())
    found = model.predict_each(items, max_errors=ledger.left, caution=caution, progress=progress)
    indices = list(examples)
    answered = [indices[row] for row in found.indices.tolist()]
    ledger.note_rest(examples, set(answered), found.errors)
    held_back = _by_row(found.cautions, len(answered))
    answers = map(Answer, found.labels, found.proba.tolist(), held_back)
    return dict(zip(answered, answers, strict=True))


def _by_row(cautions: Cautions, n_rows: int) -> list[dict[str, Any]]:
    unknown = None if cautions.unknown is None else cautions.unknown.tolist()
    columns = {"set": cautions.sets, "alarm": cautions.alarms, "unknown": unknown}
    asked = {name: values for name, values in columns.items() if values is not None}
    return [{name: values[row] for name, values in asked.items()} for row in range(n_rows)]


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
