"""A model's configuration, weights, adapters and wrappers; remote code never runs.

With the package kernels installed, transformers takes a kernel named ``owner/name`` from the hub, and so it
does, unasked, with FlashAttention where its package is missing.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from savs.backbones._gguf import as_plain, unpacking
from savs.backbones._model_files import Place, missing_package
from savs.errors import BackboneError

_FLASH = re.compile(r"flash_attention_(\d+)")
_PACKAGES = {"2": "flash-attn", "3": "flash-attn-3", "4": "flash-attn-4"}
# They act outside the layers, in the wrapper's own forward: the model inside would run without them.
_OUTSIDE = frozenset({"POLY", "XLORA"})


def load_config(place: Place) -> Any:
    """Return a model's configuration; of the models that also speak, that of the part which reads.

    Raises
    ------
    BackboneError
        If it is missing, not a transformers model's, or of an architecture that needs code from elsewhere.
    """
    from transformers import AutoConfig

    if place.gguf is None:
        _check_local_config(place)
    else:
        _ = place.gguf_header
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
    if place.gguf is not None:
        import transformers

        return BackboneError(
            f"{place.source}: transformers {transformers.__version__} does not read GGUF files of the "
            f"architecture {place.gguf_header.architecture}; use the folder of the original model"
        )
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


def load_model(
    place: Place,
    config: Any,
    options: dict[str, Any],
    attn_implementation: str | None,
    auto_class: Any = None,
) -> Any:
    """Return the model with all its weights; `options` are passed to ``from_pretrained``.

    Parameters
    ----------
    place : Place
        Where its files are.
    config : transformers.PreTrainedConfig
        From `load_config`.
    options : dict
        For ``from_pretrained``.
    attn_implementation : str or None
        The attention kernel; None for the model's own choice.
    auto_class : type, optional
        The class of transformers that opens it; by default the one for generative models.

    Raises
    ------
    BackboneError
        If it is not a generative model and there is no `auto_class`, or weights are missing or cannot be
        read.
    """
    auto_class = auto_class or _auto_class(place, config)
    if not place.has_weights:
        raise BackboneError(f"{place.source}: no weights there (*.safetensors)")
    try:
        with unpacking() if place.gguf is not None else nullcontext():
            model, report = auto_class.from_pretrained(
                place.name, config=config, output_loading_info=True, **place.options, **options
            )
        if place.gguf is not None:
            as_plain(model, place.gguf_header)
        _set_kernel(model, attn_implementation)
    except BackboneError as error:
        raise BackboneError(f"{place.source}: {error}") from error
    except ImportError as error:
        raise BackboneError(f"{place.source}: {config.model_type} needs {missing_package(error)}") from error
    except OSError as error:
        raise BackboneError(f"{place.source}: the weights are incomplete or unreadable") from error
    except Exception as error:  # safetensors, torch and transformers each have their own ways to fail
        reason = " ".join(str(error).split())[:200]
        if "offload the whole model to the disk" in reason:
            raise BackboneError(
                f"{place.source}: accelerate {version('accelerate')} cannot keep all weights on disk: "
                "install accelerate 1.15 or newer, or keep a module in memory (device_map, max_memory)"
            ) from error
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


def base_of(place: Place) -> tuple[str, str | None]:
    """Return the name or folder of an adapter's base model, and its revision.

    Raises
    ------
    BackboneError
        If the adapter does not say, or peft is not installed.
    """
    if find_spec("peft") is None:
        raise BackboneError(f"{place.source}: an adapter needs the package peft: pip install peft")
    try:
        data = json.loads((place.folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{place.source}: adapter_config.json cannot be read as JSON") from error
    name = data.get("base_model_name_or_path") if isinstance(data, Mapping) else None
    if not isinstance(name, str) or not name:
        raise BackboneError(
            f"{place.source}: adapter_config.json names no base model; load that one and hand it in with its "
            "adapter: load_backbone(PeftModel.from_pretrained(model, folder), processor=...)"
        )
    revision = data.get("revision")
    return name, revision if isinstance(revision, str) else None


def own_processor(place: Place, base: Place) -> bool:
    """Return whether an adapter's folder has a processor that replaces the base model's.

    Parameters
    ----------
    place : Place
        The adapter's.
    base : Place
        Its base model's.
    """
    images = ("processor_config.json", "preprocessor_config.json")
    if any((place.folder / name).is_file() for name in images):
        return True
    text_alone = not any((base.folder / name).is_file() for name in images)
    return text_alone and (place.folder / "tokenizer.json").is_file()


def add_adapter(model: Any, place: Place) -> Any:
    """Return the model with the adapter in its layers.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The base; it is changed.
    place : Place
        Of the adapter.

    Raises
    ------
    BackboneError
        If a part of the adapter has no place in the model or is not in the folder: peft only warns then, and
        the model would answer as if it had no adapter.
    """
    if {"cpu", "disk"} & set(map(str, (getattr(model, "hf_device_map", None) or {}).values())):
        raise BackboneError(
            f"{place.source}: an adapter cannot be put on a model with offloaded weights; merge it first "
            "(peft's merge_and_unload) and load the merged model"
        )
    try:
        inner, report = _add(model, place)
    except BackboneError as error:
        raise BackboneError(f"{place.source}: {error}") from error
    except Exception as error:  # peft, safetensors and torch each have their own ways to fail
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{place.source}: the adapter cannot be loaded ({type(error).__name__}: {reason})"
        ) from error
    _check(place, report)
    return inner


def _add(model: Any, place: Place) -> tuple[Any, Any]:
    peft = import_module("peft")
    config = peft.PeftConfig.from_pretrained(place.name)
    config.inference_mode = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what peft asks of a newer transformers
        wrapped = peft.PeftModel(model, config)
        inner = unwrapped(wrapped)
        return inner, wrapped.load_adapter(place.name, "default")


def _check(place: Place, report: Any) -> None:
    for what, keys in (("are missing from", report.missing_keys), ("do not fit", report.unexpected_keys)):
        if keys:
            where = "the adapter's file" if what.startswith("are") else "the base model"
            raise BackboneError(
                f"{place.source}: {len(keys)} weights of the adapter {what} {where}, first {sorted(keys)[0]}"
            )


def unwrapped(model: Any) -> Any:
    """Return the transformers model inside wrappers, adapters in its layers included.

    A compiled model is read uncompiled: compiled code would be compiled anew for every hook and length, and
    cannot end early.

    Raises
    ------
    BackboneError
        If an adapter is not in the layers (prompt tuning, prefix tuning and their like).
    """
    while True:
        if type(model).__name__ == "OptimizedModule" and hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif _is_peft(model):
            _check_adapters(model.peft_config)
            model = model.base_model.model
        elif hasattr(model, "thinker") and hasattr(model.thinker, "config"):
            model = model.thinker  # of a model that also speaks, the part that reads
        else:
            return model


def _is_peft(model: Any) -> bool:
    return _is_of_peft(model) and hasattr(model, "peft_config")


def _is_of_peft(module: Any) -> bool:
    return any(base.__module__.startswith("peft.") for base in type(module).__mro__)


def _check_adapters(configs: dict[str, Any]) -> None:
    for name, config in configs.items():
        kind = _kind(config)
        if (
            getattr(config, "is_prompt_learning", False)
            or kind in _OUTSIDE
            or getattr(config, "alora_invocation_tokens", None)
        ):
            raise BackboneError(
                f"the adapter {name} ({kind}) acts outside the model's layers, where savs does not "
                "read; adapters in the layers (LoRA and its like) work"
            )


def adapter_state(model: Any) -> list[dict[str, Any]] | None:
    """Return what PEFT adapters do to a model, JSON-able; None without any.

    Their weights are among the model's own.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        As `unwrapped` returns it.
    """
    configs = getattr(model, "peft_config", None)
    if not isinstance(configs, dict) or not any(map(_is_of_peft, model.modules())):
        return None  # older releases of peft leave the configurations of adapters that were taken off
    layers = _adapted_layers(model)
    return [
        {
            "name": name,
            "kind": _kind(config),
            "active": any(name in active for active, _ in layers),
            "layers": sum(name in scaling for _, scaling in layers),
            "scaling": sorted({float(scaling[name]) for _, scaling in layers if name in scaling}),
        }
        for name, config in sorted(configs.items())
    ]


def _adapted_layers(model: Any) -> list[tuple[list[str], dict[str, float]]]:
    """Return the active adapters and the strength of each adapter of every adapted layer."""
    return [
        ([] if module.disable_adapters else list(module.active_adapters), getattr(module, "scaling", {}))
        for module in model.modules()
        if hasattr(module, "base_layer") and hasattr(module, "active_adapters")
    ]


def _kind(config: Any) -> str:
    kind = getattr(config, "peft_type", None)
    return str(getattr(kind, "value", kind))


def check_kernel_name(kernel: str) -> None:
    """Refuse a kernel that is not here.

    Parameters
    ----------
    kernel : str
        As transformers names it, such as ``"sdpa"``.

    Raises
    ------
    BackboneError
        If it would come from a repository, or its package is not installed or does not work here.
    """
    from transformers.utils import import_utils

    if "/" in kernel:
        raise BackboneError(
            f"the attention kernel {kernel} is code from a repository, which savs never runs; use 'sdpa' or "
            "'eager'"
        )
    flash = _FLASH.search(kernel)
    if flash is None:
        return
    available = getattr(import_utils, f"is_flash_attn_{flash[1]}_available", lambda: False)
    if not available():
        raise BackboneError(
            f"the attention kernel {kernel} needs the package {_PACKAGES.get(flash[1], 'flash-attn')}, which "
            "is not installed or does not work on this machine; use 'sdpa' or 'eager'"
        )


def kernels_of(config: Any) -> set[str]:
    """Return the kernels that a configuration and those of its parts name."""
    parts = (getattr(config, name, None) for name in getattr(config, "sub_configs", ()))
    kernels = (getattr(part, "_attn_implementation", None) for part in (config, *parts))
    return {kernel for kernel in kernels if isinstance(kernel, str)}
