"""`SAVModel`: a frozen backbone, a prompt and a head classifier in one object, on examples.

    example -> prompt -> head vectors -> head scores -> kept heads -> votes -> label

It knows neither the command line nor the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.model._shared_pass import predict_together
    from savs.model._support_set import LabelIssue
    from savs.model.explanation import Explanation, HeadEvidence, NearShot, Occlusion, PromptEvidence
    from savs.model.held_out import HeldOutShots
    from savs.model.multi_label import MultiLabelModel
    from savs.model.predictions import AbstentionPolicy, Abstentions, MultiLabelPredictions, Predictions
    from savs.model.sav_model import SAVModel

__all__ = [
    "AbstentionPolicy",
    "Abstentions",
    "Explanation",
    "HeadEvidence",
    "HeldOutShots",
    "MultiLabelModel",
    "NearShot",
    "Occlusion",
    "MultiLabelPredictions",
    "Predictions",
    "PromptEvidence",
    "SAVModel",
    "LabelIssue",
    "predict_together",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.model._shared_pass": ["predict_together"],
        "savs.model._support_set": ["LabelIssue"],
        "savs.model.explanation": ["Explanation", "HeadEvidence", "NearShot", "Occlusion", "PromptEvidence"],
        "savs.model.held_out": ["HeldOutShots"],
        "savs.model.multi_label": ["MultiLabelModel"],
        "savs.model.predictions": ["AbstentionPolicy", "Abstentions", "MultiLabelPredictions", "Predictions"],
        "savs.model.sav_model": ["SAVModel"],
    },
)
