"""`Deadline`: one span of time for many waits."""

from __future__ import annotations

import time

__all__ = ["Deadline"]


class Deadline:
    """Counts from its making.

    Parameters
    ----------
    seconds : float
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; `TimeoutError` if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
