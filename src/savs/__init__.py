"""Few-shot classifiers from the attention heads of any frozen large multimodal model.

The way through the code: `data` -> `backbones` (prompt, batch, head vectors) -> `classifiers` (scores, kept
heads, votes) -> `model.SAVModel`. Names are loaded when first used, so that ``import savs`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.backbones import Backbone, load_backbone
    from savs.classifiers import SAVClassifier
    from savs.data import Example, Message, Text, as_example, as_examples, draw_shots, read_examples
    from savs.layout import Head, HeadLayout
    from savs.media import Audio, Image, Video
    from savs.model import MultiLabelModel, SAVModel, predict_together

__version__ = "0.1.0"

__all__ = [
    "__version__",
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
    "as_example",
    "as_examples",
    "draw_shots",
    "load_backbone",
    "predict_together",
    "read_examples",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.backbones": ["Backbone", "load_backbone"],
        "savs.classifiers": ["SAVClassifier"],
        "savs.data": [
            "Example",
            "Message",
            "Text",
            "as_example",
            "as_examples",
            "draw_shots",
            "read_examples",
        ],
        "savs.layout": ["Head", "HeadLayout"],
        "savs.media": ["Audio", "Image", "Video"],
        "savs.model": ["MultiLabelModel", "SAVModel", "predict_together"],
    },
)
