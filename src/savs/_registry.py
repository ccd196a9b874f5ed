"""What users may add by name: methods, rules, backbones and readers, by function call or entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

__all__ = ["NotRegisteredError", "Registry"]

Entry = TypeVar("Entry")


class NotRegisteredError(ValueError):
    """A name, in a call or in a file, that neither savs nor an installed package registers."""


class Registry(Generic[Entry]):
    """Entries by name; those of installed packages are imported when their name is first asked for.

    Parameters
    ----------
    kind : str
        What an entry is, for messages: ``"method"``.
    group : str
        The entry point group that installed packages add to: ``"savs.methods"``.

    Examples
    --------
    >>> colors = Registry[str]("color", "savs.tests.colors")
    >>> colors.register("red", "#f00")
    >>> colors["red"], list(colors)
    ('#f00', ['red'])
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, entry: Entry, *, replace: bool = False) -> None:
        """Add an entry.

        Parameters
        ----------
        name : str
            What it is asked for by.
        entry : Entry
            What the name stands for.
        replace : bool, default=False
            Allow a name that is taken.

        Raises
        ------
        ValueError
            If the name is taken, or is not a word of letters, digits, ``_``, ``-`` and ``.``.
        """
        if not name or not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
            raise ValueError(f"a {self.kind}'s name has only letters, digits, '_', '-' and '.', got {name!r}")
        if not replace and name in self:
            raise ValueError(f"a {self.kind} named {name!r} exists; choose another name or pass replace=True")
        self._entries[name] = entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries or any(point == name for point, _ in self._installed())

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from (name for name, _ in self._installed() if name not in self._entries)

    def __getitem__(self, name: str) -> Entry:
        """Return an entry, importing the package that provides it if need be.

        Raises
        ------
        KeyError
            If there is no entry of that name; the message lists the names there are.
        """
        if name not in self._entries:
            for installed, load in self._installed():
                if installed == name:
                    self._entries[name] = load()
                    break
            else:
                raise KeyError(f"no {self.kind} named {name!r}; available are {', '.join(self)}")
        return self._entries[name]

    def _installed(self) -> Iterator[tuple[str, Callable[[], Entry]]]:
        for point in entry_points(group=self.group):
            yield point.name, point.load
