"""What a path or address means, and which columns of it hold what."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from posixpath import normpath
from typing import Any, Protocol

from savs._labels import DataWarning
from savs.data._arrow_files import ParquetFiles, is_saved, open_saved
from savs.data._folder_layout import split_folder
from savs.data._folders import natural_order
from savs.data._hub import HUB_PREFIX, HubAddress, is_csv, open_hub
from savs.data._partitions import names_partition, partitions
from savs.data._readers import ReaderRows, is_registered, registered_names, registered_suffix, scheme_of
from savs.data._text_files import (
    CSV_SUFFIXES,
    TEXT_SUFFIXES,
    Row,
    check_file,
    decoded_lines,
    name_of,
    spelled,
    text_rows,
    text_suffix,
)
from savs.data.coercion import label_field, media_fields
from savs.data.example import Example, Label
from savs.data.options import DataSource, ReadOptions, RowSelection
from savs.errors import DataError
from savs.media._coercion import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    a_type,
    looks_like_image,
)

# What a path or address means: a text file, Parquet, a saved dataset, the hub, images.

ACCEPTED = (
    f"a file ({', '.join(TEXT_SUFFIXES)}, .parquet), a folder of Parquet files, a dataset saved by the "
    "datasets library, hf://owner/name, a folder with one folder per class, or an image"
)
"""What can be read, for messages."""

_PARQUET = ".parquet"
_PACKED = {".zip", ".gz", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z"}
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
    table : Path or None
        The table itself, where it was found beside the images that it tells about.
    """

    name: str
    data: _Rows
    roots: tuple[Path, ...]
    table: Path | None = None


@dataclass(frozen=True)
class Images:
    """A folder of images, or one image.

    Attributes
    ----------
    path : Path
    split : str or None
        The part of a split to read of a folder.
    name : str or None
        Its name among several sources.
    """

    path: Path
    split: str | None = None
    name: str | None = None


Source = Rows | Images


@dataclass(frozen=True)
class _TextFile:
    path: Path
    delimiter: str | None = None
    name: str | None = None

    def rows(self, _wanted: RowSelection, _kept: Sequence[str]) -> Iterator[Row]:
        return text_rows(self.path, self.delimiter, name=self.name)

    def count(self) -> int | None:
        if text_suffix(self.path) not in {".jsonl", ".ndjson"}:
            return None
        return sum(not line.isspace() for line in decoded_lines(self.path))


def find_sources(source: DataSource, options: ReadOptions) -> list[Source]:
    """Return what a source is made of, in order; rows are not read yet, but hub datasets are fetched.

    Parameters
    ----------
    source : Path, str or sequence of them
        As `savs.data.read_examples` takes it.
    options : ReadOptions
        Read are `root`, `split`, `config`, `revision` and `delimiter`.

    Raises
    ------
    DataError
        If there is no such source, one is named twice, a split has to be chosen, or an option does not belong
        to it.
    """
    if isinstance(source, Path | str) and _is_parquet_pattern(source):
        return [_path(Path(source), options, None)]
    members = expanded(source)
    if len(members) == 1:
        return [_find_source(members[0], options)]
    paths = [Path(member).absolute() for member in members if not _is_address(member)]
    top = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    found = [
        _find_source(
            member,
            options,
            None if _is_address(member) else spelled(Path(member).absolute().relative_to(top).as_posix()),
        )
        for member in members
    ]
    _check_apart(found)
    return found


def _check_apart(sources: Sequence[Source]) -> None:
    """Refuse a folder and what lies in it: its images or Parquet files would be read twice."""
    images = [_resolved(source.path) for source in sources if isinstance(source, Images)]
    inside = [path for path in images if any(other in path.parents for other in images)]
    tables = [source.data for source in sources if isinstance(source, Rows)]
    files = [_resolved(path) for data in tables if isinstance(data, ParquetFiles) for _, path in data.files]
    twice = [*inside, *(path for path, count in Counter(files).items() if count > 1)]
    if twice:
        raise DataError(
            f"{str(twice[0])[-200:]!r} is named twice, by itself and by a folder around it; name one of them"
        )


def expanded(source: DataSource) -> list[Path | str]:
    """Return the members of a source: of a list, and the files that a pattern fits, in natural order.

    Raises
    ------
    DataError
        If a list is empty, a member is neither a path nor text, a pattern fits nothing, or a file is named
        twice.
    """
    members: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    wrong = [member for member in members if not isinstance(member, Path | str)]
    if wrong or not members:
        kind = f"it holds {a_type(wrong[0])}" if wrong else "it is empty"
        raise DataError(
            f"data are named by a path or address, or a list of them ({kind}); examples in memory are read "
            f"by savs.data.as_examples"
        )
    found = [one for member in members for one in _fitting(member)]
    seen: set[Path | str] = set()
    for one in found:
        key = one if _is_address(one) else _resolved(Path(one))
        if key in seen:
            raise DataError(f"{str(one)[-200:]!r} is named twice; name each file once")
        seen.add(key)
    return found


def _fitting(source: Path | str) -> list[Path | str]:
    """Return the files that a pattern fits; a source that is no pattern by itself."""
    if _is_address(source) or not set("*?[") & set(str(source)) or _exists(Path(source)):
        return [source]
    if "\0" in str(source):
        raise DataError("the name of the data holds a null character; check the path")
    # Path.glob would find hidden files, too.
    paths = sorted(glob(str(source), recursive=True), key=natural_order)  # noqa: PTH207
    if "**" in str(source):
        paths = [path for path in paths if not Path(path).is_dir()]
    if not paths:
        raise DataError(f"no file fits the pattern {str(source)[-200:]!r}; check the path")
    return [Path(path) for path in paths]


def _is_parquet_pattern(source: Path | str) -> bool:
    """Return whether a pattern names the Parquet files of one folder, which are one dataset."""
    if _is_address(source) or not str(source).lower().endswith(_PARQUET):
        return False
    return bool(set("*?[") & set(Path(source).name)) and not set("*?[") & set(str(Path(source).parent))


def _is_address(source: Path | str) -> bool:
    return isinstance(source, str) and scheme_of(source) is not None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path.absolute()


def _find_source(source: Path | str, options: ReadOptions, name: str | None = None) -> Source:
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        address = HubAddress.parse(source, options.split, options.revision)
        return _hub(address, options.config, options.root)
    if source == "":
        raise DataError("the name of the data is empty; the current folder is '.'")
    if options.config is not None or options.revision is not None:
        raise DataError(
            f"a configuration (--config) and a revision (--data-revision) belong to a hub dataset "
            f"({HUB_PREFIX}owner/name)"
        )
    scheme = scheme_of(source) if isinstance(source, str) else None
    if scheme is not None:
        return _address(str(source), scheme, options)
    return _path(Path(source), options, name)


def _address(address: str, scheme: str, options: ReadOptions) -> Rows:
    if not is_registered(scheme):
        known = "".join(f", {name}" for name in registered_names() if not name.startswith("."))
        raise DataError(
            f"{scheme}:// web addresses are not opened; download the file, or give hf://owner/name{known}"
        )
    return _registered(ReaderRows(scheme, address), options, Path())


def _path(path: Path, options: ReadOptions, name: str | None) -> Source:
    if not _is_folder(path):
        own = _file(path, options, name)
        if own is not None:
            return own
    ending = registered_suffix(path)
    if ending is not None and _exists(path):
        return _registered(ReaderRows(ending, path), options, path.parent)
    if _is_folder(path):
        return _folder(path.absolute(), options, name)
    problem = "is not read" if _exists(path) else "does not exist"
    known = "".join(f", {name}" for name in registered_names())
    advice = "unpack it, or give" if path.suffix.lower() in _PACKED else "give"
    raise DataError(f"{path.name[:100]!r} {problem}; {advice} {ACCEPTED}{known}")


def _file(path: Path, options: ReadOptions, name: str | None) -> Source | None:
    """Return what a file of a format that savs reads itself is, or None."""
    suffix = path.suffix.lower()
    if text_suffix(path) in TEXT_SUFFIXES:
        _refuse_split(path.name, options.split)
        check_file(path)
        data = _TextFile(path, options.delimiter, name)
        return Rows(name or name_of(path), data, (_root(options.root, path.parent),))
    if suffix == _PARQUET:
        return _parquet(path, options.root, options.split, name)
    if looks_like_image(path.name, path.parent):
        _refuse_split(path.name, options.split)
        return Images(path, name=name)
    return None


def _registered(data: ReaderRows, options: ReadOptions, folder: Path) -> Rows:
    _refuse_split(data.name, options.split)
    return Rows(data.name, data, (_root(options.root, folder),))


def is_untyped(source: DataSource) -> bool:
    """Return whether labels of a source are text because its place has only text: CSV, TSV, folder names."""
    return all(map(_is_untyped, expanded(source)))


def _is_untyped(source: Path | str) -> bool:
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        return is_csv(HubAddress.parse(source))
    if _is_address(source):
        return False
    path = Path(source)
    if _is_folder(path):
        if is_saved(path) or _parts(path) or registered_suffix(path) is not None:
            return False
        return not any(table.suffix.lower() not in CSV_SUFFIXES for table in _tables(path))
    return text_suffix(path) in CSV_SUFFIXES


def _hub(address: HubAddress, config: str | None, root: Path | str | None) -> Rows:
    data, folders = open_hub(address, config)
    return Rows(data.name, data, folders if root is None else (_root(root, Path()), *folders))


def _folder(path: Path, options: ReadOptions, name: str | None) -> Source:
    root, split = options.root, options.split
    if is_saved(path):
        data = open_saved(path, split)
        return Rows(data.name, data, (_root(root, path),))
    parts = _parts(path)
    if parts:
        chosen = _of_split(path, parts, split)
        before = "" if name is None else f"{name}/"
        named = ((before + spelled(part.relative_to(path).as_posix()), part) for part in chosen)
        name = name or name_of(path)
        files = ParquetFiles(name, tuple(named), partitions(path, parts))
        return Rows(name, files, (_root(root, path),))
    table = _table(path, options)
    if table is not None:
        found = _path(table, replace(options, split=None), None if name is None else f"{name}/{table.name}")
        return replace(found, table=table) if isinstance(found, Rows) else found
    return Images(path, split, name)


# A folder of images with a table beside them: `metadata.csv`, as the `datasets` library has it.

_LARGEST_CHECKED = 2**26
_MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES | AUDIO_SUFFIXES
_TABLES = tuple(f"metadata{suffix}" for suffix in (*TEXT_SUFFIXES, _PARQUET))


def _tables(folder: Path) -> list[Path]:
    """Return the tables of a folder, and those of the folders in it."""
    own = [folder / name for name in _TABLES if (folder / name).is_file()]
    return own or sorted(table for name in _TABLES for table in folder.glob(f"*/{name}"))


def _table(folder: Path, options: ReadOptions) -> Path | None:
    """Return the table that tells about the images of a folder, or of one of its splits."""
    tables = _tables(folder)
    if not tables or all(table.parent == folder for table in tables):
        if len(tables) > 1:
            names = ", ".join(table.name for table in tables)
            raise DataError(f"{folder.name} holds several tables ({names}); name one of them as the data")
        chosen = tables[0] if tables else None
        if chosen is not None and options.split is not None:
            raise DataError(f"{folder.name} is described by {chosen.name}, without splits; leave --split out")
    else:
        by_name = {table.parent.name: table for table in tables}
        chosen = by_name[split_folder(folder.name, sorted(by_name), options.split)]
    problem = None if chosen is None else _problem(chosen, options)
    if chosen is None or problem is None:
        return chosen
    warnings.warn(
        f"{chosen.name} of {folder.name} is not read, but the folders: {problem}", DataWarning, stacklevel=7
    )
    return None


def _problem(table: Path, options: ReadOptions) -> str | None:
    """Return why a table is not what describes the images, or None."""
    if options.image_column or options.video_column or options.audio_column:
        return None
    source = _path(table, replace(options, split=None), None)
    rows = source.data.rows(RowSelection(limit=1), ()) if isinstance(source, Rows) else iter(())
    row = next(iter(rows), None)
    names = [] if row is None else media_fields(row.cells)
    if row is None or not names:
        return "it names no image in a column file_name; name that column (--image-column)"
    unlabeled = label_field(row.cells) is None and options.label_column is None
    if unlabeled and "/" in str(row.cells[names[0]]):
        return "it has no label; name its column (--label-column), or the table itself as the data"
    return None


def warn_of_unlisted(source: Source, options: ReadOptions) -> None:
    """Warn of images, videos and audio clips beside a table that it does not name; small tables only.

    Parameters
    ----------
    source : Rows or Images
        Nothing is read unless it is a table that was found beside images.
    options : ReadOptions
        Read are the columns of media.

    Warns
    -----
    DataWarning
    """
    table = source.table if isinstance(source, Rows) else None
    if not isinstance(source, Rows) or table is None or table.stat().st_size > _LARGEST_CHECKED:
        return
    asked = [options.image_column, options.video_column, options.audio_column]
    own = [name for columns in asked for name in ([columns] if isinstance(columns, str) else columns or ())]
    named: set[str] = set()
    for row in source.data.rows(RowSelection(), ()):
        cells = [row.cells.get(name) for name in own or media_fields(row.cells)]
        named.update(normpath(cell) for cell in cells if isinstance(cell, str))
    files = (file for file in table.parent.rglob("*") if file.suffix.lower() in _MEDIA_SUFFIXES)
    places = (file.relative_to(table.parent).as_posix() for file in files)
    left = sorted(place for place in places if place not in named and not place.startswith("."))
    if left:
        warnings.warn(
            f"images, videos or audio clips beside {table.name} are left out, as it does not name them "
            f"({len(left)}, the first is {left[0]}); add rows for them",
            DataWarning,
            stacklevel=4,
        )


def _parquet(path: Path, root: Path | str | None, split: str | None, name: str | None) -> Rows:
    _refuse_split(path.name, split)
    if _exists(path) or not set("*?[") & set(path.name):
        check_file(path)
        files = [path]
    else:
        files = sorted(path.parent.glob(path.name), key=lambda file: natural_order(file.name))
    if not files:
        raise DataError(f"no file is called {path.name!r} in {path.parent.name!r}; check the pattern")
    named = tuple((name or name_of(file), file) for file in files)
    name = name or name_of(path)
    return Rows(name, ParquetFiles(name, named), (_root(root, path.parent),))


def _parts(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder and of the folders in it, in natural order.

    Names that begin with ``_`` or ``.`` are not data for any writer of Parquet; ``metadata.parquet`` beside
    images describes them. Folders of partitions, ``label=cat``, may lie in one another.
    """
    found = _parquet_within(folder)
    inside = [(file.relative_to(folder), file) for file in found if file.name != f"metadata{_PARQUET}"]
    kept = [file for path, file in inside if not any(part[0] in "._" for part in path.parts)]
    return sorted(kept, key=lambda file: natural_order(file.relative_to(folder).as_posix()))


def _parquet_within(folder: Path, depth: int = 1) -> Iterator[Path]:
    yield from folder.glob(f"*{_PARQUET}")
    for inside in filter(Path.is_dir, folder.glob("*/")):
        if names_partition(inside.name):
            yield from _parquet_within(inside, depth)
        elif depth:
            yield from _parquet_within(inside, depth - 1)


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
        raise DataError(f"{folder.name} {problem}; name one of {', '.join(splits) or 'none'} (--split)")
    return parts


def _root(root: Path | str | None, default: Path) -> Path:
    top = default if root is None else Path(root)
    if not top.is_dir():
        raise DataError(f"the media root {top.name!r} (--root) is not a folder")
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
            f"{name} has no splits (--split); leave the split {split!r} away: it belongs to a saved dataset, "
            f"a folder of Parquet files or images, and a hub dataset"
        )


# Labels of places without types: a CSV cell or a folder name is text, whatever a classifier expects.


def adopt_label_type(
    examples: Sequence[Example], source: DataSource, classes: Sequence[Label]
) -> list[Example]:
    """Return the examples with labels of the classes' type, if they come from a place that has only text.

    Parameters
    ----------
    examples : sequence of Example
        As read from `source`.
    source : Path, str or sequence of them
        CSV or TSV files or folders of images; labels of any other have types of their own and stay as
        they are.
    classes : sequence of label
        A text label that reads like exactly one of them becomes it (``True`` and ``true`` like the truth
        value); any other stays.
    """
    if not is_untyped(source):
        return list(examples)
    by_text = {spelling: label for label in classes for spelling in _spellings(label)}

    def adopted(label: Label | None) -> Label | None:
        return by_text.get(str(label), label) if label is not None else None

    def all_adopted(labels: tuple[Label, ...] | None) -> tuple[Label, ...] | None:
        return None if labels is None else tuple(by_text.get(str(label), label) for label in labels)

    return [
        replace(example, label=adopted(example.label), labels=all_adopted(example.labels))
        for example in examples
    ]


def _spellings(label: Label) -> tuple[str, ...]:
    text = str(label)
    return (text, text.lower(), text.upper()) if isinstance(label, bool) else (text,)
