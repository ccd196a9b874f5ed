"""`savs report`: a benchmark run or a saved classifier as one HTML file that needs no network and no script.

Importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.reports.classifier import classifier_report
    from savs.reports.content import Report
    from savs.reports.html import to_html
    from savs.reports.run import run_report

__all__ = ["Report", "classifier_report", "run_report", "to_html"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.reports.classifier": ["classifier_report"],
        "savs.reports.content": ["Report"],
        "savs.reports.html": ["to_html"],
        "savs.reports.run": ["run_report"],
    },
)
