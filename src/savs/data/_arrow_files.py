"""Parquet files and datasets of the ``datasets`` library to rows, a few rows in memory at a time.

Cells are taken as they are stored and never decoded, so that every image goes through `savs.media`: a
image, audio clip or video of the ``datasets`` library arrives as ``{"bytes": ..., "path": ...}``. Only two
things are looked up: a whole number of a `ClassLabel` column becomes the class's name, and a cell of type
``arrow.json`` (a `Json` feature of the library) the value that its text stands for.

Read with pyarrow, on which the ``datasets`` library builds, and with the library's features where a file
carries them. The library's own streaming holds whole groups of rows (measured: 1.4 GB for groups of 1 000
images of 100 kB, 0.3 GB here), does not know the row of a file, and leaves a lock file in its cache;
without streaming it copies the file there.

Saved datasets are mapped into memory: rows are read from disk as they are asked for.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from savs._labels import class_names_of
from savs.data._text_files import Row, check_file, check_name, name_of, no_rows, parse_json
from savs.data.options import RowSelection
from savs.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


# Arrow batches to rows: what Parquet files, saved datasets and hub datasets have in common.

if TYPE_CHECKING:
    Batch: TypeAlias = pa.RecordBatch | pa.Table


ROWS_PER_BATCH = 64
"""Rows in memory at a time: few, as each may hold images."""

UNREADABLE = (OSError, ValueError, OverflowError, NotImplementedError)
"""What pyarrow raises for data that are damaged or have no value in Python."""

_MEDIUM = {"bytes", "path"}


def class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes by column, of the features of a dataset; a list of classes has them."""
    found = {column: class_names_of(kind) for column, kind in features.items()}
    return {column: names for column, names in found.items() if names is not None}


# Cells of type `arrow.json`, at any depth: their text to the value that it stands for.

Decoder = Callable[[Any], Any]


def json_decoder(kind: pa.DataType) -> Decoder | None:
    """Return what decodes the cells of a column, or None if its type holds no ``arrow.json``."""
    import pyarrow as pa

    if isinstance(kind, pa.JsonType):
        return _from_json
    if isinstance(kind, pa.BaseExtensionType):
        return json_decoder(kind.storage_type)
    if pa.types.is_struct(kind):
        parts = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
        return _struct_decoder({name: json_decoder(part) for name, part in parts.items()})
    if pa.types.is_map(kind):
        return _pair_decoder(json_decoder(kind.key_type), json_decoder(kind.item_type))
    if pa.types.is_dictionary(kind):
        return json_decoder(kind.value_type)
    # Lists of all kinds: of any length, of a fixed one, views.
    element = getattr(kind, "value_type", None)
    return None if element is None else _list_decoder(json_decoder(element))


def _from_json(text: Any) -> Any:
    return None if text is None else parse_json(text, "it", one_line=True)


def _struct_decoder(parts: Mapping[str, Decoder | None]) -> Decoder | None:
    known = {name: decode for name, decode in parts.items() if decode is not None}

    def decoded(value: Any) -> Any:
        return value if value is None else {**value, **{name: known[name](value[name]) for name in known}}

    return decoded if known else None


def _pair_decoder(key: Decoder | None, item: Decoder | None) -> Decoder | None:
    def decoded(pairs: Any) -> Any:
        return pairs if pairs is None else [(_by(key, one), _by(item, other)) for one, other in pairs]

    return None if key is None and item is None else decoded


def _by(decode: Decoder | None, value: Any) -> Any:
    return value if decode is None else decode(value)


def _list_decoder(element: Decoder | None) -> Decoder | None:
    if element is None:
        return None
    return lambda values: values if values is None else [element(value) for value in values]


# Batches to rows.


@dataclass
class Table:
    """Batches of one file or dataset, read one after the other.

    Parameters
    ----------
    name : str
        Of the file or dataset, for ids and messages.
    columns : sequence of str
        Its columns.
    classes : mapping
        `class_names`.
    start : int
        Position of its first row in the whole source.

    Raises
    ------
    DataError
        If a column has no name, or two have the same.
    """

    name: str
    columns: Sequence[str]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    start: int = 0
    n_read: int = 0
    _decoders: dict[str, Decoder | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        twice = [column for column, count in Counter(self.columns).items() if count > 1]
        if twice or "" in self.columns:
            problem = f"column {twice[0]!r} stands twice" if twice and twice[0] else "a column has no name"
            raise DataError(f"{self.name}: {problem}")

    def rows(self, batches: Iterator[Batch], wanted: RowSelection, kept: Sequence[str]) -> Iterator[Row]:
        """Yield all rows; those not wanted have the columns `kept` alone.

        Raises
        ------
        DataError
            With the number of the row, from 1, if it is damaged or a cell has no value in Python.
        """
        while (batch := self._next(batches)) is not None:
            yield from self._batch_rows(batch, wanted, kept)

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        try:
            return next(batches, None)
        except UNREADABLE:
            place = self.place(self.n_read + 1)
            raise DataError(f"{place}: the data are damaged from there on; write them again") from None

    def _batch_rows(self, batch: Batch, wanted: RowSelection, kept: Sequence[str]) -> Iterator[Row]:
        first, self.n_read = self.n_read, self.n_read + batch.num_rows
        if batch.num_rows:
            self._check(batch, first)
        for number, cells in enumerate(self._cells(batch, first, wanted, kept), start=first + 1):
            yield Row(self.place(number), self.place(number), cells)

    def place(self, number: int) -> str:
        """Return the id and place of a row by its number, from 1."""
        return f"{self.name}:{number}"

    def _check(self, batch: Batch, first: int) -> None:
        # Offsets and UTF-8 are read as they stand in the file: a flipped bit must not lead astray.
        try:
            batch.validate(full=True)
        except ValueError:
            number = first + 1 + next(filter(lambda row: not _valid(batch, row), range(batch.num_rows)), 0)
            raise DataError(f"{self.place(number)}: the row is damaged; write the data again") from None

    def _cells(
        self, batch: Batch, first: int, wanted: RowSelection, kept: Sequence[str]
    ) -> list[dict[str, Any]]:
        chosen = [row for row in range(batch.num_rows) if self.start + first + row in wanted]
        if len(chosen) == batch.num_rows:
            return self._values(batch, range(first + 1, self.n_read + 1))
        keys = [column for column in self.columns if column in kept]
        # Without columns a batch has no rows either.
        numbers = range(first + 1, self.n_read + 1)
        cells = self._values(batch.select(keys), numbers) if keys else [{} for _ in range(batch.num_rows)]
        for row in chosen:  # not by `take`, which does not know all types
            (cells[row],) = self._values(batch.slice(row, 1), [first + 1 + row])
        return cells

    def _values(self, batch: Batch, numbers: Sequence[int]) -> list[dict[str, Any]]:
        try:
            cells: list[dict[str, Any]] = batch.to_pylist()
        except UNREADABLE:
            raise self._unreadable(batch, numbers) from None
        decoders = {name: decode for name in batch.schema.names if (decode := self._decoder(batch, name))}
        for number, row in zip(numbers, cells, strict=True):
            for column, value in row.items():
                if column in decoders:
                    row[column] = self._decoded(decoders[column], column, value, number)
                elif column in self.classes:
                    row[column] = self._class_names(column, value, number)
                elif isinstance(value, dict | list):
                    row[column] = _medium(value)
        return cells

    def _decoder(self, batch: Batch, column: str) -> Decoder | None:
        if column not in self._decoders:
            self._decoders[column] = json_decoder(batch.schema.field(column).type)
        return self._decoders[column]

    def _decoded(self, decode: Decoder, column: str, value: Any, number: int) -> Any:
        try:
            decoded = decode(value)
            return _medium(decoded) if isinstance(decoded, dict | list) else decoded
        except DataError:
            raise DataError(
                f"{self.place(number)}: column {column!r} is of type arrow.json, but its text is not JSON; "
                "write the data again"
            ) from None

    def _unreadable(self, batch: Batch, numbers: Sequence[int]) -> DataError:
        for row, number in enumerate(numbers):
            for column in batch.schema.names:
                try:
                    batch.column(column)[row].as_py()
                except UNREADABLE:
                    return DataError(
                        f"{self.place(number)}: column {column!r} holds a value that cannot be read; "
                        "leave the column out, or write it as text"
                    )
        return DataError(f"{self.place(numbers[0])}: the rows from there on cannot be read; write them again")

    def _class_names(self, column: str, value: Any, number: int) -> Any:
        if isinstance(value, list):
            return [self._class_names(column, part, number) for part in value]
        return self._class_name(column, value, number)

    def _class_name(self, column: str, value: Any, number: int) -> str | None:
        names = self.classes[column]
        if value is None or value == -1:  # -1 is the library's "not known", as in test sets
            return None
        if not isinstance(value, int) or not 0 <= value < len(names):
            raise DataError(
                f"{self.place(number)}: {value!r} in column {column!r} is none of its {len(names)} classes"
            )
        return names[value]


def _valid(batch: Batch, row: int) -> bool:
    try:
        batch.slice(row, 1).validate(full=True)
    except ValueError:
        return False
    return True


def _medium(value: Any) -> Any:
    """Return None for a medium with neither bytes nor path; a list of media without such; else the value."""
    if isinstance(value, dict):
        return None if _is_empty(value) else value
    return [item for item in value if not (isinstance(item, dict) and _is_empty(item))]


def _is_empty(value: dict[str, Any]) -> bool:
    return value.keys() == _MEDIUM and all(part is None for part in value.values())


# Parquet files to rows, a few rows in memory at a time.

_READ_BYTES = 2**20


@dataclass(frozen=True)
class ParquetFiles:
    """Files that follow each other.

    Parameters
    ----------
    name : str
        Of all of them, for messages.
    files : tuple of (str, Path)
        Each file and its name in ids.
    partitions : mapping of Path to mapping, optional
        Columns that the folders of a file name (``label=cat``), and their value.
    """

    name: str
    files: tuple[tuple[str, Path], ...]
    partitions: Mapping[Path, Mapping[str, Any]] = field(default_factory=dict)

    def count(self) -> int:
        """Return the number of rows, from the files' ends."""
        return sum(_read_end(name, path) for name, path in self.files)

    def rows(self, wanted: RowSelection, kept: Sequence[str]) -> Iterator[Row]:
        """Yield all rows; those not wanted have the columns `kept` alone.

        Raises
        ------
        DataError
            With file and row, if a file is not Parquet or damaged, or there is no row at all.
        """
        start = 0
        for name, path in self.files:
            with _open(name, path) as file:
                table = Table(
                    name, file.schema_arrow.names, classes_of_schema(name, file.schema_arrow), start
                )
                named = self.partitions.get(path, {})
                for row in table.rows(_batches(file), wanted, kept):
                    yield row._replace(cells={**named, **row.cells}) if named else row
                start += table.n_read
        if not start:
            raise no_rows(self.name)


def _read_end(name: str, path: Path) -> int:
    with _open(name, path) as file:
        return int(file.metadata.num_rows)


def _open(name: str, path: Path) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    check_file(path)
    check_name(path)
    try:
        # Without a buffer of that size, a column of a whole group of rows is read at once.
        file = pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False)
        possible = _is_possible(file.metadata)
    except UNREADABLE:
        possible = False
    if not possible:
        raise DataError(f"{name} is not a Parquet file, or damaged or unreadable; write it again")
    return file


def _is_possible(metadata: pq.FileMetaData) -> bool:
    """Return whether there are columns, and as many rows as in the groups.

    On a negative number of rows pyarrow ends the whole process; without columns there may be 2**62 rows.
    """
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    return metadata.num_columns > 0 and min(groups, default=0) >= 0 and sum(groups) == metadata.num_rows


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    batches: Iterator[pa.RecordBatch] = file.iter_batches(batch_size=ROWS_PER_BATCH, use_threads=False)
    return batches


def classes_of_schema(name: str, schema: pa.Schema) -> dict[str, Any]:
    """Return the names of the classes by column, as the ``datasets`` library notes them in a schema.

    Raises
    ------
    DataError
        If its note cannot be read.
    """
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import Features

    try:
        return class_names(Features.from_arrow_schema(schema))
    except Exception:
        # The library raises whatever a wrong description leads to.
        message = f"{name}: its description of features (schema metadata 'huggingface') cannot be read"
        raise DataError(message) from None


# Datasets of the `datasets` library, saved by `save_to_disk` or fetched from the hub.


@dataclass(frozen=True)
class ArrowData:
    """One split of a dataset.

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

    def rows(self, wanted: RowSelection, kept: Sequence[str]) -> Iterator[Row]:
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
    """Return the dataset of a folder, or one of its splits.

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
            f"{name} cannot be read as a saved dataset (damaged, or without rows); save it again"
        ) from None
    if isinstance(loaded, dict):
        part = chosen_split(name, loaded, split)
        return ArrowData(f"{name}/{part}", loaded[part])
    if split is not None and split != str(loaded.split):
        raise DataError(
            f"{name} is one saved dataset, without splits (--split); leave the split {split!r} away"
        )
    return ArrowData(name, loaded)


def chosen_split(name: str, splits: Mapping[str, Any], split: str | None) -> str:
    """Return the split that was named, or the only one there is; `DataError` otherwise."""
    names = list(map(str, splits))
    if split is None and len(names) == 1:
        return names[0]
    if split not in names:
        problem = "has several splits" if split is None else f"has no split {split!r}"
        raise DataError(f"{name} {problem}; name one of {', '.join(names) or 'none'} (--split)")
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
