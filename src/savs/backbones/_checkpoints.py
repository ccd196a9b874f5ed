"""A model's configuration and weights, opened by transformers' Auto classes; remote code never runs."""

from __future__ import annotations

import json
from typing import Any

from savs.backbones.loading.attention_kernels import check_kernel_name, kernels_of
from savs.backbones.loading.places import Place, missing_package
from savs.errors import BackboneError

__all__ = ["load_config", "load_model"]


def load_config(place: Place) -> Any:
    """Return a model's configuration; of the models that also speak, that of the part which reads.

    Raises
    ------
    BackboneError
        If it is missing, not a transformers model's, or of an architecture that needs code from elsewhere.
    """
    from transformers import AutoConfig

    _check_local_config(place)
    try:
        config = AutoConfig.from_pretrained(place.name, **place.options)
    except Exception as error:  # the hub client checks fields with errors of its own, families in any way
        raise _config_error(place, error) from error
    _check_kernels(place, config)
    # Of the models that also speak, the part that reads and thinks; the voice comes with a pickle.
    return getattr(config, "thinker_config", config)


def _check_kernels(place: Place, config: Any) -> None:
    try:
        for kernel in kernels_of(config):
            check_kernel_name(kernel)
    except BackboneError as error:
        raise BackboneError(f"{place.source}: in its config.json, {error}") from error


def _check_local_config(place: Place) -> None:
    try:
        data = json.loads((place.folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(f"{place.source}: config.json cannot be read as JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("model_type"), str):
        raise BackboneError(
            f"{place.source}: config.json names no model_type, so it is not a transformers model"
        )
    _check_model_type(place, data)


def _check_model_type(place: Place, data: dict[str, Any]) -> None:
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = data["model_type"]
    if kind in CONFIG_MAPPING:
        return
    if data.get("auto_map"):
        raise BackboneError(f"{place.source}: {kind} needs code from its repository, which savs never runs")
    raise BackboneError(
        f"{place.source}: transformers {transformers.__version__} does not know the architecture {kind}; a "
        "newer one may"
    )


def _config_error(place: Place, error: Exception) -> BackboneError:
    if "trust_remote_code" in str(error):
        return BackboneError(f"{place.source}: needs code from its repository, which savs never runs")
    return BackboneError(f"{place.source}: config.json is not a valid configuration ({type(error).__name__})")


def _auto_class(place: Place, config: Any) -> Any:
    """Return the first Auto class that lists the configuration; nothing is tried out."""
    from transformers.models.auto import modeling_auto

    for mapping, name in (
        ("MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING", "AutoModelForImageTextToText"),
        ("MODEL_FOR_MULTIMODAL_LM_MAPPING", "AutoModelForMultimodalLM"),
        ("MODEL_FOR_CAUSAL_LM_MAPPING", "AutoModelForCausalLM"),
    ):
        # The multimodal mapping is missing in the older 5.x.
        if type(config) in getattr(modeling_auto, mapping, {}):
            return getattr(modeling_auto, name)
    raise BackboneError(
        f"{place.source}: {config.model_type} is not a generative model: neither image-text-to-text, "
        "nor multimodal, nor a causal language model"
    )


def load_model(place: Place, config: Any, options: dict[str, Any], attn_implementation: str | None) -> Any:
    """Return the model with all its weights; `options` are passed to ``from_pretrained``.

    Raises
    ------
    BackboneError
        If it is not a generative model, or weights are missing or cannot be read.
    """
    auto_class = _auto_class(place, config)
    if not place.has_weights:
        raise BackboneError(f"{place.source}: no weights there (*.safetensors)")
    try:
        model, report = auto_class.from_pretrained(
            place.name, config=config, output_loading_info=True, **place.options, **options
        )
        _set_kernel(model, attn_implementation)
    except BackboneError as error:
        raise BackboneError(f"{place.source}: {error}") from error
    except ImportError as error:
        raise BackboneError(f"{place.source}: {config.model_type} needs {missing_package(error)}") from error
    except OSError as error:
        raise BackboneError(f"{place.source}: the weights are incomplete or unreadable") from error
    except Exception as error:  # safetensors, torch and transformers each have their own ways to fail
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{place.source}: the model cannot be loaded ({type(error).__name__}: {reason})"
        ) from error
    _check_weights(place, report)
    return model


def _set_kernel(model: Any, wanted: str | None) -> None:
    """Switch the attention kernel of the parts that have a choice.

    Asking for it in ``from_pretrained`` fails where one part has none, such as a convolutional tower, even
    for the kernel that the model would take by itself.
    """
    if wanted is None or model.config._attn_implementation == wanted:
        return
    check_kernel_name(wanted)
    model.set_attn_implementation(wanted)
    if model.config._attn_implementation != wanted:
        raise ValueError(f"it has no choice of attention kernel, so not {wanted}")


def _check_weights(place: Place, report: dict[str, Any]) -> None:
    # transformers fills missing weights with random numbers and only logs it.
    missing = sorted(map(str, report.get("missing_keys") or ()))
    if missing:
        raise BackboneError(
            f"{place.source}: {len(missing)} weights are missing from the checkpoint, first {missing[0]}"
        )
