"""Whether two fingerprints are of the same backbone, however the libraries of the day name its parts.

What was handed in must agree: files, weights, dtype, quantization, adapters, the version on the hub. What a
release of transformers makes of it need not: a configuration gets new defaults and its fields new names.
Whether it also *computes* the same is for the canary to say (`savs.backbones._canary`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RECORDED_ONLY = frozenset(
    {
        "source",
        "revision",
        "attn_implementation",
        "device",
        "layers",
        "gated",
        "versions",
        "config",
        "config_file_digest",
        "processor",
        "processor_files_digest",
        "tokenizer_digest",
        "unnamed_weights_digest",
    }
)
"""Entries of a fingerprint in which two backbones may differ that are the same; new ones must agree."""

_FROM_FILES = {
    "model_class": "config_file_digest",
    "config_digest": "config_file_digest",
    "skipped": "config_file_digest",
    "processor_class": "processor_files_digest",
    "processor_digest": "processor_files_digest",
    "video_digest": "processor_files_digest",
}
"""Entries that transformers makes of files, and the digest of these files."""

_FILES = frozenset(_FROM_FILES.values())
_BUNDLED = "tiny"
_BACKENDS = frozenset({"pil", "torchvision", None})


def differing(saved: Mapping[str, Any], current: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the entries, of those named, in which a backbone is another one than a recorded one.

    Parameters
    ----------
    saved, current : mapping
        Fingerprints.
    names : iterable of str
        Entries that must agree.

    Notes
    -----
    Entries with different values agree nevertheless

    1. if transformers made them of files, and the files are the same;
    2. if an older savs recorded no digests of files, the model is unchanged since it was loaded, and its
       weights and its commit are those recorded, or its weights are the bundled model's;
    3. if another transformers or tokenizers made them, and the values that both releases know are equal (an
       entry of a configuration that only one of the two has is a default or a name of that release; weights
       may have other names).
    """
    return [
        name for name in names if saved.get(name) != current.get(name) and not _same(name, saved, current)
    ]


def other_libraries(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return which of transformers and tokenizers are of another version: ``transformers 5.3.0 -> 5.4.0``.

    Empty where a version was not recorded.
    """
    then, now = (one.get("versions") for one in (saved, current))
    if not isinstance(then, Mapping) or not isinstance(now, Mapping):
        return []
    names = [name for name in ("transformers", "tokenizers") if then.get(name) and now.get(name)]
    return [f"{name} {then[name]} -> {now[name]}" for name in names if then[name] != now[name]]


def without_names(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity without what only names things: what the keys of stored features are made of.

    Digests of files take the place of what transformers makes of the files. An identity that an older savs
    recorded has nothing to leave out, so that its keys are the ones it had.
    """
    files = {name for name in _FILES if identity.get(name) is not None}
    left_out = (RECORDED_ONLY - files) | {name for name, of in _FROM_FILES.items() if of in files}
    return {name: value for name, value in identity.items() if name not in left_out}


def _same(name: str, saved: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Return whether an entry with two values is the same thing by two names."""
    files = _FROM_FILES.get(name)
    if files is not None and current.get(files) is not None:
        if saved.get(files) == current[files]:
            return True
        if files not in saved and _same_checkpoint(saved, current):
            return True
    if not other_libraries(saved, current):
        return False
    if name == "weights_digest":
        unnamed = saved.get("unnamed_weights_digest")
        return unnamed is not None and unnamed == current.get("unnamed_weights_digest")
    if name == "processor_backend":
        # Image processors without a choice of backend are recorded by their class.
        return not {saved.get(name), current.get(name)} <= _BACKENDS and not differing(
            saved, current, ["processor_digest"]
        )
    return _same_values(name, saved, current)


def _same_checkpoint(saved: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    if saved.get("weights_digest") != current.get("weights_digest"):
        return False
    commit = current.get("commit")
    return current.get("source") == _BUNDLED or (commit is not None and saved.get("commit") == commit)


def _same_values(name: str, saved: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    if _FROM_FILES.get(name) == "config_file_digest":
        return _agree(saved.get("config"), current.get("config"))
    if _FROM_FILES.get(name) == "processor_files_digest":
        tokenizer = saved.get("tokenizer_digest")
        return (
            tokenizer is not None
            and tokenizer == current.get("tokenizer_digest")
            and _agree(saved.get("processor"), current.get("processor"))
        )
    return False


def _agree(saved: Any, current: Any) -> bool:
    """Return whether two settings are equal in what both have."""
    if isinstance(saved, Mapping) and isinstance(current, Mapping):
        return all(_agree(saved[name], current[name]) for name in saved.keys() & current.keys())
    return saved is not None and bool(saved == current)
