"""Where results go, checked before a model is loaded."""

from __future__ import annotations

import os
from pathlib import Path

import click

__all__ = ["check_new_file", "check_writable"]


def check_writable(target: Path) -> None:
    """Raise `OSError` if a file or folder cannot be made there."""
    parent = target.absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(20, "Not a folder", str(parent))
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(parent))


def check_new_file(output: Path, *inputs: Path | str) -> None:
    """Refuse an output that cannot be written or would replace one of the inputs."""
    check_writable(output)
    if any(output.resolve() == Path(source).resolve() for source in inputs):
        raise click.BadParameter(f"{output} is the data itself; name another file", param_hint="--output")
