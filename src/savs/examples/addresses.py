"""Media given by web address: noted where they stand, then fetched or refused, all in one place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

from savs.errors import ExampleError
from savs.examples.content import Audio, Example, Image, Message, Part, Video

__all__ = ["ADDRESS", "Address", "Fetch", "as_address", "settled", "settled_part"]

ADDRESS = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""How a web or file address begins; ``data:`` URLs are none."""

Fetch = Callable[[str, str], Path]
"""Gives the file of an address and a kind: ``"image"``, ``"video"`` or ``"audio"``."""

_Medium = TypeVar("_Medium", bound=Image | Audio)


@dataclass(frozen=True)
class Address:
    """An ``https`` address in the place of a source; it never leaves `savs.examples`, and is never shown."""

    url: str = field(repr=False)

    @property
    def suffix(self) -> str:
        """The ending of the path in it, in lower case: ``".mp4"``."""
        try:
            return PurePosixPath(urlsplit(self.url).path).suffix.lower()
        except ValueError:
            return ""


def as_address(text: str, what: str) -> Address | None:
    """Return the address that a text is, or None.

    Parameters
    ----------
    text : str
    what : str
        Picture, video or sound, for the message.

    Raises
    ------
    ExampleError
        ``url_refused`` for another scheme than https, allowed or not.
    """
    if not ADDRESS.match(text):
        return None
    if text[:8].lower() != "https://":
        raise _refused("only https:// addresses are opened, of hosts that are allowed", what)
    return Address(text)


def settled(example: Example, fetch: Fetch | None) -> Example:
    """Return an example whose media are all at hand: each address fetched, or refused without `fetch`.

    Raises
    ------
    ExampleError
        ``url_refused`` without `fetch`.
    MediaError
        As `fetch` raises it.
    """
    if not any(isinstance(getattr(part, "source", None), Address) for part in example.parts):
        return example

    def part_of(part: Part) -> Part:
        return settled_part(part, fetch) if isinstance(part, Image | Audio) else part

    messages = tuple(
        Message(message.role, tuple(map(part_of, message.parts))) for message in example.messages
    )
    return replace(example, messages=messages)


def settled_part(part: _Medium, fetch: Fetch | None) -> _Medium:
    """Return a picture, video or sound that is at hand; as `settled`."""
    source: object = part.source
    if not isinstance(source, Address):
        return part
    kind = "audio" if isinstance(part, Audio) else "video" if isinstance(part, Video) else "image"
    if fetch is None:
        what = {"audio": "sound", "image": "picture"}.get(kind, kind)
        raise _refused("web addresses are opened only of hosts that are allowed (--allow-host, fetch=)", what)
    return replace(part, source=Path(fetch(source.url, kind)))


def _refused(rule: str, what: str) -> ExampleError:
    advice = f"download the {what} and give its path (an address meant as text goes as {{'text': ...}})"
    return ExampleError(f"{rule}; {advice}", code="url_refused")
