"""Columns with text or media that nothing reads: what a dataset calls them is not always known."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from savs.data._labels import DataWarning
from savs.data.example import AUDIO_MARKER, IMAGE_MARKER, VIDEO_MARKER, Example, Text
from savs.media._coercion import ADDRESS, ends_like_medium

__all__ = ["UnreadColumns", "UnreadMedia"]

_MARKERS = re.compile("|".join((IMAGE_MARKER, VIDEO_MARKER, AUDIO_MARKER)))
_WORDS = re.compile(r"\S\s+\S")


class UnreadColumns:
    """Warns once of the columns with text that is in no prompt.

    Text is what has more than one word: a category or an id in one word is not meant.

    Parameters
    ----------
    named : collection of str
        Columns that the prompt template names.
    """

    def __init__(self, named: Collection[str] = ()) -> None:
        self._named = frozenset(named)
        self._known: set[str] = set()

    def warn(self, examples: Iterable[Example]) -> None:
        """Warn of the columns of examples, without their prompt, that were not warned of before.

        Warns
        -----
        DataWarning
        """
        found = dict.fromkeys(name for example in examples for name in self._of(example))
        self._known |= found.keys()
        if found:
            names = ", ".join(map(repr, found))
            warnings.warn(
                f"text in the columns {names} is not read; name one as the text (--text-column), or in the "
                f"prompt, as {{{next(iter(found))}}}",
                DataWarning,
                stacklevel=4,
            )

    def _of(self, example: Example) -> Iterator[str]:
        left = [name for name in example.fields if name not in self._named and name not in self._known]
        if not left:
            return
        read = "".join(part.text for part in example.parts if isinstance(part, Text))
        for name in left:
            texts = filter(_WORDS.search, _texts(example.fields[name]))
            if any(_MARKERS.sub("", text) not in read for text in texts):
                yield name


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a cell, at any depth, but for those that name a medium."""
    if isinstance(value, str):
        if not (value[:5].lower() == "data:" or ADDRESS.match(value) or ends_like_medium(value)):
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


_MEDIA_WORDS = re.compile(
    r"images?|imgs?|photos?|pics?|pictures?|frames?|videos?|clips?|audios?|sounds?|jpe?g|png|webp|gif|mp4|wav|mp3",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"name|path|url|uri|file|source|link|size|width|height|id", re.IGNORECASE)
_STORED = {"bytes", "path"}
_LONGEST_PATH = 4096


class UnreadMedia:
    """Warns once of the columns with images, videos or audio clips that are not read."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def warn(self, rows: Iterable[tuple[Mapping[str, Any], Collection[str]]]) -> None:
        """Warn of the columns of rows that were not warned of before.

        Parameters
        ----------
        rows : iterable of (mapping, collection of str)
            Rows, and the columns whose media were read.

        Warns
        -----
        DataWarning
        """
        found = dict.fromkeys(
            name
            for row, read in rows
            for name, value in row.items()
            if name not in self._known and name not in read and _is_medium(name, value, bool(read))
        )
        self._known |= found.keys()
        if found:
            names = ", ".join(map(repr, found))
            warnings.warn(
                f"images, videos or audio clips in the columns {names} are not read; name those to read "
                "(--image-column, --video-column, --audio-column)",
                DataWarning,
                stacklevel=5,
            )


def _is_medium(name: str, value: Any, others: bool) -> bool:
    """Return whether a cell is a medium; beside others, a name or address may only tell about them."""
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_medium(name, part, others) for part in value)
    called = any(_MEDIA_WORDS.fullmatch(word) for word in re.split(r"[^A-Za-z]+", name))
    if isinstance(value, Mapping):
        stored = value.keys() == _STORED and any(part is not None for part in value.values())
        return stored and (called or not others)
    if isinstance(value, bytes):
        return called
    if not isinstance(value, str) or (others and (not called or _ABOUT.search(name))):
        return False
    if "\n" in value or (not called and any(map(str.isspace, value[:_LONGEST_PATH]))):
        return False
    if value[:5].lower() == "data:":
        return value[5:11].lower() in ("image/", "video/", "audio/")
    return ends_like_medium(value) or (called and ADDRESS.match(value) is not None)
