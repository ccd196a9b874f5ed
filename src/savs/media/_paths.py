"""Paths of media files: where they may lie, and whether they can be read. Nothing here decodes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from savs.errors import MediaError
from savs.media.limits import MEDIA, too_large

_LONGEST_SHOWN = 200


class ByteLimit(Protocol):
    """Limits of a medium, of which only the largest file counts here."""

    @property
    def max_bytes(self) -> int:
        """Largest encoded file."""


def shown(path: Path) -> str:
    """Return a path for a message: one line, quoted, control characters and lone surrogates escaped."""
    text = str(path)
    if len(text) > _LONGEST_SHOWN:
        text = "..." + text[-_LONGEST_SHOWN:]
    return (
        "'" + text.encode("unicode_escape").decode("ascii") + "'" if not text.isprintable() else f"'{text}'"
    )


def resolve_media_path(path: Path, root: Path, *, allow_outside: bool = False) -> Path:
    """Return the file that `path` means, relative to `root`, symbolic links followed.

    Parameters
    ----------
    path : Path
        Absolute, or relative to `root`.
    root : Path
        The folder that media files must lie in.
    allow_outside : bool, default=False
        Take files outside `root` too.

    Raises
    ------
    MediaError
        ``media_outside_root`` if the file lies outside `root`, by ``..``, by an absolute path or by a link;
        ``media_unreadable`` if the path cannot be followed (a loop of links, a null byte).
    """
    try:
        resolved_root = root.resolve()
    except (OSError, ValueError, RuntimeError):
        raise _unreadable(path) from None
    return resolve_inside(path, root, resolved_root, allow_outside=allow_outside)


def resolve_inside(path: Path, root: Path, resolved_root: Path, *, allow_outside: bool = False) -> Path:
    """Return what `resolve_media_path` does, for a root whose links were followed already."""
    try:
        resolved = (root / path).resolve()
    except (OSError, ValueError, RuntimeError):
        raise _unreadable(path) from None
    # Parents are compared, not string prefixes: /data-private does not lie in /data.
    if not allow_outside and resolved_root != resolved and resolved_root not in resolved.parents:
        raise MediaError(
            f"the media path {shown(path)} leaves the dataset's folder {shown(root)}; move the file there, "
            f"name another root (--root), or allow paths outside it (--allow-outside)",
            code="media_outside_root",
        )
    return resolved


def check_media_file(path: Path, limits: ByteLimit, kind: str = "image") -> None:
    """Raise `MediaError` if a file cannot be of a kind, from its directory entry alone: nothing is opened.

    The kind is ``"image"``, ``"video"`` or ``"audio"``. Codes: ``media_missing`` (also a dangling link),
    ``media_not_a_file`` (a folder, pipe, device), ``media_unreadable``, and of an image ``image_undecodable``
    (empty) and ``image_too_large``.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except (OSError, ValueError):
        raise _unreadable(path) from None
    _check_status(path, status, limits, kind)
    if not os.access(path, os.R_OK):
        raise _unreadable(path)


def encoded(source: Path | bytes, limits: ByteLimit, kind: str) -> bytes:
    """Return the bytes of a file, or bytes at hand, within the limit; `MediaError` as `check_media_file`."""
    if isinstance(source, Path):
        return read_media_file(source, limits, kind)
    if len(source) > limits.max_bytes:
        raise too_large(kind, limits.max_bytes)
    if not source:
        raise MediaError(f"the {MEDIA[kind]} has no bytes; fetch it again", code=f"{kind}_undecodable")
    return source


def read_media_file(path: Path, limits: ByteLimit, kind: str = "image") -> bytes:
    """Return a regular file's bytes, never more than the limit; `MediaError` as `check_media_file`."""
    check_media_file(path, limits, kind)
    # Without waiting, and looked at again once it is open: the name may mean a pipe by now.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            _check_status(path, os.fstat(file.fileno()), limits, kind)
            data = file.read(limits.max_bytes + 1)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError:
        raise _unreadable(path) from None
    if len(data) > limits.max_bytes:
        raise too_large(kind, limits.max_bytes)
    return data


def _check_status(path: Path, status: os.stat_result, limits: ByteLimit, kind: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        wanted = f"{'a' if kind == 'video' else 'an'} {MEDIA[kind]} file"
        advice = "; savs.read_examples reads folders" if found == "a folder" else ""
        raise MediaError(f"{shown(path)} is {found}; {wanted} is needed{advice}", code="media_not_a_file")
    if status.st_size == 0:
        raise MediaError(f"{shown(path)} is empty; fetch or write it again", code=f"{kind}_undecodable")
    if status.st_size > limits.max_bytes:
        raise too_large(kind, limits.max_bytes)


def _missing(path: Path) -> MediaError:
    reason = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
    return MediaError(
        f"{shown(path)} {reason}; check the path and the root (--root) that it is relative to",
        code="media_missing",
    )


def _unreadable(path: Path) -> MediaError:
    return MediaError(f"{shown(path)} cannot be read; check its permissions", code="media_unreadable")
