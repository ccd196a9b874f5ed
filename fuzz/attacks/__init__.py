"""Attack files made by script: what is known to break readers, before any fuzzing.

``python -m fuzz.attacks`` writes those under 10 kB into ``tests/attacks/<target>/``, where what the fuzzers
found lies too. The tests make the larger ones themselves, and those named ``valid``: files as they are today,
from which the fuzzers start. What is named ``accepted`` is odd, but rightly read.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache

__all__ = ["LARGEST", "TARGETS", "built", "is_kept"]

TARGETS = ("images", "rows", "store", "artifact", "videos", "audio")
LARGEST = 10_000
"""Bytes of an attack file that is kept in the repository."""


@cache
def built(target: str) -> Mapping[str, bytes]:
    """Return the attacks on a target by file name."""
    found: Mapping[str, bytes] = importlib.import_module(f"fuzz.attacks.{target}").attacks()
    return found


def is_kept(name: str, content: bytes) -> bool:
    """Return whether an attack is kept in the repository."""
    return len(content) <= LARGEST and not name.startswith("valid")
