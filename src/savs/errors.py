"""Every error that savs raises on purpose, in one tree.

::

    SAVsError
    ├── ItemError                   one example cannot be used; the others are not affected
    │   ├── ExampleError            it cannot be built or rendered as a prompt
    │   ├── MediaError              its image, audio clip or video cannot be used
    │   ├── ActivationError         the backbone gave NaN or infinity for it
    │   └── CapacityError           it does not fit into the device's memory, even alone
    ├── DataError                   a data file, or a set of labels as a whole, cannot be used
    ├── BackboneError               a model cannot be loaded, located or run
    ├── ArtifactError               a saved classifier cannot be read or written
    │   └── BackboneMismatchError   it belongs to another backbone
    ├── DriftError                  the libraries compute other vectors than they did
    ├── StoreError                  a feature store cannot be read or written
    │   └── StoreMismatchError      it holds the features of another backbone
    ├── NotFittedError              a model is used before it is fitted
    └── MissingDependencyError      an optional package is not installed

`ItemError` and `DataError` are also `ValueError`, `MissingDependencyError` is also `ImportError`, and
`NotFittedError` is also scikit-learn's class of that name.

Messages say which item, what is wrong and what to do, in one line. They never repeat a decoder's own text, a
memory address, a token or a base64 body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from sklearn.exceptions import NotFittedError as _SklearnNotFittedError

__all__ = [
    "ActivationError",
    "ArtifactError",
    "BackboneError",
    "BackboneMismatchError",
    "CapacityError",
    "DataError",
    "DriftError",
    "ExampleError",
    "ItemError",
    "ItemErrorRecord",
    "MediaError",
    "MissingDependencyError",
    "NotFittedError",
    "SAVsError",
    "StoreError",
    "StoreMismatchError",
]

_LONGEST = 4000


class SAVsError(Exception):
    """Base of every error that savs raises on purpose; its message is one line, meant for users.

    A message may quote data (ids, names, versions). Characters that are not printable are escaped, so that
    they cannot control a terminal, and a long message is cut. Only a list of bad files, one per line, keeps
    its line feeds.
    """

    def __str__(self) -> str:
        return "\n".join(map(_printable, super().__str__()[:_LONGEST].split("\n")))


class ItemErrorRecord(TypedDict):
    """One failed example, as it is written to logs and ``--json`` output.

    Attributes
    ----------
    id : str
        The example's id; empty if it is not known.
    stage : str
        Where it failed: ``"example"``, ``"media"`` or ``"features"``.
    code : str
        Stable machine-readable name, such as ``"image_undecodable"``.
    message : str
        What is wrong and what to do, in one line, without the id.
    """

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
    id : str, optional
        The example's id, where it is known; it may be set later.

    Attributes
    ----------
    message, code, id
        As given.
    stage : str
        Where the example failed: ``"example"``, ``"media"`` or ``"features"``; one per class.
    """

    stage = "example"

    def __init__(self, message: str, *, code: str, id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.id = id

    def __reduce__(self) -> tuple[Any, ...]:
        # By default the process that waits for a worker makes an exception again from its message alone.
        return partial(type(self), code=self.code, id=self.id), (self.message,)

    def __str__(self) -> str:
        return _printable(self.message if self.id is None else f"{self.id}: {self.message}")

    def record(self) -> ItemErrorRecord:
        """Return the error as a record that can be written as JSON."""
        message = _printable(self.message)
        return {"id": self.id or "", "stage": self.stage, "code": self.code, "message": message}


class ExampleError(ItemError):
    """The example cannot be built or rendered as a prompt."""

    stage = "example"


class MediaError(ItemError):
    """The example's image, audio clip or video cannot be used."""

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

    Parameters
    ----------
    message : str
        What differs and what to do.
    entries : iterable of str
        The entries of the fingerprint that differ, and ``"layout"`` if the heads differ.

    Attributes
    ----------
    entries : tuple of str
        As given.
    """

    def __init__(self, message: str, entries: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.entries = tuple(entries)


class DriftError(SAVsError):
    """The installed libraries compute other vectors than those of a saved classifier or a feature store.

    Parameters
    ----------
    message : str
        The versions then and now, the difference, and what to do.
    changed : mapping of str to (str or None, str or None)
        What is different: a library, the attention kernel, the device or the dtype; then and now.
    difference : float
        Largest difference of an entry, as a share of the largest entry of its head; infinite if a probe
        cannot be read any more.
    tolerance : float
        The largest one that counts as rounding.

    Attributes
    ----------
    changed, difference, tolerance
        As given.
    """

    def __init__(
        self,
        message: str,
        changed: Mapping[str, tuple[str | None, str | None]],
        difference: float,
        tolerance: float,
    ) -> None:
        super().__init__(message)
        self.changed = dict(changed)
        self.difference = difference
        self.tolerance = tolerance


class StoreError(SAVsError):
    """A feature store cannot be read or written."""


class StoreMismatchError(StoreError):
    """A feature store holds the features of another backbone, layout or dtype."""


class MissingDependencyError(SAVsError, ImportError):
    """A package that only some uses of savs need is not installed.

    Parameters
    ----------
    need : str
        What needs which package: ``"videos need PyAV"``.
    extra : str
        The extra of savs that installs it: ``"video"``.
    module : str
        The module that cannot be imported: ``"av"``.

    Attributes
    ----------
    extra : str
        As given.
    name : str
        The module, as in every `ImportError`.
    """

    def __init__(self, need: str, extra: str, module: str) -> None:
        super().__init__(f"{need}: pip install 'savs[{extra}]'", name=module)
        self.need = need
        self.extra = extra

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.need, self.extra, self.name)


if TYPE_CHECKING:

    class NotFittedError(SAVsError, _SklearnNotFittedError):  # type: ignore[misc]
        """A model is used before it is fitted; call ``fit`` first."""


def __getattr__(name: str) -> Any:
    """Make `NotFittedError` when it is first used: importing scikit-learn takes longer than all of savs."""
    if name != "NotFittedError":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sklearn import exceptions

    bases = (SAVsError, exceptions.NotFittedError)
    doc = "A model is used before it is fitted; call ``fit`` first."
    error = type("NotFittedError", bases, {"__module__": __name__, "__doc__": doc})
    globals()["NotFittedError"] = error
    return error


def _printable(message: str) -> str:
    """Return a message with every character that is not printable escaped, lone surrogates too."""
    short = message[:_LONGEST]
    if short.isprintable():
        return short
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in short)[:_LONGEST]


def __dir__() -> list[str]:
    return sorted(__all__)
