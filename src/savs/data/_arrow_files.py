"""Parquet files, saved datasets and hub datasets to rows, a few rows in memory at a time.

Cells are taken as they are stored and never decoded, so that every image goes through `savs.media`: a
image, audio clip or video of the ``datasets`` library arrives as ``{"bytes": ..., "path": ...}``. Only its
classes are looked up: a whole number of a `ClassLabel` column becomes the class's name.

Read with pyarrow, on which the ``datasets`` library builds, and with the library's features where a file
carries them. The library's own streaming holds whole groups of rows (measured: 1.4 GB for groups of 1 000
images of 100 kB, 0.3 GB here), does not know the row of a file, and leaves a lock file in its cache;
without streaming it copies the file there.

It maps Arrow files into memory: rows are read from disk as they are asked for.

The ``datasets`` library fetches them into its own cache (``HF_HOME``) and reads them as the hub shows them.
They are the only sources for which anything is fetched or stored: writing ``hf://`` is asking for that.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from savs.data._labels import DataWarning
from savs.data._text_files import Row, check_file, check_name, name_of, no_rows
from savs.data.options import RowSelection
from savs.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import DatasetBuilder


# Arrow batches to rows: what Parquet files, saved datasets and hub datasets have in common.

if TYPE_CHECKING:
    Batch: TypeAlias = pa.RecordBatch | pa.Table


ROWS_PER_BATCH = 64
"""Rows in memory at a time: few, as each may hold images."""

UNREADABLE = (OSError, ValueError, OverflowError, NotImplementedError)
"""What pyarrow raises for data that are damaged or have no value in Python."""

_MEDIUM = {"bytes", "path"}


def class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes by column, of the features of a dataset."""
    return {column: tuple(kind.names) for column, kind in features.items() if hasattr(kind, "int2str")}


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
        cells = batch.select(keys).to_pylist() if keys else [{} for _ in range(batch.num_rows)]
        for row in chosen:  # not by `take`, which does not know all types
            (cells[row],) = self._values(batch.slice(row, 1), [first + 1 + row])
        return cells

    def _values(self, batch: Batch, numbers: Sequence[int]) -> list[dict[str, Any]]:
        try:
            cells: list[dict[str, Any]] = batch.to_pylist()
        except UNREADABLE:
            raise self._unreadable(batch, numbers) from None
        for number, row in zip(numbers, cells, strict=True):
            for column, value in row.items():
                if column in self.classes:
                    row[column] = self._class_name(column, value, number)
                elif isinstance(value, dict | list):
                    row[column] = _medium(value)
        return cells

    def _unreadable(self, batch: Batch, numbers: Sequence[int]) -> DataError:
        for row, number in enumerate(numbers):
            for column in self.columns:
                try:
                    batch.column(column)[row].as_py()
                except UNREADABLE:
                    return DataError(
                        f"{self.place(number)}: column {column!r} holds a value that cannot be read"
                    )
        return DataError(f"{self.place(numbers[0])}: the rows from there on cannot be read")

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
    """

    name: str
    files: tuple[tuple[str, Path], ...]

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
                table = Table(name, file.schema_arrow.names, _classes(name, file.schema_arrow), start)
                yield from table.rows(_batches(file), wanted, kept)
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


def _classes(name: str, schema: pa.Schema) -> dict[str, Any]:
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import Features

    try:
        return class_names(Features.from_arrow_schema(schema))
    except Exception:
        # The library raises whatever a wrong description leads to.
        message = f"{name}: its description of features (schema metadata 'huggingface') cannot be read"
        raise DataError(message) from None


# Saved datasets (`save_to_disk`) and hub datasets (`hf://`), through the `datasets` library.


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
        raise DataError(f"{name} is one saved dataset, without splits; leave the split {split!r} away")
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


# Datasets of the Hugging Face hub, and folders laid out like one: `hf://` addresses.

HUB_PREFIX = "hf://"
"""How the address of a hub dataset begins."""

_PART = r"[A-Za-z0-9](?:[\w.-]*\w)?"
_ADDRESS = re.compile(
    rf"(?P<name>{_PART}(?:/{_PART})?)(?:@(?P<revision>[\w./-]+))?(?:#(?P<split>\w[\w.-]*))?", re.ASCII
)
# Of the hub's client, and of the libraries below it: not all of them are `ConnectionError`.
_UNREACHABLE = {
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
}
_FOLDER = re.compile(r"(?P<name>[~./][^#]*)(?:#(?P<split>\w[\w.-]*))?", re.ASCII)


@dataclass(frozen=True)
class HubAddress:
    """What an ``hf://`` address says.

    Attributes
    ----------
    name : str
        ``owner/name``, or the path of a folder.
    folder : Path or None
        The folder, if it is one on this machine.
    split, revision : str or None
        If they were named.
    """

    name: str
    folder: Path | None = None
    split: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, address: str, split: str | None = None, revision: str | None = None) -> HubAddress:
        """Return the address ``hf://[datasets/]owner/name[@revision][#split]`` or ``hf://./folder[#split]``.

        Raises
        ------
        DataError
            If it is none, or names another split or revision than the arguments.
        """
        text = address.removeprefix(HUB_PREFIX)
        match = _FOLDER.fullmatch(text)
        if match:
            folder = _folder(match["name"])
            return cls(folder.name, folder, _one("split", match["split"], split), revision)
        match = _ADDRESS.fullmatch(text.removeprefix("datasets/"))
        if match is None:
            raise DataError(
                f"{address!r} is not a dataset of the hub; write hf://owner/name, with @revision and #split "
                f"after it if needed, or hf://./folder for one on this machine"
            )
        found = _one("split", match["split"], split), _one("revision", match["revision"], revision)
        return cls(match["name"], None, *found)


def open_hub(address: HubAddress, config: str | None) -> tuple[ArrowData, tuple[Path, ...]]:
    """Return one split of a hub dataset, and the folders that its media files may lie in.

    Raises
    ------
    DataError
        If it cannot be found, reached or read, or a configuration or split has to be chosen.

    Warns
    -----
    DataWarning
        If the hub was not reached or did not give it, with the revision that was found in the cache.
    """
    if address.folder is not None and address.revision is not None:
        raise DataError(f"the folder {address.name!r} has no revisions; hf://owner/name is a hub dataset")
    with library_at_work(progress=True):
        builder = _builder(address, config)
        try:
            builder.download_and_prepare()
            split = chosen_split(address.name, builder.info.splits or {}, address.split)
            data = builder.as_dataset(split)
        except DataError:
            raise
        except Exception as error:
            raise _failed(address, error) from None
    return ArrowData(f"{address.name}/{split}", data), _media_folders(address)


def _folder(text: str) -> Path:
    try:
        folder = Path(text).expanduser().resolve()
        found = folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        found = False
    if found:
        check_name(folder)
        return folder
    raise DataError(f"there is no folder {text[-200:]!r}; hf://owner/name is a dataset of the hub")


def _builder(address: HubAddress, config: str | None) -> DatasetBuilder:
    from datasets import load_dataset_builder

    # Without this prefix a folder owner/name in the working directory would be taken for it.
    name = f"hf://datasets/{address.name}" if address.folder is None else str(address.folder)
    try:
        builder = load_dataset_builder(name, config, revision=address.revision)
    except Exception as error:
        raise _failed(address, error) from None
    if builder.__module__.endswith(".cache"):
        _check_cached(address, builder)
    return builder


def _check_cached(address: HubAddress, builder: Any) -> None:
    """Warn that the hub was not reached; the library's cache does not look at the revision asked for."""
    if address.revision is not None:
        if builder.hash in (address.revision, _last_commit(address)):
            return
        raise DataError(
            f"{address.name}: the hub does not give it, and the cache holds revision {builder.hash}, not "
            f"{address.revision}"
        )
    warnings.warn(
        f"{address.name}: the hub cannot be reached or does not give it; revision {builder.hash} of the "
        "cache is read",
        DataWarning,
        stacklevel=6,
    )


def _last_commit(address: HubAddress) -> str:
    """Return the commit that a branch or tag stood for when the hub was last reached; else nothing."""
    from huggingface_hub import constants

    note = Path(constants.HF_HUB_CACHE) / _repository(address) / "refs" / str(address.revision)
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""


def _repository(address: HubAddress) -> str:
    return "datasets--" + address.name.replace("/", "--")


def _failed(address: HubAddress, error: Exception) -> DataError:
    """Return what to do about whatever the library raised; its own text may hold addresses and tokens."""
    from datasets.exceptions import DatasetNotFoundError

    if type(error).__name__ == "DatasetGenerationError" and isinstance(error.__cause__, Exception):
        error = error.__cause__
    kind = type(error).__name__
    if isinstance(error, DatasetNotFoundError):
        return DataError(
            f"{address.name}: there is no such dataset on the hub, no such revision, or no access; check "
            f"the name, or log in with 'hf auth login'"
        )
    if isinstance(error, ConnectionError) or kind in _UNREACHABLE:
        return DataError(f"{address.name}: the hub cannot be reached and the cache does not hold it ({kind})")
    if isinstance(error, FileNotFoundError) and error.errno is None:  # not of the file system
        return DataError(f"{address.name}: it holds no file that the datasets library reads")
    if isinstance(error, OSError):
        return DataError(
            f"{address.name}: the cache of the datasets library (HF_HOME) cannot be read or written; check "
            f"its permissions and the space on its disk ({kind})"
        )
    if "Config name is missing" in str(error) or "BuilderConfig" in str(error):
        return DataError(f"{address.name}: {_configs(address)}")
    if "CastError" in kind:
        return DataError(
            f"{address.name}: its files differ in their columns; choose some with config (--config)"
        )
    return DataError(f"{address.name} cannot be read by the datasets library ({kind})")


def _configs(address: HubAddress) -> str:
    from datasets import get_dataset_config_names

    name = f"hf://datasets/{address.name}" if address.folder is None else str(address.folder)
    names = get_dataset_config_names(name, revision=address.revision)
    return f"choose one of its configurations with config (--config): {', '.join(names)}"


def _media_folders(address: HubAddress) -> tuple[Path, ...]:
    """Return the folders into which the library puts what it fetches for this dataset."""
    if address.folder is not None:
        return (address.folder,)
    from datasets import config
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / _repository(address), Path(config.EXTRACTED_DATASETS_PATH)


def _one(what: str, inside: str | None, given: str | None) -> str | None:
    if inside is not None and given is not None and inside != given:
        raise DataError(f"the address names the {what} {inside!r} and the option {given!r}; keep one")
    return inside if inside is not None else given
