"""The parts in a store's folder and where each key's row is; damaged parts are set aside."""

from __future__ import annotations

import errno
import os
import warnings
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from savs.cache._description import FILE_NAME, Description
from savs.cache._files import crash_point, sync_folder
from savs.cache._parts import BadPartError, Job, Part, check_part, is_part_name, open_part
from savs.errors import StoreError

_EMPTY = -1
_SMALLEST = 64
PARTS, QUARANTINE, CANARIES = "parts", "quarantine", "canaries"
_THREADS, _WORTH_THREADS = 4, 16 * 2**20
Places = list[tuple[Part, list[tuple[int, int]]]]


class StoreWarning(UserWarning):
    """A part was damaged and set aside, or the store cannot be written and the run goes on without it."""


class BadPart(NamedTuple):
    """A part that cannot be used, and why."""

    name: str
    reason: str


class PartCatalog:
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
            crash_point("quarantined")
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
        """Read every byte of every part; `advance` gets the bytes of each."""
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
        ours = {PARTS, QUARANTINE, CANARIES}
        foreign = sorted(
            path.name for path in folder.iterdir() if path.name not in ours and not path.name.startswith(".")
        )
        if foreign:
            raise StoreError(f"{folder} holds other files ({foreign[0]}, ...): name a new or empty folder")


def fetch(catalog: PartCatalog, job: Job) -> None:
    """Read what is left of a job from a store's parts; damaged ones are set aside on the way."""
    while places := _places(catalog, job):
        _from_parts(catalog, places, job)


def _places(catalog: PartCatalog, job: Job) -> Places:
    """Return, part by part, the (row, position) pairs that are left to read."""
    grouped: dict[str, tuple[Part, list[tuple[int, int]]]] = {}
    for position in np.flatnonzero(~job.found):
        place = catalog.places.get(job.keys[position])
        if place is not None and (job.states is None or place[0].has_states):
            part, row = place
            grouped.setdefault(part.path.name, (part, []))[1].append((row, int(position)))
    return list(grouped.values())


def _from_parts(catalog: PartCatalog, places: Places, job: Job) -> None:
    """Read rows of parts, several at a time; one that cannot be read is out of the index afterwards."""
    most = _THREADS if job.n_bytes > _WORTH_THREADS else 1
    n_threads = min(len(places), os.cpu_count() or 1, most)
    if n_threads == 1:
        errors = [_read_part(part, pairs, job) for part, pairs in places]
    else:
        with ThreadPoolExecutor(n_threads, thread_name_prefix="savs-store-read") as pool:
            errors = list(pool.map(lambda place: _read_part(place[0], place[1], job), places))
    for (part, _), error in zip(places, errors, strict=True):
        _note(catalog, part, error)


def _note(catalog: PartCatalog, part: Part, error: BadPartError | OSError | None) -> None:
    if isinstance(error, BadPartError):
        catalog.set_aside(part.path.name, str(error))
    elif isinstance(error, FileNotFoundError):
        # Pruned by another process: the rows are in a new part.
        catalog.forget([part.path.name])
        catalog.refresh()
    elif error is not None:
        catalog.ignore(part.path.name, f"it cannot be read: {error.strerror or error}")


def _read_part(part: Part, pairs: list[tuple[int, int]], job: Job) -> BadPartError | OSError | None:
    """Read rows of a part and return why they cannot be read, if so."""
    try:
        with part.path.open("rb", buffering=0) as file:
            scratch = np.empty(part.n_rows * job.widest, np.uint8)
            job.fill(pairs, lambda column: part.read(file.fileno(), column, scratch))
    except (BadPartError, OSError) as error:
        return error
    return None


class KeyIndex:
    """Part and row of each key; where a key stands twice, a row with the final hidden state is preferred.

    About 60 bytes for each key, a quarter of a dictionary's. It is a hash table with open addressing and
    linear probing (Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm L), at most half
    full; a slot holds the number of a part and of a row in it, and the key is looked up there.
    """

    def __init__(self) -> None:
        self.clear()

    def __len__(self) -> int:
        """Return the number of different keys."""
        return self._n_keys

    def clear(self) -> None:
        """Forget all parts."""
        self._parts: list[Part] = []
        self._n_keys = 0
        self._slots = array("q", [_EMPTY]) * _SMALLEST

    def add(self, part: Part) -> None:
        """Note the rows of a part."""
        number = len(self._parts)
        self._parts.append(part)
        self._make_space(part.n_rows)
        for row in range(part.n_rows):
            slot = self._slot(part.key(row))
            code = self._slots[slot]
            if code == _EMPTY:
                self._n_keys += 1
            elif not part.has_states or self._parts[code >> 32].has_states:
                continue
            self._slots[slot] = number << 32 | row

    def get(self, key: bytes) -> tuple[Part, int] | None:
        """Return a key's part and row, or None."""
        code = self._slots[self._slot(key)]
        return None if code == _EMPTY else (self._parts[code >> 32], code & 0xFFFFFFFF)

    def _slot(self, key: bytes) -> int:
        """Return the slot that holds a key, or the empty one where it belongs."""
        # Python's hash is another one in every process: nobody can write keys that all fall into one slot.
        last = len(self._slots) - 1
        slot = hash(key) & last
        while (code := self._slots[slot]) != _EMPTY and self._parts[code >> 32].key(code & 0xFFFFFFFF) != key:
            slot = (slot + 1) & last
        return slot

    def _make_space(self, n_more: int) -> None:
        size = len(self._slots)
        while 2 * (self._n_keys + n_more) > size:
            size *= 2
        if size == len(self._slots):
            return
        codes = [code for code in self._slots if code != _EMPTY]
        self._slots = array("q", [_EMPTY]) * size
        for code in codes:
            self._slots[self._slot(self._parts[code >> 32].key(code & 0xFFFFFFFF))] = code
