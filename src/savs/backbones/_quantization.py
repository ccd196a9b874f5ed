"""Models with weights of fewer bits: what to ask transformers for, and how it is recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from savs.errors import BackboneError

NAMES = ("bnb-4bit", "bnb-8bit", "torchao-int8")
"""Short names of common settings; any other goes as transformers' own configuration object."""

# The package that reads each method's weights, where it is not transformers' own code.
_PACKAGES = {
    "bitsandbytes": "bitsandbytes",
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "torchao": "torchao",
    "gptq": "gptqmodel",
    "awq": "gptqmodel",
    "hqq": "hqq",
    "quanto": "optimum-quanto",
    "compressed-tensors": "compressed-tensors",
    "aqlm": "aqlm",
    "eetq": "eetq",
    "vptq": "vptq",
    "auto-round": "auto-round",
    "quark": "amd-quark",
}
_MODULES = {"optimum-quanto": "optimum", "amd-quark": "quark"}
_PLAIN = frozenset({"Parameter", "Tensor", "Buffer"})


def package_of(method: str) -> str | None:
    """Return the package that reads the weights of a method; None for transformers' own."""
    return _PACKAGES.get(method)


def quantization_config(wanted: Any, source: str, config: Any) -> Any:
    """Return transformers' configuration object for what is asked for; None for a model as it is.

    Parameters
    ----------
    wanted : str, mapping, object with ``quant_method``, or None
        One of `NAMES`, the settings as a fingerprint has them, or transformers' own object.
    source : str
        Of the model, for messages.
    config : transformers.PreTrainedConfig
        Of the model, which may say that its weights are quantized already.

    Raises
    ------
    BackboneError
        If it is unknown, needs a package that is not installed, or the weights are quantized in another way.
    """
    saved = getattr(config, "quantization_config", None)
    if saved is not None:
        _check_package(saved, source)
    if wanted is None:
        return None
    requested = _from_name(wanted, source) if isinstance(wanted, str) else _from_settings(wanted, source)
    if saved is None:
        _check_package(requested, source)
        return requested
    if _settings(requested) != _settings(saved):
        raise BackboneError(
            f"{source}: its weights are quantized already ({_method(saved)}), so they cannot be quantized as "
            "asked for; leave quantization out"
        )
    return None


def _from_name(name: str, source: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if name not in NAMES:
        raise BackboneError(
            f"unknown quantization {name!r}; use {', '.join(NAMES)} or one of transformers' own "
            "configuration objects"
        )
    make: Any = BitsAndBytesConfig
    _check_package({"quant_method": "torchao" if name.startswith("torchao") else "bitsandbytes"}, source)
    if name == "bnb-8bit":
        return make(load_in_8bit=True)
    if name == "bnb-4bit":
        compute = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        return make(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)
    make = TorchAoConfig
    return make(import_module("torchao.quantization").Int8WeightOnlyConfig())


def _from_settings(wanted: Any, source: str) -> Any:
    from transformers.quantizers.auto import AutoQuantizationConfig

    if isinstance(wanted, Mapping):
        settings = dict(wanted.get("settings") or wanted)
        _check_package(settings, source)
        make: Any = AutoQuantizationConfig
        try:
            return make.from_dict(settings)
        except Exception as error:  # each method checks its settings in its own way
            raise BackboneError(
                f"these are not quantization settings: {' '.join(str(error).split())[:200]}"
            ) from error
    if not hasattr(wanted, "quant_method"):
        raise BackboneError(
            f"quantization is {', '.join(NAMES)} or one of transformers' own configuration objects, not "
            f"{type(wanted).__name__}"
        )
    return wanted


def _check_package(settings: Any, source: str) -> None:
    method = _method(settings)
    package = _PACKAGES.get(method)
    if package is None:
        return
    if find_spec(_MODULES.get(package, package.replace("-", "_"))) is None:
        raise BackboneError(
            f"{source}: weights quantized with {method} need the package {package}: pip install {package}"
        )


def check_quantized(model: Any, source: str) -> None:
    """Refuse a model that was to be quantized and has no quantized weight: transformers does not say so.

    Raises
    ------
    BackboneError
        If no weight was quantized.
    """
    if not _weights(model):
        raise BackboneError(
            f"{source}: none of its weights could be quantized as asked for (sizes that the method cannot "
            "divide into groups); use another method, or none"
        )


def keep_weights(model: Any) -> None:
    """Make bitsandbytes compute with 4-bit weights as they are; `frozen` takes it back.

    On CPUs with bfloat16 instructions it would first write them anew in another order, with coarser scales.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False


def quantization_state(model: Any) -> dict[str, Any] | None:
    """Return method, settings and the number of weights of each quantized kind; None for plain weights.

    A model that was quantized by hand has a kind of weights, and no method. Of a GGUF file, whose weights
    were unpacked, it is the number of tensors of each type in the file.
    """
    if hasattr(model, "gguf_quantization"):
        return dict(model.gguf_quantization)
    settings = getattr(model.config, "quantization_config", None)
    weights = _weights(model)
    if settings is None and not weights:
        return None
    return {
        "method": None if settings is None else _method(settings),
        "settings": None if settings is None else _settings(settings),
        "weights": weights,
    }


def _weights(model: Any) -> dict[str, int]:
    """Return how many weights there are of each kind that is not an ordinary float tensor."""
    kinds: Counter[str] = Counter()
    for tensor in (*model.parameters(), *_integer_buffers(model)):
        kind = type(tensor).__name__
        if kind not in _PLAIN:
            kinds[kind] += 1
        elif tensor.element_size() == 1 or not tensor.is_floating_point():
            kinds[str(tensor.dtype).removeprefix("torch.")] += 1
    return dict(sorted(kinds.items()))


def _integer_buffers(model: Any) -> list[Any]:
    # Several methods (GPTQ, AWQ) keep packed weights as buffers of these names.
    names = {"qweight", "qzeros", "weight_packed", "codes"}
    return [buffer for name, buffer in model.named_buffers() if name.rpartition(".")[2] in names]


def _method(settings: Any) -> str:
    method = settings.get("quant_method") if isinstance(settings, Mapping) else settings.quant_method
    return str(getattr(method, "value", method))


def _settings(settings: Any) -> dict[str, Any]:
    entries = dict(settings) if isinstance(settings, Mapping) else settings.to_dict()
    entries["quant_method"] = _method(settings)
    # Where a file lies is no setting.
    return {
        str(name): value
        for name, value in entries.items()
        if not str(name).startswith("_") and name != "gguf_file"
    }
