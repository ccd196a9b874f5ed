"""Data files and folders to examples; few-shot splits; duplicates, contradictions, leaks. No models."""

from __future__ import annotations

from savs.datasets.contents import example_hash, find_duplicates, find_leaks, warn_of_leaks
from savs.datasets.label_types import adopt_label_type
from savs.datasets.preflight import describe_errors, preflight
from savs.datasets.reading import read_examples
from savs.datasets.splits import draw_positions, draw_shots, split_draws
from savs.datasets.streaming import count_rows, iter_examples
from savs.datasets.support import check_support
from savs.examples import DataWarning

__all__ = [
    "DataWarning",
    "adopt_label_type",
    "check_support",
    "count_rows",
    "describe_errors",
    "draw_positions",
    "draw_shots",
    "example_hash",
    "find_duplicates",
    "find_leaks",
    "iter_examples",
    "preflight",
    "read_examples",
    "split_draws",
    "warn_of_leaks",
]
