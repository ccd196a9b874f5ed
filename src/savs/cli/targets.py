"""Where results go: checked before a model is loaded, under their final name only when complete."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from savs.cli.failures import remark

__all__ = ["check_new_file", "check_writable", "rows_to"]


def check_writable(target: Path) -> None:
    """Raise `OSError` if a file or folder cannot be made there."""
    parent = target.absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(20, "Not a folder", str(parent))
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(parent))


def check_new_file(output: Path, *inputs: Path) -> None:
    """Refuse an output that cannot be written or would replace one of the inputs."""
    check_writable(output)
    if any(output.resolve() == source.resolve() for source in inputs):
        raise click.BadParameter(f"{output} is the data itself; name another file", param_hint="--output")


@contextmanager
def rows_to(output: Path | None) -> Iterator[TextIO]:
    """Yield stdout, or a partial file beside `output` that gets its name when everything is written.

    If the work ends early, the rows written so far stay in the partial file, and a line on stderr names it.
    Pipes and devices are written directly.
    """
    if output is None:
        yield sys.stdout
    elif output.exists() and not output.is_file():
        with output.open("w", encoding="utf-8") as stream:
            yield stream
    else:
        with _partial(output.resolve()) as stream:
            yield stream


@contextmanager
def _partial(output: Path) -> Iterator[TextIO]:
    output.parent.mkdir(parents=True, exist_ok=True)
    # The process in the name keeps two runs with the same output apart.
    partial = output.with_name(f"{output.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(output)
    except BaseException:
        _keep_or_drop(partial)
        raise


def _keep_or_drop(partial: Path) -> None:
    if partial.exists() and partial.stat().st_size:
        remark(f"the rows written so far are in {partial}")
    else:
        partial.unlink(missing_ok=True)
