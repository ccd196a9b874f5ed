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
import gzip
import json
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, cast

from savs._labels import check_text, has_surrogate
from savs.errors import DataError, ExampleError

LONGEST_LINE = 2**28
"""Bytes of the longest line that is read: an image of 64 MB as base64 takes a third of it."""

_PACKED = ".gz"
_LARGEST_UNPACKED = 2**30  # bytes of a packed file that is read as a whole, which its size does not bound


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
    packed = is_packed(path)
    with _open(path) as file:
        try:
            data = file.read(_LARGEST_UNPACKED + 1 if packed else -1)
        except _UNREADABLE:
            raise _unreadable(path) from None
    if packed and len(data) > _LARGEST_UNPACKED:
        raise DataError(f"{name_of(path)} holds more than {_LARGEST_UNPACKED} bytes; write it as .jsonl.gz")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, data.count(b"\n", 0, error.start) + 1) from None


def _open(path: Path) -> BinaryIO:
    check_file(path)
    try:
        return cast(BinaryIO, gzip.open(path)) if is_packed(path) else path.open("rb")
    except OSError:
        raise _unreadable(path) from None


def _read_line(path: Path, file: BinaryIO, number: int) -> bytes:
    try:
        line = file.readline(LONGEST_LINE + 1)
    except _UNREADABLE:
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


_UNREADABLE = (OSError, EOFError, zlib.error)  # the last two where gzip is cut short or damaged


def _unreadable(path: Path) -> DataError:
    if is_packed(path):
        return DataError(f"{path.name[:100]!r} cannot be unpacked: it is damaged, cut short or not gzip")
    return DataError(f"{path.name[:100]!r} cannot be read; check the path and its permissions")


# `Row`, and text files to rows: JSONL, JSON, CSV and TSV in UTF-8, each row with its place in the file.

TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Endings of the text files that are read, as they are or packed by gzip, with ``.gz`` behind them."""


def is_packed(path: Path) -> bool:
    """Return whether a file is packed by gzip, as its name says."""
    return path.suffix.lower() == _PACKED


def text_suffix(path: Path) -> str:
    """Return the ending of a file's name in lower case, of a packed one what stands before ``.gz``."""
    return Path(path.stem if is_packed(path) else path.name).suffix.lower()


# Marks of byte order and zero width, which copied headers begin with.
_INVISIBLE = re.compile("[\ufeff\u200b-\u200f\u2060]")
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
    is_typed : bool
        Whether an empty text and no value differ; in CSV and TSV both are an empty cell.
    """

    id: str
    where: str
    cells: dict[str, Any]
    is_typed: bool = True


def text_rows(
    path: Path, delimiter: str | None = None, *, name: str | None = None, suffix: str | None = None
) -> Iterator[Row]:
    """Yield the rows of a text file in order; blank lines are skipped, a byte order mark is ignored.

    Empty cells of CSV and TSV are None, all others text. Columns with nothing in a JSON row stay out. One row
    is in memory at a time, but for a ``.json`` list, which is parsed as a whole.

    Parameters
    ----------
    path : Path
    delimiter : str, optional
        Between the cells of CSV and TSV; found by the first lines otherwise.
    name : str, optional
        In ids and messages; by default the file's.
    suffix : str, optional
        One of `TEXT_SUFFIXES`; by default the file's.

    Raises
    ------
    DataError
        With file and line, if the file cannot be read, is not UTF-8, a row is not what its format says, or
        there is no row at all.
    """
    name = name_of(path) if name is None else name
    suffix = text_suffix(path) if suffix is None else suffix
    if suffix in CSV_SUFFIXES:
        rows = _table(path, name, csv_dialect(path, suffix, delimiter))
    else:
        rows = _json_rows(path, name) if suffix == ".json" else _json_lines(path, name)
    n_rows = 0
    for row in rows:
        check_cells(row)
        yield row
        n_rows += 1
    if not n_rows:
        raise no_rows(name)


def no_rows(name: str) -> DataError:
    """Return the error for a file or dataset without rows."""
    return DataError(f"{name} holds 0 examples; at least one row is needed")


def _json_lines(path: Path, name: str) -> Iterator[Row]:
    for number, line in enumerate(decoded_lines(path), start=1):
        if line.strip():
            where = f"{name}:{number}"
            yield Row(
                where, where, _as_cells(parse_json(line.removesuffix("\n"), where, one_line=True), where)
            )


def _json_rows(path: Path, name: str) -> Iterator[Row]:
    """Yield the rows of a list of objects, or of one object per line, as many ``.json`` files hold them."""
    return _json_lines(path, name) if _has_object_lines(path) else _json_list(path, name)


def _has_object_lines(path: Path) -> bool:
    first = [line.strip() for line in islice(filter(str.strip, decoded_lines(path)), 2)]
    return len(first) == 2 and all(line[0] == "{" and line[-1] == "}" for line in first)


def _json_list(path: Path, name: str) -> Iterator[Row]:
    text = decoded_text(path)
    if not text.strip():
        return
    items = parse_json(text, name)
    if not isinstance(items, list):
        raise DataError(
            f"{name}: a list of objects is needed, not one {type(items).__name__}{_inside(items)}"
        )
    for number, item in enumerate(items, start=1):
        where = f"{name}:item {number}"
        yield Row(f"{name}:{number}", where, _as_cells(item, where))


def _inside(items: Any) -> str:
    lists = (
        [key for key, value in items.items() if isinstance(value, list)] if isinstance(items, dict) else []
    )
    return f"; write the list under {lists[0]!r} alone into a file" if len(lists) == 1 else ""


def parse_json(text: str, where: str, *, one_line: bool = False) -> Any:
    """Return what a JSON text stands for; `DataError` that begins with `where` if it is none."""
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique_columns,
        )
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


def _finite(number: str) -> float:
    value = float(number)
    if not isfinite(value):
        raise _BadValueError(f"{number[:40]} is too large for a number; write it as text")
    return value


def _unique_columns(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) != len(pairs):
        raise _BadValueError("a column stands twice in one object")
    return cells


def _as_cells(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DataError(f"{where}: a row must be an object with columns, not {type(item).__name__}")
    return item


# CSV and TSV: which delimiter, then cells by the names of the header.

CSV_SUFFIXES = (".csv", ".tsv")

_DELIMITERS = ",;\t|"
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 50, 2**20
_NAMES_DELIMITER = re.compile(r"sep=(.)\s*", re.IGNORECASE)


class CsvDialect(NamedTuple):
    """How the cells of a CSV file are told apart.

    Attributes
    ----------
    delimiter : str
        One character.
    skips_blanks : bool
        Whether the blanks that follow delimiters belong to no cell.
    """

    delimiter: str
    skips_blanks: bool = False


def csv_dialect(path: Path, suffix: str = ".csv", delimiter: str | None = None) -> CsvDialect:
    """Return how a CSV or TSV file is written, by its first lines.

    The delimiter is a comma, or a tab in ``.tsv``, unless another of ``,``, ``;``, tab and ``|`` divides the
    header and the rows after it alike and into more cells. Spreadsheets write semicolons where a comma stands
    in decimals.

    Parameters
    ----------
    path : Path
    suffix : str
        ``".csv"`` or ``".tsv"``.
    delimiter : str, optional
        The delimiter, if it is known.
    """
    lines, complete = _first_lines(path)
    named = _NAMES_DELIMITER.fullmatch(lines[0]) if lines else None
    if named and delimiter is None:
        delimiter = named[1]
    sample = lines[1:] if named else lines
    usual = "\t" if suffix == ".tsv" else ","
    candidates = [delimiter] if delimiter else [usual, *_DELIMITERS.replace(usual, "")]
    found = [(_records(sample, one, complete), one) for one in candidates]
    dialects = [(_fit(records), CsvDialect(one, skips)) for (records, skips), one in found]
    # The first of equals: the usual one.
    return max(dialects, key=lambda pair: pair[0])[1]


def _first_lines(path: Path) -> tuple[list[str], bool]:
    """Return some lines, and whether the file has no others."""
    lines: list[str] = []
    n_left = _SAMPLE_CHARACTERS
    for line in _csv_lines(path):
        if len(lines) == _SAMPLE_LINES or n_left <= 0:
            return lines, False
        lines.append(line)
        n_left -= len(line)
    return lines, True


def _records(lines: list[str], delimiter: str, complete: bool) -> tuple[list[list[str]], bool]:
    """Return the records of some lines, and whether blanks after delimiters are to be skipped."""
    plain, skipping = (_parsed(lines, delimiter, skips, complete) for skips in (False, True))
    if _fit(skipping) > _fit(plain):  # a quote after a blank is read as a quote only if the blank is skipped
        return skipping, True
    header, rows = [name for names in plain[:1] for name in names[1:]], [row[1:] for row in plain[1:]]
    cells = [cell for row in rows for cell in row if cell]
    blank = [
        bool(part) and all(cell[0] == " " for cell in part) for part in (list(filter(None, header)), cells)
    ]
    return (skipping, True) if any(blank) else (plain, False)


def _parsed(lines: list[str], delimiter: str, skips: bool, complete: bool) -> list[list[str]]:
    try:
        records = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=skips))
    except csv.Error:
        return []
    # The last one may go on beyond the sample.
    return [record for record in (records if complete else records[:-1]) if any(record)]


def _fit(records: list[list[str]]) -> tuple[bool, int]:
    """Return whether all records have as many cells as the header, at least two, and how many it has."""
    n_cells = len(records[0]) if records else 0
    fits = n_cells > 1 and all(len(record) == n_cells for record in records)
    return fits, n_cells


# The csv module's own limit; it is one for the whole process, and SciPy lifts it when it reads an ARFF file.
_LONGEST_CELL = 131_072
_TOO_LONG = f"a cell has more than {_LONGEST_CELL} characters; write the data as JSONL or Parquet"


def _table(path: Path, name: str, dialect: CsvDialect) -> Iterator[Row]:
    lines = _csv_lines(path)
    reader = csv.reader(
        lines, delimiter=dialect.delimiter, skipinitialspace=dialect.skips_blanks, strict=True
    )
    header: list[str] = []
    number = 1
    try:
        for cells in reader:
            # A quoted cell may span lines: the row is named by its first one.
            first, number = number, reader.line_num + 1
            where = f"{name}:{first}"
            if max(map(len, cells), default=0) > _LONGEST_CELL:
                raise DataError(f"{where}: {_TOO_LONG}")
            if not any(cells) or (first == 1 and _NAMES_DELIMITER.fullmatch(dialect.delimiter.join(cells))):
                continue
            if header:
                yield Row(where, where, _named(header, cells, where), is_typed=False)
            else:
                header = _checked_header(cells, where)
    except csv.Error as error:
        reason = _TOO_LONG if "limit" in str(error) else "a quote or line break is out of place"
        raise DataError(f"{name}:{max(number, reader.line_num)}: {reason}") from None


def _csv_lines(path: Path) -> Iterator[str]:
    # The csv module wants carriage returns that stand alone at the end of a line, as files give them to it.
    for line in decoded_lines(path):
        if "\r" in line:
            yield from filter(None, _RETURN.split(line))
        else:
            yield line


def _checked_header(cells: list[str], where: str) -> list[str]:
    names = [_INVISIBLE.sub("", cell).strip() for cell in cells]
    while names and not names[-1]:  # spreadsheets end every line with the delimiters of empty columns
        names.pop()
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice or "" in names:
        problem = f"column {twice[0]!r} stands twice" if twice and twice[0] else "a column has no name"
        hint = "; pandas leaves its index out with to_csv(index=False)" if names[:1] == [""] else ""
        raise DataError(f"{where}: {problem} in the header{hint or '; give each column its own name'}")
    return names


def _named(header: list[str], cells: list[str], where: str) -> dict[str, Any]:
    if len(cells) != len(header) and (len(cells) < len(header) or any(cells[len(header) :])):
        raise DataError(
            f"{where}: {len(cells)} cells, but the header names {len(header)} columns; name every column, "
            "put a cell with the delimiter in it into quotes, or say which delimiter it is (--delimiter)"
        )
    return {name: cell or None for name, cell in zip(header, cells, strict=False)}


def check_cells(row: Row) -> None:
    """Raise `DataError` with file and line if a text in a row cannot be written as UTF-8."""
    try:
        for name, cell in row.cells.items():
            check_text(name, "column name")
            if isinstance(cell, str):
                check_text(cell, f"column {name!r}")
    except ExampleError as error:
        raise DataError(f"{row.where}: {error.message}") from None
