"""Labels: text, whole numbers or truth values, all of one type in a dataset."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from savs.data.example import Label
from savs.errors import DataError, ExampleError

_LARGEST = 2**63


class DataWarning(UserWarning):
    """A set of examples can be used, but is probably not what was meant."""


def as_label(value: Any) -> Label:
    """Return a label as str, int or bool; numpy scalars become their Python equals.

    Raises
    ------
    ExampleError
        ``label`` for anything else: None, floats (NaN included), empty text, text that is not valid Unicode,
        whole numbers beyond 64 bits.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        if -_LARGEST <= int(value) < _LARGEST:
            return int(value)
        raise _label_error("the label is a whole number beyond 64 bits; use text instead")
    if isinstance(value, str):
        return _text_label(str(value))
    hint = "; convert it to int or str" if isinstance(value, float | np.floating) else ""
    raise _label_error(f"a label is text, a whole number or a truth value, not {type(value).__name__}{hint}")


def has_surrogate(text: str) -> bool:
    """Return whether a text holds half of a surrogate pair, which no file or stream can be written with."""
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def check_text(text: str, what: str) -> str:
    """Return `text`; `ExampleError` (``lone_surrogate``) if it cannot be written as UTF-8."""
    if not text.isascii() and has_surrogate(text):
        message = (
            f"the {what} holds half of a surrogate pair and is not valid Unicode; read its file as UTF-8"
        )
        raise ExampleError(message, code="lone_surrogate")
    return text


def check_labels(labels: Sequence[Label | None]) -> None:
    """Check the labels of a whole set; None means that an example has none.

    Raises
    ------
    DataError
        If labels of two types are mixed, such as 1 and "1", or 1 and True: numpy would merge them silently.

    Warns
    -----
    DataWarning
        If two labels look alike: they differ only as Unicode (NFC and NFD), in case, or in white space around
        them.
    """
    firsts: dict[type, Label] = {}
    for label in labels:
        if label is not None:
            firsts.setdefault(type(label), label)
    if len(firsts) > 1:
        kinds = " and ".join(f"{label!r} ({kind.__name__})" for kind, label in firsts.items())
        raise DataError(f"labels of different types are mixed: {kinds}; make all of them one type")
    _warn_of_twins({label for label in labels if isinstance(label, str)})


def _warn_of_twins(names: set[str]) -> None:
    seen: dict[str, str] = {}
    for name in sorted(names):
        twin = seen.setdefault(_likeness(name), name)
        if twin != name:
            message = (
                f"the labels {twin!a} and {name!a} differ only in {_difference(twin, name)}: two classes?"
            )
            warnings.warn(message, DataWarning, stacklevel=4)


def _likeness(name: str) -> str:
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded).strip()


def _difference(one: str, other: str) -> str:
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other):
        return "their Unicode form (NFC, NFD)"
    return "white space around them" if one.strip() == other.strip() else "case"


def _text_label(label: str) -> str:
    if not label:
        raise _label_error("the label is an empty text; leave it out or name the class")
    if "\0" in label:
        # numpy drops null characters at the end of a text: two classes would become one.
        raise _label_error("the label holds a null character; take it out")
    return check_text(label, "label")


def _label_error(message: str) -> ExampleError:
    return ExampleError(message, code="label")
