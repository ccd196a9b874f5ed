"""Columns that stand in the names of folders, ``label=cat/0.parquet``, as Spark and pandas write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

__all__ = ["names_partition", "partitions"]

Value = str | int | None
_NOTHING = "__HIVE_DEFAULT_PARTITION__"


def names_partition(folder: str) -> bool:
    """Return whether the name of a folder is that of a column and its value."""
    name, sign, _ = folder.partition("=")
    return bool(name and sign)


def partitions(folder: Path, files: Sequence[Path]) -> dict[Path, dict[str, Value]]:
    """Return the columns that the folders of each file name, with their values.

    A column of whole numbers alone holds whole numbers, if they are written as Python writes them: ``01``
    stays text. A file in whose folders a column is not named has None there.

    Parameters
    ----------
    folder : Path
        The dataset.
    files : sequence of Path
        Inside it.
    """
    texts = {file: _named(file.relative_to(folder).parts[:-1]) for file in files}
    names = dict.fromkeys(name for own in texts.values() for name in own)
    whole = {name for name in names if _are_whole(own.get(name) for own in texts.values())}

    def value(own: Mapping[str, str | None], name: str) -> Value:
        text = own.get(name)
        return int(text) if text is not None and name in whole else text

    return {file: {name: value(own, name) for name in names} for file, own in texts.items() if names}


def _named(folders: Iterable[str]) -> dict[str, str | None]:
    pairs = (folder.partition("=") for folder in folders if names_partition(folder))
    return {unquote(name): None if value == _NOTHING else unquote(value) for name, _, value in pairs}


def _are_whole(values: Iterable[str | None]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(_is_whole(value) for value in known)


def _is_whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 19 and str(int(text)) == text
