"""`register_reader`: rows of file formats and addresses that savs does not read itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from savs._registry import Registry
from savs.data._text_files import TEXT_SUFFIXES, Row, check_cells, name_of, no_rows
from savs.data._vlmevalkit import SCHEME, vlmevalkit_rows
from savs.data.options import RowSelection
from savs.errors import DataError, SAVsError

__all__ = ["Reader", "register_reader"]

Reader = Callable[[Any], Iterable[Mapping[str, Any]]]
"""Gives the rows of a path or an address: mappings of column names to values, in a fixed order."""

_READERS: Registry[Reader] = Registry("reader", "savs.readers")
_READ_BY_SAVS = frozenset({*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES), ".parquet", "hf"})
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def register_reader(suffix_or_scheme: str, reader: Reader, *, replace: bool = False) -> None:
    """Let every function and command that reads data read another format, too.

    Parameters
    ----------
    suffix_or_scheme : str
        ``".pets"`` for files and folders whose name ends so; ``"sqlite"`` for addresses that begin with
        ``sqlite://``.
    reader : callable
        Takes a `pathlib.Path`, or the whole address as text, and returns or yields the rows: mappings with
        the usual columns (``image``, ``question``, ``label``, ``id``, ..., see `savs.data.ReadOptions`).
        Paths of media are relative to the file's folder; for addresses, to the current folder.
    replace : bool, default=False
        Allow a suffix or scheme that is registered already.

    Raises
    ------
    ValueError
        If savs reads the format itself, or the suffix or scheme is registered already.

    Notes
    -----
    A package adds readers without this call by the entry point group ``savs.readers``, whose names are
    suffixes and schemes. A reader may be called more than once for the same data, and must give the same
    rows. Whatever it raises becomes a `DataError` that names the file and the row.

    Examples
    --------
    >>> def read_lines(path):
    ...     for line in path.read_text().splitlines():
    ...         label, _, question = line.partition(": ")
    ...         yield {"question": question, "label": label}
    >>> register_reader(".lines", read_lines)
    """
    name = suffix_or_scheme.removesuffix("://").lower()
    if name in _READ_BY_SAVS:
        raise ValueError(f"savs reads {suffix_or_scheme!r} itself; choose another suffix or scheme")
    _READERS.register(name, reader, replace=replace)


def scheme_of(source: str) -> str | None:
    """Return the scheme of an address in lower case, or None for the name of a file."""
    match = _SCHEME.match(source)
    return match[1].lower() if match else None


def registered_suffix(path: Path) -> str | None:
    """Return the longest ending of a file name that a reader is registered for."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    endings = ("".join(suffixes[start:]) for start in range(len(suffixes)))
    return next((ending for ending in endings if ending in _READERS), None)


def is_registered(scheme: str) -> bool:
    """Return whether a reader is registered for addresses with this scheme."""
    return scheme in _READERS


def registered_names() -> list[str]:
    """Return the suffixes and schemes that readers are registered for."""
    return [name if name.startswith(".") else f"{name}://" for name in _READERS]


@dataclass(frozen=True)
class ReaderRows:
    """The rows that a registered reader gives for a path or address.

    Attributes
    ----------
    key : str
        The suffix or scheme.
    source : Path or str
    """

    key: str
    source: Path | str

    @property
    def name(self) -> str:
        """For ids and messages; of an address neither user, password nor query."""
        if isinstance(self.source, Path):
            return name_of(self.source)
        parts = urlsplit(self.source)
        return f"{self.key}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def rows(self, _wanted: RowSelection, _kept: Sequence[str]) -> Iterator[Row]:
        """Yield the rows in order.

        Raises
        ------
        DataError
            With name and row, if the reader fails or gives something else than rows.
        """
        number = 0
        for number, cells in enumerate(self._cells(), start=1):
            where = f"{self.name}:{number}"
            if not isinstance(cells, Mapping) or not all(isinstance(name, str) for name in cells):
                raise DataError(
                    f"{where}: a row must be a mapping of column names to values, not {type(cells).__name__}"
                )
            row = Row(where, where, dict(cells))
            check_cells(row)
            yield row
        if not number:
            raise no_rows(self.name)

    def count(self) -> int | None:
        """Return None: only reading all rows would tell."""
        return None

    def _cells(self) -> Iterator[Any]:
        number = 1
        try:
            for cells in _READERS[self.key](self.source):
                yield cells
                number += 1
        # A reader is the user's code and may fail in any way.
        except Exception as error:
            reason = str(error) if isinstance(error, SAVsError) else f"{type(error).__name__}: {error}"
            short = " ".join(reason.split())[:300]
            raise DataError(f"{self.name}:{number}: the reader of {self.key} failed ({short})") from error


register_reader(SCHEME, vlmevalkit_rows)
