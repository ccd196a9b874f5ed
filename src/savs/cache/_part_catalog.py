"""The parts in a store's folder and where each key's row is; damaged ones are set aside."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from savs.errors import StoreError
from savs.features.store.description import FILE_NAME, Description
from savs.features.store.files import reached, sync_folder
from savs.features.store.index import KeyIndex
from savs.features.store.parts import BadPartError, Part, check_part, is_part_name, open_part

__all__ = ["PARTS", "BadPart", "Shelf", "StoreWarning", "check_folder", "is_folder"]

PARTS, QUARANTINE = "parts", "quarantine"


class StoreWarning(UserWarning):
    """A part was damaged and set aside, or the store cannot be written and the run goes on without it."""


class BadPart(NamedTuple):
    """A part that cannot be used, and why."""

    name: str
    reason: str


class Shelf:
    """The parts of a store, kept up to date with what other processes do.

    Parameters
    ----------
    folder : Path
        The store's.
    description : Description
        A part of another store is a bad part.

    Attributes
    ----------
    parts : dict of str to Part
        The usable ones by file name.
    places : KeyIndex
        Part and row of each key.
    bad : list of BadPart
        Those found so far.
    """

    def __init__(self, folder: Path, description: Description) -> None:
        self.folder = folder / PARTS
        self.quarantine = folder / QUARANTINE
        self.description = description
        self.parts: dict[str, Part] = {}
        self.places = KeyIndex()
        self.bad: list[BadPart] = []
        self._ignored: set[str] = set()

    def refresh(self) -> None:
        """Take in parts that were added since, and forget those that are gone.

        Raises
        ------
        StoreError
            If the folder cannot be listed.
        """
        try:
            with os.scandir(self.folder) as entries:
                names = {entry.name for entry in entries if is_part_name(entry.name)}
        except (FileNotFoundError, NotADirectoryError):
            names = set()
        except OSError as error:
            raise StoreError(f"cannot read {self.folder}: {error.strerror or error}") from error
        self.forget(self.parts.keys() - names)
        for name in sorted(names - self.parts.keys() - self._ignored):
            self.take_in(self.folder / name)

    def take_in(self, path: Path) -> None:
        """Open a part and note its rows; a bad one is set aside."""
        try:
            part = open_part(path, self.description)
        except BadPartError as error:
            self.set_aside(path.name, str(error))
        except FileNotFoundError:
            pass
        except OSError as error:
            self.ignore(path.name, f"it cannot be read: {error.strerror or error}")
        else:
            self.parts[path.name] = part
            self.places.add(part)

    def forget(self, names: Iterable[str]) -> None:
        """Take parts out of the index."""
        gone = [self.parts.pop(name) for name in list(names) if name in self.parts]
        if gone:
            self.places.clear()
            for part in self.parts.values():
                self.places.add(part)

    def set_aside(self, name: str, reason: str) -> None:
        """Move a bad part to the quarantine, say so, and use it no more."""
        try:
            self.quarantine.mkdir(exist_ok=True)
            if self.quarantine.is_symlink():
                raise NotADirectoryError(errno.ENOTDIR, "a link", str(self.quarantine))
            (self.folder / name).replace(self.quarantine / name)
            reached("quarantined")
            sync_folder(self.folder)
        except FileNotFoundError:
            # Another process was first, and has said so.
            self.forget([name])
        except OSError:
            self.ignore(name, reason)
        else:
            self.forget([name])
            self._report(name, reason, "it was moved to quarantine/ and its rows are computed again")

    def ignore(self, name: str, reason: str) -> None:
        """Use a part no more, and leave it where it is."""
        self._ignored.add(name)
        self.forget([name])
        self._report(name, reason, "its rows are computed again")

    def verify(self, advance: Callable[[int], object]) -> None:
        """Read every byte of every part; `advance` is told the bytes of each."""
        self.refresh()
        for name, part in list(self.parts.items()):
            try:
                check_part(part, self.description)
            except BadPartError as error:
                self.set_aside(name, str(error))
            except FileNotFoundError:
                self.forget([name])
            except OSError as error:
                self.ignore(name, f"it cannot be read: {error.strerror or error}")
            advance(part.n_bytes)

    def quarantined(self) -> list[Path]:
        """Return the parts that were set aside; nothing else that may lie there, nor behind a link."""
        try:
            if self.quarantine.is_symlink():
                return []
            return sorted(path for path in self.quarantine.iterdir() if is_part_name(path.name))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _report(self, name: str, reason: str, then: str) -> None:
        self.bad.append(BadPart(name, reason))
        warnings.warn(f"{self.folder / name}: {reason}; {then}", StoreWarning, stacklevel=2)


def is_folder(path: Path) -> bool:
    """Return whether there is such a folder; False also for a name that no file can have."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_folder(folder: Path) -> None:
    """Refuse a folder that is something else than a store or empty.

    Raises
    ------
    StoreError
        Naming what it is.
    """
    try:
        folder.stat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot use {folder} for a store: {why}") from error
    if not folder.is_dir():
        raise StoreError(f"{folder} is a file: name a new or empty folder for the store")
    if not (folder / FILE_NAME).exists():
        ours = {PARTS, QUARANTINE}
        foreign = sorted(
            path.name for path in folder.iterdir() if path.name not in ours and not path.name.startswith(".")
        )
        if foreign:
            raise StoreError(f"{folder} holds other files ({foreign[0]}, ...): name a new or empty folder")
