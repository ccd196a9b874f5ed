"""`savs demo`: SAVs on real images that the bundled model never saw, next to other methods.

Importing this package loads neither torch nor matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.demo.results import render_table
    from savs.demo.runner import run_demo

__all__ = ["render_table", "run_demo"]

__getattr__, __dir__ = attach(
    __name__,
    {"savs.demo.results": ["render_table"], "savs.demo.runner": ["run_demo"]},
)
