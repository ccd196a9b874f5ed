"""Rows of other layouts to the columns of the annotation files: what `Task.row` returns, as examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from savs.data import Audio, Example, Text, Video, as_example
from savs.data.coercion import LABEL_FIELD, TEXT_FIELDS, first_field
from savs.errors import DataError, ItemError

__all__ = ["MEDIA", "Row", "RowMapper", "mapped", "value_of"]

Row = Mapping[str, Any]
RowMapper = Callable[[Row], Row | Sequence[Row]]
"""From a row of a public layout to the columns of the annotation files, or to several such rows."""

MEDIA = "media"
"""Column of a row, for mappers: all its images, videos and audio clips."""


def value_of(row: Row, *names: str) -> Any:
    """Return the first value of a row in a column of one of some names, in any case; None if there is none.

    Parameters
    ----------
    row : mapping
        Cells by column name.
    *names : str
        Names of columns.

    Examples
    --------
    >>> value_of({"Answer": "Yes"}, "answer")
    'Yes'
    """
    name = first_field(row, names)
    return None if name is None else row[name]


def mapped(examples: Sequence[Example], mapper: RowMapper, split_column: str | None = None) -> list[Example]:
    """Return the examples whose columns are what a mapper makes of those they were read from.

    Parameters
    ----------
    examples : sequence of Example
        As read; their media stay.
    mapper : callable
        `RowMapper`. Where it gives several rows, ids get ``#0``, ``#1``, ...

    split_column : str, optional
        A column whose value stays where the mapper gives none.

    Raises
    ------
    DataError
        With the example's id, if a column that the mapper needs is not there or its result is no example.
    """
    found = [(example, one) for example in examples for one in _mapped(example, mapper)]
    return [_in_split(one, example, split_column) for example, one in found]


def _in_split(example: Example, origin: Example, column: str | None) -> Example:
    if column is None or column in example.fields or column not in origin.fields:
        return example
    return replace(example, fields={**example.fields, column: origin.fields[column]})


def _mapped(example: Example, mapper: RowMapper) -> list[Example]:
    media = [part for part in example.parts if not isinstance(part, Text)]
    cells: Row = {**example.fields, MEDIA: media}
    if example.label is not None:
        cells = {**cells, example.label_column or LABEL_FIELD: example.label}
    try:
        found = mapper(cells)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        columns = ", ".join(repr(name) for name in cells if name != MEDIA)
        raise DataError(
            f"{example.id}: the row is of no public layout of the task; its columns are {columns[:300]}"
        ) from None
    if found is cells:
        return [example]
    if isinstance(found, Mapping):
        return [_example(example, found, example.id)]
    return [_example(example, row, f"{example.id}#{place}") for place, row in enumerate(found)]


def _example(origin: Example, row: Row, id: str | None) -> Example:
    media = [part for part in origin.parts if not isinstance(part, Text)]
    content = {
        "images": [part for part in media if not isinstance(part, Audio | Video)],
        "videos": [part for part in media if isinstance(part, Video)],
        "audios": [part for part in media if isinstance(part, Audio)],
        "question": value_of(row, *TEXT_FIELDS) or "",
    }
    try:
        made = as_example({name: value for name, value in content.items() if value}, id=id)
    except ItemError as error:
        raise DataError(f"{id}: {error}") from None
    fields = {name: cell for name, cell in row.items() if name not in (LABEL_FIELD, MEDIA)}
    return replace(made, label=row.get(LABEL_FIELD), fields=fields, label_column=LABEL_FIELD)
