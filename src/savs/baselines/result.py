"""What every baseline returns."""

from __future__ import annotations

from dataclasses import dataclass

from savs.examples import Label

__all__ = ["BaselineResult"]


@dataclass(frozen=True)
class BaselineResult:
    """Predictions of one baseline.

    Attributes
    ----------
    name : str
        Which baseline.
    labels : list of label or None
        One per query, in order; None where the answer names no class.
    answers : list of str
        What the model said, for baselines that generate; else empty.
    """

    name: str
    labels: list[Label | None]
    answers: list[str]

    @property
    def unparsed(self) -> list[int]:
        """Positions of the queries without a label."""
        return [position for position, label in enumerate(self.labels) if label is None]
