"""Head sets as objects: taken from a classifier, saved, used on another task, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, Self

import numpy as np

from savs._reprs import short_repr
from savs.layout import Head, HeadLayout

__all__ = ["HeadChange", "HeadSet", "jaccard", "stability"]


class HeadChange(NamedTuple):
    """Which heads a change of the shots brought into use and dropped, each sorted by (layer, index)."""

    added: list[Head]
    dropped: list[Head]


@dataclass(frozen=True)
class HeadSet:
    """Some heads of a layout, best first; ``HeadVoteClassifier(heads=head_set.heads)`` uses them elsewhere.

    Attributes
    ----------
    heads : tuple of Head
        The heads.
    layout : HeadLayout
        The layout they were chosen from.
    """

    heads: tuple[Head, ...]
    layout: HeadLayout

    __repr__ = short_repr

    def __post_init__(self) -> None:
        heads = tuple(Head(*head) for head in self.heads)
        if not heads or len(set(heads)) < len(heads) or not set(heads) <= set(self.layout.heads):
            raise ValueError("a head set is one or more heads of its layout, each once")
        object.__setattr__(self, "heads", heads)

    def for_layout(self, layout: HeadLayout) -> tuple[Head, ...]:
        """Return the heads, for rows of `layout`; `ValueError` if it lacks one or a width differs."""
        missing = [
            head
            for head in self.heads
            if head not in layout.heads
            or layout.dims[layout.position(head)] != self.layout.dims[self.layout.position(head)]
        ]
        if missing:
            raise ValueError(f"the layout has no head like layer {missing[0].layer}, head {missing[0].index}")
        return self.heads

    def to_json(self) -> dict[str, Any]:
        """Return plain lists."""
        return {"heads": [list(head) for head in self.heads], "layout": self.layout.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the head set that `to_json` wrote; `ValueError` if `data` is not one."""
        if set(data) != {"heads", "layout"}:
            raise ValueError("a head set has 'heads' and 'layout'")
        return cls(tuple(Head(*head) for head in data["heads"]), HeadLayout.from_json(data["layout"]))


def jaccard(heads: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> float:
    """Return the Jaccard index of two sets of heads: the size of the intersection over that of the union.

    Parameters
    ----------
    heads, others : sequence of (layer, index)
        The two sets. Order and repeats do not matter.

    Returns
    -------
    float
        From 0 (disjoint) to 1 (equal); 1 for two empty sets.

    Examples
    --------
    >>> jaccard([(0, 0), (0, 1)], [(0, 1), (0, 2)])
    0.3333333333333333
    """
    one, two = {tuple(head) for head in heads}, {tuple(head) for head in others}
    return len(one & two) / len(one | two) if one | two else 1.0


def stability(draws: Sequence[Sequence[tuple[int, int]]]) -> float | None:
    """Return the mean overlap of all pairs of draws; None for fewer than two."""
    pairs = [jaccard(one, two) for one, two in combinations(draws, 2)]
    return float(np.mean(pairs)) if pairs else None
