"""What ``savs fit`` and ``savs inspect`` both say of a classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from savs.cli.output import percent, percents

if TYPE_CHECKING:
    from savs.artifact import Shot

__all__ = ["NOT_SCORED", "estimate_lines", "hits", "n_scored"]

NOT_SCORED = "no head was scored, as no class has two shots: the first ones vote"


def n_scored(shots: Iterable[Shot]) -> int:
    """Return how many shots a head could hit: the only shot of a class is not scored on itself."""
    return sum(count for count in Counter(shot.label for shot in shots).values() if count > 1)


def hits(score: int, scored: int) -> str:
    """Return a head's score as text."""
    return f"{score}/{scored}" if scored else "-"


def estimate_lines(estimate: dict[str, Any] | None) -> list[str]:
    """Return what to expect of a classifier, in words."""
    if estimate is None:
        return ["estimated accuracy: none, as no class has two shots"]
    line = (
        f"estimated accuracy {percent(estimate['accuracy'])} (leave-one-out over {estimate['n']} shots, "
        f"95 % interval {percents(estimate['interval'])})"
    )
    return [line, f"note: {estimate['note']}"] if estimate.get("note") else [line]
