"""Columns with text or media that nothing reads: what a dataset calls them is not always known."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from savs._labels import DataWarning, is_missing
from savs.data._folder_layout import part_of_split
from savs.data.example import AUDIO_MARKER, IMAGE_MARKER, VIDEO_MARKER, Example, Text
from savs.media._coercion import ADDRESS, ends_like_medium

__all__ = ["UnreadColumns", "UnreadMarkers", "UnreadMedia", "UnreadSplit"]

_MARKERS = re.compile("|".join((IMAGE_MARKER, VIDEO_MARKER, AUDIO_MARKER)))
_WORDS = re.compile(r"\S\s+\S")


class UnreadColumns:
    """Warns once of the columns with text that is in no prompt, or with the part of a medium that is meant.

    Text is what has more than one word: a category or an id in one word is not meant. Parts are times of
    videos and audio clips, and boxes of images.

    Parameters
    ----------
    named : collection of str
        Columns that the prompt template names.
    """

    def __init__(self, named: Collection[str] = ()) -> None:
        self._named = frozenset(named)
        self._known: set[str] = set()
        self._decimals: set[str] = set()

    def warn(self, examples: Iterable[Example]) -> None:
        """Warn of the columns of examples, without their prompt, that were not warned of before.

        Warns
        -----
        DataWarning
        """
        examples = list(examples)
        self._warn_of_extracts(examples)
        self._warn_of_decimals(examples)
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

    def _warn_of_decimals(self, examples: Sequence[Example]) -> None:
        """Warn of columns in the prompt that pandas made decimals because some of their cells are missing."""
        for name in sorted(self._named - self._decimals):
            cells = [example.fields[name] for example in examples if name in example.fields]
            known = [cell for cell in cells if cell is not None]
            if not known or len(known) == len(cells) or not all(map(_is_whole_decimal, known)):
                continue
            self._decimals.add(name)
            warnings.warn(
                f"the column {name!r} says {known[0]} in the prompt: pandas makes whole numbers decimals "
                "where some are missing; if they are whole, convert the column with astype('Int64')",
                DataWarning,
                stacklevel=5,
            )

    def _warn_of_extracts(self, examples: Sequence[Example]) -> None:
        found = dict.fromkeys(name for example in examples for name in self._extracts(example))
        self._known |= found.keys()
        if found:
            warnings.warn(
                f"the columns {', '.join(map(repr, found))} name a part of an image, video or audio clip, "
                "and all of it is read; cut the files first if the part is meant",
                DataWarning,
                stacklevel=5,
            )

    def _extracts(self, example: Example) -> Iterator[str]:
        """Yield the columns that say which part of the example's media is meant."""
        kinds = ((_TIMES, example.videos + example.audios), (_AREAS, example.images))
        called = [names for names, media in kinds if media]
        if not called:
            return
        for name, value in example.fields.items():
            if name in self._known or name in self._named:
                continue
            if any(_letters(name) in names for names in called) and _holds_numbers(value):
                yield name

    def _of(self, example: Example) -> Iterator[str]:
        left = [name for name in example.fields if name not in self._named and name not in self._known]
        if not left:
            return
        read = "".join(part.text for part in example.parts if isinstance(part, Text))
        for name in left:
            texts = filter(_WORDS.search, _texts(example.fields[name]))
            if any(_MARKERS.sub("", text) not in read for text in texts):
                yield name


def _is_whole_decimal(cell: Any) -> bool:
    return isinstance(cell, float | np.floating) and float(cell).is_integer()


_TIMES = frozenset(
    start + unit
    for start in ("start", "end", "begin", "stop", "onset", "offset", "clipstart", "clipend", "videostart")
    for unit in ("", "time", "s", "sec", "secs", "seconds", "ms", "frame", "timestamp")
) | {"timestamps", "videoend", "segment", "timerange"}
_AREAS = frozenset({"bbox", "boundingbox", "box", "xmin", "roi", "crop"})


@lru_cache(maxsize=1024)
def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _holds_numbers(value: Any) -> bool:
    """Return whether a cell is a number, the text of one or more, or a list or dict of them."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"[-+0-9.,;: \[\]()]*[0-9][-+0-9.,;: \[\]()]*", value[:_LONGEST_PATH]))
    if isinstance(value, Mapping):
        return bool(value) and all(map(_holds_numbers, value.values()))
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_holds_numbers, value))
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


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


# <image 1> and <image_1> of question sets, and what single models call the place of an image.
_OTHER_MARKERS = re.compile(
    r"<\|?(?:(?:image|img|video|audio)(?:[ _-]?(?:pad|placeholder|here|token|[0-9]{1,3}))?|start_of_image"
    r"|vision_start)\|?>|\[IMG\]",
    re.IGNORECASE,
)


class UnreadMarkers:
    """Warns once of what looks like the place of a medium in a prompt, but is not the marker of savs."""

    def __init__(self) -> None:
        self._warned = False

    def warn(self, examples: Iterable[Example]) -> None:
        """Warn of the first such text in examples with their prompt, unless one was warned of before.

        Warns
        -----
        DataWarning
        """
        found = None if self._warned else next(filter(None, map(self._in, examples)), None)
        if found is not None:
            self._warned = True
            warnings.warn(
                f"{found!r} in a prompt is plain text for savs, and marks no place; write {IMAGE_MARKER}, "
                f"{VIDEO_MARKER} or {AUDIO_MARKER} where a medium goes, and its path into a column",
                DataWarning,
                stacklevel=4,
            )

    def _in(self, example: Example) -> str | None:
        known = (IMAGE_MARKER, VIDEO_MARKER, AUDIO_MARKER)
        texts = (part.text for part in example.parts if isinstance(part, Text))
        found = (match[0] for text in texts for match in _OTHER_MARKERS.finditer(text))
        return next((marker for marker in found if marker not in known), None)


_MEDIA_WORDS = re.compile(
    r"images?|imgs?|photos?|pics?|pictures?|frames?|videos?|clips?|audios?|sounds?|jpe?g|png|webp|gif|mp4|wav|mp3",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"name|path|url|uri|file|source|link|size|width|height|id", re.IGNORECASE)
_STORED = {"bytes", "path"}
_ENOUGH = 100
_LONGEST_PATH = 4096


class UnreadMedia:
    """Warns once of the columns with images, videos or audio clips that are not read.

    The first `_ENOUGH` values of a column tell what it holds.

    Parameters
    ----------
    read : callable
        Gives the columns of a row whose media are read.
    """

    def __init__(self, read: Callable[[Mapping[str, Any]], Collection[str]]) -> None:
        self._read = read
        self._known: set[str] = set()
        self._n_seen: Counter[str] = Counter()

    def warn(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Warn of the columns of rows that were not warned of before.

        Warns
        -----
        DataWarning
        """
        found = dict.fromkeys(name for row in rows for name in self._of(row))
        if found:
            names = ", ".join(map(repr, found))
            warnings.warn(
                f"images, videos or audio clips in the columns {names} are not read; name those to read "
                "(--image-column, --video-column, --audio-column)",
                DataWarning,
                stacklevel=5,
            )

    def _of(self, row: Mapping[str, Any]) -> list[str]:
        left = [name for name in row if name not in self._known]
        if not left:
            return []
        read = self._read(row)
        found = [name for name in left if name not in read and _is_medium(name, row[name], bool(read))]
        self._known.update(found)
        self._n_seen.update(name for name in left if not is_missing(row[name]))
        self._known.update(name for name in left if self._n_seen[name] >= _ENOUGH)
        return found


@lru_cache(maxsize=1024)
def _called(name: str) -> tuple[bool, bool]:
    """Return whether a column is called like a medium, and whether it may only tell about one."""
    called = any(_MEDIA_WORDS.fullmatch(word) for word in re.split(r"[^A-Za-z]+", name))
    return called, _ABOUT.search(name) is not None


def _is_medium(name: str, value: Any, others: bool, depth: int = 2) -> bool:
    """Return whether a cell is a medium; beside others, a name or address may only tell about them.

    Lists may be nested `depth` deep: several videos as lists of their frames.
    """
    if isinstance(value, str):
        called, about = _called(name)
        return ((called and not about) or not others) and _names_medium(value, called)
    if isinstance(value, list | tuple):
        return depth > 0 and bool(value) and all(_is_medium(name, part, others, depth - 1) for part in value)
    if isinstance(value, Mapping):
        stored = value.keys() == _STORED and any(part is not None for part in value.values())
        return stored and (_called(name)[0] or not others)
    return isinstance(value, bytes) and _called(name)[0]


def _names_medium(text: str, called: bool) -> bool:
    if text[:5].lower() == "data:":
        return text[5:11].lower() in ("image/", "video/", "audio/")
    if "\n" in text or (not called and any(map(str.isspace, text[:_LONGEST_PATH]))):
        return False
    address = called and ADDRESS.match(text) is not None
    return address or ("." in text[-6:] and ends_like_medium(text))


_SPLIT_COLUMNS = frozenset({"split", "splits", "subset", "set", "partition", "usage", "phase"})
_PARTS = frozenset({"train", "validation", "test"})


class UnreadSplit:
    """Warns once where a column says which part of a split a row belongs to, and rows of several are read.

    Parameters
    ----------
    read : collection of str
        Columns that were named for something else.
    """

    def __init__(self, read: Collection[str] = ()) -> None:
        self._read = frozenset(read)
        self._found: dict[str, str] = {}  # by part, the first cell that says so
        self._warned = False

    def warn(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in rows.

        Warns
        -----
        DataWarning
        """
        for row in rows:
            name = None if self._warned else _split_column(tuple(row))
            cell = None if name is None or name in self._read else row[name]
            part = _part(cell) if isinstance(cell, str) else None
            if part is None:
                continue
            self._found.setdefault(part, str(cell))
            if len(self._found) > 1:
                self._warned = True
                one, other = self._found.values()
                warnings.warn(
                    f"the column {name!r} holds {one!r} and {other!r}, the parts of a split, and the rows of "
                    "all parts are read; put each part into a file of its own",
                    DataWarning,
                    stacklevel=5,
                )


@lru_cache(maxsize=256)
def _split_column(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name.lower() in _SPLIT_COLUMNS), None)


@lru_cache(maxsize=256)
def _part(cell: str) -> str | None:
    part = part_of_split(cell)
    return part if part in _PARTS else None
