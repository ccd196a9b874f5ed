"""What a path or address means, and which columns of it hold what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from savs.data._arrow_files import ParquetFiles, is_saved, open_saved
from savs.data._folders import natural_order
from savs.data._hub import HUB_PREFIX, HubAddress, open_hub
from savs.data._readers import ReaderRows, is_registered, registered_names, registered_suffix, scheme_of
from savs.data._text_files import (
    TEXT_SUFFIXES,
    Row,
    check_file,
    decoded_lines,
    name_of,
    spelled,
    text_rows,
)
from savs.data.example import Example, Label
from savs.data.options import ReadOptions, RowSelection
from savs.errors import DataError
from savs.media._coercion import looks_like_image

# What a path or address means: a text file, Parquet, a saved dataset, the hub, images.

ACCEPTED = (
    f"a file ({', '.join(TEXT_SUFFIXES)}, .parquet), a folder of Parquet files, a dataset saved by the "
    "datasets library, hf://owner/name, a folder with one folder per class, or an image"
)
"""What can be read, for messages."""

_PARQUET = ".parquet"
_SPLIT = re.compile(r"(?:^|[/._-])(train|training|val|valid|validation|dev|test|testing)(?=[/._-]|$)", re.I)


class _Rows(Protocol):
    def rows(self, wanted: RowSelection, kept: Sequence[str]) -> Iterator[Row]: ...

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
class Images:
    """A folder of images, or one image.

    Attributes
    ----------
    path : Path
    split : str or None
        The part of a split to read of a folder.
    """

    path: Path
    split: str | None = None


Source = Rows | Images


@dataclass(frozen=True)
class _TextFile:
    path: Path
    delimiter: str | None = None

    def rows(self, _wanted: RowSelection, _kept: Sequence[str]) -> Iterator[Row]:
        return text_rows(self.path, self.delimiter)

    def count(self) -> int | None:
        if self.path.suffix.lower() not in {".jsonl", ".ndjson"}:
            return None
        return sum(not line.isspace() for line in decoded_lines(self.path))


def find_source(source: Path | str, options: ReadOptions) -> Source:
    """Return what a source is; its rows are not read yet, but a hub dataset is fetched.

    Parameters
    ----------
    source : Path or str
        As `savs.data.read_examples` takes it.
    options : ReadOptions
        Read are `root`, `split`, `config` and `revision`.

    Raises
    ------
    DataError
        If there is no such source, a split has to be chosen, or an option does not belong to it.
    """
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        address = HubAddress.parse(source, options.split, options.revision)
        return _hub(address, options.config, options.root)
    if source == "":
        raise DataError("the name of the data is empty; the current folder is '.'")
    if options.config is not None or options.revision is not None:
        raise DataError(f"a configuration and a revision belong to a hub dataset ({HUB_PREFIX}owner/name)")
    scheme = scheme_of(source) if isinstance(source, str) else None
    if scheme is not None:
        return _address(str(source), scheme, options)
    return _path(Path(source), options)


def _address(address: str, scheme: str, options: ReadOptions) -> Rows:
    if not is_registered(scheme):
        known = "".join(f", {name}" for name in registered_names() if not name.startswith("."))
        raise DataError(
            f"{scheme}:// web addresses are not opened; download the file, or give hf://owner/name{known}"
        )
    return _registered(ReaderRows(scheme, address), options, Path())


def _path(path: Path, options: ReadOptions) -> Source:
    if not _is_folder(path):
        own = _file(path, options)
        if own is not None:
            return own
    ending = registered_suffix(path)
    if ending is not None and _exists(path):
        return _registered(ReaderRows(ending, path), options, path.parent)
    if _is_folder(path):
        return _folder(path.absolute(), options.root, options.split)
    problem = "is not read" if _exists(path) else "does not exist"
    known = "".join(f", {name}" for name in registered_names())
    raise DataError(f"{path.name[:100]!r} {problem}; give {ACCEPTED}{known}")


def _file(path: Path, options: ReadOptions) -> Source | None:
    """Return what a file of a format that savs reads itself is, or None."""
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        _refuse_split(path.name, options.split)
        check_file(path)
        return Rows(name_of(path), _TextFile(path, options.delimiter), (_root(options.root, path.parent),))
    if suffix == _PARQUET:
        return _parquet(path, options.root, options.split)
    if looks_like_image(path.name, path.parent):
        _refuse_split(path.name, options.split)
        return Images(path)
    return None


def _registered(data: ReaderRows, options: ReadOptions, folder: Path) -> Rows:
    _refuse_split(data.name, options.split)
    return Rows(data.name, data, (_root(options.root, folder),))


def is_untyped(source: Path | str) -> bool:
    """Return whether labels of a source are text because its place has only text: CSV, TSV, folder names."""
    if isinstance(source, str) and scheme_of(source) is not None:
        return False
    path = Path(source)
    if _is_folder(path):
        return not is_saved(path) and not _parts(path) and registered_suffix(path) is None
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
    return Images(path, split)


def _parquet(path: Path, root: Path | str | None, split: str | None) -> Rows:
    _refuse_split(path.name, split)
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
    images describes them.
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


def _refuse_split(name: str, split: str | None) -> None:
    if split is not None:
        raise DataError(
            f"{name} has no splits; leave the split {split!r} away (it belongs to a saved dataset, a "
            f"folder of Parquet files and a hub dataset)"
        )


# Labels of places without types: a CSV cell or a folder name is text, whatever a classifier expects.


def adopt_label_type(
    examples: Sequence[Example], source: Path | str, classes: Sequence[Label]
) -> list[Example]:
    """Return the examples with labels of the classes' type, if they come from a place that has only text.

    Parameters
    ----------
    examples : sequence of Example
        As read from `source`.
    source : Path or str
        A CSV or TSV file or a folder of images; labels of any other have types of their own and stay as
        they are.
    classes : sequence of label
        A text label that reads like exactly one of them becomes it (``True`` and ``true`` like the truth
        value); any other stays.
    """
    if not is_untyped(source):
        return list(examples)
    by_text = {spelling: label for label in classes for spelling in _spellings(label)}
    return [replace(example, label=by_text.get(str(example.label), example.label)) for example in examples]


def _spellings(label: Label) -> tuple[str, ...]:
    text = str(label)
    return (text, text.lower(), text.upper()) if isinstance(label, bool) else (text,)
