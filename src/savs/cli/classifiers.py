"""A saved classifier for a command: options that say which backbone it may run on, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from savs.cli.options import (
    Command,
    data_options,
    error_options,
    load_options,
    output_options,
    store_option,
)
from savs.cli.session import current_session, pass_session

if TYPE_CHECKING:
    from savs.model import SAVModel

__all__ = ["as_fitted", "classifier_options", "load_classifier"]


def classifier_options() -> Callable[[Command], Command]:
    """All options of a command that runs a saved classifier on data, the session first."""
    groups = (_backbone_options, error_options, data_options, load_options, store_option, output_options)

    def add(command: Command) -> Command:
        wrapped: Any = pass_session(command)
        for group in reversed(groups):
            wrapped = group()(wrapped)
        return cast(Command, wrapped)

    return add


def _backbone_options() -> Callable[[Command], Command]:
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
    shown = current_session(click.get_current_context()).progress
    return SAVModel.from_pretrained(
        folder, backbone=backbone, allow_mismatch=allow_mismatch, progress=shown, **load
    )


def as_fitted(model: SAVModel, reading: dict[str, Any]) -> dict[str, Any]:
    """Return options of `read_examples`; videos are read as the shots' were, unless told otherwise."""
    sampling = model.video_sampling_
    told = {"video_frames", "video_fps"} & {name for name, value in reading.items() if value is not None}
    if sampling is None or told:
        return reading
    return reading | {"video_frames": sampling.n_frames, "video_fps": sampling.fps}
