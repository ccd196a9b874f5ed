"""Which columns of a data file hold the picture, the text, the label and the id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from savs.datasets.rows import Row
from savs.errors import DataError, ItemError
from savs.examples import Example
from savs.examples.rows import (
    ID_FIELDS,
    LABEL_FIELD,
    TEXT_FIELDS,
    as_id,
    is_image_field,
    is_missing,
    row_to_example,
)

__all__ = ["Columns"]


@dataclass(frozen=True)
class Columns:
    """Names of columns; None means the public SAVs names."""

    image: str | None = None
    text: str | None = None
    label: str | None = None
    id: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that were named."""
        return tuple(name for name in (self.image, self.text, self.label, self.id) if name is not None)

    def to_example(self, row: Row, root: Path) -> Example:
        """Return a row's example; its ``fields`` are the row's own columns but for the label.

        Raises
        ------
        DataError
            With file and line, if a named column is missing, or the label's is the text's or a picture's too.
        ItemError
            If the row is no example.
        """
        for name in self.named:
            if name not in row.cells:
                columns = ", ".join(map(repr, row.cells))
                raise DataError(f"{row.where}: there is no column {name!r}; columns: {columns}")
        if self.label is not None and self.label in (self.image, self.text):
            raise DataError(
                f"column {self.label!r} is named for the label and for the content: the answer must not "
                "stand in the prompt"
            )
        example = row_to_example(self._renamed(row.cells), root)
        chosen = example.id if self.id is None else as_id(row.cells[self.id])
        label = self.label if self.label is not None else example.label_column
        fields = {name: cell for name, cell in row.cells.items() if name != label}
        return replace(example, id=chosen, fields=fields, label_column=label)

    def id_of(self, row: Row) -> str | None:
        """Return a row's own id, or None if it has none that can be used."""
        names = ID_FIELDS if self.id is None else (self.id,)
        try:
            return next(
                (as_id(row.cells[name]) for name in names if not is_missing(row.cells.get(name))), None
            )
        except ItemError:
            return None

    def _renamed(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """Put the named columns in place of the public names, and take empty labels away."""
        # A label in a column that is read as text or picture by default is the label alone.
        renamed = {name: cell for name, cell in cells.items() if name != self.label}
        if self.image is not None:
            renamed = {name: cell for name, cell in renamed.items() if not is_image_field(name)}
            renamed["image"] = cells[self.image]
        if self.text is not None:
            renamed = {name: cell for name, cell in renamed.items() if name not in {*TEXT_FIELDS, "messages"}}
            renamed["question"] = cells[self.text]
        if self.label is not None:
            renamed[LABEL_FIELD] = cells[self.label]
        if is_missing(renamed.get(LABEL_FIELD)):
            renamed[LABEL_FIELD] = None
        if self.id is not None:
            renamed = {name: cell for name, cell in renamed.items() if name not in ID_FIELDS}
        return renamed
