"""A fitted classifier on disk: safetensors + JSON, never pickle.

A folder holds three files:

``savs.json``
    Everything but the numbers: schema version, labels, prompt, layout, kept heads, shots, estimate, and the
    fingerprint of the backbone. It names the file of numbers and carries its checksum and its own.
``classifier-<checksum>.safetensors``
    ``head_scores`` (n_heads,) int64 and ``centroids`` (n_classes, width of the kept heads) float64.
``README.md``
    The model card, for people.

Writing goes through temporary files; the rename of ``savs.json`` is the moment at which the new classifier
replaces the old one. Reading checks everything before anything is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.errors import ArtifactError, BackboneMismatchError
from savs.examples import Label
from savs.features import HeadLayout

__all__ = [
    "IDENTITY",
    "SCHEMA_VERSION",
    "Artifact",
    "Shot",
    "check_backbone",
    "check_target",
    "load_artifact",
    "save_artifact",
]

SCHEMA_VERSION = 1
INDEX_NAME = "savs.json"
CARD_NAME = "README.md"
MAX_INDEX_BYTES = 64 * 2**20
LABEL_TYPES: dict[str, type] = {"str": str, "int": int, "bool": bool}

IDENTITY = (
    "model_class",
    "config_digest",
    "weights_digest",
    "commit",
    "processor_class",
    "processor_digest",
    "processor_backend",
    "dtype",
    "quantization",
    "adapters",
    "sites",
)
"""The entries of a fingerprint that must agree; the others (source, kernel, versions) are only recorded."""


@dataclass(frozen=True)
class Shot:
    """One support example, as remembered by a saved classifier: never its content."""

    id: str
    label: Label
    digest: str


@dataclass(frozen=True)
class Artifact:
    """What a saved classifier holds.

    Attributes
    ----------
    classes : list of label
        In the order of the rows of `centroids`.
    prompt : str or None
        Prompt template.
    n_heads : int
        How many heads were asked for.
    layout : HeadLayout
        All heads of the backbone.
    heads : list of [layer, index]
        The kept heads, best first.
    head_scores : ndarray of int64, shape (layout.n_heads,)
        Hits per head, in layout order.
    centroids : ndarray of float64, shape (n_classes, width of the kept heads)
        Columns in the order of `heads`.
    shots : list of Shot
        The support set.
    estimate : dict or None
        Honest estimate from the shots (`savs.heads.estimate`).
    fingerprint : dict
        The backbone's.
    """

    classes: list[Label]
    prompt: str | None
    n_heads: int
    layout: HeadLayout
    heads: list[tuple[int, int]]
    head_scores: NDArray[np.int64]
    centroids: NDArray[np.float64]
    shots: list[Shot]
    estimate: dict[str, Any] | None
    fingerprint: dict[str, Any]

    @property
    def shots_per_class(self) -> dict[Label, int]:
        """Number of shots of each class, in the order of `classes`."""
        counts = Counter(shot.label for shot in self.shots)
        return {label: counts[label] for label in self.classes}


def save_artifact(artifact: Artifact, folder: str | Path, *, card: str) -> None:
    """Write the artefact; an older one in the folder stays intact until the new one is complete.

    Raises
    ------
    ArtifactError
        If the folder holds something else or cannot be written. Nothing temporary is left behind.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    check_target(folder)
    # safetensors writes an array's memory as it lies: one in Fortran order would come back scrambled.
    arrays = {"centroids": artifact.centroids, "head_scores": artifact.head_scores}
    tensors = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    tensors_name = f"classifier-{_sha256(tensors)[:12]}.safetensors"
    index = _encode_index(artifact, tensors_name, tensors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / tensors_name, tensors)
        _write(folder / CARD_NAME, card.encode())
        _write(folder / INDEX_NAME, index)
        for stale in folder.glob("classifier-*.safetensors"):
            if stale.name != tensors_name:
                stale.unlink()
    except OSError as error:
        raise ArtifactError(f"cannot write the classifier to {folder}: {error.strerror or error}") from error


def check_target(folder: str | Path) -> None:
    """Raise `ArtifactError` if no classifier may be written there: a file, or a folder of other things."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file: name a new or empty folder for the classifier")
    if folder.is_dir() and not (folder / INDEX_NAME).exists():
        foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        if foreign:
            raise ArtifactError(f"{folder} holds other files ({foreign[0]}, ...): name a new or empty folder")


def load_artifact(folder: str | Path) -> Artifact:
    """Read and check an artefact.

    Raises
    ------
    ArtifactError
        If it is not a classifier's folder, a part is missing or altered, or a newer savs wrote it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArtifactError(
            f"{folder} is not a classifier: expected a folder written by save_pretrained or 'savs fit'"
        )
    index = _decode_index(_read(folder / INDEX_NAME, MAX_INDEX_BYTES), folder)
    try:
        return _build(index, _load_tensors(folder, index))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, "its contents do not fit together") from error


def check_backbone(
    artifact: Artifact, fingerprint: Mapping[str, Any], layout: HeadLayout, allow_mismatch: Sequence[str] = ()
) -> None:
    """Refuse a backbone that is not the one the classifier was fitted on.

    Raises
    ------
    BackboneMismatchError
        Naming every entry of the fingerprint that differs and is not listed in `allow_mismatch`, and the
        layout if that differs; they are its `entries`.
    ValueError
        If `allow_mismatch` holds a name that is no entry of a fingerprint's identity.
    """
    unknown = set(allow_mismatch) - set(IDENTITY)
    if unknown:
        raise ValueError(f"allow_mismatch takes {', '.join(IDENTITY)}; got {', '.join(sorted(unknown))}")
    saved = artifact.fingerprint
    differing = [name for name in IDENTITY if _differs(name, saved.get(name), fingerprint.get(name))]
    refused = [name for name in differing if name not in allow_mismatch]
    details = [f"{name}: {_short(saved.get(name))} -> {_short(fingerprint.get(name))}" for name in refused]
    if layout != artifact.layout:
        refused, details = ["layout", *refused], [f"layout: {_spelled(artifact.layout, layout)}", *details]
    if refused:
        advice = (
            "load that one or fit again"
            if "layout" in refused
            else f"load that one, fit again, or accept the difference with allow_mismatch={refused!r}"
        )
        raise BackboneMismatchError(
            f"the classifier was fitted on another backbone ({'; '.join(details)}); {advice}", refused
        )


def _spelled(saved: HeadLayout, current: HeadLayout) -> str:
    saved_text, current_text = (
        f"{layout.n_heads} heads in {layout.n_layers} layers and {layout.width} columns"
        for layout in (saved, current)
    )
    return f"{saved_text} -> {current_text}"


def _differs(name: str, saved: object, current: object) -> bool:
    # A copied folder has no commit: its weights, configuration and processor are compared by digest.
    if name == "commit" and (saved is None or current is None):
        return False
    return saved != current


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "..."


def _encode_index(artifact: Artifact, tensors_name: str, tensors: bytes) -> bytes:
    index: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "tensors": {"file": tensors_name, "sha256": _sha256(tensors)},
        "label_type": type(artifact.classes[0]).__name__,
        "classes": artifact.classes,
        "prompt": artifact.prompt,
        "n_heads": artifact.n_heads,
        "layout": artifact.layout.to_json(),
        "heads": [list(head) for head in artifact.heads],
        "shots": [asdict(shot) for shot in artifact.shots],
        "estimate": artifact.estimate,
        "fingerprint": artifact.fingerprint,
    }
    index["sha256"] = _index_digest(index)
    return (json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _index_digest(index: Mapping[str, Any]) -> str:
    body = {key: value for key, value in index.items() if key != "sha256"}
    return _sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def _decode_index(raw: bytes, folder: Path) -> dict[str, Any]:
    try:
        index = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"{INDEX_NAME} is not JSON") from error
    if not isinstance(index, dict) or type(index.get("schema_version")) is not int:
        raise _damaged(folder, f"{INDEX_NAME} is not a classifier's index")
    if index["schema_version"] > SCHEMA_VERSION:
        raise ArtifactError(
            f"{folder} was written by a newer savs (schema {index['schema_version']}, this one reads up to "
            f"{SCHEMA_VERSION}): upgrade savs"
        )
    try:
        intact = index.get("sha256") == _index_digest(index)
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"{INDEX_NAME} holds values that no classifier has") from error
    if not intact:
        raise _damaged(folder, f"{INDEX_NAME} was altered (its checksum differs)")
    return index


def _load_tensors(folder: Path, index: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = index["tensors"]["file"]
    if Path(name).name != name or not name.endswith(".safetensors"):
        raise _damaged(folder, "it names a file outside its folder")
    # Both arrays' sizes follow from the index, so a file that pretends to be larger is not read.
    raw = _read(folder / name, limit=None)
    if _sha256(raw) != index["tensors"]["sha256"]:
        raise _damaged(folder, f"{name} was altered (its checksum differs)")
    try:
        return load(raw)
    except SafetensorError as error:
        raise _damaged(folder, f"{name} is not a safetensors file") from error


def _build(index: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Artifact:
    label_type = LABEL_TYPES[index["label_type"]]
    layout = HeadLayout.from_json(index["layout"])
    heads = [(layer, position) for layer, position in index["heads"]]
    shots = [Shot(**shot) for shot in index["shots"]]
    artifact = Artifact(
        classes=list(index["classes"]),
        prompt=index["prompt"],
        n_heads=index["n_heads"],
        layout=layout,
        heads=heads,
        head_scores=tensors["head_scores"],
        centroids=tensors["centroids"],
        shots=shots,
        estimate=index["estimate"],
        fingerprint=index["fingerprint"],
    )
    _validate(artifact, label_type, set(tensors))
    return artifact


def _validate(artifact: Artifact, label_type: type, names: set[str]) -> None:
    kept = artifact.layout.select(artifact.heads)
    checks = (
        names == {"head_scores", "centroids"},
        len(artifact.classes) >= 2 and len(set(artifact.classes)) == len(artifact.classes),
        all(type(label) is label_type for label in artifact.classes),
        all(type(shot.label) is label_type and shot.label in artifact.classes for shot in artifact.shots),
        all(
            isinstance(getattr(shot, f.name), str)
            for shot in artifact.shots
            for f in fields(Shot)
            if f.name != "label"
        ),
        artifact.prompt is None or isinstance(artifact.prompt, str),
        type(artifact.n_heads) is int and artifact.n_heads >= len(artifact.heads) >= 1,
        artifact.head_scores.shape == (artifact.layout.n_heads,) and artifact.head_scores.dtype == np.int64,
        artifact.centroids.shape == (len(artifact.classes), kept.width)
        and artifact.centroids.dtype == np.float64,
        bool(np.isfinite(artifact.centroids).all()),
        artifact.estimate is None or isinstance(artifact.estimate, dict),
        isinstance(artifact.fingerprint, dict),
    )
    if not all(checks):
        raise ValueError(f"check {checks.index(False)} of a classifier's contents failed")


def _damaged(folder: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{folder} cannot be used as a classifier: {why}; restore it from a good copy or fit again"
    )


def _read(path: Path, limit: int | None) -> bytes:
    try:
        if limit is not None and path.stat().st_size > limit:
            raise ArtifactError(f"{path} is larger than any classifier's index ({limit} bytes)")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{path.parent} is not a complete classifier: {path.name} is missing (a classifier is a folder "
            f"with {INDEX_NAME} and a .safetensors file)"
        ) from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
