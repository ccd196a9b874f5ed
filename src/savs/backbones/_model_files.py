"""A name on the hub to a folder of its cache: one question, one download of one commit, then local files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from savs.backbones.loading.places import Place
from savs.errors import BackboneError

__all__ = ["hub_place"]

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
_WEIGHTS = (
    ("model.safetensors", ["model.safetensors"]),
    ("model.safetensors.index.json", ["model-*.safetensors", "model*.safetensors"]),
    ("pytorch_model.bin", ["pytorch_model.bin"]),
    ("pytorch_model.bin.index.json", ["pytorch_model-*.bin"]),
)


def hub_place(name: str, revision: str | None, *, progress: bool = True) -> Place:
    """Return a hub model's place in the local cache, downloaded where it is missing.

    Parameters
    ----------
    name : str
        ``"owner/name"``.
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
    if constants.HF_HUB_OFFLINE:
        return _cached(name, revision, "offline mode is on (HF_HUB_OFFLINE)")
    try:
        files = _ask(name, revision)
    except _Unreachable as error:
        return _cached(name, revision, f"the hub cannot be reached ({error})")
    return Place(_download(name, revision, files, progress), name, revision=revision)


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


def _download(name: str, revision: str | None, files: Sequence[str], progress: bool) -> Path:
    from huggingface_hub import snapshot_download

    # By name, not by commit: only then the client notes which commit the name stands for, for offline use.
    weights = next((patterns for marker, patterns in _WEIGHTS if marker in files), [])
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


def _cached(name: str, revision: str | None, why: str) -> Place:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    # Not by snapshot_download: it refuses a snapshot without the formats of the weights that were left out.
    try:
        found = [try_to_load_from_cache(name, entry, revision=revision) for entry in _ENTRIES]
    except HFValidationError:
        found = []
    folder = next((Path(path).parent for path in found if isinstance(path, str)), None)
    if folder is None:
        wanted = name if revision is None else f"{name} at revision {revision}"
        raise BackboneError(
            f"{wanted}: there is no such folder here, it is not in the hub's local cache, and {why}"
        )
    return Place(folder, name, revision=revision)
