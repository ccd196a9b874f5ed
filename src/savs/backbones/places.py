"""Where a model's files are: the model in the box, a folder, or a name on the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from savs.errors import BackboneError

__all__ = ["TINY", "Place", "hub_error", "missing_package", "resolve"]

TINY = "tiny"
"""Name of the backbone that is installed with savs."""

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PACKAGES = [
    "torchvision",
    "num2words",
    "sentencepiece",
    "tiktoken",
    "timm",
    "mistral_common",
    "protobuf",
    "einops",
]


class Place:
    """Where a model's files are, and how to ask transformers for them."""

    def __init__(self, name: str, source: str, *, revision: str | None, folder: Path | None) -> None:
        self.name = name
        self.source = source
        self.folder = folder
        self.options: dict[str, Any] = {"trust_remote_code": False}
        if folder is not None:
            self.options["local_files_only"] = True
        elif revision is not None:
            self.options["revision"] = revision

    @property
    def commit(self) -> str | None:
        """The commit that a hub cache's snapshot folder is named after."""
        name = self.folder.name if self.folder else ""
        return name if _COMMIT.fullmatch(name) else None


def resolve(name: str | os.PathLike[str], revision: str | None) -> Place:
    """Return where a model is, without opening it.

    Raises
    ------
    BackboneError
        If it is a path and there is no model folder.
    """
    text = os.fspath(name)
    if text == TINY:
        return _local(Path(__file__).parent / TINY, TINY)
    path = Path(text).expanduser()
    if path.is_dir():
        return _local(path.resolve(), str(path.resolve()))
    if path.exists():
        raise BackboneError(f"{text} is a file; a backbone is a folder in hub layout, or a hub name")
    if isinstance(name, os.PathLike) or not _HUB_NAME.fullmatch(text):
        raise BackboneError(f"there is no folder {text}")
    return Place(text, text, revision=revision, folder=None)


def _local(folder: Path, source: str) -> Place:
    if not (folder / "config.json").is_file():
        raise BackboneError(f"{source}: no config.json there, so it is not a transformers model folder")
    return Place(str(folder), source, revision=None, folder=folder)


def hub_error(place: Place) -> BackboneError:
    """Return the error for a name that the hub did not give."""
    return BackboneError(
        f"{place.source}: no such folder here, and the hub does not give it; check the name, the revision, "
        "the network, and for gated models the login (hf auth login)"
    )


def missing_package(error: ImportError) -> str:
    """Return how to get the package that an import missed."""
    text = str(error)
    known = (
        "torchvision",
        "num2words",
        "sentencepiece",
        "tiktoken",
        "timm",
        "mistral_common",
        "protobuf",
        "einops",
    )
    named = [package for package in known if package in text.lower().replace("-", "_")]
    package = error.name or (named[0] if named else None)
    return f"the package {package}: pip install {package}" if package else "a package that is not installed"
