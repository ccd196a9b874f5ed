"""Text files to rows: JSONL, JSON, CSV and TSV in UTF-8, each row with its place in the file.

These formats have readers of our own, because those of the ``datasets`` library change what the file says
(measured with version 5.2): ``1`` and ``"1"`` become one label, whole numbers beyond 64 bits become decimals,
``2020-01-01`` becomes a time, ``01`` becomes 1 and ``NA`` nothing in a CSV file, a second column of one name
is renamed, a short CSV row is filled up; an error names a row of a block, not the line; and every file is
copied into a cache first. Here each value is what the file has, and each error names its line.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from savs.data._labels import check_text, has_surrogate
from savs.errors import DataError, ExampleError

# Which positions of a source become examples.

LONGEST_LINE = 2**28
"""Bytes of the longest line that is read: an image of 64 MB as base64 takes a third of it."""


def name_of(path: Path) -> str:
    """Return the last part of a path, for ids and messages."""
    return spelled(path.name)


def spelled(name: str) -> str:
    r"""Return a name that can be written: a byte that is not UTF-8 as ``\udcff``."""
    return name.encode(errors="backslashreplace").decode()


def check_name(path: Path) -> None:
    """Raise `DataError` if a path is not UTF-8: pyarrow and the ``datasets`` library cannot open it."""
    if has_surrogate(str(path)):
        raise DataError(f"the path of {name_of(path)!r} is not UTF-8 and cannot be opened; rename it")


def check_file(path: Path) -> None:
    """Raise `DataError` if there is not a regular file; nothing is opened: a pipe would be waited for."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        raise DataError(f"there is no file {str(path)[-200:]!r}; check the path") from None
    except (OSError, ValueError):
        raise _unreadable(path) from None
    if not regular:
        raise DataError(f"{path.name!r} is not a regular file")


def decoded_lines(path: Path) -> Iterator[str]:
    r"""Yield the lines of a file with their ends, split at ``\n`` alone, one in memory at a time.

    Raises
    ------
    DataError
        With file and line, if the file cannot be read, is not UTF-8, or a line is longer than `LONGEST_LINE`.
    """
    with _open(path) as file:
        number = 0
        while line := _read_line(path, file, number + 1):
            number += 1
            yield _decoded(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, path, number)


def decoded_text(path: Path) -> str:
    """Return a whole file; `DataError` as in `decoded_lines`."""
    with _open(path) as file:
        data = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, data.count(b"\n", 0, error.start) + 1) from None


def _open(path: Path) -> BinaryIO:
    check_file(path)
    try:
        return path.open("rb")
    except OSError:
        raise _unreadable(path) from None


def _read_line(path: Path, file: BinaryIO, number: int) -> bytes:
    try:
        line = file.readline(LONGEST_LINE + 1)
    except OSError:
        raise _unreadable(path) from None
    if len(line) > LONGEST_LINE:
        raise DataError(f"{name_of(path)}:{number}: the line is longer than {LONGEST_LINE} bytes")
    return line


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise _not_utf8(path, number) from None


def _not_utf8(path: Path, number: int) -> DataError:
    return DataError(f"{name_of(path)}:{number}: not UTF-8; save the file as UTF-8")


def _unreadable(path: Path) -> DataError:
    return DataError(f"{path.name[:100]!r} cannot be read; check the path and its permissions")


# `Row`, and text files to rows: JSONL, JSON, CSV and TSV in UTF-8, each row with its place in the file.

TEXT_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
"""Endings of the text files that are read."""

_RETURN = re.compile(r"(?<=\r)(?!\n)")


class Row(NamedTuple):
    """A row of a data file or dataset.

    Attributes
    ----------
    id : str
        The example's id if no column has one: ``<file name>:<line, item or row>``, from 1.
    where : str
        Its place, for messages.
    cells : dict
        Column names to values.
    """

    id: str
    where: str
    cells: dict[str, Any]


def text_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a text file in order; blank lines are skipped, a byte order mark is ignored.

    Empty cells of CSV and TSV are None, all others text. Columns with nothing in a JSON row stay out. One row
    is in memory at a time, but for a ``.json`` file, which is parsed as a whole.

    Raises
    ------
    DataError
        With file and line, if the file cannot be read, is not UTF-8, a row is not what its format says, or
        there is no row at all.
    """
    readers = {".jsonl": _json_lines, ".json": _json_list, ".csv": _table, ".tsv": _table}
    n_rows = 0
    for row in readers[path.suffix.lower()](path):
        check_cells(row)
        yield row
        n_rows += 1
    if not n_rows:
        raise no_rows(name_of(path))


def no_rows(name: str) -> DataError:
    """Return the error for a file or dataset without rows."""
    return DataError(f"{name} holds 0 examples; at least one row is needed")


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(decoded_lines(path), start=1):
        if line.strip():
            where = f"{name_of(path)}:{number}"
            yield Row(where, where, _as_cells(_parse(line.removesuffix("\n"), where, one_line=True), where))


def _json_list(path: Path) -> Iterator[Row]:
    text = decoded_text(path)
    if not text.strip():
        return
    items = _parse(text, name_of(path))
    if not isinstance(items, list):
        raise DataError(f"{name_of(path)}: a list of objects is needed, not one {type(items).__name__}")
    for number, item in enumerate(items, start=1):
        where = f"{name_of(path)}:item {number}"
        yield Row(f"{name_of(path)}:{number}", where, _as_cells(item, where))


def _parse(text: str, where: str, *, one_line: bool = False) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_columns)
    except json.JSONDecodeError as error:
        place = where if one_line else f"{where}:{error.lineno}"
        hint = "; one object per line is .jsonl" if error.msg == "Extra data" and error.lineno > 1 else ""
        if one_line and text.strip() in {"[", "{"}:
            hint = "; one object over several lines, and a list of them, is .json"
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
    raise _BadValueError(f"{name} is not a JSON value; write null for a missing one")


def _unique_columns(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) != len(pairs):
        raise _BadValueError("a column stands twice in one object")
    return cells


def _as_cells(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DataError(f"{where}: a row must be an object with columns, not {type(item).__name__}")
    return item


def _table(path: Path) -> Iterator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(_csv_lines(path), delimiter=delimiter, strict=True)
    header: list[str] = []
    number = 1
    try:
        for cells in reader:
            # A quoted cell may span lines: the row is named by its first one.
            where, number = f"{name_of(path)}:{number}", reader.line_num + 1
            if not any(cells):
                continue
            if header:
                yield Row(where, where, _named(header, cells, where))
            else:
                header = _checked_header(cells, where)
    except csv.Error as error:
        reason = _too_long() if "limit" in str(error) else "a quote or line break is out of place"
        raise DataError(f"{name_of(path)}:{max(number, reader.line_num)}: {reason}") from None


def _too_long() -> str:
    return f"a cell has more than {csv.field_size_limit()} characters; write the data as JSONL or Parquet"


def _csv_lines(path: Path) -> Iterator[str]:
    # The csv module wants carriage returns that stand alone at the end of a line, as files give them to it.
    for line in decoded_lines(path):
        if "\r" in line:
            yield from filter(None, _RETURN.split(line))
        else:
            yield line


def _checked_header(names: list[str], where: str) -> list[str]:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice or "" in names:
        problem = f"column {twice[0]!r} stands twice" if twice and twice[0] else "a column has no name"
        raise DataError(f"{where}: {problem} in the header")
    return names


def _named(header: list[str], cells: list[str], where: str) -> dict[str, Any]:
    if len(cells) != len(header):
        raise DataError(f"{where}: {len(cells)} cells, but the header has {len(header)} columns")
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}


def check_cells(row: Row) -> None:
    """Raise `DataError` with file and line if a text in a row cannot be written as UTF-8."""
    try:
        for name, cell in row.cells.items():
            check_text(name, "column name")
            if isinstance(cell, str):
                check_text(cell, f"column {name!r}")
    except ExampleError as error:
        raise DataError(f"{row.where}: {error.message}") from None
