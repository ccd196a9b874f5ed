"""What prepares pixels, PIL or torchvision: does the installed torchvision work, and which build would.

Knows no models. torchvision is optional: a model that has a PIL image processor reads pictures without it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from importlib import metadata

__all__ = ["TorchvisionWarning", "set_aside_broken_torchvision", "torchvision_remedy"]


class TorchvisionWarning(UserWarning):
    """torchvision is installed but does not work; pictures are prepared by PIL."""


def set_aside_broken_torchvision() -> None:
    """Make this process go on without a torchvision that cannot be imported, such as another torch's.

    transformers takes an installed torchvision for a working one, and then no model can be imported, not
    even of text. Called before transformers is needed. A torchvision that works, or that somebody else has
    imported already, is left alone.

    Warns
    -----
    TorchvisionWarning
        Once per process, with the build that would work.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision.transforms.v2")  # what image processors use
    except Exception as error:  # a native library fails at import in many ways
        _block()
        warnings.warn(
            f"torchvision {_version('torchvision')} does not work beside torch {_version('torch')} "
            f"({type(error).__name__} at import), so pictures are prepared by PIL; {torchvision_remedy()}",
            TorchvisionWarning,
            stacklevel=3,
        )


def _block() -> None:
    """Turn torchvision into a module that is not installed, for everybody in this process."""
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]  # what the failed import left behind
    # Python's own way to block an import: `find_spec` gives None, importing raises ModuleNotFoundError.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    remembered = sys.modules.get("transformers.utils.import_utils")
    for name in (
        "is_torchvision_available",
        "is_torchvision_v2_available",
        "is_torchvision_greater_or_equal",
    ):
        # All of them keep their first answer, which was wrong if transformers is already imported.
        forget = getattr(getattr(remembered, name, None), "cache_clear", None)
        if forget is not None:
            forget()


def torchvision_remedy() -> str:
    """Return how to install the torchvision that was built for the installed torch."""
    torch_version = _version("torch")
    public, _, build = torch_version.partition("+")
    major, minor = public.split(".")[:2] if public.count(".") else ("", "")
    if major != "2" or not minor.isdigit():
        return f"install the torchvision that was built for torch {torch_version}"
    # torchvision 0.15 was made for torch 2.0; both have counted on together since.
    wanted = f'pip install "torchvision==0.{int(minor) + 15}.*"'
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"a matching build of the package torchvision: {wanted}{index}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"
