"""How far a run has come, and the learning rate there: warm-up, constant, linear decay.

A run ends after so many steps, or earlier after so many minutes where a limit is given; progress is the
larger of the two shares, so the decay starts in time on a machine that turns out slower than planned.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Length of a run in steps and, if `minutes` is given, in time; and the shape of the learning rate."""

    steps: int
    minutes: float | None = None
    warmup: float = 0.02
    decay: float = 0.45

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is over, 0 to 1."""
        share = step / self.steps
        if self.minutes is not None:
            share = max(share, seconds / (60.0 * self.minutes))
        return min(1.0, share)

    def factor(self, progress: float) -> float:
        """Return what the peak learning rate is multiplied with."""
        if progress < self.warmup:
            return (progress + 0.002) / (self.warmup + 0.002)
        return min(1.0, (1.0 - progress) / self.decay)
