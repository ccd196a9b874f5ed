"""Ratios of times taken side by side, A B C C B A ..., so that a slow spell of the machine hits all alike.

On a CPU the time is that of the process on all its threads (`time.process_time`), which other programs on the
machine hardly change; a worker thread that runs beside the model is paid for in full. On an accelerator it
is the time on the wall, after the device is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

__all__ = ["Ratio", "Times", "interleave"]


@dataclass(frozen=True)
class Ratio:
    """A ratio of times: its median over the repeats, its smallest and its largest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Times:
    """Seconds of every contestant in every repeat.

    Attributes
    ----------
    used : dict of str to list of float
        The time that counts: of the process on a CPU, on the wall otherwise.
    wall : dict of str to list of float
    """

    used: dict[str, list[float]]
    wall: dict[str, list[float]]

    def ratio(self, first: str, second: str) -> Ratio:
        """Return first / second, repeat by repeat."""
        ratios = [a / b for a, b in zip(self.used[first], self.used[second], strict=True)]
        return Ratio(median(ratios), min(ratios), max(ratios))

    def scaled(self, name: str, factor: float) -> Times:
        """Return the same with one contestant's times multiplied: it did that share of the others' work."""

        def multiplied(times: dict[str, list[float]]) -> dict[str, list[float]]:
            return times | {name: [seconds * factor for seconds in times[name]]}

        return Times(multiplied(self.used), multiplied(self.wall))

    def medians(self) -> dict[str, float]:
        """Return the median seconds of every contestant."""
        return {name: median(seconds) for name, seconds in self.used.items()}


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    repeats: int,
    device: str,
    advance: Callable[[str], object] = lambda _name: None,
    warm_up: Callable[[], object] | None = None,
) -> Times:
    """Run all contestants in turn, backwards in every second round.

    Parameters
    ----------
    contestants : mapping of str to callable
    repeats : int
    device : str
        ``"cpu"`` or ``"cuda"``.
    advance : callable
        Told the name of the contestant that is about to run.
    warm_up : callable, optional
        Run once before; by default every contestant runs once.
    """
    for run in [warm_up] if warm_up is not None else list(contestants.values()):
        advance("warm-up")
        run()
    times = Times({name: [] for name in contestants}, {name: [] for name in contestants})
    for repeat in range(repeats):
        order = list(contestants)
        for name in order if repeat % 2 == 0 else reversed(order):
            advance(name)
            used, wall = _timed(contestants[name], device)
            times.used[name].append(used)
            times.wall[name].append(wall)
    return times


def _timed(run: Callable[[], object], device: str) -> tuple[float, float]:
    _wait(device)
    started = time.process_time(), time.perf_counter()
    run()
    _wait(device)
    process, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    return (wall if device == "cuda" else process), wall


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
