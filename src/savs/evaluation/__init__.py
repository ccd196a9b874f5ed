"""Accuracy and quality of probabilities with intervals; methods compared on random draws of the shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.classifiers import wilson_interval
    from savs.evaluation._multi_label import multi_label_report
    from savs.evaluation.comparison import compare_methods
    from savs.evaluation.metrics import Difference, accuracy_report, interval_over_draws, paired_bootstrap
    from savs.evaluation.probabilities import probability_report
    from savs.evaluation.protocol import DrawResults, draw_rows, on_features, run_draws
    from savs.evaluation.results import Comparison

__all__ = [
    "Comparison",
    "Difference",
    "DrawResults",
    "accuracy_report",
    "compare_methods",
    "draw_rows",
    "interval_over_draws",
    "multi_label_report",
    "on_features",
    "paired_bootstrap",
    "probability_report",
    "run_draws",
    "wilson_interval",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.classifiers": ["wilson_interval"],
        "savs.evaluation._multi_label": ["multi_label_report"],
        "savs.evaluation.comparison": ["compare_methods"],
        "savs.evaluation.metrics": [
            "Difference",
            "accuracy_report",
            "interval_over_draws",
            "paired_bootstrap",
        ],
        "savs.evaluation.probabilities": ["probability_report"],
        "savs.evaluation.protocol": ["DrawResults", "draw_rows", "on_features", "run_draws"],
        "savs.evaluation.results": ["Comparison"],
    },
)
