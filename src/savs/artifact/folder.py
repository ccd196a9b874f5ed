"""Writing and reading the folder of a saved classifier."""

from __future__ import annotations

import hashlib
import math
import os
import stat
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.artifact.content import Artifact
from savs.artifact.index import build_artifact, decode_index, encode_index, tensors_of
from savs.errors import ArtifactError

__all__ = ["check_target", "load_artifact", "save_artifact"]

INDEX_NAME = "savs.json"
CARD_NAME = "README.md"
MAX_INDEX_BYTES = 64 * 2**20
LARGEST_FIRST_SCHEMA = 2**30  # bytes of numbers, where the index does not say how many


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
    tensors = save({name: np.array(array, order="C") for name, array in tensors_of(artifact).items()})
    tensors_name = f"classifier-{_sha256(tensors)[:12]}.safetensors"
    index = encode_index(artifact, tensors_name, tensors)
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
    if not _is_folder(folder):
        raise ArtifactError(
            f"{folder} is not a classifier: expected a folder written by save_pretrained or 'savs fit'"
        )
    raw = _read(folder / INDEX_NAME, MAX_INDEX_BYTES)
    try:
        index = decode_index(raw)
    except ValueError as error:
        raise _damaged(folder, f"{INDEX_NAME} {error}") from error
    except ArtifactError as error:
        raise ArtifactError(f"{folder} cannot be read: {error}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that no fit makes; they are refused below
            return build_artifact(index, _load_tensors(folder, index))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise _damaged(folder, "its contents do not fit together") from error


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that no file can have
        return False


def _load_tensors(folder: Path, index: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = index["tensors"]["file"]
    if Path(name).name != name or not name.endswith(".safetensors"):
        raise _damaged(folder, "it names a file outside its folder")
    raw = _read(folder / name, _most_bytes(index))
    if _sha256(raw) != index["tensors"]["sha256"]:
        raise _damaged(folder, f"{name} was altered (its checksum differs)")
    try:
        return load(raw)
    except SafetensorError as error:
        raise _damaged(folder, f"{name} is not a safetensors file") from error


def _damaged(folder: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{folder} cannot be used as a classifier: {why}; restore it from a good copy or fit again"
    )


def _most_bytes(index: Mapping[str, Any]) -> int:
    """Return how long the file of numbers may be: its arrays as the index states them, and their names."""
    arrays = index["tensors"].get("arrays")
    if arrays is None:
        return LARGEST_FIRST_SCHEMA
    sizes = (np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in arrays.values())
    return int(sum(sizes)) + MAX_INDEX_BYTES


def _read(path: Path, limit: int) -> bytes:
    try:
        # A pipe would be waited for, a device never ends.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ArtifactError(f"{path} is not a regular file; a classifier is a folder of files")
        if path.stat().st_size > limit:
            raise ArtifactError(f"{path} is larger than it can be in a classifier ({limit} bytes)")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{path.parent} is not a complete classifier: {path.name} is missing (a classifier is a folder "
            f"with {INDEX_NAME} and a .safetensors file)"
        ) from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError:
        raise ArtifactError(f"{path} does not fit into memory") from None


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
