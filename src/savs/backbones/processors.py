"""A model's processor: pictures and text to model inputs."""

from __future__ import annotations

from typing import Any

from savs.backbones.places import Place, missing_package
from savs.errors import BackboneError

__all__ = ["load_processor"]


def load_processor(place: Place, config: Any) -> Any:
    """Return the processor of a model folder or hub name, or its tokenizer if the model takes text alone.

    Without torchvision, processors that also take videos cannot be opened as they are: their picture and text
    parts are opened alone, on the PIL backend.

    Raises
    ------
    BackboneError
        If it cannot be opened, naming the missing package where one is missing.
    """
    try:
        processor = _opener(config).from_pretrained(place.name, **place.options)
    except ImportError as error:
        raise BackboneError(f"{place.source}: its processor needs {missing_package(error)}") from error
    except Exception as error:  # every processor has its own ways to fail on foreign files
        raise _processor_error(place, error) from error
    if not callable(getattr(getattr(processor, "tokenizer", processor), "get_vocab", None)):
        raise BackboneError(f"{place.source}: it has no tokenizer (tokenizer.json)")
    return processor


def _opener(config: Any) -> Any:
    from transformers import AutoProcessor, AutoTokenizer
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.utils.import_utils import is_torchvision_available

    known = type(config) in PROCESSOR_MAPPING
    text_alone = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    if not known and text_alone and type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoTokenizer
    if known and not is_torchvision_available():
        found: Any = PROCESSOR_MAPPING[type(config)]
        if any("video" in attribute for attribute in found.get_attributes()):
            return _without_video(found)
    return AutoProcessor


def _without_video(processor_class: Any) -> Any:
    def get_attributes(_cls: Any) -> list[str]:
        return [name for name in processor_class.get_attributes() if "video" not in name]

    return type(processor_class.__name__, (processor_class,), {"get_attributes": classmethod(get_attributes)})


def _processor_error(place: Place, error: Exception) -> BackboneError:
    if "trust_remote_code" in str(error):
        return BackboneError(f"{place.source}: its processor needs code from its repository; none is run")
    return BackboneError(
        f"{place.source}: no processor or tokenizer can be opened there ({type(error).__name__}); the "
        "folder needs tokenizer.json and, for pictures, processor_config.json or preprocessor_config.json"
    )
