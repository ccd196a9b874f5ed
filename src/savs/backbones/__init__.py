"""A frozen model: loading, prompt rendering, finding attention heads, recording their vectors in batches.

Knows no classifiers. Importing this package loads neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.backbones._canary import DriftWarning
    from savs.backbones._registered import register_backbone
    from savs.backbones.base import Backbone, Extraction, JSONValue
    from savs.backbones.fake import FakeBackbone
    from savs.backbones.loading import load_backbone
    from savs.backbones.option_likelihood import OptionLogLikelihood, OptionScorer
    from savs.backbones.prompts import PromptTemplate
    from savs.backbones.transformers_backbone import TransformersBackbone

__all__ = [
    "Backbone",
    "DriftWarning",
    "Extraction",
    "FakeBackbone",
    "JSONValue",
    "OptionLogLikelihood",
    "OptionScorer",
    "PromptTemplate",
    "TransformersBackbone",
    "load_backbone",
    "register_backbone",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.backbones._canary": ["DriftWarning"],
        "savs.backbones._registered": ["register_backbone"],
        "savs.backbones.base": ["Backbone", "Extraction", "JSONValue"],
        "savs.backbones.fake": ["FakeBackbone"],
        "savs.backbones.loading": ["load_backbone"],
        "savs.backbones.option_likelihood": ["OptionLogLikelihood", "OptionScorer"],
        "savs.backbones.prompts": ["PromptTemplate"],
        "savs.backbones.transformers_backbone": ["TransformersBackbone"],
    },
)
