"""Stores whose description or part says what cannot be, all checksums right."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from savs.cache import FeatureStore
from savs.layout import HeadLayout

__all__ = ["attacks"]

LAYOUT = HeadLayout.from_layers([(0, 2, 3), (1, 1, 2)])


def attacks() -> dict[str, bytes]:
    """Return the inputs of `fuzz.store` by name."""
    description, part = _made("float32", None)
    return {
        "valid.store": description + b"\0" + part,
        "valid-empty.store": description,
        **{f"valid-{dtype}-states.store": b"\0".join(_made(dtype, 4)) for dtype in ("float16", "bfloat16")},
        **_descriptions(json.loads(description), part),
        **_parts(description, part),
    }


def _made(dtype: str, states_width: int | None) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        options: dict[str, Any] = {"dtype": dtype, "states_width": states_width}
        with FeatureStore.open(path, {"weights_digest": "ab"}, LAYOUT, **options) as store:
            keys = [hashlib.sha256(bytes([row])).digest() for row in range(3)]
            rows = np.arange(3 * LAYOUT.width, dtype=np.float32).reshape(3, -1)
            store.append(keys, rows, None if states_width is None else np.ones((3, states_width), np.float32))
        (part,) = (path / "parts").glob("*.parquet")
        return (path / "store.json").read_bytes(), part.read_bytes()


def _descriptions(right: dict[str, Any], part: bytes) -> dict[str, bytes]:
    layouts: dict[str, Any] = {
        "no-heads": [],
        "widths-of-2-to-the-40": [[0, 0, 2**40]],
        "widths-of-2-to-the-70": [[0, 0, 2**70]],
        "layer-2-to-the-70": [[2**70, 0, 3]],
        "width-0": [[0, 0, 0]],
        "negative-layer": [[-1, 0, 3]],
        "head-twice": [[0, 0, 3], [0, 0, 3]],
        "of-text": "all",
        "of-numbers": [1, 2, 3],
        "of-decimals": [[0, 0, 3.0]],
        "of-objects": [{"0": 1, "1": 2, "2": 3}],
        "null": None,
        "truth": [[False, False, True]],
    }
    others: dict[str, dict[str, Any]] = {
        "states-of-2-to-the-60": {"states_width": 2**60},
        "states-of-a-truth-value": {"states_width": True},
        "states-of-text": {"states_width": "6"},
        "dtype-unknown": {"dtype": "float8"},
        "dtype-of-a-list": {"dtype": ["float32"]},
        "fingerprint-of-pairs": {"fingerprint": [["a", 1]]},
        "fingerprint-of-text": {"fingerprint": "ab"},
        "fingerprint-null": {"fingerprint": None},
        "fingerprint-with-a-surrogate": {"fingerprint": {"a": "\ud800"}},
        "fingerprint-with-nan": {"fingerprint": {"a": float("nan")}},
        "schema-99": {"schema_version": 99},
        "schema-true": {"schema_version": True},
        "schema-of-text": {"schema_version": "x" * 5000 + "\n\x1b[31m"},
        "kind-of-another": {"kind": "x"},
    }
    named = {f"layout-{name}": {"layout": layout} for name, layout in layouts.items()} | others
    found = {
        f"{name}.store": json.dumps({**right, **changes}).encode() + b"\0" + part
        for name, changes in named.items()
    }
    deep = json.dumps({**right, "fingerprint": {"a": 0}}).replace(
        '{"a": 0}', '{"a": ' + "[" * 800 + "]" * 800 + "}"
    )
    return {
        **found,
        "accepted-fingerprint-800-deep.store": deep.encode(),
        "nothing.store": b"",
        "json-100-000-deep.store": b"[" * 100_000,
        "json-of-a-list.store": b"[]",
        "json-of-5000-digits.store": b"9" * 5000,
        "json-not-utf-8.store": b'{"kind": "\xff"}',
    }


def _parts(description: bytes, part: bytes) -> dict[str, bytes]:
    contents = {
        "empty": b"",
        "half": part[: len(part) // 2],
        "without-end": part[:-1],
        "doubled": part + part,
        "pickle": pickle.dumps([1], 4),
        "only-magic": b"PAR1PAR1",
        "footer-of-2-gigabytes": b"PAR1" + bytes(100) + (2**31 - 1).to_bytes(4, "little") + b"PAR1",
        "footer-of-numbers": b"PAR1" + b"\xff" * 300 + (300).to_bytes(4, "little") + b"PAR1",
        "written-by-pyarrow": _by_pyarrow(part),
        "row-count-of-2-to-the-62": _row_count(part),
        "accepted-keys-all-the-same": _keys_the_same(part),
    }
    return {f"{name}-part.store": description + b"\0" + content for name, content in contents.items()}


def _by_pyarrow(part: bytes) -> bytes:
    table, buffer = pq.read_table(io.BytesIO(part)), io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    return buffer.getvalue()


def _row_count(part: bytes) -> bytes:
    start = len(part) - 8 - int.from_bytes(part[-8:-4], "little")
    footer = part[start:-8].replace(b"\x16\x06", b"\x16" + b"\xff" * 8 + b"\x3f")
    return part[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _keys_the_same(part: bytes) -> bytes:
    key = hashlib.sha256(b"\0").digest()
    start = part.index(key)
    return part[:start] + key * 3 + part[start + 96 :]
