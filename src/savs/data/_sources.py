"""What a path or address means: a text file, Parquet, a saved data set, the hub, pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from savs.datasets.folders import natural_order
from savs.datasets.hub import HUB_PREFIX, HubAddress, open_hub
from savs.datasets.lines import check_file, decoded_lines, name_of, spelled
from savs.datasets.parquet import ParquetFiles
from savs.datasets.rows import TEXT_SUFFIXES, Row, text_rows
from savs.datasets.saved import is_saved, open_saved
from savs.datasets.wanted import Wanted
from savs.errors import DataError
from savs.examples.pictures import looks_like_image

__all__ = ["ACCEPTED", "Pictures", "Rows", "Source", "find_source", "is_untyped"]

ACCEPTED = (
    f"a file ({', '.join(TEXT_SUFFIXES)}, .parquet), a folder of Parquet files, a data set saved by the "
    "datasets library, hf://owner/name, a folder with one folder per class, or a picture"
)
"""What can be read, for messages."""

_PARQUET = ".parquet"
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SPLIT = re.compile(r"(?:^|[/._-])(train|training|val|valid|validation|dev|test|testing)(?=[/._-]|$)", re.I)


class _Rows(Protocol):
    def rows(self, wanted: Wanted, kept: Sequence[str]) -> Iterator[Row]: ...

    def count(self) -> int | None: ...


@dataclass(frozen=True)
class Rows:
    """A source of rows with columns.

    Attributes
    ----------
    name : str
        For messages.
    data : object
        What reads and counts the rows.
    roots : tuple of Path
        Folders that media files may lie in; relative paths start at the first.
    """

    name: str
    data: _Rows
    roots: tuple[Path, ...]


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures, or one picture."""

    path: Path


Source = Rows | Pictures


@dataclass(frozen=True)
class _TextFile:
    path: Path

    def rows(self, _wanted: Wanted, _kept: Sequence[str]) -> Iterator[Row]:
        return text_rows(self.path)

    def count(self) -> int | None:
        if self.path.suffix.lower() != ".jsonl":
            return None
        return sum(not line.isspace() for line in decoded_lines(self.path))


def find_source(
    source: Path | str,
    *,
    root: Path | str | None = None,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
) -> Source:
    """Return what a source is; its rows are not read yet, but a hub data set is fetched.

    Raises
    ------
    DataError
        If there is no such source, a split has to be chosen, or an option does not belong to it.
    """
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        return _hub(HubAddress.parse(source, split, revision), config, root)
    if isinstance(source, str) and _URL.match(source):
        raise DataError(
            f"{source[:100]!r}: web addresses are not opened; download the file, or write hf://..."
        )
    if source == "":
        raise DataError("the name of the data is empty; the current folder is '.'")
    path = Path(source)
    if config is not None or revision is not None:
        raise DataError(f"a configuration and a revision belong to a hub data set ({HUB_PREFIX}owner/name)")
    if _is_folder(path):
        return _folder(path.absolute(), root, split)
    if path.suffix.lower() in TEXT_SUFFIXES:
        _refuse_split(path, split)
        check_file(path)
        return Rows(name_of(path), _TextFile(path), (_root(root, path.parent),))
    if path.suffix.lower() == _PARQUET:
        return _parquet(path, root, split)
    if looks_like_image(path.name, path.parent):
        _refuse_split(path, split)
        return Pictures(path)
    problem = "is not read" if _exists(path) else "does not exist"
    raise DataError(f"{path.name[:100]!r} {problem}; give {ACCEPTED}")


def is_untyped(source: Path | str) -> bool:
    """Return whether labels of a source are text because its place has only text: CSV, TSV, folder names."""
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        return False
    path = Path(source)
    if _is_folder(path):
        return not is_saved(path) and not _parts(path)
    return path.suffix.lower() in {".csv", ".tsv"}


def _hub(address: HubAddress, config: str | None, root: Path | str | None) -> Rows:
    data, folders = open_hub(address, config)
    return Rows(data.name, data, folders if root is None else (_root(root, Path()), *folders))


def _folder(path: Path, root: Path | str | None, split: str | None) -> Source:
    if is_saved(path):
        data = open_saved(path, split)
        return Rows(data.name, data, (_root(root, path),))
    parts = _parts(path)
    if parts:
        chosen = _of_split(path, parts, split)
        name = name_of(path)
        files = ParquetFiles(
            name, tuple((spelled(part.relative_to(path).as_posix()), part) for part in chosen)
        )
        return Rows(name, files, (_root(root, path),))
    if split is not None and (path / split).is_dir() and Path(split).name == split:
        return Pictures(path / split)
    _refuse_split(path, split)
    return Pictures(path)


def _parquet(path: Path, root: Path | str | None, split: str | None) -> Rows:
    _refuse_split(path, split)
    if _exists(path) or not set("*?[") & set(path.name):
        check_file(path)
        files = [path]
    else:
        files = sorted(path.parent.glob(path.name), key=lambda file: natural_order(file.name))
    if not files:
        raise DataError(f"no file is called {path.name!r} in {path.parent.name!r}; check the pattern")
    named = tuple((name_of(file), file) for file in files)
    return Rows(name_of(path), ParquetFiles(name_of(path), named), (_root(root, path.parent),))


def _parts(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder and of the folders in it, in natural order.

    Names that begin with ``_`` or ``.`` are not data for any writer of Parquet; ``metadata.parquet`` beside
    pictures describes them.
    """
    found = [*folder.glob(f"*{_PARQUET}"), *folder.glob(f"*/*{_PARQUET}")]
    inside = [(file.relative_to(folder), file) for file in found if file.name != f"metadata{_PARQUET}"]
    kept = [file for path, file in inside if not any(part[0] in "._" for part in path.parts)]
    return sorted(kept, key=lambda file: natural_order(file.relative_to(folder).as_posix()))


def _of_split(folder: Path, parts: list[Path], split: str | None) -> list[Path]:
    names = {part: part.relative_to(folder).as_posix().removesuffix(_PARQUET) for part in parts}
    if split is not None:
        begins = re.compile(rf"(?:^|/){re.escape(split)}(?=[/._-]|$)")
        chosen = [part for part in parts if begins.search(names[part])]
        if chosen:
            return chosen
    splits = sorted({match[1].lower() for name in names.values() if (match := _SPLIT.search(name))})
    if split is not None or len(splits) > 1:
        problem = f"has no split {split!r}" if split is not None else "has several splits"
        raise DataError(f"{folder.name} {problem}; name one of {', '.join(splits) or 'none'}")
    return parts


def _root(root: Path | str | None, default: Path) -> Path:
    top = default if root is None else Path(root)
    if not top.is_dir():
        raise DataError(f"the media root {top.name!r} is not a folder")
    return top


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long
        return False


def _is_folder(path: Path) -> bool:
    return _exists(path) and path.is_dir()


def _refuse_split(path: Path, split: str | None) -> None:
    if split is not None:
        raise DataError(
            f"{path.name} has no splits; leave the split {split!r} away (it belongs to a saved data set, a "
            f"folder of Parquet files and a hub data set)"
        )
