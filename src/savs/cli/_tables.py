"""Rows of results in files: JSON lines, CSV and Parquet, each there as a whole or not at all.

A row is a mapping, as in JSON. In CSV and Parquet its nested values have columns of their own, with dots in
their names: ``proba.red``, ``error.code``. That is what ``pandas.json_normalize`` makes of the JSON lines.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, Any]
"""Name and type of each column: ``str``, ``int``, ``float``, ``bool``, or a list of one, as ``list[str]``."""

ERROR_COLUMNS: Columns = {"error.stage": str, "error.code": str, "error.message": str}
"""Of an example that could not be read; empty for all others."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip"}
_OTHERS = {".xlsx", ".xls", ".npz", ".npy", ".feather", ".arrow", ".pkl", ".h5", ".pq"} | _PACKED
_ROWS_PER_GROUP = 2**14


def is_table(path: Path) -> bool:
    """Return whether a file of this name is CSV or Parquet; all others hold JSON lines."""
    return path.suffix.lower() in {*_DELIMITERS, _PARQUET}


def check_table_name(path: Path, option: str = "--output") -> None:
    """Refuse the name of a file in a format that is not written.

    Raises
    ------
    click.BadParameter
        If it ends like a spreadsheet, an array, a packed file or the like.
    """
    if path.suffix.lower() in _OTHERS:
        raise click.BadParameter(
            f"{path.name}: rows are written as .jsonl, .csv, .tsv or .parquet", param_hint=option
        )


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Columns) -> None:
    """Write rows in the format that the file's name ends in; an older file stays until all is written.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv`` and ``.parquet`` are tables; anything else gets JSON lines.
    rows : iterable of mapping
        As for JSON; read once.
    columns : mapping of str to type
        Of a table, in order. A value that a row does not have is empty there.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with whole_output(path) as file:
        if path.suffix.lower() == _PARQUET:
            _write_parquet(file, rows, columns)
        else:
            _write_lines(file, path.suffix.lower(), rows, columns)


@contextmanager
def whole_output(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that gets its name when the block ends well; a pipe or device is written directly.

    Parameters
    ----------
    path : Path
        Where a link leads is replaced, not the link.
    """
    from savs.cache._files import whole_file

    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target.parent) as (descriptor, finish):
        with open(descriptor, "wb", closefd=False) as file:
            yield file
        finish(target.name)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON lines."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)


def _write_lines(file: IO[bytes], suffix: str, rows: Iterable[Mapping[str, Any]], columns: Columns) -> None:
    if suffix not in _DELIMITERS:
        file.writelines(json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows)
        return
    encoded, delimiter = _Encoded(file), _DELIMITERS[suffix]
    plain = csv.writer(encoded, delimiter=delimiter, lineterminator="\n")
    quoted = csv.writer(encoded, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in chain([{name: name for name in columns}], map(_flat, rows)):
        cells = [_cell(row.get(name)) for name in columns]
        # The csv module leaves a bare carriage return as it is, where readers see the end of the row.
        returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if returns else plain).writerow(cells)


class _Encoded:
    """What `csv.writer` writes to: the text of one row at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write text as UTF-8."""
        self._file.write(text.encode())


def _write_parquet(file: IO[bytes], rows: Iterable[Mapping[str, Any]], columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in columns.items()])
    left = iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(left, _ROWS_PER_GROUP)):
            flat = [_flat(row) for row in group]
            arrays = [pa.array([row.get(field.name) for row in flat], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _arrow_type(kind: Any) -> pa.DataType:
    import pyarrow as pa

    if getattr(kind, "__origin__", None) is list:
        return pa.list_(_arrow_type(kind.__args__[0]))
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[kind]


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a row without nested mappings: their names are put together with dots."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return flat


def _cell(value: Any) -> Any:
    """Return a value as the text of a cell: none is empty, lists and truth values are as in JSON."""
    return json.dumps(value) if isinstance(value, list | bool) else value
