"""Where results go, checked before a model is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
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


def check_new_file(
    output: Path, *inputs: Path | str, option: str = "--output", outside: Sequence[Path] = ()
) -> None:
    """Refuse an output that cannot be written, would replace an input, or stands in a folder that savs keeps.

    Parameters
    ----------
    output : Path
    *inputs : Path or str
        What is read.
    option : str, default="--output"
        The option that names the output.
    outside : sequence of Path
        Folders whose files only savs itself may write: a store, a classifier.
    """
    check_writable(output)
    place = output.resolve()
    if any(place == Path(source).resolve() for source in inputs):
        raise click.BadParameter(f"{output} is the data itself; name another file", param_hint=option)
    for folder in outside:
        if place.is_relative_to(folder.resolve()):
            raise click.BadParameter(
                f"{output} is inside {folder}, whose files savs keeps itself; name another file",
                param_hint=option,
            )
