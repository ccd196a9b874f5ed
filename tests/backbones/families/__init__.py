"""Small random models of many families, built offline from real transformers classes and processors."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.backbones.families import audio, gemma, idefics, llava, others, qwen, text, videos

__all__ = ["BUILDERS", "CORE", "IMAGES", "AUDIOS", "TEXT_ONLY", "VIDEOS", "Family", "make_family"]


@dataclass(frozen=True)
class Family:
    """A model, its processor, and how their makers want them."""

    name: str
    model: Any
    processor: Any


def _builders(module: Any) -> dict[str, Callable[[], tuple[Any, Any]]]:
    found = {name.removeprefix("build_"): value for name, value in vars(module).items()}
    return {name: value for name, value in found.items() if f"build_{name}" in vars(module)}


TEXT_ONLY = tuple(_builders(text))
IMAGES = tuple(name for module in (llava, qwen, idefics, gemma, others) for name in _builders(module))
AUDIOS = tuple(_builders(audio))
VIDEOS = tuple(_builders(videos))
BUILDERS = {
    name: build
    for module in (llava, qwen, idefics, gemma, others, audio, videos, text)
    for name, build in _builders(module).items()
}
# What every other test of a backbone runs on; `test_contract.py` takes them all.
CORE = (
    "llava",
    "llava_onevision",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "idefics3",
    "smolvlm",
    "gemma3",
    "internvl",
    "paligemma",
)


def make_family(name: str) -> Family:
    """Build a family with the same random weights every time."""
    import torch

    torch.manual_seed(zlib.crc32(name.encode()))
    model, processor = BUILDERS[name]()
    # Biases and norms start at 0 and 1, which would hide mistakes.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Family(name, model.eval(), processor)
