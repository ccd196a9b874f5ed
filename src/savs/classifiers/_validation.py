"""Checks of what estimators are given: labels of one type, finite feature rows, the layout they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from savs._labels import Label, as_label, named_labels
from savs.errors import ActivationError, DataError, ExampleError
from savs.layout import Head, HeadLayout

# Labels in, classes and class indices out; labels that NumPy would merge or change silently are refused.


def check_label_types(labels: Iterable[Any]) -> None:
    """Raise unless all labels are str, all are int, or all are bool, of whatever library.

    Parameters
    ----------
    labels : sequence or array
        What a user handed in, before NumPy turns ``[1, "1"]`` into one class.

    Raises
    ------
    DataError
        For another type (None, float, NaN), for an ensemble, for an int that does not fit 64 bits, and for a
        string that holds NUL (NumPy drops it).

    Examples
    --------
    >>> check_label_types(["cat", "dog"])
    >>> check_label_types([1, "1"])
    Traceback (most recent call last):
        ...
    savs.errors.DataError: labels must all be of one type, these are int and str; write them alike
    """
    if not (isinstance(labels, np.ndarray) and labels.dtype.kind in "bi"):
        _plain(_flat(labels))


def label_array(labels: Any) -> Any:
    """Return labels of any library as an array of text, whole numbers or truth values.

    Parameters
    ----------
    labels : array-like
        A list, an array (NumPy's StringDType and masked ones included), a column of pandas (categories,
        nullable types) or PyArrow, or a tensor. Other arrays of NumPy, and what is not one-dimensional, are
        returned unchanged: scikit-learn has rules of its own for them.

    Returns
    -------
    ndarray of shape (n_examples,), or `labels`
        Of dtype object if `labels` are such an array.

    Raises
    ------
    DataError
        If a label is missing or none, or they are of several types.
    """
    labels = named_labels(labels)
    kind = labels.dtype.kind if isinstance(labels, np.ndarray) else ""
    if isinstance(labels, str | bytes | Mapping | Set) or not isinstance(labels, Iterable):
        return labels
    masked = isinstance(labels, np.ma.MaskedArray)
    settled = kind != "" and kind not in ("O", "T") and not masked
    if settled or len(getattr(labels, "shape", (0,))) != 1:
        return labels
    values = list(labels)
    if any(isinstance(value, list | tuple | np.ndarray) and np.ndim(value) for value in values):
        return labels
    return np.array(_plain(values), dtype=object if kind == "O" else None)


def _plain(values: Sequence[Any]) -> list[Label]:
    """Return labels as Python values; `DataError` if one is none, or they are of several types."""
    plain: list[Label] = []
    for position, value in enumerate(values):
        try:
            plain.append(as_label(value))
        except ExampleError as error:
            raise DataError(f"label {position}: {error.message}") from None
    kinds = {type(label).__name__ for label in plain}
    if len(kinds) > 1:
        raise DataError(
            f"labels must all be of one type, these are {' and '.join(sorted(kinds))}; write them alike"
        )
    return plain


def encode_labels(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sorted classes and each label's class index.

    Parameters
    ----------
    labels : ndarray, shape (n_examples,)
        Labels of one type. Whole numbers of a float dtype pass, because scikit-learn asks that of every
        classifier.

    Returns
    -------
    classes : ndarray, shape (n_classes,)
        Of the labels' own dtype.
    codes : ndarray of int, shape (n_examples,)
        Indices into `classes`.

    Raises
    ------
    DataError
        If there are fewer than two classes, or labels are of mixed or unusable types.
    ValueError
        If the labels are continuous numbers.
    """
    if labels.dtype.kind not in "biufU":
        check_label_types(labels)
    boxed = labels.dtype == object and not isinstance(labels[0], str)
    natural = np.asarray(labels.tolist()) if boxed else labels
    if natural.dtype.kind == "f":  # of others it only says that so many classes of one shot are unusual
        check_classification_targets(natural)
    classes, codes = np.unique(natural, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"at least 2 classes are needed, got one class: {count_classes(classes, codes)}")
    return classes, codes.astype(np.intp)


def count_classes(classes: NDArray[Any], codes: NDArray[np.intp]) -> str:
    """Return ``'cat' (3), 'dog' (1)`` for messages; long lists are cut.

    Parameters
    ----------
    classes : ndarray, shape (n_classes,)
        The classes.
    codes : ndarray of int, shape (n_examples,)
        Class index of each example.
    """
    counts = np.bincount(codes, minlength=len(classes))
    named = [f"{label!r} ({count})" for label, count in zip(classes.tolist(), counts.tolist(), strict=True)]
    return ", ".join(named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")


def _flat(labels: Iterable[Any]) -> list[Any]:
    if isinstance(labels, (list, tuple)) and not any(isinstance(label, (list, tuple)) for label in labels):
        return list(labels)
    return list(np.asarray(labels, dtype=object).ravel())


# Feature rows as estimators take them: the layout that belongs to them, and no NaN or infinity.


def resolve_layout(layout: HeadLayout | tuple[int, int, int] | None, width: int) -> HeadLayout:
    """Return the layout of rows of `width` columns; None makes the whole row one head.

    Raises
    ------
    ValueError
        If `layout` is not a layout, or has another width.
    """
    if layout is None:
        return HeadLayout.uniform(1, 1, width)
    if isinstance(layout, tuple) and len(layout) == 3:
        layout = HeadLayout.uniform(*layout)
    if not isinstance(layout, HeadLayout):
        raise ValueError(
            f"layout must be a HeadLayout, (n_layers, n_heads, head_dim) or None, got {layout!r}"
        )
    if layout.width != width:
        raise ValueError(f"X has {width} columns, but the layout needs {layout.width}")
    return layout


def check_finite(rows: NDArray[np.floating], layout: HeadLayout) -> None:
    """Raise `ActivationError` naming the first row with NaN or infinity, and its head."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum()):  # cheap: a NaN or an infinity survives every sum
            return
    bad = next(
        ((i, np.flatnonzero(~np.isfinite(row))) for i, row in enumerate(rows) if not np.isfinite(row).all()),
        None,
    )
    if bad is not None:
        ends = np.array([layout.columns(part).stop for part in layout.parts])
        head = layout.parts[int(np.searchsorted(ends, bad[1][0], side="right"))]
        raise ActivationError(
            f"row {bad[0]} has NaN or inf in {_spelled(head)}",
            code="activation_not_finite",
        )


def _spelled(head: Head) -> str:
    if head.is_options:
        return "the likelihoods of the class names"
    return "the last-layer state" if head.is_state else f"layer {head.layer}, head {head.index}"


def check_finite_from(rows: NDArray[np.floating], layout: HeadLayout, places: int | NDArray[np.intp]) -> None:
    """As `check_finite` for some of the caller's rows: those from a place on, or those at several places."""
    try:
        check_finite(rows, layout)
    except ActivationError as error:
        first = int(str(error).split()[1])
        place = places + first if isinstance(places, int) else places[first]
        message = str(error).replace(f"row {first} ", f"row {place} ", 1)
        raise ActivationError(message, code=error.code) from None
