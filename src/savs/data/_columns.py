"""Which columns of a data file hold the image, video, audio clip, text, label and id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from savs.data._conversations import is_conversation, last_answer
from savs.data._label_sets import split_labels
from savs.data._text_files import Row
from savs.data.coercion import (
    CHAT_FIELDS,
    ID_FIELDS,
    LABEL_FIELD,
    TEXT_FIELDS,
    as_id,
    is_image_field,
    is_missing,
    label_field,
    row_to_example,
)
from savs.data.example import Example, Label
from savs.data.options import ReadOptions
from savs.errors import DataError, ExampleError, ItemError
from savs.media._coercion import type_name


@dataclass(frozen=True)
class Columns:
    """Names of columns; None means the public SAVs names. Several of images are several images.

    Where one column of an image, video or audio clip is named, those named are all that the row shows and
    plays.
    """

    image: str | Sequence[str] | None = None
    text: str | None = None
    label: str | None = None
    id: str | None = None
    video: str | Sequence[str] | None = None
    audio: str | Sequence[str] | None = None
    separator: str | None = None  # of several labels of a row

    @classmethod
    def of(cls, options: ReadOptions) -> Columns:
        """Return the columns that options name."""
        return cls(
            image=options.image_column,
            text=options.text_column,
            label=options.label_column,
            id=options.id_column,
            video=options.video_column,
            audio=options.audio_column,
            separator=options.multi_label,
        )

    @cached_property
    def media(self) -> dict[str, tuple[str, ...]]:
        """The columns of images, videos and audio clips that were named, by the public name of their kind."""
        named = {"images": self.image, "videos": self.video, "audios": self.audio}
        return {kind: (one,) if isinstance(one, str) else tuple(one) for kind, one in named.items() if one}

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The columns that were named."""
        return (*self._media_names, *(name for name in (self.text, self.label, self.id) if name is not None))

    @cached_property
    def _media_names(self) -> tuple[str, ...]:
        return tuple(name for names in self.media.values() for name in names)

    def _option(self, name: str) -> str:
        """Return the option of a command that named a column."""
        roles = {self.text: "text", self.label: "label", self.id: "id"}
        media = {one: kind.removesuffix("s") for kind, names in self.media.items() for one in names}
        return f"--{media.get(name) or roles[name]}-column"

    @property
    def id_names(self) -> tuple[str, ...]:
        """The columns that may hold the id."""
        return ID_FIELDS if self.id is None else (self.id,)

    def to_example(self, row: Row, root: Path) -> Example:
        """Return a row's example; its ``fields`` are the row's own columns but for the label.

        Raises
        ------
        DataError
            With file and line, if a named column is missing; if one is named for two media, or for the label
            and the content.
        ItemError
            If the row is not an example.
        """
        for name in self.named:
            if name not in row.cells:
                columns = ", ".join(map(repr, row.cells))
                raise DataError(
                    f"{row.where}: there is no column {name!r} ({self._option(name)}); columns: {columns}"
                )
        twice = [name for name in self._media_names if self._media_names.count(name) > 1]
        if twice:
            option = self._option(twice[0])
            raise DataError(f"column {twice[0]!r} is named for two media; name it once ({option})")
        if self.label is not None and self.label in (*self._media_names, self.text):
            raise DataError(
                f"column {self.label!r} is named for the label (--label-column) and for the content: the "
                "answer must not stand in the prompt"
            )
        cells, labels = self._without_labels(row)
        example = row_to_example(self._renamed(cells), root)
        chosen = example.id if self.id is None else as_id(row.cells[self.id])
        label = self.label if self.label is not None else example.label_column
        fields = {name: _field(cell) for name, cell in row.cells.items() if name != label}
        return replace(example, id=chosen, fields=fields, label_column=label, labels=labels)

    def _without_labels(self, row: Row) -> tuple[Mapping[str, Any], tuple[Label, ...] | None]:
        """Return the cells without several labels, and these labels, where a row may have several."""
        name = self.label if self.label is not None else label_field(row.cells)
        if self.separator is None or name is None:
            return row.cells, None
        if is_conversation(row.cells[name]):
            raise ExampleError("the answer of a conversation is one label, not several", code="label")
        cell = row.cells[name] if row.is_typed or row.cells[name] is not None else ""
        return {**row.cells, name: None}, split_labels(cell, self.separator)

    def id_of(self, row: Row) -> str | None:
        """Return a row's own id, or None if it has none that can be used."""
        named = [row.cells[name] for name in self.id_names if not is_missing(row.cells.get(name))]
        try:
            return as_id(named[0]) if named else None
        except ItemError:
            return None

    def _renamed(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """Put the named columns in place of the public names, and take empty labels away."""
        # A label in a column that is read as text or image by default is the label alone.
        asked = self.label in CHAT_FIELDS and is_conversation(cells[self.label])
        renamed = {name: cell for name, cell in cells.items() if name != self.label or asked}
        if self.media:
            renamed = {name: cell for name, cell in renamed.items() if not is_image_field(name)}
        for kind, names in self.media.items():
            renamed[kind] = [part for name in names for part in _as_list(cells[name])]
        if self.text is not None:
            public = {name.lower() for name in (*TEXT_FIELDS, *CHAT_FIELDS)}
            renamed = {name: cell for name, cell in renamed.items() if name.lower() not in public}
            renamed["question"] = _text(self.text, cells[self.text])
        if self.label is not None:
            # The last answer of a conversation may be the class.
            renamed[LABEL_FIELD] = last_answer(cells[self.label]) if asked else cells[self.label]
        label = label_field(renamed)
        if label is not None and is_missing(renamed[label]):
            renamed[label] = None
        if self.id is not None:
            renamed = {name: cell for name, cell in renamed.items() if name not in ID_FIELDS}
        return renamed


def _text(name: str, cell: Any) -> Any:
    if is_missing(cell) or isinstance(cell, str):
        return cell
    raise ExampleError(
        f"column {name!r} must hold text, not {type_name(cell)}; name another one (--text-column)", code="row"
    )


def _as_list(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [cell]


def _field(cell: Any) -> Any:
    """Return a cell for prompts: of a medium its path, as its bytes are in the example and no text."""
    if is_missing(cell):
        return None
    if isinstance(cell, dict) and (cell.keys() == {"bytes", "path"} or "array" in cell):
        return cell.get("path")
    if isinstance(cell, list) and any(isinstance(one, dict) for one in cell):
        return [_field(one) for one in cell]
    return cell
