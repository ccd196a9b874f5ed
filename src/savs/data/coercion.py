"""`as_example` and `as_examples`: every accepted form of an example becomes an `Example`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from savs.errors import DataError, ExampleError, ItemError
from savs.examples.addresses import Fetch, settled
from savs.examples.chat import Room, as_messages, as_part, is_message
from savs.examples.content import Audio, Example, Message, Part, Text
from savs.examples.labels import as_label, check_labels, check_text
from savs.examples.ledger import ErrorLedger
from savs.examples.markers import place_images, place_in_order
from savs.examples.pictures import a_type, is_picture, looks_like_image, type_name
from savs.examples.rows import as_id, row_to_example
from savs.examples.sounds import as_medium, is_medium

__all__ = ["as_example", "as_examples"]

_ACCEPTED = (
    "accepted are a text, a picture or sound (path, PIL image, uint8 array, bytes, open file, savs.Audio), "
    "(picture, question), a list of texts and pictures, "
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
        - str: text; a picture if it is a data URL, or one line that ends like a picture file and has no white
          space or exists. Web addresses are refused without `fetch`. `Text` and Path say which is meant.
        - Path, bytes, file open for reading, PIL image, ndarray (uint8, bool or uint16; (height, width[, 3 or
          4])): a picture; a sound or video if a path ends like one.
        - `Audio`, or a mapping with ``array`` and ``sampling_rate``: a sound.
        - (picture, question) or ([picture, ...], question).
        - list of texts and pictures, in order; list of chat messages.
        - mapping with ``messages`` or with the columns of the public SAVs files.
    label : str, int or bool, optional
        The class; wins over the item's own.
    id : str, optional
        The caller's name for it; wins over the item's own.
    root : Path, optional
        What relative picture paths are relative to; the working directory by default.
    fetch : callable, optional
        Opens web addresses: a `savs.media.addresses.Fetcher`, or what gives a file for an address and
        ``"image"``, ``"video"`` or ``"audio"``. By default they are refused.

    Raises
    ------
    ExampleError
        If the item is nothing of the above; the message says what was given (its type) and what to do.
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
    try:
        example = settled(_coerce(item, root), fetch)
        if label is not None:
            example = replace(example, label=as_label(label))
        return example if id is None else replace(example, id=as_id(id))
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
        As `as_example` takes them. An array of shape (n, height, width) or (n, height, width, channels) is n
        pictures.
    labels : iterable of str, int or bool, optional
        One per item, all of one type.
    root : Path, optional
        What relative picture paths are relative to.
    ledger : ErrorLedger, optional
        Notes the items that are no examples or have labels that are none; they are left out. By default the
        first one is raised.
    fetch : callable, optional
        Opens web addresses, as `as_example` has it.

    Raises
    ------
    ItemError
        For an item that is no example or a label that is none, with the item's id, where `ledger` takes no
        more of them.
    DataError
        If `items` is a single item, or the labels are not one per item, or mix types.
    """
    given = _as_list(items)
    classes = [None] * len(given) if labels is None else _one_per_item(labels, len(given))
    pairs = dict(enumerate(zip(given, classes, strict=True)))
    made = (ledger or ErrorLedger()).collect(
        lambda pair: as_example(pair[0], label=pair[1], root=root, fetch=fetch), pairs
    )
    check_labels([example.label for example in made.values()])
    return [
        example if example.id is not None else replace(example, id=str(position))
        for position, example in made.items()
    ]


def _coerce(item: Any, root: Path | None) -> Example:
    if isinstance(item, Example):
        return _checked(item)
    if isinstance(item, Mapping) and not is_medium(item):
        return row_to_example(item, root)
    if isinstance(item, list) and item and is_message(item[0]):
        return Example(as_messages(item, (), root))
    return Example((Message("user", _non_empty(_user_parts(item, root))),))


def _user_parts(item: Any, root: Path | None) -> tuple[Part, ...]:
    if isinstance(item, str | Text) or is_picture(item) or is_medium(item):
        return place_in_order([_sourced(as_part(item, root))])
    if isinstance(item, tuple):
        return _from_pair(item, root)
    if isinstance(item, list):
        return place_in_order([_sourced(as_part(part, root)) for part in item])
    raise ExampleError(f"{a_type(item)} is no example; {_ACCEPTED}", code="example_type")


def _from_pair(pair: tuple[Any, ...], root: Path | None) -> tuple[Part, ...]:
    if len(pair) != 2 or not isinstance(pair[1], str):
        kinds = ", ".join(type_name(part) for part in pair)
        message = (
            f"({kinds}) is no (picture, question) pair; use a list for other mixtures and labels= for labels"
        )
        raise ExampleError(message, code="example_type")
    given, question = pair[0], check_text(str(pair[1]), "text")
    pictures = given if isinstance(given, list | tuple) else [given]
    first = pictures[0] if pictures else None
    if isinstance(first, str) and not looks_like_image(first, root) and looks_like_image(question, root):
        raise ExampleError("a pair is (picture, question), the picture first", code="example_type")
    return place_images(question, [as_medium(picture, root) for picture in pictures])


def _sourced(part: Part | Room) -> Part:
    if isinstance(part, Room):
        raise ExampleError(part.error, code="part_type")
    return part


def _non_empty(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    if not any(not isinstance(part, Text) or part.text.strip() for part in parts):
        raise ExampleError(f"the example is empty: no picture and no text; {_ACCEPTED}", code="empty")
    return parts


def _checked(example: Example) -> Example:
    messages = as_messages(example.messages)
    if not any(message.parts for message in messages):
        raise ExampleError("the example is empty: no picture and no text", code="empty", id=example.id)
    label = None if example.label is None else as_label(example.label)
    if messages == example.messages and type(label) is type(example.label):
        return example
    return replace(example, messages=messages, label=label)


def _as_list(items: Any) -> list[Any]:
    if isinstance(items, np.ndarray) and _is_stack(items):
        return list(items)
    if _is_pair(items):
        raise DataError(
            "a list of examples is needed; a tuple of a picture and a text is one example: put it into a "
            "list, [(picture, text)]"
        )
    single = isinstance(items, str | Mapping | set | frozenset | Example | Text | Audio) or is_picture(items)
    if single or hasattr(items, "columns") or not isinstance(items, Iterable):
        hint = "; a table's rows are .to_dict('records')" if hasattr(items, "columns") else ""
        raise DataError(f"a list of examples is needed, not one {type_name(items)}{hint}")
    return list(items)


def _is_pair(items: Any) -> bool:
    """Return whether items are one (picture, question) pair or one ([picture, ...], question) pair."""
    if not isinstance(items, tuple) or len(items) != 2 or not isinstance(items[1], str):
        return False
    first = items[0]
    pictures = first if isinstance(first, list | tuple) and first else [first]
    return not looks_like_image(items[1]) and all(
        looks_like_image(picture) if isinstance(picture, str) else is_picture(picture) or is_medium(picture)
        for picture in pictures
    )


def _is_stack(array: np.ndarray[Any, Any]) -> bool:
    # (8, 8, 3) may be one colour picture: its rows must not pass for eight grey ones.
    return array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in {3, 4}) or array.dtype.kind in "OU"


def _one_per_item(labels: Any, n_items: int) -> list[Any]:
    if isinstance(labels, str | bytes | Mapping | set | frozenset) or not isinstance(labels, Iterable):
        raise DataError(f"labels must be a list with one label per example, not {a_type(labels)}")
    values = list(labels)
    if len(values) != n_items:
        raise DataError(f"there are {n_items} examples and {len(values)} labels; give one label per example")
    missing = [str(position) for position, value in enumerate(values) if value is None]
    if missing:
        raise DataError(
            f"{len(missing)} labels are None (first at position {missing[0]}); leave those examples out"
        )
    return values
