"""Metrics, intervals and the protocol of repeated draws."""

from savs.classifiers import wilson_interval
from savs.evaluation.metrics import Difference, accuracy_report, interval_over_draws, paired_bootstrap
from savs.evaluation.protocol import DrawResults, draw_rows, on_features, run_draws

__all__ = [
    "Difference",
    "DrawResults",
    "accuracy_report",
    "draw_rows",
    "interval_over_draws",
    "on_features",
    "paired_bootstrap",
    "run_draws",
    "wilson_interval",
]
