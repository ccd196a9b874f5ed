"""`savs doctor`: whether a backbone's head vectors can be trusted, and its fastest safe mode.

Knows backbones and the classifier; nobody's data. Importing it loads neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.doctor.examination import examine
    from savs.doctor.report import Check, Report

__all__ = ["Check", "Report", "examine"]

__getattr__, __dir__ = attach(
    __name__,
    {"savs.doctor.examination": ["examine"], "savs.doctor.report": ["Check", "Report"]},
)
