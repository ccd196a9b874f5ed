"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from savs.cli._session import current_session, pass_session, remember

if TYPE_CHECKING:
    from savs.data import Example
    from savs.model import AbstentionPolicy, SAVModel


# Options that several commands share.

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
    """A path, or the address of a hub dataset, which stays a text."""

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
    """Columns and places of data, and which part of a dataset."""
    return _all(
        _media_column("--image-column", "image"),
        _media_column("--video-column", "video"),
        _media_column("--audio-column", "audio"),
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
        click.option("--split", metavar="NAME", help="Part of a dataset that has several, such as train."),
        click.option("--config", metavar="NAME", help="Configuration of a hub dataset."),
        click.option("--data-revision", metavar="REV", help="Branch, tag or commit of a hub dataset."),
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
            help="Read what prompts on the same image have in common once [default: as savs doctor stored,"
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


# Options that hold answers back: sets of classes, alarms, unknown examples.

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


class _Flag(click.ParamType["tuple[str, float]"]):
    name = "flag"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return label and rate from ``LABEL=RATE``."""
        label, _, rate = str(value).rpartition("=")
        try:
            share = float(rate)
        except ValueError:
            share = 0.0
        if not label or not 0 < share < 1:
            self.fail(f"{value!r} is not LABEL=RATE with a rate between 0 and 1", param, ctx)
        return label, share


def abstention_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds --sets, --flag and --out-of-distribution."""
    options = [
        click.option(
            "--sets",
            type=_SHARE,
            metavar="LEVEL",
            help="Also every class an example may be, so that a class is missed at most this often.",
        ),
        click.option(
            "--flag",
            "flags",
            type=_Flag(),
            multiple=True,
            callback=lambda _context, _option, pairs: dict(pairs),
            metavar="LABEL=RATE",
            help="Also whether to announce LABEL, with at most this rate of false alarms; repeatable.",
        ),
        click.option(
            "--out-of-distribution",
            type=_SHARE,
            metavar="QUANTILE",
            help="No label for examples farther from all shots than this share of the shots from each other "
            "(savs fit --keep-shots).",
        ),
    ]

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def asked_abstention(
    model: SAVModel, sets: float | None, flags: dict[str, float], out_of_distribution: float | None
) -> AbstentionPolicy | None:
    """Return the caution of a classifier, or None if none was asked for; no backbone is loaded."""
    if sets is None and out_of_distribution is None and not flags:
        return None
    own = {str(label): label for label in model.classes_.tolist()}
    named = {own.get(label, label): rate for label, rate in flags.items()}
    return model.abstention_policy(sets=sets, flags=named, out_of_distribution=out_of_distribution)


# A saved classifier for a command: options that say which backbone it may run on, and reading it.


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


# Options that say how heads become a classifier.


class _HeadCount(click.ParamType["int | str"]):
    name = "n_heads"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return a number, ``auto`` or ``all``."""
        text = str(value)
        if text in ("auto", "all"):
            return text
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
            self.fail(f"{value!r} is not a positive number, auto or all", param, ctx)
        return int(text)


class _Priors(click.ParamType["str | dict[str, float]"]):
    name = "priors"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | dict[str, float]:
        """Return ``uniform``, ``empirical`` or a share per label from ``LABEL=SHARE,...``."""
        if value in ("uniform", "empirical"):
            return str(value)
        found: dict[str, float] = {}
        for piece in str(value).split(","):
            label, _, share = piece.rpartition("=")
            try:
                found[label] = float(share)
            except ValueError:
                label = ""
            if not label:
                self.fail(f"{value!r} is not uniform, empirical or LABEL=SHARE,LABEL=SHARE,...", param, ctx)
        return found


def method_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds --method, --n-heads, --scoring, --priors, --heads-of and --keep-shots."""
    options = [
        click.option(
            "--method",
            default="sav",
            show_default=True,
            callback=_known,
            metavar="NAME",
            help="sav, the published rule; auto, the most accurate; or another of docs/methods.md.",
        ),
        click.option(
            "--n-heads",
            type=_HeadCount(),
            metavar="N|auto|all",
            help="Heads to keep [default: the method's own; 20 for sav].",
        ),
        click.option(
            "--scoring",
            type=click.Choice(["in_sample", "leave_one_out", "cross_validated"]),
            help="How heads are ranked [default: the method's own].",
        ),
        click.option(
            "--priors",
            type=_Priors(),
            metavar="P",
            help="uniform, empirical, or LABEL=SHARE,... [default: the method's own].",
        ),
        click.option(
            "--heads-of",
            "heads_from",
            type=PathName(),
            metavar="CLASSIFIER",
            help="Use only the heads that this saved classifier uses (method votes, mean_proba, hec_v, ...).",
        ),
        click.option(
            "--keep-shots",
            is_flag=True,
            help="Save the shots' feature rows too, for savs predict --out-of-distribution "
            "and to add shots later.",
        ),
    ]

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def check_method(
    name: str,
    n_heads: int | str | None,
    scoring: str | None,
    priors: str | dict[str, float] | None,
    heads: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Raise `click.UsageError` if the method does not take the settings."""
    from savs.classifiers import Method

    try:
        Method(name, n_heads, scoring, priors, None if heads is None else tuple(heads))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def heads_of(folder: Path | None) -> list[tuple[int, int]] | None:
    """Return the heads that a saved classifier uses."""
    from savs.artifact import load_artifact

    return None if folder is None else [head for head in load_artifact(folder).heads if head[1] >= 0]


def by_label(
    priors: str | dict[str, float] | None, examples: Sequence[Example]
) -> str | dict[Any, float] | None:
    """Return priors with the labels' own type: on a command line every label is text."""
    if not isinstance(priors, dict):
        return priors
    own = {str(example.label): example.label for example in examples if example.label is not None}
    return {own.get(label, label): share for label, share in priors.items()}


def _known(context: click.Context, parameter: click.Parameter, name: str) -> str:
    from savs.classifiers import available_methods

    if name not in available_methods():
        known = ", ".join(available_methods())
        raise click.BadParameter(f"no method is called {name!r}; there are {known}", context, parameter)
    return name
