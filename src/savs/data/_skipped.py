"""What a folder of images holds beside what is read: counted by kind, and what to do about it."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from savs.media._coercion import (
    AUDIO_SUFFIXES,
    HEIC_SUFFIXES,
    IMAGE_SUFFIXES,
    UNREAD_AUDIO_SUFFIXES,
    UNREAD_IMAGE_SUFFIXES,
    UNREAD_VIDEO_SUFFIXES,
    VIDEO_SUFFIXES,
)

__all__ = ["Skipped", "readable_suffixes"]

_MOST_KINDS = 5
_PLURALS = {
    "hidden file or folder": "hidden files or folders",
    "folder of the system": "folders of the system",
    "link to a folder": "links to folders",
}


def readable_suffixes() -> frozenset[str]:
    """Return the endings of media files that are read with the packages that are installed."""
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES | AUDIO_SUFFIXES
    return known if find_spec("pillow_heif") is not None else known - HEIC_SUFFIXES


class Skipped:
    """The entries of a folder that are not read.

    Attributes
    ----------
    media : Counter of str
        Images, videos and audio clips by their ending: what the data lose.
    others : Counter of str
        All else, by its kind.
    """

    def __init__(self) -> None:
        self.media: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        """Count an entry that is no medium, such as a ``"hidden"`` one."""
        self.others[kind] += 1

    def add_file(self, path: Path) -> None:
        """Count a file by its ending."""
        suffix = path.suffix.lower()
        if _advice(suffix):
            self.media[suffix] += 1
        else:
            self.others[suffix if suffix.isprintable() and len(suffix) <= 10 else ""] += 1

    @property
    def n_media(self) -> str:
        """Their number, such as ``2 files``."""
        total = self.media.total()
        return f"{total} file" if total == 1 else f"{total} files"

    @property
    def of_media(self) -> str:
        """The media that are lost and what to do about each kind; empty if there are none."""
        counts = sorted(self.media.items(), key=lambda pair: (-pair[1], pair[0]))
        return "; ".join(f"{_files(count, suffix)}: {_advice(suffix)}" for suffix, count in counts)

    def __str__(self) -> str:
        counts = sorted(self.others.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = [_files(count, kind) for kind, count in counts[:_MOST_KINDS]]
        if len(counts) > _MOST_KINDS:
            shown.append(f"{sum(count for _, count in counts[_MOST_KINDS:])} more")
        rest = f"{', '.join(shown)}: not images, videos or audio clips" if shown else ""
        return "; ".join(part for part in (self.of_media, rest) if part)

    def __bool__(self) -> bool:
        return bool(self.media or self.others)


def _advice(suffix: str) -> str:
    if suffix in HEIC_SUFFIXES:
        return "pip install 'savs[heif]'"
    kinds = {
        "an image": UNREAD_IMAGE_SUFFIXES,
        "a video": UNREAD_VIDEO_SUFFIXES,
        "an audio": UNREAD_AUDIO_SUFFIXES,
    }
    return next(
        (f"not {kind} format that savs reads" for kind, known in kinds.items() if suffix in known), ""
    )


def _files(count: int, kind: str) -> str:
    plural = "" if count == 1 else "s"
    if kind and not kind.startswith("."):
        return f"{count} {kind}" if count == 1 else f"{count} {_PLURALS.get(kind, kind)}"
    return f"{count} {kind} file{plural}" if kind else f"{count} file{plural} without an ending"
