"""Where a model's files are: the bundled model, a folder, or one commit of a hub repository in the cache."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from savs.backbones._gguf import GgufHeader, choose_file, is_gguf, read_header
from savs.backbones._torchvision import broken_pairing, torchvision_remedy
from savs.errors import BackboneError

TINY = "tiny"
"""Name of the backbone that is installed with savs."""
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_HUB_FILE = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)/([\w-][\w.-]*\.gguf)", re.IGNORECASE)
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
_LOCAL_WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")
_REVISION = re.compile(r"(?!.*\.\.)[\w][^\s\\:]*")
_ENTRIES = ("config.json", "adapter_config.json")
_SECONDS = 5.0  # for the first answer: a hub that cannot be reached must not cost minutes of retries
_SETTINGS = (
    "*.json",
    "*.jinja",
    "*.txt",
    "*.model",
    "*.tiktoken",
    "additional_chat_templates/*",
    "adapter_model.*",
)
# The first that the hub has, in transformers' own order; other formats of the same weights stay there.
_HUB_WEIGHTS = (
    ("model.safetensors", ["model.safetensors"]),
    ("model.safetensors.index.json", ["model-*.safetensors", "model*.safetensors"]),
    ("pytorch_model.bin", ["pytorch_model.bin"]),
    ("pytorch_model.bin.index.json", ["pytorch_model-*.bin"]),
)


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
    gguf : str, optional
        Name of the GGUF file in the folder that is meant; by default its only one, where the folder holds no
        weights in another format.

    Attributes
    ----------
    is_adapter : bool
        It holds a PEFT adapter, whose base model is elsewhere.
    gguf : str or None
        Name of the GGUF file that holds everything: configuration, tokenizer, chat template and weights.
    """

    def __init__(
        self, folder: Path, source: str, *, revision: str | None = None, gguf: str | None = None
    ) -> None:
        self.folder = folder
        self.source = source
        self.revision = revision
        self.name = str(folder)
        self.options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
        self.is_adapter = gguf is None and (folder / "adapter_config.json").is_file()
        self.gguf = gguf
        if gguf is None and not self.is_adapter and not self.has_weights:
            self.gguf = choose_file(source, [path.name for path in folder.glob("*") if is_gguf(path.name)])
        if self.gguf is not None:
            self.options["gguf_file"] = self.gguf
        self._check()

    @cached_property
    def gguf_header(self) -> GgufHeader:
        """What its GGUF file says of itself."""
        return read_header(self.folder / str(self.gguf), self.source)

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
        if self.gguf is not None:
            return iter([self.folder / self.gguf])
        paths = (path for pattern in _LOCAL_WEIGHTS for path in self.folder.glob(pattern))
        return (path for path in paths if not path.name.startswith("adapter_"))

    def _check(self) -> None:
        if self.gguf is None and not self.is_adapter and not (self.folder / "config.json").is_file():
            raise BackboneError(
                f"{self.source}: no config.json there, so it is not a transformers model folder, and no "
                ".gguf file"
            )
        if self.is_adapter and self.has_weights:
            raise BackboneError(
                f"{self.source}: it holds a model and an adapter (adapter_config.json), so it does not say "
                "which to load; move the adapter to a folder of its own"
            )


def local_place(name: str | os.PathLike[str]) -> Place | None:
    """Return the place of the bundled model, a folder or a GGUF file; None for what can only be a hub name.

    Raises
    ------
    BackboneError
        If it is a path and there is no model.
    """
    text = os.fspath(name)
    if not text.strip():
        raise BackboneError(f"the name of the backbone is empty: give {TINY}, a model folder or a hub name")
    if text == TINY:
        return Place(Path(__file__).parent / TINY, TINY)
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - never raises
    try:
        path.is_symlink()
    except OSError as error:  # a name that is too long
        raise BackboneError(f"there is no folder {text[:80]}: {error.strerror}") from error
    if path.is_dir():
        return Place(path.resolve(), str(path.resolve()))
    if path.is_file() and is_gguf(text):
        folder = path.parent.resolve()  # not the file itself: in the hub's cache it is a link to a bare hash
        return Place(folder, str(folder / path.name), gguf=path.name)
    if path.exists():
        raise BackboneError(
            f"{text} is a file; a backbone is a folder in hub layout, a .gguf file, or a hub name"
        )
    if isinstance(name, os.PathLike) or not hub_name(text):
        raise BackboneError(f"there is no {'file' if is_gguf(text) else 'folder'} {text}")
    return None


def hub_name(text: str) -> bool:
    """Return whether a text can name a model on the hub: ``owner/name``, or ``owner/name/file.gguf``."""
    if is_gguf(text):
        return _HUB_FILE.fullmatch(text) is not None
    return _HUB_NAME.fullmatch(text) is not None


def missing_package(error: ImportError) -> str:
    """Return how to get the package that an import missed."""
    pairing = broken_pairing(error)
    if pairing is not None:
        return f"other packages: {pairing}"
    while isinstance(error.__cause__, ImportError):  # transformers raises its own on top of what it met
        error = error.__cause__
    text = str(error).lower().replace("-", "_")
    named = next((package for package in _PACKAGES if package in text), None)
    module = (error.name or "").partition(".")[0]
    package = named if module in ("", "transformers") else _DISTRIBUTIONS.get(module, module)
    if package == "torchvision":
        return torchvision_remedy()
    return f"the package {package}: pip install {package}" if package else "a package that is not installed"


def hub_place(name: str, revision: str | None, *, progress: bool = True) -> Place:
    """Return a hub model's place in the local cache, downloaded where it is missing.

    Parameters
    ----------
    name : str
        ``"owner/name"``, or ``"owner/name/file.gguf"`` where a repository holds several GGUF files.
    revision : str, optional
        Branch, tag or commit; by default the main branch. All files are of the one commit that it stands for.
    progress : bool, default=True
        Show the downloads on a terminal.

    Raises
    ------
    BackboneError
        If the hub does not give it. Without a connection, or in offline mode (``HF_HUB_OFFLINE``), if it is
        not in the cache.
    """
    from huggingface_hub import constants

    # It becomes a part of file names in the cache, and may come from a saved classifier.
    if revision is not None and not _REVISION.fullmatch(revision):
        raise BackboneError(f"{name}: {revision!r} is not the name of a branch, tag or commit")
    file = _HUB_FILE.fullmatch(name)
    repository, gguf = (name, None) if file is None else (file[1], file[2])
    if constants.HF_HUB_OFFLINE:
        return _cached(repository, gguf, revision, "offline mode is on (HF_HUB_OFFLINE)")
    try:
        files = _ask(repository, revision)
    except _Unreachable as error:
        return _cached(repository, gguf, revision, f"the hub cannot be reached ({error})")
    weights = _hub_weights(repository, gguf, files)
    return Place(_download(repository, revision, weights, progress), name, revision=revision, gguf=gguf)


def _hub_weights(repository: str, gguf: str | None, files: Sequence[str]) -> list[str]:
    """Return the patterns of the files with weights that are downloaded."""
    if gguf is not None:
        if gguf not in files:
            raise BackboneError(f"{repository}: the hub has no file {gguf} of it")
        return [gguf]
    for marker, patterns in _HUB_WEIGHTS:
        if marker in files:
            return patterns
    only = choose_file(repository, [file for file in files if is_gguf(file) and "/" not in file])
    return [] if only is None else [only]


class _Unreachable(Exception):  # noqa: N818
    """The hub gave no answer."""


def _ask(name: str, revision: str | None) -> list[str]:
    """Return the names of a model's files."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = HfApi().model_info(name, revision=revision, timeout=_SECONDS)
    except GatedRepoError as error:
        raise BackboneError(
            f"{name}: the hub gives it to those who have accepted its terms; do that on its page, then log "
            "in (hf auth login)"
        ) from error
    except RevisionNotFoundError as error:
        raise BackboneError(f"{name}: the hub has no revision {revision} of it") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BackboneError(
            f"{name}: there is no such folder here and no such model on the hub; check the name, and for a "
            "private model the login (hf auth login)"
        ) from error
    except HfHubHTTPError as error:
        raise _Unreachable(f"status {error.response.status_code}") from error
    except Exception as error:  # each version of the hub's client brings the errors of another HTTP library
        raise _Unreachable(type(error).__name__) from error
    return [sibling.rfilename for sibling in info.siblings or ()]


def _download(name: str, revision: str | None, weights: Sequence[str], progress: bool) -> Path:
    from huggingface_hub import snapshot_download

    # By name, not by commit: only then the client notes which commit the name stands for, for offline use.
    try:
        with _bars(progress):
            folder = snapshot_download(name, revision=revision, allow_patterns=[*_SETTINGS, *weights])
    except Exception as error:  # as above; also a full disk
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(f"{name}: the download failed ({type(error).__name__}: {reason})") from error
    return Path(folder)


@contextmanager
def _bars(progress: bool) -> Iterator[None]:
    """Show download bars on a terminal if asked to, and leave the client's setting as it was."""
    import huggingface_hub.utils

    bars: Any = huggingface_hub.utils  # partly unexported
    if bars.are_progress_bars_disabled() or (progress and sys.stderr.isatty()):
        yield
        return
    bars.disable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bars()


def _cached(repository: str, gguf: str | None, revision: str | None, why: str) -> Place:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    # Not by snapshot_download: it refuses a snapshot without the formats of the weights that were left out.
    try:
        entries = _ENTRIES if gguf is None else (gguf,)
        paths = [try_to_load_from_cache(repository, entry, revision=revision) for entry in entries]
        folder = next((Path(path).parent for path in paths if isinstance(path, str)), None)
        if folder is None and gguf is None:
            folder = _cached_gguf_folder(repository, revision)
    except HFValidationError:
        folder = None
    name = repository if gguf is None else f"{repository}/{gguf}"
    if folder is None:
        wanted = name if revision is None else f"{name} at revision {revision}"
        raise BackboneError(
            f"{wanted}: there is no such folder here, it is not in the hub's local cache, and {why}"
        )
    return Place(folder, name, revision=revision, gguf=gguf)


def _cached_gguf_folder(repository: str, revision: str | None) -> Path | None:
    """Return the folder of a cached model that is nothing but GGUF files, whose names are not known."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return None
    for cached in repositories:
        if (cached.repo_type, cached.repo_id) != ("model", repository):
            continue
        for one in cached.revisions:
            named = (revision or "main") in {*one.refs, one.commit_hash}
            if named and any(is_gguf(file.file_name) for file in one.files):
                return Path(one.snapshot_path)
    return None
