"""Accuracy and quality of probabilities with intervals; methods compared on random draws of the shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.classifiers import wilson_interval
    from savs.evaluation._bootstrap import MetricEstimate
    from savs.evaluation._multi_label import multi_label_report
    from savs.evaluation.class_metrics import (
        BinaryScores,
        SplitPrecisions,
        average_precision,
        average_precision_by_split,
        binary_scores,
        equal_error_rate,
        macro_f1,
        recall_at_false_positive_rate,
    )
    from savs.evaluation.comparison import compare_methods
    from savs.evaluation.group_metrics import (
        GroupAccuracies,
        HallusionAccuracies,
        SplitAccuracies,
        correct_answers,
        group_accuracies,
        hallusion_accuracies,
        mean_over_splits,
        pair_accuracy,
    )
    from savs.evaluation.metrics import Difference, accuracy_report, interval_over_draws, paired_bootstrap
    from savs.evaluation.probabilities import probability_report
    from savs.evaluation.protocol import DrawResults, draw_rows, on_features, run_draws
    from savs.evaluation.results import Comparison

__all__ = [
    "BinaryScores",
    "Comparison",
    "Difference",
    "DrawResults",
    "MetricEstimate",
    "GroupAccuracies",
    "HallusionAccuracies",
    "SplitAccuracies",
    "SplitPrecisions",
    "accuracy_report",
    "average_precision",
    "average_precision_by_split",
    "binary_scores",
    "compare_methods",
    "correct_answers",
    "draw_rows",
    "equal_error_rate",
    "group_accuracies",
    "hallusion_accuracies",
    "interval_over_draws",
    "macro_f1",
    "mean_over_splits",
    "multi_label_report",
    "on_features",
    "pair_accuracy",
    "paired_bootstrap",
    "probability_report",
    "recall_at_false_positive_rate",
    "run_draws",
    "wilson_interval",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.classifiers": ["wilson_interval"],
        "savs.evaluation._bootstrap": ["MetricEstimate"],
        "savs.evaluation._multi_label": ["multi_label_report"],
        "savs.evaluation.class_metrics": [
            "BinaryScores",
            "SplitPrecisions",
            "average_precision",
            "average_precision_by_split",
            "binary_scores",
            "equal_error_rate",
            "macro_f1",
            "recall_at_false_positive_rate",
        ],
        "savs.evaluation.comparison": ["compare_methods"],
        "savs.evaluation.group_metrics": [
            "GroupAccuracies",
            "HallusionAccuracies",
            "SplitAccuracies",
            "correct_answers",
            "group_accuracies",
            "hallusion_accuracies",
            "mean_over_splits",
            "pair_accuracy",
        ],
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
