"""Arrow batches to rows: what Parquet files, saved data sets and hub data sets have in common.

Cells are taken as they are stored and never decoded, so that every picture goes through `savs.media`: a
picture, sound or video of the ``datasets`` library arrives as ``{"bytes": ..., "path": ...}``. Only its
classes are looked up: a whole number of a `ClassLabel` column becomes the class's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from savs.datasets.rows import Row
from savs.datasets.wanted import Wanted
from savs.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    Batch: TypeAlias = pa.RecordBatch | pa.Table

__all__ = ["ROWS_PER_BATCH", "UNREADABLE", "Table", "class_names"]

ROWS_PER_BATCH = 64
"""Rows in memory at a time: few, as each may hold pictures."""

UNREADABLE = (OSError, ValueError, OverflowError, NotImplementedError)
"""What pyarrow raises for data that are damaged or have no value in Python."""

_MEDIUM = {"bytes", "path"}


def class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes by column, of the features of a data set."""
    return {column: tuple(kind.names) for column, kind in features.items() if hasattr(kind, "int2str")}


@dataclass
class Table:
    """Batches of one file or data set, read one after the other.

    Parameters
    ----------
    name : str
        Of the file or data set, for ids and messages.
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

    def rows(self, batches: Iterator[Batch], wanted: Wanted, kept: Sequence[str]) -> Iterator[Row]:
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

    def _batch_rows(self, batch: Batch, wanted: Wanted, kept: Sequence[str]) -> Iterator[Row]:
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

    def _cells(self, batch: Batch, first: int, wanted: Wanted, kept: Sequence[str]) -> list[dict[str, Any]]:
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
