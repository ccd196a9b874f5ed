"""Labels: text, whole numbers or truth values, from whatever library; all of one type in a dataset."""

from __future__ import annotations

import ast
import json
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np

from savs.errors import DataError, ExampleError

Label = str | int | bool
_LARGEST = 2**63
_NAMES_SHOWN = 5
_LONGEST_LIST = 4096  # characters of a text that is looked at as a list


class DataWarning(UserWarning):
    """A set of examples can be used, but is probably not what was meant."""


# One label, of any library's type.


def as_label(value: Any) -> Label:
    """Return a label as str, int or bool.

    Scalars of NumPy, pandas, PyArrow and PyTorch become their Python equals, and so do members of
    enumerations that are text or whole numbers.

    Raises
    ------
    ExampleError
        ``label`` for anything else: missing values (None, NaN, NA, NaT, null), floats, empty text, text that
        is not valid Unicode, whole numbers beyond 64 bits, several labels.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        if -_LARGEST <= int(value) < _LARGEST:
            return int(value)
        raise _label_error("the label is a whole number beyond 64 bits; use text instead")
    if isinstance(value, str):
        # Not str(value): of a member of an enumeration that is its name.
        return _text_label(str.__str__(value))
    plain = plain_value(value)
    if plain is not value:
        return as_label(plain)
    if is_missing(value):
        raise _label_error("the label is missing; give the example one, or leave it out")
    kind = type(value).__name__
    raise _label_error(f"a label is text, a whole number or a truth value, not {kind}{_advice(value)}")


def plain_value(value: Any) -> Any:
    """Return the Python value of a PyArrow scalar or of an array or tensor of no dimension; else itself."""
    if isinstance(value, np.generic) or value is np.ma.masked:
        return value
    if hasattr(value, "as_py") and type(value).__module__.partition(".")[0] == "pyarrow":
        return value.as_py()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value[()]
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: None, NaN, NaT, pandas' NA, PyArrow's null, a masked entry."""
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, float | np.floating | np.datetime64 | np.timedelta64 | Decimal):
        return bool(value != value)
    kind = type(value)
    if kind.__module__.partition(".")[0] == "pyarrow" and hasattr(value, "is_valid"):
        return not value.is_valid
    return kind.__name__ in ("NAType", "NaTType") and kind.__module__.partition(".")[0] == "pandas"


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


def _text_label(label: str) -> str:
    if not label.strip():
        blank = "blank" if label else "an empty text"
        raise _label_error(f"the label is {blank}; leave it out or name the class")
    if "\0" in label:
        # numpy drops null characters at the end of a text: two classes would become one.
        raise _label_error("the label holds a null character; take it out")
    return check_text(label, "label")


def _advice(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "; convert it to int or str"
    if isinstance(value, bytes):
        return "; decode it"
    if isinstance(value, Enum):
        return "; use its value or its name"
    if isinstance(value, list | tuple | set | frozenset | dict) or np.ndim(value):
        several = "several labels of an example are for MultiLabelModel, as its labels=[...]"
        return f"; {several} (savs fit --multi-label)"
    return ""


def _label_error(message: str) -> ExampleError:
    return ExampleError(message, code="label")


# Class names of the `datasets` library.


def class_names_of(kind: Any) -> tuple[str, ...] | None:
    """Return the names of the classes of a `ClassLabel`, or of lists of it; None for anything else.

    Parameters
    ----------
    kind : object
        A feature of the ``datasets`` library.
    """
    while hasattr(kind, "feature"):
        kind = kind.feature
    return tuple(kind.names) if hasattr(kind, "int2str") else None


def with_class_name(cell: Any, names: Sequence[str]) -> Any:
    """Return the name of the class for its number, None for -1 ("not known"); each of a list.

    Raises
    ------
    DataError
        If a number is none of the classes'.
    """
    if isinstance(cell, list | tuple) or len(getattr(cell, "shape", "")):
        return [with_class_name(part, names) for part in cell]
    plain = plain_value(cell)  # with_format("numpy") and with_format("torch") give numbers of their own
    if not isinstance(plain, int | np.integer):
        return cell
    if -1 <= plain < len(names):
        return None if plain == -1 else names[int(plain)]
    raise DataError(f"{int(plain)} is none of the {len(names)} classes of its column")


def named_labels(labels: Any) -> Any:
    """Return the names of the classes of a column of a `datasets.Dataset`; any other labels unchanged."""
    kind = getattr(labels, "features", None)
    if kind is None and hasattr(labels, "column_name"):  # of an iterable dataset
        features = getattr(getattr(labels, "source", None), "features", None)
        kind = features.get(labels.column_name) if isinstance(features, Mapping) else None
    names = class_names_of(kind)
    return labels if names is None else [with_class_name(label, names) for label in labels]


# The labels of a set, and those of two sets.


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
        them; or one looks like several, such as ``"red;car"`` beside ``"red"`` and ``"car;old"``, or a list
        written as text.
    """
    firsts: dict[type, Label] = {}
    for label in labels:
        if label is not None:
            firsts.setdefault(type(label), label)
    if len(firsts) > 1:
        kinds = " and ".join(f"{label!r} ({kind.__name__})" for kind, label in firsts.items())
        raise DataError(f"labels of different types are mixed: {kinds}; make all of them one type")
    names = {label for label in labels if isinstance(label, str)}
    _warn_of_twins(names)
    _warn_of_several(names)


def key_of(label: Label | None) -> tuple[type, Label | None]:
    """Return what tells labels apart: 1, True and "1" are three."""
    plain = label.item() if isinstance(label, np.generic) else label
    return (str if isinstance(plain, str) else type(plain)), plain


def class_index(label: Any, classes: Sequence[Label]) -> int | None:
    """Return the place of a label among the classes, or None; 1 is not True."""
    keys = [key_of(one) for one in classes]
    key = key_of(as_label(label))
    return keys.index(key) if key in keys else None


def warn_of_unknown_labels(
    labels: Iterable[Label], classes: Collection[Label], *, several: bool = False
) -> None:
    """Warn of test labels that are not classes of the classifier, and say what they look like.

    Parameters
    ----------
    labels : iterable of label
        The true labels.
    classes : collection of label
        What the classifier can answer.
    several : bool, default=False
        Whether an example may have several of the labels.

    Warns
    -----
    DataWarning
        If there are any; they count as wrong.
    """
    known, given = {key_of(label) for label in classes}, list(labels)
    unknown = [label for label in given if key_of(label) not in known]
    if not unknown:
        return
    names = sorted({str(label) for label in unknown})
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    subject = "test examples have a label that is not a class"
    if several:
        subject = "labels of the test examples are not classes"
    warnings.warn(
        f"{len(unknown)} of {len(given)} {subject} of the classifier "
        f"({shown}{more}); they count as wrong{_reason(unknown, given, list(classes))}",
        DataWarning,
        stacklevel=3,
    )


def _reason(unknown: Sequence[Label], given: Sequence[Label], classes: Sequence[Label]) -> str:
    """Return why the labels may be unknown, for the end of a message."""
    kind = key_of(classes[0])[0]
    kinds = {key_of(label)[0] for label in unknown}
    if kind not in kinds:
        others = " and ".join(sorted(other.__name__ for other in kinds))
        return f"; the classes are of type {kind.__name__}, these labels are not ({others})"
    by_likeness = {likeness(label): label for label in classes if isinstance(label, str)}
    for label in unknown:
        twin = by_likeness.get(likeness(label)) if isinstance(label, str) else None
        if twin is not None:
            return f"; {label!a} and the class {twin!a} differ only in {_difference(str(label), str(twin))}"
    if len(unknown) == len(given):
        return f"; none is known: the classes are {', '.join(map(repr, classes[:_NAMES_SHOWN]))}" + (
            f" and {len(classes) - _NAMES_SHOWN} more" if len(classes) > _NAMES_SHOWN else ""
        )
    return ""


def _warn_of_twins(names: set[str]) -> None:
    seen: dict[str, str] = {}
    for name in sorted(names):
        twin = seen.setdefault(likeness(name), name)
        if twin != name:
            message = (
                f"the labels {twin!a} and {name!a} differ only in {_difference(twin, name)}: two classes?"
            )
            warnings.warn(message, DataWarning, stacklevel=4)


def is_list_as_text(text: str) -> bool:
    """Return whether a text is how Python, NumPy or JSON writes a list or dict, as tables of text hold them.

    Examples
    --------
    >>> is_list_as_text("['red', 'car']"), is_list_as_text("[1 0 1]"), is_list_as_text("[NEG]")
    (True, True, False)
    """
    text = text.strip()
    if len(text) > _LONGEST_LIST or text[:1] + text[-1:] not in ("[]", "{}"):
        return False
    for reader in (json.loads, ast.literal_eval):
        try:
            return isinstance(reader(text), list | dict | set)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return all(piece.lstrip("-").replace(".", "").isdecimal() for piece in text[1:-1].split())


def _warn_of_several(names: set[str]) -> None:
    lists = sorted(filter(is_list_as_text, names))
    if lists:
        message = (
            f"the label {lists[0][:60]!r} is a list written as text, and is read as one class; several "
            "labels per example are for MultiLabelModel (savs fit --multi-label ';'), as a;b in a text or "
            "as a list in JSONL or Parquet"
        )
        warnings.warn(message, DataWarning, stacklevel=4)
        return
    for separator in ";|,":
        pieces = {name: [piece.strip() for piece in name.split(separator)] for name in sorted(names)}
        counts = Counter(piece for own in pieces.values() for piece in set(own))
        known = {piece for piece, count in counts.items() if piece and count > 1}
        joined = [name for name, own in pieces.items() if len(own) > 1 and known.issuperset(own)]
        if joined:
            message = (
                f"the label {joined[0]!r} looks like several, which stand in other labels too; several "
                f"labels per example are for MultiLabelModel (savs fit --multi-label {separator!r})"
            )
            warnings.warn(message, DataWarning, stacklevel=4)


def likeness(name: str) -> str:
    """Return what is the same for names that look alike: without case, blanks, and Unicode's form."""
    folded = unicodedata.normalize("NFKC", _visible(name)).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _visible(name: str) -> str:
    """Return a name without characters that are not shown: zero-width blanks, marks of direction."""
    if name.isascii():
        return name
    return "".join(char for char in name if unicodedata.category(char) != "Cf")


def _difference(one: str, other: str) -> str:
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other):
        return "their Unicode form (NFC, NFD)"
    if one.strip() == other.strip():
        return "white space around them"
    if _visible(one) == _visible(other):
        return "characters that are not shown"
    if one.split() == other.split():
        return "white space"
    if one.casefold() == other.casefold():
        return "case"
    return "case, white space or the form of their characters"
