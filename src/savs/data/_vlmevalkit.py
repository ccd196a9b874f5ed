"""VLMEvalKit's tables: one TSV file with base64 images for each of its benchmarks.

The format is that of its documentation (docs/en/Development.md) and of its reader: ``index``, ``question``,
``answer`` (an option's letter, or Yes or No), the options ``A``, ``B``, ..., ``hint``, ``category``; and
``image`` with base64, a list of such, or, to save space, the index of another row whose image it is; or
``image_path`` with names of files.
"""

from __future__ import annotations

import ast
import csv
import string
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from savs._labels import DataWarning
from savs.data._text_files import LONGEST_LINE, check_file, decoded_lines, name_of
from savs.errors import DataError, ExampleError
from savs.media._coercion import decode_base64

__all__ = ["SCHEME", "vlmevalkit_rows"]

SCHEME = "vlmevalkit"
"""``vlmevalkit://folder/POPE.tsv`` is the table in that file."""

# A cell that is longer is base64; so does VLMEvalKit tell them apart.
_LONGEST_INDEX = 64

_Cells = dict[str, str | None]


def vlmevalkit_rows(address: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with the columns that `savs.data.read_examples` reads by default.

    Parameters
    ----------
    address : str
        ``vlmevalkit://`` and the path of the file.

    Yields
    ------
    dict
        The columns of the file, empty cells as None, and: ``id`` (the index; an id of the file's own becomes
        ``own_id``), ``label`` (the answer), ``image`` (one, or a list), ``question`` as VLMEvalKit asks it,
        with hint and options, and ``plain_question`` without.

    Raises
    ------
    DataError
        With file and row, if it is no such table, or an image is that of a row that is not there.

    Warns
    -----
    DataWarning
        If rows have no image: they are left out, as VLMEvalKit leaves them out.
    """
    table = _Table(Path(address.partition("://")[2]))
    images = _shared_images(table)
    n_rows = n_left = 0
    for number, cells in enumerate(table.rows(), start=1):
        n_rows = number
        shown = _images(table, number, cells, images)
        if shown is None:
            n_left += 1
            continue
        yield _row(cells, shown)
    if n_left:
        warnings.warn(
            f"{table.name}: {n_left} of {n_rows} rows have no image and are left out, as VLMEvalKit does",
            DataWarning,
            stacklevel=2,
        )


def _row(cells: _Cells, shown: list[Any]) -> dict[str, Any]:
    options = {
        letter: cells[letter] for letter in string.ascii_uppercase if cells.get(letter) not in (None, "")
    }
    row: dict[str, Any] = dict(cells)
    if cells.get("id") is not None:
        row["own_id"] = cells["id"]
    row |= {
        "id": cells["index"],
        "label": cells.get("answer"),
        "question": _question(cells.get("question") or "", cells.get("hint"), options),
        "plain_question": cells.get("question"),
    }
    if shown:
        row["image"] = shown[0] if len(shown) == 1 else shown
    return row


def _question(question: str, hint: str | None, options: dict[str, str | None]) -> str:
    """Return the question as VLMEvalKit asks it; one without options stays as it is."""
    if not options:
        return question
    lines = [*([] if hint is None else [f"Hint: {hint}"]), f"Question: {question}", "Options:"]
    lines += [f"{letter}. {option}" for letter, option in options.items()]
    return "\n".join([*lines, "Please select the correct answer from the options above."])


# Images: base64, the index of another row, or files.


def _images(table: _Table, number: int, cells: _Cells, shared: dict[str, list[Any]]) -> list[Any] | None:
    """Return the images of a row; None if it has none and should have one."""
    cell = cells.get("image")
    if cell is None:
        paths = cells.get("image_path")
        if paths is not None:
            return list(_listed(paths))
        return None if {"image", "image_path"} & cells.keys() else []
    if len(cell) > _LONGEST_INDEX:
        own = shared.get(cells["index"] or "")
        return _decoded(cell, cells.get("image_path")) if own is None else own
    if cell not in shared:
        raise DataError(
            f"{table.name}: row {number}: its image is that of the row {cell!r}, but no such row has one; "
            "names of files belong into a column image_path"
        )
    return shared[cell]


def _shared_images(table: _Table) -> dict[str, list[Any]]:
    """Return the images of the rows that other rows name, by index."""
    if "image" not in table.header:
        return {}
    columns = ["index", "image", *({"image_path"} & set(table.header))]
    named = {cell for row in table.rows(columns) if (cell := row["image"]) and len(cell) <= _LONGEST_INDEX}
    if not named:
        return {}
    return {
        row["index"]: _decoded(row["image"], row.get("image_path"))
        for row in table.rows(columns)
        if row["index"] in named and row["image"] and len(row["image"]) > _LONGEST_INDEX
    }


def _decoded(cell: str, paths: str | None) -> list[Any]:
    texts = [text.strip(" '\"\n") for text in cell[1:-1].split(",")] if cell.startswith("[") else [cell]
    names: list[str | None] = [] if paths is None else [*_listed(paths)]
    names += [None] * (len(texts) - len(names))
    return [_image(text, name) for text, name in zip(texts, names, strict=False)]


def _image(text: str, name: str | None) -> Any:
    try:
        return {"bytes": decode_base64(text), "path": name}
    except ExampleError:
        # What reads the row says so with its id, and one row more can be left out.
        return f"data:image/png;base64,{text}"


def _listed(cell: str) -> Sequence[str]:
    """Return the texts of a cell that holds one, or a list as Python or JSON writes it."""
    if cell.startswith("[") and cell.endswith("]"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of backslashes in names
                found = ast.literal_eval(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return [cell]
        return [str(text) for text in found]
    return [cell]


# The table itself: cells of many megabytes, which the csv module reads only with a limit lifted for the whole
# process.


class _Table:
    """A TSV file as pandas writes it: a header, cells with tabs or line breaks in quotes.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        If it cannot be read or lacks a column.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        self.path = path
        self.name = name_of(path)
        first = next(decoded_lines(path), "")
        self.header = next(csv.reader([first.rstrip("\r\n")], delimiter="\t"), [])
        wanting = [name for name in ("index", "question") if name not in self.header]
        if wanting or len(set(self.header)) < len(self.header):
            problem = f"there is no column {wanting[0]!r}" if wanting else "a column stands twice"
            raise DataError(
                f"{self.name}: this is no table of VLMEvalKit: {problem} in its first line, with cells "
                "between tabs"
            )

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[_Cells]:
        """Yield the cells of each row by column, empty ones as None.

        Parameters
        ----------
        columns : sequence of str, optional
            Those that are needed.
        """
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        wrong: list[arrow_csv.InvalidRow] = []

        def note(row: arrow_csv.InvalidRow) -> str:
            wrong.append(row)
            return "error"

        names = list(self.header if columns is None else columns)
        size = min(LONGEST_LINE, max(self.path.stat().st_size, 1) + 1)
        number = 0
        try:
            with arrow_csv.open_csv(
                self.path,
                arrow_csv.ReadOptions(use_threads=False, block_size=size),
                arrow_csv.ParseOptions(delimiter="\t", newlines_in_values=True, invalid_row_handler=note),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), include_columns=names
                ),
            ) as batches:
                for batch in batches:
                    for place in range(batch.num_rows):
                        number += 1
                        cells = (column[place].as_py() for column in batch.columns)
                        yield {name: cell or None for name, cell in zip(names, cells, strict=True)}
        except (pa.ArrowInvalid, OSError):
            # The messages of pyarrow hold cells.
            reason = "a quote is out of place, it is not UTF-8, or a row is too long"
            if wrong:
                reason = f"{wrong[0].actual_columns} cells, but the header names {wrong[0].expected_columns}"
            raise DataError(f"{self.name}: after row {number}: {reason}") from None
