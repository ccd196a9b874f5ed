"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from savs.cli.session import remember

__all__ = [
    "DATA",
    "Command",
    "PathName",
    "backbone_options",
    "data_options",
    "error_options",
    "example_help",
    "load_options",
    "output_options",
    "store_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


class BatchSizeOption(click.ParamType["int | str"]):
    """A positive integer, or auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number or the word."""
        if value == "auto":
            return "auto"
        try:
            size = int(value)
        except ValueError:
            size = 0
        return (
            size if size > 0 else self.fail(f"{value!r} is neither a positive integer nor auto", param, ctx)
        )


class PathName(click.Path):
    """A path; an empty one is refused, as it would be the current folder."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not str(value):
            self.fail("the name is empty; the current folder is '.'", param, ctx)
        return super().convert(value, param, ctx)


class Rate(click.FloatRange):
    """A number within bounds, which NaN is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        rate = float(super().convert(value, param, ctx))
        return self.fail(f"{value!r} is no rate", param, ctx) if math.isnan(rate) else rate


class DataSource(click.ParamType["Path | str"]):
    """A path, or the address of a hub data set, which stays a text."""

    name = "path|hf://owner/name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """Return the path or the address."""
        if isinstance(value, str) and value.startswith("hf://"):
            return value
        path: Path = PathName().convert(value, param, ctx)
        return path


DATA = DataSource()
"""The type of an argument that names data."""


def _all(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    return lambda command: reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def _media_column(name: str, kind: str) -> Callable[[Any], Any]:
    return click.option(
        name,
        metavar="NAME",
        multiple=True,
        callback=lambda _context, _option, names: names or None,
        help=f"Column with the {kind}; repeat it for several {kind}s.",
    )


def example_help(*lines: str) -> str:
    """Return an epilog that shows how a command is used."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def data_options() -> Callable[[Command], Command]:
    """Columns and places of data, and which part of a data set."""
    return _all(
        _media_column("--image-column", "picture"),
        _media_column("--video-column", "video"),
        _media_column("--audio-column", "sound"),
        click.option(
            "--video-frames",
            metavar="N",
            type=click.IntRange(1, 1024),
            help="Frames read of each video, evenly spread [default: 8; for a classifier, as its shots'].",
        ),
        click.option(
            "--video-fps",
            metavar="RATE",
            type=Rate(0, 1024, min_open=True, max_open=True),
            help="Frames read for each second of a video, at most --video-frames [then by default 64].",
        ),
        click.option("--text-column", metavar="NAME", help="Column with the example's own text."),
        click.option("--label-column", metavar="NAME", help="Column with the label."),
        click.option("--id-column", metavar="NAME", help="Column with the example's id."),
        click.option(
            "--root",
            type=PathName(exists=True, file_okay=False),
            help="Folder that media paths are relative to [default: the data file's own].",
        ),
        click.option("--split", metavar="NAME", help="Part of a data set that has several, such as train."),
        click.option("--config", metavar="NAME", help="Configuration of a hub data set."),
        click.option("--data-revision", metavar="REV", help="Branch, tag or commit of a hub data set."),
        click.option("--allow-outside", is_flag=True, help="Accept media paths that lead out of the root."),
        click.option(
            "--allow-host",
            metavar="HOST",
            multiple=True,
            help="Fetch media with https:// addresses on this host (*.example.org: on hosts below it, "
            "example.org:8443: at that port); repeatable [default: addresses are refused].",
        ),
    )


def load_options() -> Callable[[Command], Command]:
    """Where and how the backbone runs."""
    return _all(
        click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... [default: cuda where present]"),
        click.option("--device-map", metavar="MAP", help="Spread the model over devices, such as auto."),
        click.option(
            "--offload-folder",
            type=PathName(file_okay=False),
            help="Folder for weights that no device holds; with --device-map.",
        ),
        click.option(
            "--batch-size",
            type=BatchSizeOption(),
            metavar="N|auto",
            help="Examples per forward pass [default: what savs doctor stored, else auto].",
        ),
        click.option(
            "--prefix-reuse/--no-prefix-reuse",
            default=None,
            help="Read what prompts on the same picture have in common once [default: as savs doctor stored,"
            " else yes].",
        ),
    )


def backbone_options() -> Callable[[Command], Command]:
    """Which variant of the backbone is loaded."""
    return _all(
        click.option("--revision", metavar="REV", help="Branch, tag or commit on the hub."),
        click.option("--dtype", metavar="NAME", help="float32, bfloat16 or float16."),
        click.option("--attn-implementation", metavar="NAME", help="Attention kernel: eager, sdpa, ..."),
        click.option("--quantization", metavar="NAME", help="bnb-4bit, bnb-8bit or torchao-int8."),
        click.option(
            "--image-backend", type=click.Choice(["pil", "torchvision"]), help="What prepares the pixels."
        ),
        click.option(
            "--sites",
            multiple=True,
            metavar="PATH",
            callback=lambda _context, _option, paths: list(paths) or None,
            help="Path of an output projection whose heads are read, * for the layer; where none are found.",
        ),
    )


def store_option() -> Callable[[Command], Command]:
    """Where the backbone's vectors are kept between runs."""
    return _all(
        click.option(
            "--store",
            type=PathName(file_okay=False),
            metavar="DIR",
            help="Feature store: an example in it needs no forward pass, others are added; made if missing.",
        )
    )


def error_options() -> Callable[[Command], Command]:
    """How many examples may be unreadable."""
    return _all(
        click.option(
            "--max-errors",
            type=click.IntRange(-1),
            default=0,
            show_default=True,
            metavar="N",
            help="Examples that may fail before the run stops, -1: any; the exit code is then 3.",
        )
    )


def output_options() -> Callable[[Command], Command]:
    """How results are shown; noted in the `Session`, not passed to the command."""
    return _all(
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            expose_value=False,
            callback=remember,
            help="Print one JSON object and nothing else.",
        ),
        click.option(
            "--quiet",
            "-q",
            is_flag=True,
            expose_value=False,
            callback=remember,
            help="No progress, warnings or remarks.",
        ),
        click.option(
            "--verbose",
            "-v",
            is_flag=True,
            expose_value=False,
            callback=remember,
            help="Show tracebacks and the messages of transformers (also: SAVS_DEBUG=1).",
        ),
    )
