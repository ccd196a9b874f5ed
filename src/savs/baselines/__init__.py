"""What SAVs is compared with: the majority class, last-layer centroids, the model's own answer."""

from savs.baselines.on_features import BaselineResult, last_layer, majority_class
from savs.baselines.option_likelihood import content_free_example, option_likelihood
from savs.baselines.zero_shot import answer_prompt, parse_answer, zero_shot

__all__ = [
    "BaselineResult",
    "answer_prompt",
    "content_free_example",
    "last_layer",
    "majority_class",
    "option_likelihood",
    "parse_answer",
    "zero_shot",
]
