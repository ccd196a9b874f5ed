"""What decides a backbone's vectors, as a small record that two machines can compare.

Digests are sha256 over canonical forms: the same in every process and on every device, without the network.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Hashable, Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch

import savs
from savs.backbones._checkpoints import adapter_state
from savs.backbones._forward import input_device, put_away_weights
from savs.backbones._quantization import package_of, quantization_state
from savs.backbones._rendering import chat_template, reads_audio, reads_videos, tokenizer_of

if TYPE_CHECKING:
    from savs.backbones._attention_sites import Anatomy
    from savs.backbones.base import JSONValue

_BLOCK = 4096  # 8-byte words that are summed before they are hashed
_VOLATILE = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_commit_hash",
    "_name_or_path",
    "_processor_class",
    "dtype",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "quantization_config",
    "torch_dtype",
    "transformers_version",
    "use_cache",
}


def fingerprint(model: Any, processor: Any, anatomy: Anatomy) -> dict[str, JSONValue]:
    """Return the record of a loaded model and its processor; where they came from is the caller's to add.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Loaded.
    processor : transformers processor or tokenizer
        Its own.
    anatomy : Anatomy
        Where its heads are.
    """
    named, unnamed = _weights_digests(model)
    adapters, quantization = _stable(adapter_state(model)), _stable(quantization_state(model))
    record: dict[str, JSONValue] = {
        "model_class": type(model).__name__,
        "config_digest": config_digest(model.config),
        "config": _json_safe(_stable(model.config.to_dict())),
        "weights_digest": named,
        "unnamed_weights_digest": unnamed,
        "processor_class": type(processor).__name__,
        "processor_digest": processor_digest(processor),
        "processor": _json_safe(_settings(processor)),
        "tokenizer_digest": _sha256_json(_tokenizer_state(tokenizer_of(processor))),
        "processor_backend": _processor_backend(processor),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attn_implementation": _attention_kernel(model.config),
        "device": input_device(model).type,
        "quantization": quantization,
        "adapters": adapters,
        "layers": anatomy.n_layers,
        "gated": anatomy.gated,
        "skipped": anatomy.describe()["skipped"],
        "versions": _versions(processor, adapted=bool(adapters), quantization=quantization),
    }
    if reads_videos(processor):
        record["video_digest"] = _sha256_json(_stable(processor.video_processor.to_dict()))
    return record


def state(model: Any, processor: Any) -> Hashable:
    """Return what shows, at little cost, that a fingerprint does not hold any more.

    Versions of the weights, which torch counts at every change in place, adapters, the configuration and the
    processor's settings.
    """
    return (
        tuple(_version(parameter) for parameter in model.parameters()),
        repr(adapter_state(model)),
        tuple(str(getattr(module, "merged_adapters", "")) for module in model.modules()),
        config_state(model.config),
        processor_state(processor),
    )


def config_state(config: Any) -> Hashable:
    """Return what shows, at little cost, that a configuration has changed."""
    return repr(config)


def processor_state(processor: Any) -> Hashable:
    """Return what shows, at little cost, that a processor's settings have changed."""
    tokenizer, images = tokenizer_of(processor), getattr(processor, "image_processor", None)
    others = (getattr(processor, name, None) for name in ("feature_extractor", "video_processor"))
    return (
        chat_template(processor)[0],
        len(tokenizer),
        None if images is None else repr(images),
        *(repr(other) for other in others if hasattr(other, "to_dict")),
        repr([(name, v) for name, v in vars(processor).items() if isinstance(v, (str, int, float, tuple))]),
    )


def _version(tensor: torch.Tensor) -> Hashable:
    # Weights that are put away become other objects at each pass, and others have no count.
    if tensor.is_meta or tensor.is_inference():
        return None
    return id(tensor), tensor._version, tensor.dtype


def config_digest(config: Any) -> str:
    """Return the sha256 of a model's configuration, without dtype, attention kernel and file names."""
    return _sha256_json(_stable(config.to_dict()))


def weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights and saved buffers by name, sorted, those that are put away one at a time.

    A weight that nobody holds is on the meta device.
    """
    kept = put_away_weights(model)
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        if tensor.is_meta and name in kept:
            values, key = kept[name]
            tensor = values[key]
        yield name, tensor


def weights_digest(model: Any) -> str:
    """Return the sha256 over names, shapes, dtypes and values of all weights and saved buffers.

    Bits are summed in blocks where the weights are (at the speed of memory) and the sums hashed: one changed
    value changes the digest. It depends on the dtype a model was loaded in, never on its device, nor on
    whether its weights are offloaded. Of quantized weights the packed values count.
    """
    return _weights_digests(model)[0]


def _weights_digests(model: Any) -> tuple[str, str]:
    """Return the digest of all weights, and the one of the parameters whatever their names are.

    The second one is for a release of transformers that gives the same parameters other names; saved buffers,
    which releases add and drop, are not in it, and weights that are tied count once.
    """
    named, unnamed = hashlib.sha256(), set()
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, tensor in weights(model):
        head = f"{tuple(tensor.shape)} {tensor.dtype}\n".encode()
        sums = [_summed_bits(part) for part in _plain_tensors(tensor)]
        named.update(f"{name} ".encode() + head)
        for part in sums:
            named.update(part)
        if name in parameters:
            unnamed.add(hashlib.sha256(head + b"".join(sums)).digest())
    return named.hexdigest(), hashlib.sha256(b"".join(sorted(unnamed))).hexdigest()


def _plain_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the ordinary tensors that a weight is made of: packed values, scales, zero points."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    for name in flatten()[0]:
        yield from _plain_tensors(getattr(tensor, name))


def _summed_bits(tensor: torch.Tensor) -> bytes:
    """Return sums modulo 2**64 of blocks of a tensor's 8-byte words, and the bytes that are left over."""
    if tensor.is_meta or not tensor.numel():
        return b""
    values = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
    whole = values.numel() // 8 * 8
    words, rest = values[:whole], values[whole:]
    if words.storage_offset() % 8:  # a slice of another tensor's memory
        words = words.clone()
    words = words.view(torch.int64)
    full = words.numel() // _BLOCK * _BLOCK
    sums = words[:full].view(-1, _BLOCK).sum(dim=1)
    ends = torch.cat([sums, words[full:].sum().reshape(1)]).cpu().numpy()
    return bytes(ends.tobytes()) + bytes(rest.cpu().numpy().tobytes())


def processor_digest(processor: Any) -> str:
    """Return the sha256 of what turns an example into model inputs: images, template and tokenizer."""
    tokenizer = tokenizer_of(processor)
    parts: dict[str, Any] = {
        "template": chat_template(processor)[0],
        "tokenizer": _tokenizer_state(tokenizer),
        "special": _stable({name: str(token) for name, token in tokenizer.special_tokens_map.items()}),
    }
    if processor is not tokenizer:
        settings = _settings(processor)
        parts["processor"] = {name: value for name, value in settings.items() if name != "video_processor"}
    return _sha256_json(parts)


def _settings(processor: Any) -> dict[str, Any]:
    """Return what a processor says of itself, without its tokenizer; nothing for a tokenizer."""
    if processor is tokenizer_of(processor):
        return {}
    found: dict[str, Any] = _stable(processor.to_dict())
    return {name: value for name, value in found.items() if name not in {"tokenizer", "chat_template"}}


def _tokenizer_state(tokenizer: Any) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return sorted(tokenizer.get_vocab().items())
    # Padding and truncation are left over from the last call, not part of the tokenizer.
    state = json.loads(backend.to_str())
    return {name: value for name, value in state.items() if name not in {"padding", "truncation"}}


def _processor_backend(processor: Any) -> str | None:
    images = getattr(processor, "image_processor", None)
    if images is None:
        return None
    backend = getattr(images, "backend", None)
    return str(backend) if backend is not None else type(images).__name__


def _attention_kernel(config: Any) -> str | None:
    kernel = getattr(config, "_attn_implementation", None)
    return None if kernel is None else str(kernel)


def canonical_digest(content: Any) -> str:
    """Return the sha256 of JSON content, without the entries that say nothing about the computation."""
    return _sha256_json(_stable(content))


def _stable(value: Any) -> Any:
    """Return a JSON-able copy without the entries that say nothing about the computation."""
    if isinstance(value, dict):
        return {str(key): _stable(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, (list, tuple)):
        return [_stable(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return value if value is None or isinstance(value, (str, int, float, bool)) else _named(value)


def _named(value: Any) -> str:
    # Never `repr` of an unknown object: it may hold a memory address.
    if isinstance(value, (torch.dtype, torch.device)) or hasattr(value, "tolist"):
        return str(value.tolist() if hasattr(value, "tolist") else value)
    return type(value).__name__


def _sha256_json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _json_safe(value: Any) -> Any:
    """Return a copy without the infinities that some configurations have, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_safe(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# In which packages the code is that turns an example into vectors: always, with a processor for media, with
# adapters, and by the method of a quantization.
_RUN_BY = ("torch", "transformers", "tokenizers")
_MEDIA_BY = ("numpy", "pillow", "torchvision")


def _versions(processor: Any, *, adapted: bool, quantization: Any) -> dict[str, JSONValue]:
    packages = list(_RUN_BY)
    if processor is not tokenizer_of(processor):
        packages += _MEDIA_BY
    if reads_audio(processor):
        packages.append("soxr")
    if adapted:
        packages.append("peft")
    if isinstance(quantization, Mapping):
        packages += filter(None, [package_of(str(quantization.get("method")))])
    own: dict[str, JSONValue] = {"savs": savs.__version__, "python": platform.python_version()}
    return own | {package: version for package in packages if (version := _version_of(package)) is not None}


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
