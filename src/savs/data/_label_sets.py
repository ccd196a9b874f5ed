"""Several labels per example: collections of labels, or a 0/1 indicator matrix with names of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from savs._labels import (
    Label,
    as_label,
    check_labels,
    is_list_as_text,
    is_missing,
    named_labels,
    plain_value,
)
from savs.errors import DataError, ExampleError

__all__ = ["as_label_sets", "split_labels"]

_FORM = (
    "name its columns with classes=[...] (or hand in a DataFrame), or give the labels of each example, such "
    "as ['red', 'car']"
)


def as_label_sets(
    labels: Any, n_examples: int, classes: Iterable[Label] | None = None
) -> tuple[list[frozenset[Label]], list[Label]]:
    """Return the labels of each example, and all labels.

    Parameters
    ----------
    labels : sequence of collection of label, or indicator matrix
        One collection per example, which may be empty; or a matrix of 0 and 1, shape (n_examples, n_labels):
        an array, a sparse matrix or a tensor with `classes`, or a DataFrame with the labels as its columns.
    n_examples : int
        How many there are.
    classes : iterable of label, optional
        All labels; of a matrix the labels of its columns, in order.

    Returns
    -------
    sets : list of frozenset of label
        One per example.
    names : list of label
        All labels, sorted.

    Raises
    ------
    ExampleError
        ``label``, with the position as id, if one example's labels are missing or cannot be used.
    DataError
        If there are not as many as examples, labels are of mixed types, or a matrix comes without names.
    """
    names = None if classes is None else _names(classes)
    labels = named_labels(labels)
    columns = getattr(labels, "columns", None)
    if columns is not None and hasattr(labels, "to_numpy"):
        names = _of_table(_names(columns), names)
        labels = labels[names].to_numpy()
    elif hasattr(labels, "toarray"):
        labels = labels.toarray()
    elif len(getattr(labels, "shape", ())) == 2:
        labels = np.asarray(labels)
    if isinstance(labels, str | bytes | Mapping | set | frozenset) or not isinstance(labels, Iterable):
        raise DataError(f"give a collection of labels for each of the {n_examples} examples")
    rows = [plain_value(row) for row in labels]
    if len(rows) != n_examples:
        raise DataError(f"give a collection of labels for each of the {n_examples} examples, not {len(rows)}")
    if _is_indicator(labels, rows, names):
        sets = _from_matrix(rows, names)
    else:
        sets = [_label_set(row, position) for position, row in enumerate(rows)]
    given = [label for own in sets for label in own]
    check_labels([*given, *(names or [])])
    if names is None:
        return sets, sorted(set(given))
    unknown = next(((i, label) for i, own in enumerate(sets) for label in own if label not in names), None)
    if unknown is not None:
        raise DataError(f"example {unknown[0]} has the label {unknown[1]!r}, which is not among the classes")
    return sets, sorted(names)


def split_labels(cell: Any, separator: str) -> tuple[Label, ...] | None:
    """Return the labels in a cell: a list of them, or a text with a separator; None if it is missing.

    An empty list or text is an example without any label.

    Raises
    ------
    ExampleError
        ``label``.

    Examples
    --------
    >>> split_labels("red; car", ";"), split_labels("", ";"), split_labels(None, ";")
    (('red', 'car'), (), None)
    """
    cell = plain_value(cell)
    if isinstance(cell, str):
        if is_list_as_text(cell):
            raise ExampleError(
                f"the labels are a list written as text, {cell[:60]!r}; write them with {separator!r} "
                "between two of them, or the data as JSONL or Parquet, which have lists",
                code="label",
            )
        pieces = [piece.strip() for piece in cell.split(separator)]
        return tuple(dict.fromkeys(as_label(piece) for piece in pieces if piece))
    if isinstance(cell, list | tuple | np.ndarray):
        return tuple(dict.fromkeys(as_label(label) for label in cell))
    if is_missing(cell):
        return None
    raise ExampleError(
        f"a cell of several labels is a list, or a text with {separator!r} between them, not "
        f"{type(cell).__name__}",
        code="label",
    )


def _names(classes: Iterable[Any]) -> list[Label]:
    if isinstance(classes, str | bytes):
        raise DataError("classes must be a list of labels, not one text")
    names = []
    for position, label in enumerate(classes):
        try:
            names.append(as_label(label))
        except ExampleError as error:
            raise DataError(f"class {position}: {error.message}") from None
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"the class {twice!r} is named twice")
    return names


def _of_table(columns: list[Label], names: list[Label] | None) -> list[Label]:
    if names is not None and set(names) != set(columns):
        odd = sorted(map(str, set(names) ^ set(columns)))[0]
        raise DataError(f"the classes are not the columns of the table: {odd!r} is in one of them alone")
    return columns


def _is_indicator(labels: Any, rows: Sequence[Any], names: Sequence[Label] | None) -> bool:
    """Return whether rows are those of a matrix of 0 and 1, and no lists of labels."""
    if isinstance(labels, np.ndarray) and labels.ndim == 2 and labels.dtype.kind in "biuf":
        return True
    if not rows or not all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        return False
    lengths = {len(row) for row in rows}
    if len(lengths) > 1 or lengths == {0}:
        return False
    return all(_is_truth(cell) for row in rows for cell in row) and (
        names is None or lengths == {len(names)} or not set(names) <= {0, 1}
    )


def _is_truth(cell: Any) -> bool:
    return isinstance(cell, bool | int | float | np.bool_ | np.number) and cell in (0, 1)


def _from_matrix(rows: Sequence[Any], names: Sequence[Label] | None) -> list[frozenset[Label]]:
    width = len(rows[0]) if rows else 0
    if names is None:
        raise DataError(
            f"the labels look like an indicator matrix, {len(rows)} rows of {width} cells 0 or 1: {_FORM}; "
            "labels that are 0 and 1 themselves go as sets"
        )
    if width != len(names):
        raise DataError(f"the indicator matrix has {width} columns, and there are {len(names)} classes")
    sets = []
    for position, row in enumerate(rows):
        for name, cell in zip(names, row, strict=True):
            if not _is_truth(cell):
                raise _error(f"the indicator of {name!r} is neither 0 nor 1", position)
        sets.append(frozenset(name for name, cell in zip(names, row, strict=True) if cell))
    return sets


def _label_set(row: Any, position: int) -> frozenset[Label]:
    if not isinstance(row, list | tuple | set | frozenset | np.ndarray):
        if is_missing(row):
            raise _error("its labels are missing; an example without any has an empty list", position)
        raise _error(
            f"give a collection of labels, such as ['a'] for one, not {type(row).__name__}", position
        )
    try:
        return frozenset(as_label(label) for label in row)
    except ExampleError as error:
        error.id = str(position)
        raise


def _error(message: str, position: int) -> ExampleError:
    return ExampleError(message, code="label", id=str(position))
