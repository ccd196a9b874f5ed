"""Where a model's files are: the model in the box, a folder, or a name on the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from savs.backbones.loading.image_backends import torchvision_remedy
from savs.errors import BackboneError

__all__ = ["TINY", "Place", "hub_name", "local_place", "missing_package"]

TINY = "tiny"
"""Name of the backbone that is installed with savs."""

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PACKAGES = (
    "torchvision",
    "num2words",
    "sentencepiece",
    "tiktoken",
    "timm",
    "mistral_common",
    "protobuf",
    "einops",
)
_DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "google": "protobuf", "yaml": "pyyaml"}
_WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")


class Place:
    """A model's folder, and how to ask transformers for what is in it.

    Parameters
    ----------
    folder : Path
        Holds everything: what the hub had is downloaded by now, so that loading opens no connection.
    source : str
        As the fingerprint and messages name it: the folder, the hub name or ``"tiny"``.
    revision : str, optional
        As asked for, on the hub.

    Attributes
    ----------
    is_adapter : bool
        It holds a PEFT adapter, whose base model is elsewhere.
    """

    def __init__(self, folder: Path, source: str, *, revision: str | None = None) -> None:
        self.folder = folder
        self.source = source
        self.revision = revision
        self.name = str(folder)
        self.options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
        self.is_adapter = (folder / "adapter_config.json").is_file()
        self._check()

    @property
    def commit(self) -> str | None:
        """The commit that a hub cache's snapshot folder is named after."""
        return self.folder.name if _COMMIT.fullmatch(self.folder.name) else None

    @property
    def has_weights(self) -> bool:
        """Whether there are weights of a whole model."""
        return any(True for _ in self._weights())

    @property
    def weight_bytes(self) -> int:
        """Size of the files with weights of a whole model."""
        return sum(path.stat().st_size for path in self._weights() if path.is_file())

    def _weights(self) -> Iterator[Path]:
        found = (path for pattern in _WEIGHTS for path in self.folder.glob(pattern))
        return (path for path in found if not path.name.startswith("adapter_"))

    def _check(self) -> None:
        if not self.is_adapter and not (self.folder / "config.json").is_file():
            raise BackboneError(
                f"{self.source}: no config.json there, so it is not a transformers model folder"
            )
        if self.is_adapter and self.has_weights:
            raise BackboneError(
                f"{self.source}: it holds a model and an adapter (adapter_config.json), so it does not say "
                "which to load; move the adapter to a folder of its own"
            )


def local_place(name: str | os.PathLike[str]) -> Place | None:
    """Return the place of the model in the box or of a folder; None for what can only be a hub name.

    Raises
    ------
    BackboneError
        If it is a path and there is no model folder.
    """
    text = os.fspath(name)
    if not text.strip():
        raise BackboneError(f"the name of the backbone is empty: give {TINY}, a model folder or a hub name")
    if text == TINY:
        return Place(Path(__file__).parents[1] / TINY, TINY)
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - never raises
    try:
        path.is_symlink()
    except OSError as error:  # a name that is too long
        raise BackboneError(f"there is no folder {text[:80]}: {error.strerror}") from error
    if path.is_dir():
        return Place(path.resolve(), str(path.resolve()))
    if path.exists():
        raise BackboneError(f"{text} is a file; a backbone is a folder in hub layout, or a hub name")
    if isinstance(name, os.PathLike) or not hub_name(text):
        raise BackboneError(f"there is no folder {text}")
    return None


def hub_name(text: str) -> bool:
    """Return whether a text can be the name of a model on the hub."""
    return _HUB_NAME.fullmatch(text) is not None


def missing_package(error: ImportError) -> str:
    """Return how to get the package that an import missed."""
    while isinstance(error.__cause__, ImportError):  # transformers raises its own on top of what it met
        error = error.__cause__
    text = str(error).lower().replace("-", "_")
    named = next((package for package in _PACKAGES if package in text), None)
    module = (error.name or "").partition(".")[0]
    package = named if module in ("", "transformers") else _DISTRIBUTIONS.get(module, module)
    if package == "torchvision":
        return torchvision_remedy()
    return f"the package {package}: pip install {package}" if package else "a package that is not installed"
