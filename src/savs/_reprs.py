"""How objects print: on a line or a few, whatever they hold; never pixels, rows or bytes."""

from __future__ import annotations

import dataclasses
import reprlib
from typing import Any

__all__ = ["short_repr"]


class _Short(reprlib.Repr):
    """Arrays, bytes and images by their size, long texts and lists by their beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring, self.maxother = 80, 100
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 3
        self.maxlevel = 4

    def repr_ndarray(self, array: Any, _level: int) -> str:
        """Return dtype and shape."""
        return f"<{array.dtype} array {array.shape}>"

    def repr_bytes(self, data: bytes, _level: int) -> str:
        """Return the length."""
        return f"<{len(data)} bytes>"

    def repr_instance(self, value: Any, level: int) -> str:
        """Return size and mode of a PIL image; what anything else says, cut, without an address in memory."""
        if hasattr(value, "mode") and hasattr(value, "getbands"):
            return f"<{value.mode} image {value.size}>"
        text = super().repr_instance(value, level)
        return f"<{type(value).__name__}>" if text.startswith("<") and " at 0x" in text else text


_short = _Short()


def short_repr(value: Any) -> str:
    """Return the class and the fields that are not empty, of a dataclass or a named tuple.

    It is made to be a class's ``__repr__``.

    Parameters
    ----------
    value : dataclass or named tuple

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Page:
    ...     lines: list[int]
    ...     title: str | None = None
    ...     __repr__ = short_repr
    >>> Page(list(range(1000)))
    Page(lines=[0, 1, 2, ...] of 1000)
    """
    names = getattr(value, "_fields", None) or [f.name for f in dataclasses.fields(value) if f.repr]
    shown = ((name, getattr(value, name)) for name in names)
    return f"{type(value).__name__}({', '.join(f'{n}={_field(v)}' for n, v in shown if not _is_empty(v))})"


def _field(value: Any) -> str:
    text = _short.repr(value)
    long = isinstance(value, list | tuple | dict | set | frozenset) and len(value) > _short.maxlist
    return f"{text} of {len(value)}" if long and not hasattr(value, "_fields") else text


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple | dict | set | frozenset) and not value)
