"""Files that are there as a whole or not at all, and what is left behind by processes that were killed.

A file is written under a temporary name in its own folder, flushed to the disk, renamed, and the folder
flushed. Its writer holds `flock` on it until then: the kernel gives that up when the process dies, however it
dies, so a temporary file whose lock is free belongs to nobody.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from savs._posix import lock_file

_TEMPORARY = ".tmp-"
_A_DAY = 86400.0


def _nothing(name: str) -> None:
    """Do nothing at a crash point; tests put a killer here."""


_crash_point: Callable[[str], None] = _nothing


def crash_point(name: str) -> None:
    """Mark a point of a write at which tests kill the process."""
    _crash_point(name)


@contextmanager
def whole_file(folder: Path) -> Iterator[tuple[int, Callable[[str], Path]]]:
    """Write a file under a temporary name; without a call of `finish` nothing is left of it.

    Yields
    ------
    descriptor : int
        Open for writing.
    finish : callable
        Given the name, makes the file durable under it and returns its path; an older one is replaced.
    """
    descriptor, temporary = _temporary(folder)

    def finish(name: str) -> Path:
        crash_point("written")
        os.fsync(descriptor)
        crash_point("synced")
        target = folder / name
        temporary.replace(target)
        crash_point("renamed")
        sync_folder(folder)
        crash_point("folder-synced")
        return target

    try:
        crash_point("created")
        yield descriptor, finish
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(descriptor)


def create(path: Path, content: bytes) -> bool:
    """Write a file that is not there yet; False if somebody else was first."""
    descriptor, temporary = _temporary(path.parent)
    try:
        crash_point("created")
        write_all(descriptor, content)
        crash_point("written")
        os.fsync(descriptor)
        crash_point("synced")
        try:
            # Unlike a rename, a link never replaces what another process has just put there.
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:
            # A file system without links: the last of two that start at once wins.
            temporary.replace(path)
        crash_point("renamed")
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(descriptor)
    return True


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write all bytes; the system may take them in pieces, for instance where the disk fills up."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, without a buffer; `OSError` if it is a pipe or a device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb", buffering=0)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do that to a folder.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def remove_stale(folder: Path) -> int:
    """Delete the temporary files of dead processes and return their number; those in use are left alone."""
    removed = 0
    with suppress(FileNotFoundError):
        for path in list(folder.glob(f"{_TEMPORARY}*")):
            with suppress(OSError):
                removed += _remove_if_stale(path)
    return removed


@contextmanager
def locked(path: Path, patience: float = 10.0) -> Iterator[bool]:
    """Hold a lock file where that is possible; yields whether it is held.

    The kernel frees it when the process dies. After `patience` seconds, or where the file system has no locks
    or cannot be written, the block runs without: nothing but duplicates can come of that.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield False
        return
    try:
        yield _lock_within(descriptor, patience)
    finally:
        os.close(descriptor)


def _temporary(folder: Path) -> tuple[int, Path]:
    while True:
        path = folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with suppress(OSError):
            lock_file(descriptor)
        # Between the two calls it looked like nobody's, and another process may have removed it.
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)


def _remove_if_stale(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        lock_file(descriptor)
        stale = True
    except BlockingIOError:
        stale = False
    except OSError:
        # Without locks only age tells.
        stale = time.time() - os.fstat(descriptor).st_mtime > _A_DAY
    finally:
        os.close(descriptor)
    if stale:
        path.unlink(missing_ok=True)
    return stale


def _lock_within(descriptor: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            lock_file(descriptor)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        except OSError:
            return False
        else:
            return True
