"""File locks of Linux and macOS, which the kernel frees when a process dies. Windows does not have them.

Feature stores and ``savs predict --output`` need them. Everything else also runs where `fcntl` is missing.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import IO

from savs.errors import SAVsError

__all__ = ["lock_file", "require_posix"]


def require_posix(what: str) -> None:
    """Raise `SAVsError` on a system without file locks as Linux and macOS have them.

    Parameters
    ----------
    what : str
        What needs them, for the message: ``"a feature store"``.
    """
    if find_spec("fcntl") is None:
        raise SAVsError(f"{what} needs Linux or macOS; on Windows, run savs in WSL")


def lock_file(file: int | IO[str]) -> None:
    """Lock an open file until it is closed or the process ends, without waiting.

    Parameters
    ----------
    file : int or file object
        The file or its descriptor.

    Raises
    ------
    BlockingIOError
        If another open file holds the lock.
    OSError
        If the file system has no locks.
    """
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
