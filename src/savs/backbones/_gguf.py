"""Models in one GGUF file: which file is meant, what it says of itself, and how transformers reads it.

transformers unpacks the weights to the dtype that is asked for; packed ones would need kernels from the hub,
which are code that savs never fetches. The quantization stays on record.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from savs._optional import import_optional
from savs.errors import BackboneError

_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_PROJECTOR = re.compile(r"(^|[-_.])mmproj([-_.]|$)", re.IGNORECASE)
_SHOWN = 20
_NO_PROJECTOR = (
    "a multimodal projector, which transformers does not read; name the file with the language model to read "
    "text, or the folder of the original model to read images"
)
# transformers takes GPT-2's rule where it does not know the name. Those of the second line also cut numbers
# into digits, which comes to the same: their vocabularies hold no longer numbers.
_LIKE_GPT2 = frozenset({"default", "gpt-2", "mpt", "olmo", "jais", "trillion"}) | frozenset(
    {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
)


def is_gguf(name: str) -> bool:
    """Return whether a name is that of a GGUF file."""
    return name.lower().endswith(".gguf")


def choose_file(source: str, names: Sequence[str]) -> str | None:
    """Return the one GGUF file that holds a model; None if there is no GGUF file at all.

    Parameters
    ----------
    source : str
        Of the model, for messages.
    names : sequence of str
        The GGUF files of its folder.

    Raises
    ------
    BackboneError
        If there are several, if it is cut into parts, or if there is nothing but a multimodal projector.
    """
    models = sorted(name for name in names if not _PROJECTOR.search(name))
    if names and not models:
        raise BackboneError(f"{source}: {', '.join(sorted(names)[:_SHOWN])} is {_NO_PROJECTOR}")
    if any(_PART.search(name) for name in models) and len({_PART.sub("", name) for name in models}) == 1:
        raise BackboneError(f"{source}: {_in_parts(models[0])}")
    if len(models) > 1:
        more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
        raise BackboneError(
            f"{source}: there are {len(models)} GGUF files: {', '.join(models[:_SHOWN])}{more}; name the one "
            f"that you mean, such as {source}/{models[0]}"
        )
    return models[0] if models else None


def _in_parts(name: str) -> str:
    return (
        f"{name} is one part of a model in several GGUF files, which transformers does not read; join them "
        "first (llama-gguf-split --merge)"
    )


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of itself.

    Attributes
    ----------
    architecture : str
        As llama.cpp names it, such as ``"llama"``.
    weights : dict of str to int
        How many tensors there are of each type, such as ``{"F32": 61, "Q4_1": 210}``.
    splits_text_as : str or None
        Name of the rule by which text is cut before the merges of a byte-level vocabulary.
    """

    architecture: str
    weights: dict[str, int]
    splits_text_as: str | None

    @property
    def quantization(self) -> dict[str, Any]:
        """For the fingerprint."""
        settings = {"architecture": self.architecture, "quant_method": "gguf"}
        return {"method": "gguf", "settings": settings, "weights": dict(sorted(self.weights.items()))}


def read_header(path: Path, source: str) -> GgufHeader:
    """Return what a GGUF file says of itself.

    Parameters
    ----------
    path : Path
    source : str
        Of the model, for messages.

    Raises
    ------
    MissingDependencyError
        If the package gguf is not installed.
    BackboneError
        If it is not a GGUF file, is incomplete, or holds something else than a whole language model.
    """
    gguf = import_optional("gguf")
    if _PART.search(path.name):
        raise BackboneError(f"{source}: {_in_parts(path.name)}")
    try:
        reader = gguf.GGUFReader(path)
        said = {name: _value(reader, name) for name in _KEYS}
        weights = Counter(str(tensor.tensor_type.name) for tensor in reader.tensors)
    except Exception as error:  # NumPy, struct and the reader each have their own ways to fail
        raise BackboneError(
            f"{source}: it is not a whole GGUF file ({type(error).__name__}); copy or download it again"
        ) from error
    _check(path.name, source, said)
    return GgufHeader(str(said["general.architecture"]), dict(weights), said["tokenizer.ggml.pre"])


_KEYS = (
    "general.architecture",
    "general.type",
    "split.count",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
)


def _value(reader: Any, name: str) -> Any:
    field = reader.fields.get(name)
    if field is None or not field.types:
        return None
    part = field.parts[field.data[0]]
    return bytes(part).decode() if field.types[0].name == "STRING" else part.tolist()[0]


def _check(name: str, source: str, said: dict[str, Any]) -> None:
    architecture, kind = said["general.architecture"], said["general.type"] or "model"
    if kind == "mmproj" or architecture == "clip" or _PROJECTOR.search(name):
        raise BackboneError(f"{source}: it holds {_NO_PROJECTOR}")
    if kind != "model" or not isinstance(architecture, str):
        raise BackboneError(f"{source}: this GGUF file holds no model but something else ({kind})")
    if isinstance(said["split.count"], int) and said["split.count"] > 1:
        raise BackboneError(f"{source}: {_in_parts(name)}")


def unknown_split(header: GgufHeader) -> str | None:
    """Return the name of a file's rule for cutting text if transformers does not know it and uses another."""
    try:
        from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS as KNOWN
    except ImportError:  # older versions go by the architecture
        return None
    name = header.splits_text_as
    return None if name is None or name in KNOWN or name in _LIKE_GPT2 else name


def load_options() -> dict[str, Any]:
    """Return what ``from_pretrained`` is told so that it unpacks the weights of a GGUF file."""
    import transformers

    config_class = getattr(transformers, "GgufConfig", None)  # older versions always unpack
    return {} if config_class is None else {"quantization_config": config_class(dequantize=True)}


@contextmanager
def unpacking() -> Iterator[None]:
    """Let transformers unpack weights without a bar of its own, and without kernels from the hub.

    For some architectures it would fetch code from the hub if the package kernels is installed.
    """
    import transformers
    from transformers.utils import logging

    shown: Any = logging
    changes: list[tuple[str, str, Any]] = [
        ("integrations.gguf.kernels", "is_kernels_available", lambda: False)
    ]
    if not shown.is_progress_bar_enabled():
        changes.append(("modeling_gguf_pytorch_utils", "tqdm", lambda items, **_: items))
    before = []
    for name, attribute, value in changes:
        try:
            module = import_module(f"{transformers.__name__}.{name}")
        except ImportError:  # an older version
            continue
        if hasattr(module, attribute):
            before.append((module, attribute, getattr(module, attribute)))
            setattr(module, attribute, value)
    try:
        yield
    finally:
        for module, attribute, value in before:
            setattr(module, attribute, value)


def as_plain(model: Any, header: GgufHeader) -> None:
    """Make a model with unpacked weights an ordinary one that remembers how they were quantized.

    transformers still counts some of them as quantized, and refuses to convert or move them then.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Loaded a moment ago with `load_options`; it is changed.
    header : GgufHeader
        Of its file.
    """
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    for name, value in (("is_quantized", False), ("quantization_method", None), ("hf_quantizer", None)):
        if hasattr(model, name):
            setattr(model, name, value)
    model.gguf_quantization = header.quantization
