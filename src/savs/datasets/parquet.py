"""Parquet files to rows, a few rows in memory at a time.

Read with pyarrow, on which the ``datasets`` library builds, and with the library's features where a file
carries them. The library's own streaming holds whole groups of rows (measured: 1.4 GB for groups of 1 000
pictures of 100 kB, 0.3 GB here), does not know the row of a file, and leaves a lock file in its cache;
without streaming it copies the file there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.datasets.arrow import ROWS_PER_BATCH, UNREADABLE, Table, class_names
from savs.datasets.lines import check_file, check_name
from savs.datasets.rows import Row, no_rows
from savs.datasets.wanted import Wanted
from savs.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["ParquetFiles"]

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

    def rows(self, wanted: Wanted, kept: Sequence[str]) -> Iterator[Row]:
        """Yield all rows; those not wanted have the columns `kept` alone.

        Raises
        ------
        DataError
            With file and row, if a file is no Parquet or damaged, or there is no row at all.
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
        raise DataError(f"{name} is no Parquet file, or damaged or unreadable; write it again")
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
