"""Every error that savs raises on purpose, in one tree.

::

    SAVsError
    ├── ItemError               one example: bad image, bad text, non-finite activation
    │   ├── ExampleError        the example cannot be built or rendered
    │   ├── MediaError          its image cannot be used
    │   ├── ActivationError     the backbone gave NaN or Inf for it
    │   └── CapacityError       it does not fit into memory, even alone
    ├── DataError               a data file or a set of labels as a whole
    ├── BackboneError           a model cannot be loaded, located or run
    ├── ArtifactError           a saved classifier cannot be read or written
    │   └── BackboneMismatchError   ... or belongs to another backbone
    └── StoreError              a feature store cannot be read or written
        └── StoreMismatchError  ... or holds the features of another backbone

Messages say which item, what is wrong and what to do, in one line. They never echo a decoder's own text, a
memory address, a token or a base64 body.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

__all__ = [
    "ActivationError",
    "ArtifactError",
    "BackboneError",
    "BackboneMismatchError",
    "CapacityError",
    "DataError",
    "ExampleError",
    "ItemError",
    "ItemErrorRecord",
    "MediaError",
    "SAVsError",
    "StoreError",
    "StoreMismatchError",
]

_LONGEST = 4000


class SAVsError(Exception):
    """Base of every error that savs raises on purpose; its message is one line, meant for users.

    What it quotes from data (ids, names, versions) cannot steer a terminal: what is not printable is escaped,
    and what is too long is cut. Only a list of bad files, one on each line, keeps its line feeds.
    """

    def __str__(self) -> str:
        return "\n".join(map(_printable, super().__str__()[:_LONGEST].split("\n")))


class ItemErrorRecord(TypedDict):
    """What is written to logs and ``--json`` output about one failed example."""

    id: str
    stage: str
    code: str
    message: str


class ItemError(SAVsError, ValueError):
    """One example cannot be used; the others are not affected.

    Parameters
    ----------
    message : str
        What is wrong and what to do, in one line, without the item's id.
    code : str
        Stable machine-readable name, such as ``"image_undecodable"``.
    id : str or None
        The example's id; filled in by whoever knows it.
    """

    stage = "example"

    def __init__(self, message: str, *, code: str, id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.id = id

    def __str__(self) -> str:
        return _printable(self.message if self.id is None else f"{self.id}: {self.message}")

    def record(self) -> ItemErrorRecord:
        """Return the error as a JSON-able record."""
        message = _printable(self.message)
        return {"id": self.id or "", "stage": self.stage, "code": self.code, "message": message}


class ExampleError(ItemError):
    """The example cannot be built or rendered as a prompt."""

    stage = "example"


class MediaError(ItemError):
    """The example's image cannot be used."""

    stage = "media"


class ActivationError(ItemError):
    """The backbone gave a NaN or an infinite value for the example."""

    stage = "features"


class CapacityError(ItemError):
    """The example does not fit into the device's memory, even alone."""

    stage = "features"


class DataError(SAVsError, ValueError):
    """A data file, or a set of labels as a whole, cannot be used."""


class BackboneError(SAVsError):
    """A model cannot be loaded, its attention heads cannot be located, or it cannot be run."""


class ArtifactError(SAVsError):
    """A saved classifier cannot be read or written."""


class BackboneMismatchError(ArtifactError):
    """A saved classifier belongs to another backbone, revision, processor or dtype.

    Attributes
    ----------
    entries : tuple of str
        The entries of the fingerprint that were refused, and ``"layout"`` if the heads are others.
    """

    def __init__(self, message: str, entries: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.entries = tuple(entries)


class StoreError(SAVsError):
    """A feature store cannot be read or written."""


class StoreMismatchError(StoreError):
    """A feature store holds the features of another backbone, layout or dtype."""


def _printable(message: str) -> str:
    """Return a message with every character that is not printable escaped, lone surrogates too."""
    short = message[:_LONGEST]
    if short.isprintable():
        return short
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in short)[:_LONGEST]
