"""Classifiers whose index or numbers say what cannot be, all checksums right."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from savs.artifact import SCHEMA_VERSION, Artifact, Shot, save_artifact
from savs.classifiers import Method, available_methods
from savs.layout import HeadLayout

__all__ = ["attacks"]

UNKNOWN = {"media": None, "video": None}
SCORES = (4, 1, 2, 5, 3)
LAYOUT = [[0, 0, 3], [0, 1, 3], [2, 0, 5], [2, 1, 5], [2, 2, 5]]


def attacks() -> dict[str, bytes]:
    """Return the inputs of `fuzz.artifact` by name."""
    arrays = {"centroids": np.arange(16.0).reshape(2, 8), "head_scores": np.array(SCORES)}
    numbers = save(_named(arrays))
    return {
        "valid-by-hand.savs": _packed(_index(), numbers),
        **{f"valid-{name}.savs": _made(name) for name in sorted(available_methods())},
        **_indices(numbers),
        **_numbers(numbers),
    }


def _made(name: str) -> bytes:
    """Return a classifier of a method, fitted for real; who reads it puts in the checksums."""
    random = np.random.default_rng(1)
    layout = HeadLayout.uniform(1, 2, 2).with_state(3)
    layout = layout.with_options(2) if Method(name).needs_options else layout
    labels = np.array(["a", "b"] * 3)
    rows = random.normal(size=(6, layout.width)) + np.array([[0.0], [2.0]] * 3)
    method = Method(name)
    prototypes = rows[:2, : layout.heads_width] if Method(name).needs_prototypes else None
    classifier = method.make(layout, np.unique(labels), prototypes).fit(rows, labels)
    shots = [Shot(str(number), label, "0" * 64) for number, label in enumerate(labels.tolist())]
    left_out = np.full((6, 2), -0.5)
    artifact = Artifact(
        method,
        "{question}",
        classifier,
        shots,
        left_out,
        None,
        None,
        {"chosen": ["x"], "why": "y"},
        {"commit": None},
    )
    with tempfile.TemporaryDirectory() as folder:
        save_artifact(artifact, Path(folder) / "classifier", card="card")
        (numbers,) = (Path(folder) / "classifier").glob("*.safetensors")
        index = json.loads((Path(folder) / "classifier" / "savs.json").read_bytes())
        return _packed({**index, "tensors": {}}, numbers.read_bytes())


def _named(content: Any) -> Any:
    """Return arrays, or what a header says about them, by the names that they have in the file."""
    if not isinstance(content, dict) or "__metadata__" in content:
        return content
    return {f"classifier.{name}": value for name, value in content.items()}


def _packed(index: dict[str, Any], numbers: bytes) -> bytes:
    return json.dumps(index, separators=(",", ":")).encode() + b"\0" + numbers


def _index(**changes: Any) -> dict[str, Any]:
    own = {"classes": ["cat", "dog"], "layout": LAYOUT, "heads": [[2, 1], [0, 0]]}
    own = {name: changes.pop(name, value) for name, value in own.items()}
    n_heads = {"n_heads": changes.pop("n_heads", 2)}
    shots = [
        {"id": str(n), "label": label, "digest": "00", **UNKNOWN} for n, label in enumerate(("cat", "dog"))
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "tensors": {},
        "label_type": "str",
        "prompt": "{question}",
        "method": {"name": "sav"},
        "classifier": {"estimator": "SAVClassifier", "parameters": n_heads, **own},
        "shots": shots,
        "estimate": None,
        "report": None,
        "fingerprint": {"commit": None},
        **changes,
    }


def _indices(numbers: bytes) -> dict[str, bytes]:
    changes: dict[str, dict[str, Any]] = {
        "schema-0": {"schema_version": 0},
        "schema-1": {"schema_version": 1},
        "schema-99": {"schema_version": 99},
        "schema-negative": {"schema_version": -1},
        "schema-true": {"schema_version": True},
        "schema-of-4000-digits": {"schema_version": 10**4000},
        "label-type-of-a-list": {"label_type": ["str"]},
        "label-type-unknown": {"label_type": "float"},
        "label-type-other": {"label_type": "int"},
        "classes-of-text": {"classes": "ab"},
        "classes-of-an-object": {"classes": {"cat": 1, "dog": 2}},
        "classes-mixed": {"classes": ["cat", 1]},
        "classes-of-lists": {"classes": [["cat"], ["dog"]]},
        "classes-of-surrogates": {"classes": ["\ud800", "dog"], "shots": []},
        "classes-with-null-bytes": {"classes": ["cat", "cat\0"], "shots": []},
        "classes-beyond-64-bits": {"classes": [1, 2**70], "label_type": "int", "shots": []},
        "one-class": {"classes": ["cat"]},
        "layout-of-2-to-the-40": {"layout": [[0, 0, 2**40]], "heads": [[0, 0]]},
        "layout-of-2-to-the-70": {"layout": [[0, 0, 2**70]], "heads": [[0, 0]]},
        "layer-of-2-to-the-70": {"layout": [[2**70, 0, 3]], "heads": [[2**70, 0]]},
        "layout-of-text": {"layout": "all"},
        "layout-of-numbers": {"layout": [1, 2]},
        "layout-null": {"layout": None},
        "layout-nothing": {"layout": []},
        "heads-nothing": {"heads": []},
        "heads-twice": {"heads": [[2, 1], [2, 1]]},
        "heads-elsewhere": {"heads": [[9, 9]]},
        "heads-negative": {"heads": [[-1, -1]]},
        "heads-of-text": {"heads": ["ab", "cd"]},
        "heads-of-truth-values": {"heads": [[False, True], [False, False]]},
        "accepted-heads-asked-2-to-the-70": {"n_heads": 2**70},
        "heads-asked-of-text": {"n_heads": "2"},
        "shots-of-text": {"shots": "ab"},
        "shots-of-other-fields": {
            "shots": [{"id": "1", "label": "cat", "digest": "x", **UNKNOWN, "run": "rm"}]
        },
        "shots-of-lists": {"shots": [["1", "cat", "x"]]},
        "shots-with-labels-of-lists": {"shots": [{"id": "1", "label": ["cat"], "digest": "x", **UNKNOWN}]},
        "shots-with-surrogates": {"shots": [{"id": "\udfff", "label": "cat", "digest": "x", **UNKNOWN}]},
        "prompt-of-a-number": {"prompt": 3},
        "prompt-that-looks-inside": {"prompt": "{question.__class__.__mro__}"},
        "prompt-never-closed": {"prompt": "{question"},
        "estimate-of-a-number": {"estimate": 0.99},
        "estimate-of-other-fields": {"estimate": {"accuracy": "high", "run": "rm"}},
        "fingerprint-null": {"fingerprint": None},
        "fingerprint-of-pairs": {"fingerprint": [["a", 1]]},
        "tensors-elsewhere": {"tensors": {"file": "../x.safetensors", "sha256": ""}},
        "tensors-null": {"tensors": None},
        "tensors-of-text": {"tensors": "x"},
        "nan": {"estimate": {"accuracy": float("nan")}},
        "accepted-numbers-of-4000-digits": {"n_heads": 10**4000},
        "without-anything": {},
    }
    found = {f"{name}.savs": _packed(_index(**change), numbers) for name, change in changes.items()}
    found["without-anything.savs"] = b'{"schema_version": 4}\0' + numbers
    deep = json.dumps(_index(fingerprint={"a": 0})).replace(
        '{"a": 0}', '{"a": ' + "[" * 800 + "]" * 800 + "}"
    )
    return {
        **found,
        "accepted-fingerprint-800-deep.savs": deep.encode() + b"\0" + numbers,
        "index-nothing.savs": b"",
        "index-100-000-deep.savs": b"[" * 100_000,
        "index-of-a-list.savs": b"[]\0" + numbers,
        "index-of-5000-digits.savs": b"9" * 5000,
        "index-not-utf-8.savs": b'{"schema_version": 4, "a": "\xff"}\0' + numbers,
        "index-alone.savs": json.dumps(_index()).encode(),
    }


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/savs-attack-ran",)


def _numbers(right: bytes) -> dict[str, bytes]:
    whole = {"centroids": np.zeros((2, 8)), "head_scores": np.array(SCORES)}
    arrays: dict[str, dict[str, Any]] = {
        "nan": {**whole, "centroids": np.full((2, 8), np.nan)},
        "infinite": {**whole, "centroids": np.full((2, 8), np.inf)},
        "largest": {**whole, "centroids": np.full((2, 8), np.finfo(float).max)},
        "smallest": {**whole, "centroids": np.full((2, 8), 5e-324)},
        "of-32-bits": {**whole, "centroids": np.zeros((2, 8), np.float32)},
        "of-another-shape": {**whole, "centroids": np.zeros((8, 2))},
        "without-dimensions": {**whole, "centroids": np.zeros(())},
        "without-rows": {**whole, "centroids": np.zeros((0, 8))},
        "of-9-dimensions": {**whole, "centroids": np.zeros((1,) * 9)},
        "of-truth-values": {**whole, "head_scores": np.zeros(5, bool)},
        "too-many": {**whole, "more": np.zeros(1)},
        "too-few": {"centroids": np.zeros((2, 8))},
        "nothing": {},
    }
    headers: dict[str, Any] = {
        "of-an-unknown-type": {"centroids": {"dtype": "F128", "shape": [2, 8], "data_offsets": [0, 128]}},
        "of-a-type-numpy-has-not": {"centroids": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}},
        "of-8-bit-floats": {"centroids": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}},
        "of-4-bit-floats": {"centroids": {"dtype": "F4", "shape": [32], "data_offsets": [0, 16]}},
        "that-overlap": {
            "centroids": {"dtype": "F64", "shape": [2, 8], "data_offsets": [0, 128]},
            "head_scores": {"dtype": "I64", "shape": [5], "data_offsets": [64, 104]},
        },
        "past-the-end": {
            "centroids": {"dtype": "F64", "shape": [2, 8], "data_offsets": [2**40, 2**40 + 128]}
        },
        "backwards": {"centroids": {"dtype": "F64", "shape": [2, 8], "data_offsets": [128, 0]}},
        "of-2-to-the-62": {"centroids": {"dtype": "F64", "shape": [2**62, 4], "data_offsets": [0, 128]}},
        "of-nothing-times-2-to-the-62": {
            "centroids": {"dtype": "F64", "shape": [0, 2**62], "data_offsets": [0, 0]}
        },
        "of-negative-shape": {"centroids": {"dtype": "F64", "shape": [-2, -8], "data_offsets": [0, 128]}},
        "with-metadata-of-lists": {"__metadata__": [1]},
        "of-a-list": [],
    }
    raw: dict[str, bytes] = {
        "header-of-2-to-the-63": struct.pack("<Q", 2**63) + b"{}",
        "header-of-100-megabytes": struct.pack("<Q", 100_000_000) + b"{}",
        "header-nothing": struct.pack("<Q", 0),
        "header-of-garbage": struct.pack("<Q", 8) + b"\xff" * 8,
        "header-100-000-deep": struct.pack("<Q", 100_000) + b"[" * 100_000,
        "seven-bytes": b"\1" * 7,
        "empty": b"",
        "half": right[: len(right) // 2],
        "longer": right + bytes(100),
        "pickle": pickle.dumps(_Code(), 4),
        "zip": b"PK\x03\x04" + bytes(200),
        "numpy": b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (9,), }",
    }
    found = {name: save(_named(content)) for name, content in arrays.items()}
    found |= {name: _with_header(_named(header)) for name, header in headers.items()}
    accepted = ("largest", "smallest", "of-32-bits")
    return {
        f"{'accepted-' if name in accepted else ''}numbers-{name}.savs": _packed(_index(), body)
        for name, body in (found | raw).items()
    }


def _with_header(header: Any) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(168)
