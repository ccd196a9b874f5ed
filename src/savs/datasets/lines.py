"""Text files to decoded lines, one at a time: UTF-8, with or without a byte order mark."""

from __future__ import annotations

import codecs
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from savs.errors import DataError
from savs.examples.labels import has_surrogate

__all__ = ["LONGEST_LINE", "check_file", "check_name", "decoded_lines", "decoded_text", "name_of", "spelled"]

LONGEST_LINE = 2**28
"""Bytes of the longest line that is read: a picture of 64 MB as base64 takes a third of it."""


def name_of(path: Path) -> str:
    """Return the last part of a path, for ids and messages."""
    return spelled(path.name)


def spelled(name: str) -> str:
    r"""Return a name that can be written: a byte that is not UTF-8 as ``\udcff``."""
    return name.encode(errors="backslashreplace").decode()


def check_name(path: Path) -> None:
    """Raise `DataError` if a path is not UTF-8: pyarrow and the ``datasets`` library cannot open it."""
    if has_surrogate(str(path)):
        raise DataError(f"the path of {name_of(path)!r} is not UTF-8 and cannot be opened; rename it")


def check_file(path: Path) -> None:
    """Raise `DataError` if there is no regular file; nothing is opened: a pipe would be waited for."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        raise DataError(f"there is no file {str(path)[-200:]!r}; check the path") from None
    except (OSError, ValueError):
        raise _unreadable(path) from None
    if not regular:
        raise DataError(f"{path.name!r} is not a regular file")


def decoded_lines(path: Path) -> Iterator[str]:
    r"""Yield the lines of a file with their ends, split at ``\n`` alone, one in memory at a time.

    Raises
    ------
    DataError
        With file and line, if the file cannot be read, is not UTF-8, or a line is longer than `LONGEST_LINE`.
    """
    with _open(path) as file:
        number = 0
        while line := _read_line(path, file, number + 1):
            number += 1
            yield _decoded(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, path, number)


def decoded_text(path: Path) -> str:
    """Return a whole file; `DataError` as in `decoded_lines`."""
    with _open(path) as file:
        data = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, data.count(b"\n", 0, error.start) + 1) from None


def _open(path: Path) -> BinaryIO:
    check_file(path)
    try:
        return path.open("rb")
    except OSError:
        raise _unreadable(path) from None


def _read_line(path: Path, file: BinaryIO, number: int) -> bytes:
    try:
        line = file.readline(LONGEST_LINE + 1)
    except OSError:
        raise _unreadable(path) from None
    if len(line) > LONGEST_LINE:
        raise DataError(f"{name_of(path)}:{number}: the line is longer than {LONGEST_LINE} bytes")
    return line


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise _not_utf8(path, number) from None


def _not_utf8(path: Path, number: int) -> DataError:
    return DataError(f"{name_of(path)}:{number}: not UTF-8; save the file as UTF-8")


def _unreadable(path: Path) -> DataError:
    return DataError(f"{path.name[:100]!r} cannot be read; check the path and its permissions")
