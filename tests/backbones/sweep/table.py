"""The sweep's table for docs/backbones.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.backbones.sweep.expected import EXPECTED
from tests.backbones.sweep.outcomes import Outcome

BEGIN, END = "<!-- sweep: begin -->", "<!-- sweep: end -->"
_HEADER = (
    "| family | status | layers with heads | heads x width | kind | right-padded | interface |",
    "|---|---|---|---|---|---|---|",
)


def rendered(outcomes: Iterable[Outcome]) -> str:
    """Return counts and one row per family, the same for the same outcomes."""
    rows = sorted(outcomes, key=lambda outcome: outcome.family)
    counts = Counter(outcome.status for outcome in rows)
    agree = sum(outcome.interface == "agrees" and outcome.status == "ok" for outcome in rows)
    gated = sum(outcome.gated > 0 and outcome.status == "ok" for outcome in rows)
    summary = (
        f"{len(rows)} model types: "
        + ", ".join(f"{count} {status}" for status, count in counts.most_common())
        + f". Of those that are ok, {agree} go through the attention interface and agree with it in heads, "
        f"width and, but for {gated} with a gate, norm or mix before the projection, in every bit."
    )
    return "\n".join((BEGIN, "", summary, "", *_HEADER, *map(_row, rows), "", END))


def replaced(document: str, table: str) -> str:
    """Return the document with the part between the markers replaced."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN} ... {END}")
    return before + table + after


def _row(outcome: Outcome) -> str:
    if outcome.status != "ok":
        reason = EXPECTED.get(outcome.family, ("", outcome.reason))[1]
        return f"| {outcome.family} | {outcome.status} | | | {reason} | | |"
    cells = (
        outcome.family,
        "ok",
        f"{outcome.layers_with_heads} of {outcome.layers}",
        ", ".join(outcome.heads),
        _kind(outcome),
        "same",
        outcome.interface,
    )
    return f"| {' | '.join(cells)} |"


def _kind(outcome: Outcome) -> str:
    notes = []
    if outcome.latent:
        notes.append("MLA")
    if outcome.grouped:
        notes.append("GQA")
    if len(outcome.heads) > 1:
        notes.append("ragged")
    if outcome.sites > outcome.layers_with_heads:
        notes.append(f"{outcome.sites} attentions")
    if outcome.shared:
        notes.append("shared module")
    if outcome.gated:
        notes.append("gated" if outcome.gated == outcome.sites else f"{outcome.gated} gated")
    notes += [f"skipped: {count} {kind}" for kind, count in sorted(outcome.skipped.items())]
    return "; ".join(notes)
