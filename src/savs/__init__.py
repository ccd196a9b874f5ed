"""Few-shot classifiers from the attention heads of any frozen large multimodal model.

The way through the code: `examples` -> `backbones` (prompt, batch, head vectors) -> `heads` (scores, kept
heads, votes) -> `model.SAVModel`. Names are loaded when first used, so that ``import savs`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.backbones import Backbone, load_backbone
    from savs.datasets import draw_shots, read_examples
    from savs.examples import Audio, Example, Image, Message, Text, Video, as_example, as_examples
    from savs.features import Head, HeadLayout
    from savs.heads import SAVClassifier
    from savs.model import MultiLabelModel, SAVModel
    from savs.together import predict_together

__version__ = "0.1.0"

_HOMES = {
    "Audio": "savs.examples",
    "Backbone": "savs.backbones",
    "Example": "savs.examples",
    "Head": "savs.features",
    "HeadLayout": "savs.features",
    "Image": "savs.examples",
    "Message": "savs.examples",
    "MultiLabelModel": "savs.model",
    "SAVClassifier": "savs.heads",
    "SAVModel": "savs.model",
    "Text": "savs.examples",
    "Video": "savs.examples",
    "as_example": "savs.examples",
    "as_examples": "savs.examples",
    "draw_shots": "savs.datasets",
    "load_backbone": "savs.backbones",
    "predict_together": "savs.together",
    "read_examples": "savs.datasets",
}

__all__ = [
    "Audio",
    "Backbone",
    "Example",
    "Head",
    "HeadLayout",
    "Image",
    "Message",
    "MultiLabelModel",
    "SAVClassifier",
    "SAVModel",
    "Text",
    "Video",
    "__version__",
    "as_example",
    "as_examples",
    "draw_shots",
    "load_backbone",
    "predict_together",
    "read_examples",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'savs' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
