"""The index of a saved classifier: JSON with its own checksum, and the numbers beside it by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from numpy.typing import NDArray

from savs.artifact.content import LABEL_TYPES, Artifact, Shot, check_artifact
from savs.errors import ArtifactError
from savs.examples import Sampling
from savs.heads.base import State
from savs.heads.methods import Method, classifier_from_state

__all__ = ["SCHEMA_VERSION", "Tensors", "build_artifact", "decode_index", "encode_index", "tensors_of"]

SCHEMA_VERSION = 3

Tensors = dict[str, NDArray[Any]]

_OWN = "classifier."
_BESIDE = ("left_out", "rows")


def tensors_of(artifact: Artifact) -> Tensors:
    """Return every array of the artefact by the name it has in the file."""
    found = {_OWN + name: array for name, array in artifact.classifier.to_state().arrays.items()}
    beside = {name: getattr(artifact, name) for name in _BESIDE}
    found |= {name: array for name, array in beside.items() if array is not None}
    return {name: found[name] for name in sorted(found)}


def encode_index(artifact: Artifact, tensors_name: str, tensors: bytes) -> bytes:
    """Return the index as JSON; `tensors` is what the file of that name holds."""
    index: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "tensors": {
            "file": tensors_name,
            "sha256": sha256(tensors).hexdigest(),
            "arrays": {name: _described(array) for name, array in tensors_of(artifact).items()},
        },
        "label_type": type(artifact.classes[0]).__name__,
        "prompt": artifact.prompt,
        "method": artifact.method.to_json(),
        "classifier": artifact.classifier.to_state().settings,
        "shots": [asdict(shot) for shot in artifact.shots],
        "estimate": artifact.estimate,
        "report": artifact.report,
        "fingerprint": artifact.fingerprint,
    }
    index["sha256"] = _digest(index)
    return (json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode_index(raw: bytes) -> dict[str, Any]:
    """Return an index whose checksum holds.

    Raises
    ------
    ArtifactError
        If a newer savs wrote it.
    ValueError
        If it is none, or was altered; the text says which.
    """
    try:
        index = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error
    if (
        not isinstance(index, dict)
        or type(index.get("schema_version")) is not int
        or index["schema_version"] < 1
    ):
        raise ValueError("is not a classifier's index")
    if index["schema_version"] > SCHEMA_VERSION:
        raise ArtifactError(
            f"it was written by a newer savs (schema {index['schema_version']}, this one reads up to "
            f"{SCHEMA_VERSION}): upgrade savs"
        )
    try:
        intact = index.get("sha256") == _digest(index)
    except (ValueError, RecursionError) as error:
        raise ValueError("holds values that no classifier has") from error
    if not intact:
        raise ValueError("was altered (its checksum differs)")
    return index


def build_artifact(index: Mapping[str, Any], tensors: Tensors) -> Artifact:
    """Return the artefact.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError
        If index and tensors do not fit together.
    """
    if index["schema_version"] == 1:
        index, tensors = _from_first_schema(index, tensors)
    elif index["tensors"]["arrays"] != {name: _described(array) for name, array in tensors.items()}:
        raise ValueError("the arrays are not those that were saved")
    own = {name.removeprefix(_OWN): array for name, array in tensors.items() if name.startswith(_OWN)}
    if set(tensors) - set(_BESIDE) - {_OWN + name for name in own}:
        raise ValueError("there are arrays that belong to nothing")
    _check_codes(own, len(index["classifier"]["classes"]))
    artifact = Artifact(
        method=Method.from_json(index["method"]),
        prompt=index["prompt"],
        classifier=classifier_from_state(State(own, index["classifier"])),
        shots=[_shot(shot) for shot in index["shots"]],
        left_out=tensors.get("left_out"),
        rows=tensors.get("rows"),
        estimate=index["estimate"],
        report=index["report"],
        fingerprint=index["fingerprint"],
    )
    check_artifact(artifact, LABEL_TYPES[index["label_type"]])
    return artifact


def _shot(told: Mapping[str, Any]) -> Shot:
    # Schemas 1 and 2 said nothing of media.
    media, video = told.get("media"), told.get("video")
    if not isinstance(media, list | None):
        raise TypeError("the media of a shot are no list")
    known = {
        "media": None if media is None else tuple(media),
        "video": None if video is None else Sampling(**video),
    }
    return Shot(**{**told, **known})


def _check_codes(arrays: Tensors, n_classes: int) -> None:
    """Raise `ValueError` if shots are of no class: a rule would make room for all classes up to theirs."""
    for name, codes in arrays.items():
        if name.endswith(".codes") and not (
            codes.dtype.kind == "i" and codes.size and codes.min() >= 0 and codes.max() < n_classes
        ):
            raise ValueError(f"{name} are no classes")


def _described(array: NDArray[Any]) -> list[Any]:
    return [str(array.dtype), list(array.shape)]


def _from_first_schema(index: Mapping[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """Return what schema 1, which knew the published rule only, looks like in this one."""
    parameters = {"n_heads": index["n_heads"]}
    settings = {
        "estimator": "SAVClassifier",
        "parameters": parameters,
        **{name: index[name] for name in ("classes", "layout", "heads")},
    }
    changed = {**index, "method": {"name": "sav", **parameters}, "classifier": settings, "report": None}
    return changed, {_OWN + name: array for name, array in tensors.items()}


def _digest(index: Mapping[str, Any]) -> str:
    body = {key: value for key, value in index.items() if key != "sha256"}
    compact = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if "\\ud" in compact:
        # Half of a surrogate pair can be read from JSON, but never be written or shown.
        json.dumps(body, ensure_ascii=False).encode()
    return sha256(compact.encode()).hexdigest()
