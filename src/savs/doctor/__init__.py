"""`savs doctor`: whether a backbone's head vectors can be trusted, and its fastest safe mode.

Knows backbones and the classifier; nobody's data. Importing it loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from savs.doctor.report import Check, Report

if TYPE_CHECKING:
    from savs.doctor.examination import examine

__all__ = ["Check", "Report", "examine"]


def __getattr__(name: str) -> Any:
    if name != "examine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("savs.doctor.examination").examine


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
