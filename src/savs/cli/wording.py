"""What ``savs fit`` and ``savs inspect`` both say of a classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from savs.cli.output import percent, percents

if TYPE_CHECKING:
    from savs.artifact import Shot
    from savs.features import HeadLayout

__all__ = [
    "NOT_SCORED",
    "chosen_methods",
    "estimate_lines",
    "hits",
    "n_scored",
    "scored_heads",
    "wanted_heads",
]

NOT_SCORED = "no head was scored, as no class has two shots: the first ones vote"


def n_scored(shots: Iterable[Shot]) -> int:
    """Return how many shots a head could hit: the only shot of a class is not scored on itself."""
    return sum(count for count in Counter(shot.label for shot in shots).values() if count > 1)


def hits(score: int, scored: int) -> str:
    """Return a head's score as text."""
    return f"{score}/{scored}" if scored else "-"


def scored_heads(
    heads: Iterable[tuple[int, int]], layout: HeadLayout, scores: Sequence[float] | None
) -> list[list[Any]]:
    """Return ``[layer, index, score]`` for each head in use, the score None where heads are not ranked."""
    return [
        [layer, index, None if scores is None else scores[layout.position((layer, index))]]
        for layer, index in heads
        if index >= 0  # the final state is no head
    ]


def wanted_heads(classifier: Any) -> int | None:
    """Return how many heads were asked for; None where the method chose or does not keep any."""
    wanted = getattr(classifier, "n_heads", None)
    return wanted if isinstance(wanted, int) else None


def chosen_methods(report: dict[str, Any] | None) -> str:
    """Return what an automatic choice came to, for a line of text."""
    return f": {', '.join(report['chosen'])} ({report['why']})" if report and "chosen" in report else ""


def estimate_lines(estimate: dict[str, Any] | None) -> list[str]:
    """Return what to expect of a classifier, in words."""
    if estimate is None:
        return ["estimated accuracy: none, as no class has two shots"]
    line = (
        f"estimated accuracy {percent(estimate['accuracy'])} (from {estimate['n']} left-out shots, "
        f"95 % interval {percents(estimate['interval'])})"
    )
    return [line, f"note: {estimate['note']}"] if estimate.get("note") else [line]
