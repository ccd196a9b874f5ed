"""Cells without a value: what tables of any library hold where there is nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

__all__ = ["is_missing"]

_PANDAS = {"NAType", "NaTType"}


def is_missing(value: Any) -> bool:
    """Return whether a cell has no value.

    None, an empty text, NaN of any width, NaT, ``pandas.NA``, the masked element of numpy and the null of
    pyarrow have none. Neither pandas nor pyarrow is imported for it.
    """
    if value is None or (isinstance(value, str) and value == ""):
        return True
    if isinstance(value, str | int | bytes | list | tuple | dict):
        return False
    if isinstance(value, float | np.floating):
        return bool(value != value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if isinstance(value, Decimal):
        return value.is_nan()
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if package == "pyarrow":
        return getattr(value, "is_valid", True) is False
    return value is np.ma.masked or (package == "pandas" and kind.__name__ in _PANDAS)
