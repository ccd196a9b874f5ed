"""A frozen model: loading, prompt rendering, finding attention heads, recording their vectors in batches.

Knows no classifiers. Importing this package loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from savs.backbones.base import Backbone, Extraction, JSONValue
from savs.backbones.prompts import PromptTemplate

if TYPE_CHECKING:
    from savs.backbones.fake import FakeBackbone
    from savs.backbones.loading.load import load_backbone
    from savs.backbones.transformers_backbone import TransformersBackbone

__all__ = [
    "Backbone",
    "Extraction",
    "FakeBackbone",
    "JSONValue",
    "PromptTemplate",
    "TransformersBackbone",
    "load_backbone",
]

_LAZY = {
    "FakeBackbone": "savs.backbones.fake",
    "TransformersBackbone": "savs.backbones.transformers_backbone",
    "load_backbone": "savs.backbones.loading.load",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
