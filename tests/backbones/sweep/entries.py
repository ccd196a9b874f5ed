"""What transformers' model maps hold: one entry per model type."""

from __future__ import annotations

from functools import cache
from typing import Any

MAPS = (
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
)


@cache
def entries() -> dict[str, str]:
    """Return the model class of every model type in the union of the maps, multimodal before text-only."""
    from transformers.models.auto import modeling_auto

    found: dict[str, str] = {}
    for name in MAPS:
        for model_type, classes in getattr(modeling_auto, name).items():
            found.setdefault(model_type, classes if isinstance(classes, str) else classes[0])
    return dict(sorted(found.items()))


def config_class(model_type: str) -> Any:
    """Return the configuration class of a model type."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]


def model_class(model_type: str) -> Any:
    """Return the model class of a model type."""
    import transformers

    return getattr(transformers, entries()[model_type])
