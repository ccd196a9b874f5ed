"""Fills a store with a model whose code computes something else. python drifting.py STORE"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

TEXTS = ["a red bus", "a blue car", "is this a cat? 123 times"]


@contextmanager
def other_positions():
    """Run the bundled model's decoder with positions of half the angle, as a faulty release would."""
    from transformers.models.qwen3 import modeling_qwen3

    real = modeling_qwen3.apply_rotary_pos_emb

    def halved(q, k, cos, sin, *rest, **options):
        half = ((1 + cos) / 2).clamp(min=0).sqrt()
        return real(q, k, half, sin / (2 * half.clamp(min=1e-3)), *rest, **options)

    modeling_qwen3.apply_rotary_pos_emb = halved
    try:
        yield
    finally:
        modeling_qwen3.apply_rotary_pos_emb = real


@contextmanager
def recorded_as(release: str):
    """Record another version of transformers."""
    from savs.backbones import _fingerprint

    real = _fingerprint._version_of
    _fingerprint._version_of = lambda name: release if name == "transformers" else real(name)
    try:
        yield
    finally:
        _fingerprint._version_of = real


if __name__ == "__main__":
    from savs.backbones import load_backbone
    from savs.cache import with_store
    from savs.data import as_examples

    with other_positions(), recorded_as("5.3.0"):
        with_store(load_backbone("tiny"), Path(sys.argv[1])).extract(as_examples(TEXTS))
