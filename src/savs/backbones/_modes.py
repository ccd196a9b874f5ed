"""The mode that `savs doctor` found to be the fastest safe one for a backbone, kept between runs.

One small JSON file per kind of backbone, under ``$SAVS_HOME``, else ``$XDG_CACHE_HOME/savs``, else
``~/.cache/savs``. A file that is damaged or of another version of savs is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import savs
from savs.backbones._checkpoints import check_kernel_name
from savs.errors import BackboneError

_SCHEMA = 1
_LARGEST_FILE = 65536
_LONGEST_PATH = 200


class ModeWarning(UserWarning):
    """A stored mode cannot be read or written; the run goes on without it."""


@dataclass(frozen=True)
class Mode:
    """How a backbone is run.

    Attributes
    ----------
    batch_size : int
        Examples per forward pass.
    prefix_reuse : bool
        Whether what prompts have in common is read once.
    attn_implementation : str or None
        The attention kernel under which this was found; None if the model has no choice of kernels.
    checked : mapping of str to str
        Versions of savs, torch and transformers that it was found with.
    """

    batch_size: int
    prefix_reuse: bool
    attn_implementation: str | None
    checked: Mapping[str, str]


def find_mode(model: Any, processor: Any) -> Mode | None:
    """Return the stored mode of a loaded model and its processor, or None.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    processor : transformers processor or tokenizer

    Warns
    -----
    ModeWarning
        If the file is there and is not a mode, or the folder cannot be looked into.
    """
    if not _is_there(_folder()):
        return None  # the key takes time that most users need not spend
    path = mode_path(model, processor)
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        _warn(f"the stored mode {path} is ignored: {reason}; savs doctor writes it anew")
        return None


def store_mode(model: Any, processor: Any, mode: Mode) -> Path | None:
    """Keep a mode where `find_mode` finds it; the file is replaced at one moment.

    Returns
    -------
    Path or None
        The file; None, with a `ModeWarning`, if it cannot be written.
    """
    path = mode_path(model, processor)
    content = json.dumps({"schema_version": _SCHEMA, **asdict(mode)}, indent=1, sort_keys=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content.encode())
    except OSError as error:
        where = str(path)[:_LONGEST_PATH]
        _warn(f"the mode is not stored: {where}: {error.strerror}; SAVS_HOME names another folder")
        return None
    return path


def remove_mode(model: Any, processor: Any) -> Path | None:
    """Delete the stored mode; return its file, or None if there was none or it cannot be deleted."""
    path = mode_path(model, processor)
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _warn(f"the stored mode {path} is unsafe but cannot be removed: {error.strerror}")
        return None
    return path


def apply_mode(
    model: Any,
    processor: Any,
    batch_size: int | Literal["auto"] | None,
    prefix_reuse: bool | None,
    *,
    set_kernel: bool,
    default: int | Literal["auto"] = "auto",
) -> tuple[int | Literal["auto"], bool]:
    """Fill in what the caller left open from the stored mode, if there is one.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its attention kernel is set to the mode's if `set_kernel` and no batch size is given, else left alone.
    processor : transformers processor or tokenizer
    batch_size : int, "auto" or None
    prefix_reuse : bool or None
    set_kernel : bool
        The model is our own and the caller has named no kernel. Without it a mode found under another kernel
        is not used.
    default : int or "auto"
        The batch size without a mode.

    Returns
    -------
    batch_size : int or "auto"
    prefix_reuse : bool
    """
    if batch_size is None or prefix_reuse is None:
        mode = find_mode(model, processor)
        if mode is not None and _under_its_kernel(model, mode, set_kernel and batch_size is None):
            batch_size = mode.batch_size if batch_size is None else batch_size
            prefix_reuse = mode.prefix_reuse if prefix_reuse is None else prefix_reuse
    return (
        default if batch_size is None else batch_size,
        True if prefix_reuse is None else prefix_reuse,
    )


def _under_its_kernel(model: Any, mode: Mode, set_kernel: bool) -> bool:
    def fits() -> bool:
        return mode.attn_implementation in {None, model.config._attn_implementation}

    if not fits() and set_kernel:
        with suppress(ValueError, ImportError, AttributeError, BackboneError):
            check_kernel_name(str(mode.attn_implementation))
            model.set_attn_implementation(mode.attn_implementation)
    return fits()


def mode_path(model: Any, processor: Any) -> Path:
    """Return where the mode of a loaded model and its processor is kept, whether it is there or not."""
    from savs.backbones._checkpoints import unwrapped
    from savs.backbones._fingerprint import config_digest, processor_digest
    from savs.backbones._forward import input_device
    from savs.backbones._quantization import quantization_state

    model = unwrapped(model)
    key = {
        "model_class": type(model).__name__,
        "config": config_digest(model.config),
        "processor": processor_digest(processor),
        "dtype": str(model.dtype),
        "device": input_device(model).type,
        "quantization": (quantization_state(model) or {}).get("weights"),
        "torch": metadata.version("torch"),
        "transformers": metadata.version("transformers"),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return _folder() / f"{digest}.json"


def checked_versions() -> dict[str, str]:
    """Return the versions that a mode is found with."""
    return {"savs": savs.__version__} | {name: metadata.version(name) for name in ("torch", "transformers")}


def _folder() -> Path:
    return cache_folder() / "modes"


def cache_folder() -> Path:
    """Return where savs keeps small files of its own between runs; it may not be there yet."""
    home = os.environ.get("SAVS_HOME")
    if home:
        return Path(os.path.expanduser(home))  # noqa: PTH111 - never raises
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification asks to ignore a relative path.
    base = cache if cache.is_absolute() else Path(os.path.expanduser("~/.cache"))  # noqa: PTH111 - never raises
    return base / "savs"


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError as error:
        where = str(folder)[:_LONGEST_PATH]
        _warn(f"no stored mode is looked up in {where}: {error.strerror}; SAVS_HOME names another folder")
        return False


def _parsed(content: bytes) -> Mode:
    if len(content) > _LARGEST_FILE:
        raise ValueError("it is too large")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(data, dict) or data.pop("schema_version", None) != _SCHEMA:
        raise ValueError("it is of another version of savs")
    _check(data)
    return Mode(**data)


def _check(data: dict[str, Any]) -> None:
    size, reuse, kernel = (data.get(name) for name in ("batch_size", "prefix_reuse", "attn_implementation"))
    versions = data.get("checked")
    valid = (
        data.keys() == {"batch_size", "prefix_reuse", "attn_implementation", "checked"}
        and type(size) is int
        and 1 <= size <= 65536
        and type(reuse) is bool
        and (kernel is None or (isinstance(kernel, str) and kernel.isidentifier()))
        and isinstance(versions, dict)
        and all(isinstance(version, str) for version in versions.values())
    )
    if not valid:
        raise ValueError("its content is not a mode")


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".mode-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _warn(message: str) -> None:
    warnings.warn(message, ModeWarning, stacklevel=3)
