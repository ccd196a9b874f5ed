"""Saved data sets (``save_to_disk``) and hub data sets (``hf://``), through the ``datasets`` library.

It maps Arrow files into memory: rows are read from disk as they are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.datasets.arrow import ROWS_PER_BATCH, Table, class_names
from savs.datasets.lines import check_name, name_of
from savs.datasets.rows import Row, no_rows
from savs.datasets.wanted import Wanted
from savs.errors import DataError

__all__ = ["ArrowData", "chosen_split", "is_saved", "library_at_work", "open_saved"]


@dataclass(frozen=True)
class ArrowData:
    """One split of a data set.

    Parameters
    ----------
    name : str
        For ids and messages.
    data : datasets.Dataset
        The rows.
    """

    name: str
    data: Any

    def count(self) -> int:
        """Return the number of rows."""
        return len(self.data)

    def rows(self, wanted: Wanted, kept: Sequence[str]) -> Iterator[Row]:
        """Yield all rows; those not wanted have the columns `kept` alone.

        Raises
        ------
        DataError
            With the number of the row, from 1, if it is damaged, or there is no row at all.
        """
        if not len(self.data):
            raise no_rows(self.name)
        table = Table(self.name, self.data.column_names, class_names(self.data.features))
        yield from table.rows(self.data.with_format("arrow").iter(ROWS_PER_BATCH), wanted, kept)


def is_saved(folder: Path) -> bool:
    """Return whether a folder was written by ``save_to_disk``."""
    if (folder / "dataset_dict.json").is_file():
        return True
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def open_saved(folder: Path, split: str | None) -> ArrowData:
    """Return the data set of a folder, or one of its splits.

    Raises
    ------
    DataError
        If it cannot be read, or `split` names none of its parts or is missing.
    """
    from datasets import load_from_disk

    name = name_of(folder.resolve())
    check_name(folder)
    try:
        with library_at_work():
            loaded = load_from_disk(str(folder))
    except Exception:
        # The library raises whatever a damaged file leads to.
        raise DataError(
            f"{name} cannot be read as a saved data set (damaged, or without rows); save it again"
        ) from None
    if isinstance(loaded, dict):
        part = chosen_split(name, loaded, split)
        return ArrowData(f"{name}/{part}", loaded[part])
    if split is not None and split != str(loaded.split):
        raise DataError(f"{name} is one saved data set, without splits; leave the split {split!r} away")
    return ArrowData(name, loaded)


def chosen_split(name: str, splits: Mapping[str, Any], split: str | None) -> str:
    """Return the split that was named, or the only one there is; `DataError` otherwise."""
    names = list(map(str, splits))
    if split is None and len(names) == 1:
        return names[0]
    if split not in names:
        problem = "has several splits" if split is None else f"has no split {split!r}"
        raise DataError(f"{name} {problem}; name one of {', '.join(names) or 'none'}")
    return str(split)


@contextmanager
def library_at_work(*, progress: bool = False) -> Iterator[None]:
    """Silence the library and its hub client; their bars may show on a terminal if `progress` is set."""
    import datasets.utils
    import huggingface_hub.utils

    libraries: tuple[Any, Any] = datasets.utils, huggingface_hub.utils
    with ExitStack() as stack:
        for library in libraries:
            stack.callback(library.logging.set_verbosity, library.logging.get_verbosity())
            library.logging.set_verbosity(library.logging.CRITICAL)
            if not library.are_progress_bars_disabled() and not (progress and sys.stderr.isatty()):
                stack.callback(library.enable_progress_bars)
                library.disable_progress_bars()
        yield
