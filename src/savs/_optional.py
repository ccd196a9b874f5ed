"""Packages that only some uses of savs need, and the extra of savs that installs each one."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from savs.errors import MissingDependencyError

__all__ = ["import_optional"]


class _Need(NamedTuple):
    """Why a module is needed, and the extra that installs it."""

    reason: str
    extra: str


_NEEDS = {
    "av": _Need("videos need PyAV", "video"),
    "soundfile": _Need("audio files need soundfile", "audio"),
    "soxr": _Need("audio at another sampling rate than the model's needs soxr", "audio"),
    "pillow_heif": _Need("HEIC images need pillow-heif", "heif"),
    "matplotlib": _Need("plots need matplotlib", "plots"),
    "sentence_transformers": _Need("text embeddings need sentence-transformers", "embeddings"),
    "setfit": _Need("SetFit needs the package setfit", "setfit"),
    "gguf": _Need("GGUF files need the package gguf", "gguf"),
    "peft": _Need("training adapters needs peft", "lora"),
}


def import_optional(module: str) -> Any:
    """Return an optional module.

    Parameters
    ----------
    module : str
        ``"av"``, ``"soundfile"``, ``"soxr"``, ``"pillow_heif"``, ``"matplotlib"``, ``"gguf"``,
        ``"peft"``, ``"sentence_transformers"`` or ``"setfit"``.

    Raises
    ------
    MissingDependencyError
        If it is not installed, with the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # The package is there, but one that it needs is not: its own message says more.
        if error.name != module:
            raise
        need = _NEEDS[module]
        raise MissingDependencyError(need.reason, need.extra, module) from None
