"""A saved classifier for a command: options that say which backbone it may run on, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli.options import Command

if TYPE_CHECKING:
    from savs.model import SAVModel

__all__ = ["classifier_options", "load_classifier"]


def classifier_options() -> Callable[[Command], Command]:
    """Which backbone a saved classifier may run on."""
    backbone = click.option(
        "--backbone", "-b", metavar="NAME", help="Where the backbone is now [default: as recorded at fit]."
    )
    mismatch = click.option(
        "--allow-mismatch",
        multiple=True,
        metavar="NAME",
        help="Accept a backbone that differs in this entry of its fingerprint, such as dtype; repeatable.",
    )
    return lambda command: backbone(mismatch(command))


def load_classifier(
    folder: Path, backbone: str | None, allow_mismatch: tuple[str, ...], load: dict[str, Any]
) -> SAVModel:
    """Return a saved classifier; a wrong ``--allow-mismatch`` is wrong usage."""
    from savs.artifact import IDENTITY
    from savs.model import SAVModel

    unknown = sorted(set(allow_mismatch) - set(IDENTITY))
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]!r} is none of {', '.join(IDENTITY)}", param_hint="--allow-mismatch"
        )
    return SAVModel.from_pretrained(folder, backbone=backbone, allow_mismatch=allow_mismatch, **load)
