"""Columns that hold text and reach no prompt: what a dataset calls its text is not always known."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from savs.data._labels import DataWarning
from savs.data.example import AUDIO_MARKER, IMAGE_MARKER, VIDEO_MARKER, Example, Text
from savs.media._coercion import ADDRESS, ends_like_medium

__all__ = ["UnreadColumns"]

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
