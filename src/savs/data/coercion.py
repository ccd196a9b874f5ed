"""`as_example` and `as_examples`: every accepted form of an example becomes an `Example`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from savs._labels import as_label, check_labels, check_text, named_labels, plain_value, with_class_name
from savs._labels import is_missing as is_missing_value
from savs.data._arrow_files import class_names, classes_of_schema
from savs.data._chat import as_messages, is_message, place_images, place_in_order
from savs.data._chat_parts import Place, as_part, as_plain_list
from savs.data._containers import (
    inner_datasets,
    is_number,
    unpacked,
    unpacked_labels,
    warn_of_another_order,
)
from savs.data._conversations import as_question
from savs.data._error_ledger import ErrorLedger
from savs.data._results import ErrorLimit
from savs.data._text_files import text_suffix
from savs.data._unread import UnreadMedia, UnreadSplit
from savs.data.example import Example, Message, Part, Text, is_trusted, trusted
from savs.errors import DataError, ExampleError, ItemError
from savs.media import Audio, Image
from savs.media._arrays import CHANNELS
from savs.media._coercion import (
    Address,
    Fetch,
    a_type,
    as_audio,
    as_medium,
    as_video,
    ends_like_medium,
    is_image,
    is_medium,
    looks_like_image,
    settled_part,
    type_name,
)

__all__ = [
    "settled",
    "ID_FIELDS",
    "LABEL_FIELD",
    "TEXT_FIELDS",
    "as_id",
    "CHAT_FIELDS",
    "first_field",
    "image_fields",
    "label_field",
    "media_fields",
    "is_image_field",
    "row_to_example",
    "as_example",
    "as_examples",
]


# Media given by web address: fetched or refused.


def settled(example: Example, fetch: Fetch | None) -> Example:
    """Return an example in which every web address is replaced by the file fetched from it.

    Parameters
    ----------
    example : Example
        Returned unchanged if it holds no web addresses.
    fetch : callable or None
        Called with an address and its kind (``"image"``, ``"video"`` or ``"audio"``), returns the path of the
        downloaded file. None refuses all addresses.

    Returns
    -------
    Example
        With the same roles, texts, label, id and fields.

    Raises
    ------
    ExampleError
        ``url_refused`` if there is an address and `fetch` is None.
    MediaError
        Whatever `fetch` raises.
    """
    if not any(isinstance(getattr(part, "source", None), Address) for part in example.parts):
        return example

    def part_of(part: Part) -> Part:
        return settled_part(part, fetch) if isinstance(part, Image | Audio) else part

    messages = tuple(
        Message(message.role, tuple(map(part_of, message.parts))) for message in example.messages
    )
    return replace(example, messages=messages)


# Rows with the columns of the public SAVs files, or with chat messages, to an `Example`.

IMAGE_FIELDS = ("image", "image_path", "Image", "images")
FILE_FIELDS = ("file_name", "filename", "file_path", "filepath")
TEXT_FIELDS = ("question", "text", "prompt", "claim", "instruction", "Text")
ID_FIELDS = ("id", "ID", "Id")
LABEL_FIELD = "label"
CHAT_FIELDS = ("messages", "conversations", "conversation")
_DATA_FILES = frozenset({".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow"})
_NUMBERED = re.compile(r"image_(\d{1,4})")
VIDEO_FIELDS = ("video", "video_path", "videos")
AUDIO_FIELDS = ("audio", "audio_path", "audios")


def row_to_example(row: Mapping[str, Any], root: Path | None = None) -> Example:
    """Return the example that a row describes; all columns except the label are kept in ``fields``.

    These columns are read; where several are listed, the first one with a value is used:

    - chat: ``messages``, or ``conversations`` up to the user's last turn; they replace the text column;
    - images: ``image``, ``image_path``, ``Image``, ``images``, or else all of ``image_1``, ``image_2``, ...
      in order, except empty ones;
    - videos: ``video``, ``video_path``, ``videos``;
    - audio clips: ``audio``, ``audio_path``, ``audios``;
    - text: ``question``, ``text``, ``prompt``, ``claim``, ``instruction``, ``Text``;
    - label: ``label``;
    - id: ``id``, ``ID``, ``Id`` (not ``question_id``, which is not unique in the public files).

    Parameters
    ----------
    row : mapping
        Values by column name.
    root : Path, optional
        The folder that relative media paths start from; the working directory by default.

    Returns
    -------
    Example
        Without a chat, it has one message. Media stand at their markers in the text, or before it.

    Raises
    ------
    ExampleError
        ``row`` if no known column has a value, and the errors of images, chats, markers and labels.
    """
    if not all(isinstance(name, str) for name in row):
        raise ExampleError("a row's columns must be named by text", code="row")
    row = {name: as_plain_list(value) for name, value in row.items()}
    chat = first_field(row, CHAT_FIELDS)
    if chat is not None:
        turns = row[chat] if chat == "messages" else as_question(row[chat])
        messages = as_messages(turns, _images(row, root), root)
    else:
        messages = (Message("user", place_images(_text(row), _images(row, root))),)
    if _is_blank(messages):
        raise _empty(row)
    label_column = label_field(row)
    label = None if label_column is None else row[label_column]
    cells = {name: value for name, value in row.items() if name != label_column}
    fields = {name: None if is_missing(value) else value for name, value in cells.items()}
    known = None if is_missing(label) and label != "" else as_label(label)
    return Example(messages, known, _id(row), fields, label_column)


def image_fields(row: Mapping[str, Any]) -> list[str]:
    """Return the columns that hold the row's images, in the order of the images."""
    name = first_field(row, IMAGE_FIELDS)
    if name is not None:
        return [name]
    numbered = sorted((int(match[1]), name) for name in row if (match := _NUMBERED.fullmatch(name)))
    names = [name for _, name in numbered if not is_missing(row[name])]
    return names or _file_fields(row)


def media_fields(row: Mapping[str, Any]) -> list[str]:
    """Return the columns that hold the row's images, videos and audio clips."""
    others = (first_field(row, names) for names in (VIDEO_FIELDS, AUDIO_FIELDS))
    return [*image_fields(row), *(name for name in others if name is not None)]


def first_field(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the first of some columns that a row has a value in, or None.

    Parameters
    ----------
    row : mapping
        Values by column name.
    names : sequence of str
        Names of columns; any case of them, if none is spelled so.
    """
    for name in _spelled(tuple(row), tuple(names)):
        if not is_missing(row[name]):
            return name
    return None


@lru_cache(maxsize=256)
def _spelled(columns: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that are called by one of some names, those in the right case first."""
    lower = [name.lower() for name in names]
    exact = [name for name in names if name in columns]
    others = [name for name in columns if name not in exact and name.lower() in lower]
    return (*exact, *sorted(others, key=lambda name: lower.index(name.lower())))


def _file_fields(row: Mapping[str, Any]) -> list[str]:
    """Return the column of file names, if it names an image, video or audio clip and no other column does."""
    if any(first_field(row, names) is not None for names in (VIDEO_FIELDS, AUDIO_FIELDS)):
        return []
    name = first_field(row, FILE_FIELDS)
    value = None if name is None else row[name]
    return [name] if name is not None and isinstance(value, str) and ends_like_medium(value) else []


def is_image_field(name: str) -> bool:
    """Return whether a column of this name holds an image, video or audio clip by default."""
    known = {field.lower() for field in (*IMAGE_FIELDS, *FILE_FIELDS, *VIDEO_FIELDS, *AUDIO_FIELDS)}
    return name.lower() in known or _NUMBERED.fullmatch(name) is not None


def label_field(row: Mapping[str, Any]) -> str | None:
    """Return the column of the label, ``label`` in any case; None if there is none."""
    other = next((name for name in row if name.lower() == LABEL_FIELD), None)
    return LABEL_FIELD if LABEL_FIELD in row else other


def is_missing(value: Any) -> bool:
    """Return whether a cell has no value: an empty text, None, or what tables hold for it (NaN, NaT, NA)."""
    if isinstance(value, str):
        return value == ""
    return value is None or (not isinstance(value, int | list | dict) and is_missing_value(value))


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
    name = first_field(row, names)
    value = None if name is None else row[name]
    values = value if isinstance(value, list | tuple) else [value]
    return [value for value in values if not is_missing(value)]


def _text(row: Mapping[str, Any]) -> str:
    name = first_field(row, TEXT_FIELDS)
    value = "" if name is None else row[name]
    if not isinstance(value, str):
        raise ExampleError(
            f"column {name!r} must hold text, not {type_name(value)}; name another one (--text-column)",
            code="row",
        )
    return check_text(str(value), "text")


def _id(row: Mapping[str, Any]) -> str | None:
    return next((as_id(row[name]) for name in ID_FIELDS if not is_missing(row.get(name))), None)


def _empty(row: Mapping[str, Any]) -> ExampleError:
    return ExampleError(
        f"the row has neither an image ({', '.join(IMAGE_FIELDS)}, image_1 ...), video or audio nor a text "
        f"({', '.join(TEXT_FIELDS)}); name one with --image-column or --text-column; its columns: "
        f"{', '.join(map(repr, row)) or 'none'}",
        code="row",
    )


# `as_example` and `as_examples`: every accepted form of an example becomes an `Example`.

_ACCEPTED = (
    "accepted are a text, an image or audio (path, PIL image, uint8 array, bytes, open file, savs.Audio), "
    "(image, question), a list of texts and images, "
    "a list of chat messages, or a dict with image and question"
)


def as_example(
    item: Any,
    *,
    label: Any = None,
    id: str | None = None,
    root: Path | None = None,
    fetch: Fetch | None = None,
) -> Example:
    """Return anything that means one example as an `Example`; what was handed in is not changed.

    Parameters
    ----------
    item : object
        - `Example`: itself.
        - str: text; an image if it is a data URL, or one line that ends like an image file and has no white
          space or exists. Web addresses are refused without `fetch`. `Text` and Path say which is meant.
        - Path, bytes, file open for reading, PIL image: an image; an audio clip or video if a path ends like
          one.
        - ndarray, channels last, or tensor of torch, channels first: an image. uint8, bool, uint16, or
          floating point with all values from 0 to 1; docs/media.md says what is refused.
        - `Audio`, or a mapping with ``array`` and ``sampling_rate``: an audio clip.
        - (image, question) or ([image, ...], question); (any of these, whole number or truth value) is an
          example with its label, as datasets of torch have them.
        - list of texts and images, in order; list of chat messages.
        - mapping with ``messages`` or with the columns of the public SAVs files.
    label : str, int or bool, optional
        The class; wins over the item's own.
    id : str, optional
        The caller's name for it; wins over the item's own.
    root : Path, optional
        What relative image paths are relative to; the working directory by default.
    fetch : callable, optional
        Opens web addresses: a `savs.media.Fetcher`, or what gives a file for an address and
        ``"image"``, ``"video"`` or ``"audio"``. By default they are refused.

    Raises
    ------
    ExampleError
        If the item is nothing of the above; the message names its type and what to do.
    MediaError
        If an address cannot be fetched.

    Examples
    --------
    >>> example = as_example(("cat.png", "What is it?"), label="cat")
    >>> [type(part).__name__ for part in example.parts], example.text, example.label
    (['Image', 'Text'], 'What is it?', 'cat')
    >>> as_example({"image_1": "a.png", "image_2": "b.png", "question": "<image> or <image>?"}).text
    '<image> or <image>?'
    """
    if isinstance(item, Example) and is_trusted(item) and label is None and id is None:
        return item
    try:
        example = settled(_coerce(item, root), fetch)
        if label is not None or id is not None:
            known = example.label if label is None else as_label(label)
            example = replace(example, label=known, id=example.id if id is None else as_id(id))
        return trusted(example)
    except ItemError as error:
        if error.id is None and isinstance(id, str):
            error.id = id
        raise


def as_examples(
    items: Iterable[Any],
    labels: Iterable[Any] | None = None,
    *,
    root: Path | None = None,
    ledger: ErrorLedger | None = None,
    fetch: Fetch | None = None,
) -> list[Example]:
    """Return many items as examples, ids by default the position as text.

    Parameters
    ----------
    items : iterable
        As `as_example` takes them, in a list or any other iterable; a table of pandas, Polars or Arrow, whose
        rows are examples; a dataset of torch, or a DataLoader that does not shuffle. An array of shape
        (n, height, width) or (n, height, width, channels) is n images, and a tensor of shape (n, height,
        width) or (n, channels, height, width).
    labels : iterable of str, int or bool, optional
        One per item, all of one type.
    root : Path, optional
        What relative image paths are relative to.
    ledger : ErrorLedger, optional
        Notes the items that are not examples or have unusable labels; they are left out. By default the
        first one is raised.
    fetch : callable, optional
        Opens web addresses, as `as_example` has it.

    Raises
    ------
    ItemError
        For an item that is not an example or an unusable label, with the item's id, where `ledger` takes no
        more of them.
    DataError
        If `items` is a single item, or the labels are not one per item, or mix types.
    """
    errors = ErrorLedger() if ledger is None else ledger
    examples: list[Example] = []
    for position, result in enumerate(
        example_results(items, labels, root=root, fetch=fetch, limit=ErrorLimit(errors.left))
    ):
        if isinstance(result, ItemError):
            errors.add(position, None, result)
        else:
            examples.append(result)
    return examples


def example_results(
    items: Iterable[Any],
    labels: Iterable[Any] | None = None,
    *,
    root: Path | None = None,
    fetch: Fetch | None = None,
    limit: ErrorLimit | None = None,
) -> list[Example | ItemError]:
    """Return an example or an error for each item, in order; ids are by default the position as text.

    Parameters
    ----------
    items, labels, root, fetch
        As in `as_examples`.
    limit : ErrorLimit, optional
        Raises the error that is one too many; by default the first.

    Raises
    ------
    ItemError, DataError
        As by `as_examples`.
    """
    warn_of_another_order(items, labels)
    values = _with_class_names(items, _as_list(items))
    UnreadMedia(media_fields).warn(filter(_is_row, values))
    UnreadSplit().warn(filter(_is_row, values))
    classes = [None] * len(values) if labels is None else _one_per_item(labels, len(values))
    limit = ErrorLimit() if limit is None else limit
    results = [
        limit.attempt(lambda pair: _named(pair, root, fetch), (item, label, position), str(position))
        for position, (item, label) in enumerate(zip(values, classes, strict=True))
    ]
    check_labels([result.label for result in results if isinstance(result, Example)])
    return results


def with_labels_apart(items: Iterable[Any]) -> tuple[list[Any], list[Any] | None]:
    """Return items, and the labels of rows whose label is a list, which are taken out; None if none is one.

    Parameters
    ----------
    items : iterable
        As in `as_examples`.
    """
    values = _with_class_names(items, _as_list(items))
    names = [label_field(item) if _is_row(item) else None for item in values]
    labels = [None if name is None else item[name] for name, item in zip(names, values, strict=True)]
    if not any(isinstance(label, list | tuple | set | frozenset | np.ndarray) for label in labels):
        return values, None
    rows = [item if name is None else {**item, name: None} for name, item in zip(names, values, strict=True)]
    return rows, labels


def _is_row(item: Any) -> bool:
    named = isinstance(item, Mapping) and all(isinstance(name, str) for name in item)
    return named and "type" not in item and not is_medium(item)


def _with_class_names(items: Any, values: list[Any]) -> list[Any]:
    """Put the names of classes into the rows of a `datasets.Dataset`, as its readers do."""
    names = _classes_by_column(items)
    if not names:
        return values
    return [
        {**row, **{column: with_class_name(row.get(column), classes) for column, classes in names.items()}}
        if isinstance(row, Mapping)
        else row
        for row in values
    ]


def _classes_by_column(items: Any) -> Mapping[str, Sequence[str]]:
    """Return the names of the classes that a dataset or Arrow table knows, also inside those of torch."""
    features = getattr(items, "features", None)
    if isinstance(features, Mapping):
        return class_names(features)
    metadata = getattr(getattr(items, "schema", None), "metadata", None)
    if isinstance(metadata, Mapping):
        return classes_of_schema("the table", items.schema)
    # Only torch's own: a dataset of one's own may change what is in it.
    inner = [_classes_by_column(part) for part in inner_datasets(items)]
    if not inner:
        return {}
    first, *others = inner
    if any(other != first for other in others):
        raise DataError("the datasets put together have classes of different names; read them one by one")
    return first


def _named(item: tuple[Any, Any, int], root: Path | None, fetch: Fetch | None) -> Example:
    """Return the example of an item with its label and position; the position is its id if it has none."""
    value, label, position = item
    example = as_example(value, label=label, root=root, fetch=fetch)
    return example if example.id is not None else trusted(replace(example, id=str(position)))


def _coerce(item: Any, root: Path | None) -> Example:
    if isinstance(item, Example):
        return item if is_trusted(item) else _checked(item)
    if isinstance(item, Mapping) and not is_medium(item):
        return row_to_example(item, root)
    if isinstance(item, tuple) and len(item) == 1 and not isinstance(item[0], tuple):
        return _coerce(item[0], root)  # as TensorDataset of torch has them
    if isinstance(item, tuple) and len(item) == 2 and is_number(item[1]):
        label = item[1].item() if hasattr(item[1], "item") else item[1]
        pair = isinstance(item[0], tuple)  # (image, question); never another one with a label
        example = Example((Message("user", _from_pair(item[0], root)),)) if pair else _coerce(item[0], root)
        return replace(example, label=as_label(label))
    if isinstance(item, list) and item and is_message(item[0]):
        return Example(_with_content(as_messages(item, (), root)))
    return Example(_with_content((Message("user", _user_parts(item, root)),)))


def _user_parts(item: Any, root: Path | None) -> tuple[Part, ...]:
    if isinstance(item, str | Text) or is_image(item) or is_medium(item):
        return place_in_order([_sourced(as_part(item, root))])
    if isinstance(item, tuple):
        return _from_pair(item, root)
    if isinstance(item, list):
        return place_in_order([_sourced(as_part(part, root)) for part in item])
    raise ExampleError(f"{a_type(item)} is not an example; {_ACCEPTED}", code="example_type")


def _from_pair(pair: tuple[Any, ...], root: Path | None) -> tuple[Part, ...]:
    if len(pair) != 2 or not isinstance(pair[1], str):
        kinds = ", ".join(type_name(part) for part in pair)
        advice = "use a list for other combinations and labels= for labels"
        message = f"({kinds}) is not an (image, question) pair; {advice}"
        raise ExampleError(message, code="example_type")
    first, question = pair[0], check_text(str(pair[1]), "text")
    images = first if isinstance(first, list | tuple) else [first]
    first = images[0] if images else None
    if isinstance(first, str) and not looks_like_image(first, root) and looks_like_image(question, root):
        raise ExampleError("a pair is (image, question), the image first", code="example_type")
    return place_images(question, [as_medium(image, root) for image in images])


def _sourced(part: Part | Place) -> Part:
    if isinstance(part, Place):
        raise ExampleError(part.error, code="part_type")
    return part


def _with_content(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return a chat; `ExampleError` (``empty``) if it holds no medium, and no text but blanks."""
    if _is_blank(messages):
        raise ExampleError(f"the example is empty: no image and no text; {_ACCEPTED}", code="empty")
    return messages


def _is_blank(messages: Sequence[Message]) -> bool:
    """Return whether a chat holds no medium, and no text but blanks."""
    parts = [part for message in messages for part in message.parts]
    return all(isinstance(part, Text) and not part.text.strip() for part in parts)


def _checked(example: Example) -> Example:
    messages = as_messages(example.messages)
    if _is_blank(messages):
        raise ExampleError(
            f"the example is empty: no image and no text; {_ACCEPTED}", code="empty", id=example.id
        )
    label = None if example.label is None else as_label(example.label)
    if messages == example.messages and type(label) is type(example.label):
        return example
    return replace(example, messages=messages, label=label)


def _as_list(items: Any) -> list[Any]:
    items = unpacked(items)
    if isinstance(items, np.ndarray) and _is_stack(items):
        return list(items)
    if _is_pair(items):
        raise DataError(
            "a list of examples is needed; a tuple of an image and a text is one example: put it into a "
            "list, [(image, text)]"
        )
    single = isinstance(items, str | Mapping | set | frozenset | Example | Text | Audio) or is_image(items)
    if single or not isinstance(items, Iterable):
        raise DataError(f"a list of examples is needed, not one {type_name(items)}; {_advice(items)}")
    return list(items)


def _advice(items: Any) -> str:
    """Return what to do with something that is handed in instead of a list."""
    if isinstance(items, str | Path):
        path = Path(items)
        with suppress(OSError, ValueError):  # a text that no file can be called
            if path.is_dir() or text_suffix(path) in _DATA_FILES:
                return f"savs.read_examples({str(items)!r}) reads a folder or data file"
    if isinstance(items, Mapping) and items and all(hasattr(v, "column_names") for v in items.values()):
        return f"it holds the parts of a split: hand in one of them, such as [{next(iter(items))!r}]"
    if isinstance(items, Mapping) and items and all(isinstance(v, list | tuple) for v in items.values()):
        return "make a table of columns (pandas.DataFrame), or a list of rows"
    return "put one example into a list: [example]"


def _is_pair(items: Any) -> bool:
    """Return whether items are one (image, question) pair or one ([image, ...], question) pair."""
    if not isinstance(items, tuple) or len(items) != 2 or not isinstance(items[1], str):
        return False
    first = items[0]
    images = first if isinstance(first, list | tuple) and first else [first]
    return not looks_like_image(items[1]) and all(
        looks_like_image(image) if isinstance(image, str) else is_image(image) or is_medium(image)
        for image in images
    )


def _is_stack(array: np.ndarray[Any, Any]) -> bool:
    # (8, 8, 3) may be one color image: its rows must not pass for eight gray ones.
    return array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in CHANNELS) or array.dtype.kind in "OU"


def _one_per_item(labels: Any, n_items: int) -> list[Any]:
    labels = unpacked_labels(named_labels(labels))
    if isinstance(labels, str | bytes | Mapping | set | frozenset) or not isinstance(labels, Iterable):
        raise DataError(f"labels must be a list with one label per example, not {a_type(labels)}")
    shape = getattr(labels, "shape", (n_items,))
    if len(shape) != 1:
        raise DataError(
            f"labels have the shape {tuple(shape)}; give one label per example (.ravel() makes a column a "
            "list), or several of each to MultiLabelModel"
        )
    values = [plain_value(value) for value in labels]
    if len(values) != n_items:
        raise DataError(f"there are {n_items} examples and {len(values)} labels; give one label per example")
    missing = [str(position) for position, value in enumerate(values) if is_missing_value(value)]
    if missing:
        raise DataError(
            f"{len(missing)} of {n_items} labels are missing (None, NaN, NA), the first at position "
            f"{missing[0]}; leave those examples out"
        )
    return values
