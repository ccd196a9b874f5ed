"""What was measured: one line of the table each, with its goal where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.timing import Ratio, Times

__all__ = ["Finding", "Goal", "faster", "slower"]


@dataclass(frozen=True)
class Goal:
    """At least or at most a number."""

    sign: Literal["<=", ">="]
    bound: float

    def met(self, value: float) -> bool:
        """Return whether a value reaches it."""
        return value <= self.bound if self.sign == "<=" else value >= self.bound


@dataclass(frozen=True)
class Finding:
    """One number.

    Attributes
    ----------
    subject : str
        Which model.
    measure : str
    value, low, high : float
        Median, smallest and largest over the repeats.
    goal : Goal or None
    seconds : dict of str to float
        Median seconds behind it.
    note : str
    """

    subject: str
    measure: str
    value: float
    low: float
    high: float
    goal: Goal | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        return None if self.goal is None else self.goal.met(self.value)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        goal = None if self.goal is None else {"sign": self.goal.sign, "bound": self.goal.bound}
        return {**vars(self), "goal": goal, "met": self.met}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finding:
        """Return what `to_json` gave."""
        goal = None if data["goal"] is None else Goal(**data["goal"])
        rest = {name: value for name, value in data.items() if name not in ("goal", "met")}
        return cls(goal=goal, **rest)


def slower(
    subject: str, measure: str, times: Times, first: str, second: str, goal: Goal | None, note: str = ""
) -> Finding:
    """Return time of the first over time of the second."""
    return _ratio(subject, measure, times.ratio(first, second), times, (first, second), goal, note)


def faster(
    subject: str, measure: str, times: Times, first: str, second: str, goal: Goal | None, note: str = ""
) -> Finding:
    """Return how many times faster the first is than the second."""
    return _ratio(subject, measure, times.ratio(second, first), times, (first, second), goal, note)


def _ratio(
    subject: str,
    measure: str,
    ratio: Ratio,
    times: Times,
    names: tuple[str, str],
    goal: Goal | None,
    note: str,
) -> Finding:
    seconds = {name: value for name, value in times.medians().items() if name in names}
    return Finding(subject, measure, ratio.median, ratio.low, ratio.high, goal, seconds, note)
