"""Whether reading an input ended as it may: with a valid result or one of the errors meant for users."""

from __future__ import annotations

import importlib
import traceback
import warnings
from pathlib import Path
from types import ModuleType

__all__ = [
    "LONGEST_INPUT",
    "NAMES",
    "BadMessageError",
    "LeftBehindError",
    "judge",
    "load_target",
    "signature",
]

NAMES = ("images", "rows", "store", "artifact", "videos", "audio")
"""The targets, each a module of this package."""

LONGEST_MESSAGE = 4000
LONGEST_INPUT = 16384


class BadMessageError(Exception):
    """A message for users is not one printable line."""


class LeftBehindError(Exception):
    """A reader left a file where it read."""


def load_target(name: str) -> ModuleType:
    """Return the module of a target; `ImportError` if what it reads is not there."""
    return importlib.import_module(f"fuzz.{name}")


def judge(target: ModuleType, path: Path) -> str:
    """Read an input and return what became of it: ``"valid"``, or the code or type of the error.

    Raises
    ------
    Exception
        Whatever the reader may not raise, a warning of another library among it.
    """
    before = _files(path.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for category in _own_warnings():
            warnings.simplefilter("ignore", category)
        try:
            outcome = target.read(path) or "valid"
        except target.ALLOWED as error:
            check_message(str(error))
            outcome = str(getattr(error, "code", type(error).__name__))
    left = _files(path.parent) - before
    if left and target.__name__ != "fuzz.store":
        raise LeftBehindError(", ".join(sorted(str(one) for one in left)))
    return outcome


def check_message(message: str) -> None:
    """Raise `BadMessageError` unless a message is one printable line of bounded length without addresses."""
    problem = ""
    if not message.isprintable():
        problem = "is not one printable line"
    elif len(message) > LONGEST_MESSAGE:
        problem = f"has {len(message)} characters"
    elif " at 0x" in message:
        problem = "holds a memory address"
    if problem:
        raise BadMessageError(f"the message {message[:200]!a} {problem}")


def signature(error: BaseException) -> str:
    """Return a name for the place where an error arose, the same for all inputs that fail there."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if "/savs/" in frame.filename] or list(frames)
    last = places[-1]
    return f"{type(error).__name__}-{Path(last.filename).stem}-{last.name}-{last.lineno}"


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def _own_warnings() -> tuple[type[Warning], ...]:
    from savs.cache import StoreWarning
    from savs.data import DataWarning
    from savs.media import MediaWarning

    return (DataWarning, StoreWarning, MediaWarning)
