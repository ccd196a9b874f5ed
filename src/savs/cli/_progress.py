"""Progress of a long run with rate and time left: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from savs.cli._session import remark

if TYPE_CHECKING:
    from typing import Self

EVERY = 30.0
"""Seconds between lines."""


class Progress:
    """One bar, or one series of lines, over a whole run, on stderr.

    Parameters
    ----------
    total : int or None
        Number of rows, if it is known.
    shown : bool
        Whether to show progress.
    done : int, default=0
        Rows of an earlier run that this one continues; they do not count for the rate.
    """

    def __init__(self, total: int | None, *, shown: bool, done: int = 0) -> None:
        self.total, self.done = total, done
        self._shown = shown
        self._first = done
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._started = self._last = time.monotonic()
        if self._shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, initial=self.done, unit="ex", delay=2, smoothing=0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, n_rows: int) -> None:
        """Add to the number of rows that are done."""
        self.done += n_rows
        if self._bar is not None:
            self._bar.update(n_rows)
        elif self._shown and time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            remark(self._line())

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Rows per second of this run."""
        return (self.done - self._first) / max(self.seconds, 1e-9)

    def _line(self) -> str:
        so_far = f"{self.done} examples" if self.total is None else f"{self.done} of {self.total} examples"
        left = "" if self.total is None else f", {_duration((self.total - self.done) / self.rate)} left"
        return f"{so_far}, {self.rate:.1f} per second{left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
