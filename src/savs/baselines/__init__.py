"""What SAVs is compared with: the majority class, last-layer centroids, the model's own answer."""

from savs.baselines.last_layer import last_layer
from savs.baselines.majority import majority_class
from savs.baselines.result import BaselineResult
from savs.baselines.zero_shot import answer_prompt, parse_answer, zero_shot

__all__ = ["BaselineResult", "answer_prompt", "last_layer", "majority_class", "parse_answer", "zero_shot"]
