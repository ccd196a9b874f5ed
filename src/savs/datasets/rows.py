"""Data files to rows, each with its place in the file: JSONL, JSON, CSV and TSV in UTF-8."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from savs.errors import DataError, ExampleError
from savs.examples.labels import check_text

__all__ = ["DATA_SUFFIXES", "Row", "read_rows"]

DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
"""Endings of the data files that are read."""


class Row(NamedTuple):
    """A row of a data file.

    Attributes
    ----------
    number : int
        Its line, or its item number in a JSON list; both from 1.
    where : str
        The file's name and that place, for messages.
    cells : dict
        Column names to values.
    """

    number: int
    where: str
    cells: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a data file in order; blank lines are skipped, a byte order mark is ignored.

    Empty cells of CSV and TSV are None, all others text. Columns with nothing in a JSON row stay out.

    Raises
    ------
    DataError
        With file and line, if the file cannot be read, is not UTF-8, or a row is not what its format says.
    """
    text = _read_text(path)
    readers = {".jsonl": _json_lines, ".json": _json_list, ".csv": _table, ".tsv": _table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name}: {path.suffix or 'no'} ending; read are {', '.join(DATA_SUFFIXES)}")
    rows = list(reader(path, text))
    if not rows:
        raise DataError(f"{path.name} holds 0 examples; at least one row is needed")
    for row in rows:
        _check_cells(row)
    return rows


def _read_text(path: Path) -> str:
    try:
        # Looked at before it is opened: a pipe would be waited for.
        data = path.read_bytes() if stat.S_ISREG(path.stat().st_mode) else None
    except FileNotFoundError:
        raise DataError(f"there is no file {str(path)!r}; check the path") from None
    except (OSError, ValueError):
        raise DataError(f"{path.name!r} cannot be read; check the path and its permissions") from None
    if data is None:
        raise DataError(f"{path.name!r} is not a regular file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path.name}:{line}: not UTF-8; save the file as UTF-8") from None


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    # Split at line feeds only: a JSON text may hold the other characters that str.splitlines splits at.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path.name}:{number}"
            yield Row(number, where, _as_cells(_parse(line, where), where))


def _json_list(path: Path, text: str) -> Iterator[Row]:
    if not text.strip():
        return
    items = _parse(text, path.name)
    if not isinstance(items, list):
        raise DataError(f"{path.name}: a list of objects is needed, not one {type(items).__name__}")
    for number, item in enumerate(items, start=1):
        where = f"{path.name}:item {number}"
        yield Row(number, where, _as_cells(item, where))


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_columns)
    except json.JSONDecodeError as error:
        # In a .jsonl file `where` names the line already.
        place = where if ":" in where else f"{where}:{error.lineno}"
        hint = "; one object per line is .jsonl" if error.msg == "Extra data" and error.lineno > 1 else ""
        raise DataError(f"{place}: not valid JSON at column {error.colno}{hint}") from None
    except RecursionError:
        raise DataError(f"{where}: nested too deeply") from None
    except _BadValueError as error:
        raise DataError(f"{where}: {error}") from None
    except ValueError:
        raise DataError(f"{where}: a whole number with too many digits") from None


class _BadValueError(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _BadValueError(f"{name} is no JSON value; write null for a missing one")


def _unique_columns(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) != len(pairs):
        raise _BadValueError("a column stands twice in one object")
    return cells


def _as_cells(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DataError(f"{where}: a row must be an object with columns, not {type(item).__name__}")
    return item


def _table(path: Path, text: str) -> Iterator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    number = 1
    try:
        for cells in reader:
            # A quoted cell may span lines: the row is named by its first one.
            where, number, first = f"{path.name}:{number}", reader.line_num + 1, number
            if not any(cells):
                continue
            if header:
                yield Row(first, where, _named(header, cells, where))
            else:
                header = _checked_header(cells, where)
    except csv.Error as error:
        reason = "a cell is too long" if "limit" in str(error) else "a quote or line break is out of place"
        raise DataError(f"{path.name}:{max(number, reader.line_num)}: {reason}") from None


def _checked_header(names: list[str], where: str) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        problem = f"column {twice[0]!r} stands twice" if twice and twice[0] else "a column has no name"
        raise DataError(f"{where}: {problem} in the header")
    return names


def _named(header: list[str], cells: list[str], where: str) -> dict[str, Any]:
    if len(cells) != len(header):
        raise DataError(f"{where}: {len(cells)} cells, but the header has {len(header)} columns")
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _check_cells(row: Row) -> None:
    try:
        for name, cell in row.cells.items():
            check_text(name, "column name")
            if isinstance(cell, str):
                check_text(cell, f"column {name!r}")
    except ExampleError as error:
        raise DataError(f"{row.where}: {error.message}") from None
