"""`savs demo`: SAVs on real pictures that the backbone in the box never saw, next to other methods.

Importing this package loads neither torch nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.demo.runner import run_demo
    from savs.demo.table import render_table

__all__ = ["render_table", "run_demo"]

_HOMES = {"render_table": "savs.demo.table", "run_demo": "savs.demo.runner"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
