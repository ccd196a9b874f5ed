"""Classifiers on disk: an index and a file of numbers, both with right checksums, and contents that lie.

An input is the JSON of the index, a null byte, and the safetensors file; without a null byte there is no
file of numbers. `place` gives the index its own checksum, unless it is no JSON object, and the name and the
checksum of the numbers where ``tensors`` is empty.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from fuzz.json_changes import change_text, dump
from savs.artifact import load_artifact, save_artifact
from savs.errors import ArtifactError
from savs.model import SAVModel
from savs.model_card import render_card

__all__ = ["ALLOWED", "SUFFIXES", "mutate", "place", "read", "split"]

SUFFIXES = (".savs",)
ALLOWED = (ArtifactError,)

NUMBERS = "classifier-000000000000.safetensors"
FIELDS = (
    "schema_version",
    "label_type",
    "classes",
    "prompt",
    "method",
    "classifier",
    "n_heads",
    "layout",
    "heads",
    "shots",
    "estimate",
)
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "F4", "X", "C64")
SHAPES: tuple[list[int], ...] = (
    [],
    [0],
    [1],
    [2],
    [2, 8],
    [8, 2],
    [2**31, 2**31],
    [2**63 - 1],
    [2**64 - 1, 0],
)


def place(body: bytes, _suffix: str, folder: Path) -> Path:
    """Write a classifier's folder with checksums that hold, and return it."""
    index, numbers = split(body)
    home = folder / "classifier"
    home.mkdir()
    (home / "savs.json").write_bytes(_signed(index, numbers))
    if numbers is not None:
        (home / NUMBERS).write_bytes(numbers)
    return home


def split(body: bytes) -> tuple[bytes, bytes | None]:
    """Return the index and the numbers of an input."""
    index, null, numbers = body.partition(b"\0")
    return index, numbers if null else None


def _signed(raw: bytes, numbers: bytes | None) -> bytes:
    try:
        index = json.loads(raw)
        if not isinstance(index, dict):
            return raw
        if index.get("tensors") == {} and numbers is not None:
            stated = {"file": NUMBERS, "sha256": hashlib.sha256(numbers).hexdigest()}
            index["tensors"] = stated | {"arrays": _arrays(numbers)}
        index.pop("sha256", None)
        compact = json.dumps(index, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return raw
    return dump({**index, "sha256": hashlib.sha256(compact.encode()).hexdigest()})


def _arrays(numbers: bytes) -> dict[str, Any]:
    """Return type and shape of each array, as the index states them; nothing where they cannot be read."""
    try:
        return {name: [str(array.dtype), list(array.shape)] for name, array in load(numbers).items()}
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return {}


def read(path: Path) -> None:
    """Load a classifier; one that is accepted must come back from a save as it was, and be shown."""
    SAVModel.from_pretrained(path)
    loaded = load_artifact(path)
    assert loaded.classes
    assert loaded.heads
    assert sum(loaded.shots_per_class.values()) == len(loaded.shots)
    again = path / "again"
    save_artifact(loaded, again, card=render_card(loaded))
    assert load_artifact(again).classes == loaded.classes
    for file in again.iterdir():
        file.unlink()
    again.rmdir()


def mutate(body: bytes, _suffix: str, chance: random.Random) -> bytes:
    """Change the index or the header of the numbers, and leave both what they are."""
    index, numbers = split(body)
    if numbers is None or chance.random() < 0.6:
        changed = change_text(index, chance, FIELDS)
        return changed if numbers is None else changed + b"\0" + numbers
    return index + b"\0" + _numbers_changed(numbers, chance)


def _numbers_changed(numbers: bytes, chance: random.Random) -> bytes:
    """Return a safetensors file whose header says something else, its own length right most of the time."""
    length = int.from_bytes(numbers[:8], "little")
    header, data = numbers[8 : 8 + length], numbers[8 + length :]
    kind = chance.randrange(5)
    if kind == 0:
        header = change_text(header, chance, ("__metadata__", "centroids", "dtype", "shape", "data_offsets"))
    elif kind in (1, 2):
        header = _tensor_changed(header, len(data), chance)
    elif kind == 3:
        data = _values_changed(data, chance)
    else:
        data = data[: len(data) // 2] if chance.random() < 0.5 else data + data
    stated = len(header) if chance.random() < 0.95 else chance.choice([0, 2**31, 2**63, 2**64 - 1])
    return struct.pack("<Q", stated) + header + data


def _tensor_changed(header: bytes, n_bytes: int, chance: random.Random) -> bytes:
    try:
        content: Any = json.loads(header)
        tensor = content[chance.choice(sorted(content))]
        name = chance.choice(["dtype", "shape", "data_offsets"])
        spans = ([0, 0], [0, n_bytes], [n_bytes, 0], [0, n_bytes + 1], [-1, 8], [8, 16], [0, 2**64])
        tensor[name] = chance.choice({"dtype": DTYPES, "shape": SHAPES, "data_offsets": spans}[name])
    except (ValueError, RecursionError, LookupError, TypeError):
        return header
    return dump(content)


def _values_changed(data: bytes, chance: random.Random) -> bytes:
    if len(data) < 8:
        return data
    spot = 8 * chance.randrange(len(data) // 8)
    value = chance.choice([0.0, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf")])
    packed = (
        struct.pack("<q", chance.choice([-1, 2**62, 0]))
        if chance.random() < 0.3
        else struct.pack("<d", value)
    )
    return data[:spot] + packed + data[spot + 8 :]
