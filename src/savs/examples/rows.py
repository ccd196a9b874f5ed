"""Rows with the columns of the public SAVs files, or with chat messages, to an `Example`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from savs.errors import ExampleError
from savs.examples.chat import as_messages
from savs.examples.content import Audio, Example, Image, Message
from savs.examples.labels import as_label, check_text
from savs.examples.markers import place_images
from savs.examples.pictures import as_video, type_name
from savs.examples.sounds import as_audio, as_medium

__all__ = [
    "ID_FIELDS",
    "LABEL_FIELD",
    "TEXT_FIELDS",
    "as_id",
    "image_fields",
    "is_image_field",
    "is_missing",
    "row_to_example",
]

IMAGE_FIELDS = ("image", "image_path", "Image", "images")
TEXT_FIELDS = ("question", "text", "prompt", "claim", "instruction", "Text")
ID_FIELDS = ("id", "ID")
LABEL_FIELD = "label"
_NUMBERED = re.compile(r"image_(\d{1,4})")
VIDEO_FIELDS = ("video", "video_path", "videos")
AUDIO_FIELDS = ("audio", "audio_path", "audios")


def row_to_example(row: Mapping[str, Any], root: Path | None = None) -> Example:
    """Return the example of a row; all its columns but the label are kept in ``fields``.

    Pictures: the first of ``image``, ``image_path``, ``Image``, ``images`` that is there, else ``image_1``,
    ``image_2``, ... in order, those without a value left out; then the videos of the first of ``video``,
    ``video_path``, ``videos`` and the sounds of the first of ``audio``, ``audio_path``, ``audios``. Text: the
    first of ``question``, ``text``, ``prompt``, ``claim``, ``instruction``, ``Text``. ``label`` and ``id`` or
    ``ID`` as they say (``question_id`` is not unique in the public files).

    Raises
    ------
    ExampleError
        ``row`` if no known column has a value, and the errors of pictures, chats, markers and labels.
    """
    if not all(isinstance(name, str) for name in row):
        raise ExampleError("a row's columns must be named by text", code="row")
    if row.get("messages") is not None:
        messages = as_messages(row["messages"], _images(row, root), root)
    else:
        messages = (Message("user", place_images(_text(row), _images(row, root))),)
    if not any(message.parts for message in messages):
        raise _empty(row)
    label = row.get(LABEL_FIELD)
    fields = {name: value for name, value in row.items() if name != LABEL_FIELD}
    known = None if label is None else as_label(label)
    return Example(messages, known, _id(row), fields, LABEL_FIELD if LABEL_FIELD in row else None)


def image_fields(row: Mapping[str, Any]) -> list[str]:
    """Return the columns that hold the row's pictures, in the order of the pictures."""
    for name in IMAGE_FIELDS:
        if not is_missing(row.get(name)):
            return [name]
    numbered = sorted((int(match[1]), name) for name in row if (match := _NUMBERED.fullmatch(name)))
    return [name for _, name in numbered if not is_missing(row[name])]


def is_image_field(name: str) -> bool:
    """Return whether a column of this name holds a picture, video or sound by default."""
    return name in (*IMAGE_FIELDS, *VIDEO_FIELDS, *AUDIO_FIELDS) or _NUMBERED.fullmatch(name) is not None


def is_missing(value: Any) -> bool:
    """Return whether a cell has no value: None, an empty text, or the NaN that tables hold for it."""
    if isinstance(value, float | np.floating):
        return bool(value != value)
    return value is None or (isinstance(value, str) and value == "")


def as_id(value: Any) -> str:
    """Return an id as text; `ExampleError` (``id``) if it is neither text nor a whole number."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str) and value:
        return check_text(str(value), "id")
    raise ExampleError(f"an id is text or a whole number, not {type_name(value)}", code="id")


def _images(row: Mapping[str, Any], root: Path | None) -> list[Image | Audio]:
    values: list[Any] = []
    for name in image_fields(row):
        value = row[name]
        values.extend(value if isinstance(value, list | tuple) else [value])
    return [
        *(as_medium(value, root) for value in values if not is_missing(value)),
        *(as_video(value, root) for value in _first_values(row, VIDEO_FIELDS)),
        *(as_audio(value, root) for value in _first_values(row, AUDIO_FIELDS)),
    ]


def _first_values(row: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    name = next((name for name in names if not is_missing(row.get(name))), None)
    value = None if name is None else row[name]
    values = value if isinstance(value, list | tuple) else [value]
    return [value for value in values if not is_missing(value)]


def _text(row: Mapping[str, Any]) -> str:
    for name in TEXT_FIELDS:
        value = row.get(name)
        if is_missing(value):
            continue
        if not isinstance(value, str):
            raise ExampleError(f"column {name!r} must hold text, not {type_name(value)}", code="row")
        return check_text(str(value), "text")
    return ""


def _id(row: Mapping[str, Any]) -> str | None:
    return next((as_id(row[name]) for name in ID_FIELDS if not is_missing(row.get(name))), None)


def _empty(row: Mapping[str, Any]) -> ExampleError:
    return ExampleError(
        f"the row has neither a picture ({', '.join(IMAGE_FIELDS)}, image_1 ...), video or audio nor a text "
        f"({', '.join(TEXT_FIELDS)}); its columns: {', '.join(map(repr, row)) or 'none'}",
        code="row",
    )
