"""SIGTERM unwinds like Ctrl-C: files are closed and flushed before the exit code 143."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["SIGINT_CODE", "SIGTERM_CODE", "Terminated", "catch_sigterm"]

SIGINT_CODE = 130
SIGTERM_CODE = 143


class Terminated(BaseException):
    """SIGTERM arrived; not an `Exception`, so that nothing on the way out takes it for a fault."""


def catch_sigterm() -> None:
    """Turn the first SIGTERM into `Terminated`; a second one ends the process at once."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated
