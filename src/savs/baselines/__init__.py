"""What SAVs is compared with: simple rules, probes, other encoders, and the model's own answer."""

from savs.baselines.controls import metadata, pixels, tf_idf
from savs.baselines.in_context import in_context
from savs.baselines.on_features import (
    BaselineResult,
    all_heads,
    knn,
    last_layer,
    logistic_probe,
    majority_class,
    ridge_probe,
)
from savs.baselines.option_likelihood import content_free_example, option_likelihood
from savs.baselines.zero_shot import answer_prompt, parse_answer, zero_shot

__all__ = [
    "BaselineResult",
    "all_heads",
    "answer_prompt",
    "content_free_example",
    "in_context",
    "knn",
    "last_layer",
    "logistic_probe",
    "majority_class",
    "metadata",
    "option_likelihood",
    "parse_answer",
    "pixels",
    "ridge_probe",
    "tf_idf",
    "zero_shot",
]
