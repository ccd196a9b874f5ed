"""Options that several commands share, as decorators; options of one subject reach a command as one value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._inputs import pop_read_options
from savs.cli._session import current_session, pass_session, remember

if TYPE_CHECKING:
    from savs.data import Example
    from savs.model import AbstentionPolicy, MultiLabelModel, SAVModel

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]
Option = Callable[[Any], Any]


def example_help(*lines: str) -> str:
    """Return an epilog that shows how a command is used."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def _with_options(command: Command, options: Sequence[Option]) -> Command:
    return reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


# Types of values.


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


class DataSource(click.ParamType["Path | str"]):
    """A path, or an address such as that of a hub dataset, which stays a text."""

    name = "path|hf://owner/name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """Return the path or the address."""
        if isinstance(value, str) and "://" in value:
            return value
        path: Path = PathName().convert(value, param, ctx)
        return path


DATA = DataSource()
"""The type of an argument that names data."""


def one_or_all(_context: click.Context, _option: click.Parameter, sources: Sequence[Any]) -> Any:
    """Return the one source of data that was named, a list of several, or None."""
    return (sources[0] if sources else None) if len(sources) < 2 else list(sources)


def data_argument(name: str, *, required: bool = True) -> Option:
    """Add an argument that names data: a path, pattern or address, or several of them, which are a list."""
    return click.argument(
        name,
        type=DATA,
        nargs=-1,
        required=required,
        callback=one_or_all,
    )


class _Rate(click.FloatRange):
    """A number within bounds, which NaN is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        rate = float(super().convert(value, param, ctx))
        return self.fail(f"{value!r} is not a number", param, ctx) if math.isnan(rate) else rate


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
        shares: dict[str, float] = {}
        for piece in str(value).split(","):
            label, _, share = piece.rpartition("=")
            try:
                shares[label] = float(share)
            except ValueError:
                label = ""
            if not label:
                self.fail(f"{value!r} is not uniform, empirical or LABEL=SHARE,LABEL=SHARE,...", param, ctx)
        return shares


class _TemplateOption(click.ParamType["tuple[str, Any]"]):
    name = "option"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Return name and value from ``NAME=VALUE``."""
        from savs.backbones._template_options import parse_option

        try:
            return parse_option(str(value))
        except ValueError as error:
            return self.fail(str(error), param, ctx)


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


_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


# Data: columns, media, datasets. The command receives them as `reading`.


def data_options() -> Decorator:
    """Add the options of `ReadOptions`; the command receives them as ``reading``."""

    def add(command: Command) -> Command:
        @wraps(command)
        def with_reading(*session: Any, **values: Any) -> Any:
            return command(*session, reading=pop_read_options(values), **values)

        return _with_options(with_reading, _data_options())

    return add


def _data_options() -> list[Option]:
    return [
        _media_column("--image-column", "images"),
        _media_column("--video-column", "videos"),
        _media_column("--audio-column", "audio clips"),
        click.option(
            "--video-frames",
            metavar="N",
            type=click.IntRange(1, 1024),
            help="Frames to read from each video, evenly spaced [default: 8; a saved classifier: as at fit].",
        ),
        click.option(
            "--video-fps",
            metavar="RATE",
            type=_Rate(0, 1024, min_open=True, max_open=True),
            help="Frames to read per second of video, at most --video-frames [which is then 64 by default].",
        ),
        click.option(
            "--bit-depth",
            metavar="N",
            type=click.IntRange(8, 16),
            help="Bits that images of more than 8 bits have, such as 12 [default: what each file says, else "
            "16; a saved classifier: as at fit].",
        ),
        click.option("--text-column", metavar="NAME", help="Column with the text of an example."),
        click.option("--label-column", metavar="NAME", help="Column with the label."),
        click.option("--id-column", metavar="NAME", help="Column with the id of an example."),
        click.option(
            "--delimiter",
            metavar="CHAR",
            callback=lambda _context, _option, name: _CHARACTERS.get(name, name),
            help="Character between the cells of CSV and TSV files, or tab [default: found].",
        ),
        click.option(
            "--root",
            type=PathName(exists=True, file_okay=False),
            help="Folder that media paths are relative to [default: the folder of the data file].",
        ),
        click.option("--split", metavar="NAME", help="Split of a dataset, such as train."),
        click.option("--config", metavar="NAME", help="Configuration of a hub dataset."),
        click.option("--data-revision", metavar="REV", help="Branch, tag or commit of a hub dataset."),
        click.option("--allow-outside", is_flag=True, help="Accept media files outside the root folder."),
        click.option(
            "--allow-host",
            metavar="HOST",
            multiple=True,
            help="Download media with https:// addresses from this host; repeatable. *.example.org allows "
            "the hosts below it, example.org:8443 that port [default: nothing is downloaded].",
        ),
    ]


_CHARACTERS = {"tab": "\t", "\\t": "\t"}
"""Names of delimiters that are hard to type."""


def _media_column(name: str, kind: str) -> Option:
    return click.option(
        name,
        metavar="NAME",
        multiple=True,
        callback=lambda _context, _option, names: names or None,
        help=f"Column with {kind}; repeatable.",
    )


def error_options() -> Decorator:
    """Add ``--max-errors``."""
    return click.option(
        "--max-errors",
        type=click.IntRange(-1),
        default=0,
        show_default=True,
        metavar="N",
        help="Examples that may fail before the run stops, -1 for any number; the exit code is then 3.",
    )


# The backbone: which one, where it runs, its feature store. The command receives them as `loading`.


def backbone_options(*, variant: bool = True, store: bool = True) -> Decorator:
    """Add the options of `savs.load_backbone`; the command receives those that were given as ``loading``.

    Parameters
    ----------
    variant : bool, default=True
        Whether the command chooses revision, dtype and so on. A saved classifier knows them.
    store : bool, default=True
        Whether the command takes ``--store``.
    """
    options = [
        *(_variant_options() if variant else ()),
        *_run_options(),
        *([_store_option()] if store else ()),
    ]

    def add(command: Command) -> Command:
        @wraps(command)
        def with_loading(*session: Any, **values: Any) -> Any:
            given = {name: values.pop(name) for name in names}
            loading = {name: value for name, value in given.items() if value is not None}
            return command(*session, loading=loading, **values)

        # click lists options in reverse until it makes the command.
        before = len(getattr(with_loading, "__click_params__", ()))
        wrapped = _with_options(with_loading, options)
        names = [str(option.name) for option in vars(wrapped)["__click_params__"][before:]]
        return wrapped

    return add


def _variant_options() -> list[Option]:
    return [
        click.option("--revision", metavar="REV", help="Branch, tag or commit of a hub model."),
        click.option("--dtype", metavar="NAME", help="float32, bfloat16 or float16."),
        click.option("--attn-implementation", metavar="NAME", help="Attention kernel: eager, sdpa, ..."),
        click.option("--quantization", metavar="NAME", help="bnb-4bit, bnb-8bit or torchao-int8."),
        click.option(
            "--image-backend",
            type=click.Choice(["pil", "torchvision"]),
            help="Library that preprocesses images.",
        ),
        click.option(
            "--tokenizer",
            type=click.Choice(["file", "transformers"]),
            help="Whose token ids to take where the model's tokenizer.json and transformers disagree "
            "[default: the file's, with a warning].",
        ),
        click.option(
            "--template-option",
            "template_options",
            type=_TemplateOption(),
            multiple=True,
            callback=lambda _context, _option, pairs: dict(pairs) or None,
            metavar="NAME=VALUE",
            help="Option of the model's chat template, such as enable_thinking=false; the value is JSON, "
            "else a text. Repeatable.",
        ),
        click.option(
            "--sites",
            multiple=True,
            metavar="PATH",
            callback=lambda _context, _option, paths: list(paths) or None,
            help="Module path of the attention output projections, with * for the layer number; for a model "
            "whose heads savs does not find.",
        ),
    ]


def _run_options() -> list[Option]:
    return [
        click.option(
            "--device", metavar="NAME", help="cpu, cuda, cuda:1 ... [default: cuda where available]"
        ),
        click.option(
            "--device-map", metavar="MAP", help="How to spread the model over devices, such as auto."
        ),
        click.option(
            "--offload-folder",
            type=PathName(file_okay=False),
            help="Folder for weights that fit on no device; with --device-map.",
        ),
        click.option(
            "--batch-size",
            type=BatchSizeOption(),
            metavar="N|auto",
            help="Examples per forward pass [default: as savs doctor stored, else auto].",
        ),
        click.option(
            "--prefix-reuse/--no-prefix-reuse",
            default=None,
            help="Compute the common beginning of prompts on the same image once [default: as savs doctor "
            "stored, else yes].",
        ),
        click.option(
            "--accept-faults",
            is_flag=True,
            default=None,
            help="Read inputs that the installed transformers is known to read wrongly.",
        ),
    ]


def _store_option() -> Option:
    return click.option(
        "--store",
        type=PathName(file_okay=False),
        metavar="DIR",
        help="Feature store to read and fill: examples in it need no forward pass. Created if missing.",
    )


# Output.


def output_options() -> Decorator:
    """Add ``--json``, ``--quiet`` and ``--verbose``; they go to the `Session`, not to the command."""

    def add(command: Command) -> Command:
        options = [
            _output_option("--json", "as_json", help="Print one JSON object and nothing else."),
            _output_option("--quiet", "-q", help="Hide progress, warnings and notes."),
            _output_option(
                "--verbose", "-v", help="Show tracebacks and messages of transformers (also: SAVS_DEBUG=1)."
            ),
        ]
        return _with_options(command, options)

    return add


def _output_option(*names: str, help: str) -> Option:
    return click.option(*names, is_flag=True, expose_value=False, callback=remember, help=help)


# When to abstain: sets of classes, flags with a bounded false positive rate, out-of-distribution examples.


def abstention_options() -> Decorator:
    """Add ``--sets``, ``--flag`` and ``--out-of-distribution``."""
    options = [
        click.option(
            "--sets",
            type=_SHARE,
            metavar="ALPHA",
            help="Add a set of classes to each row, which misses the true class in at most this share of "
            "examples.",
        ),
        click.option(
            "--flag",
            "flags",
            type=_Flag(),
            multiple=True,
            callback=lambda _context, _option, pairs: dict(pairs),
            metavar="LABEL=RATE",
            help="Flag examples as LABEL, with at most this false positive rate; repeatable.",
        ),
        click.option(
            "--out-of-distribution",
            type=_SHARE,
            metavar="QUANTILE",
            help="Give no label to an example that is farther from all shots than this share of the shots is "
            "from the others (needs savs fit --keep-shots).",
        ),
    ]
    return lambda command: _with_options(command, options)


def abstention_policy(
    model: SAVModel, sets: float | None, flags: dict[str, float], out_of_distribution: float | None
) -> AbstentionPolicy | None:
    """Return when a classifier abstains, or None if no option asks for it; no backbone is loaded.

    Parameters
    ----------
    model : SAVModel
    sets : float or None
        Error level of the sets of classes.
    flags : dict of str to float
        False positive rate by label, as text.
    out_of_distribution : float or None
        Quantile of the distances between shots.
    """
    if sets is None and out_of_distribution is None and not flags:
        return None
    labels = {str(label): label for label in model.classes_.tolist()}
    rates = {labels.get(label, label): rate for label, rate in flags.items()}
    return model.abstention_policy(sets=sets, flags=rates, out_of_distribution=out_of_distribution)


# A saved classifier. The command receives it as `classifier`.


@dataclass(frozen=True)
class SavedClassifier:
    """A saved classifier as a command line names it; see `classifier_options`.

    Attributes
    ----------
    folder : Path
        Its folder, or the name of a classifier on the hub.
    backbone : str or None
        Where the backbone is now; by default where it was at fit.
    allow_mismatch : tuple of str
        Entries of the fingerprint that may differ.
    accept_drift : bool
        Whether the vectors may be other ones than those of the fit.
    loading : dict
        Keywords of `savs.load_backbone`, and ``store``.
    """

    folder: Path
    backbone: str | None
    allow_mismatch: tuple[str, ...]
    accept_drift: bool
    loading: dict[str, Any]

    @property
    def folders(self) -> list[Path]:
        """The folders in which only savs writes files: the classifier's, and the store's."""
        return [self.folder, *filter(None, [self.loading.get("store")])]

    def load_any(self) -> SAVModel | MultiLabelModel:
        """Return the classifier, of one label per example or of several; as `load`."""
        from savs.model import MultiLabelModel
        from savs.model.multi_label import INDEX_NAME

        if not (self.folder / INDEX_NAME).is_file():
            return self.load()
        return MultiLabelModel.from_pretrained(self.folder, **self._options())

    def load(self) -> SAVModel:
        """Return the classifier; its backbone is loaded when it is first used.

        Raises
        ------
        click.BadParameter
            If the fingerprint has no entry of a name in `allow_mismatch`.
        """
        from savs.model import SAVModel

        return SAVModel.from_pretrained(self.folder, **self._options())

    def _options(self) -> dict[str, Any]:
        from savs.artifact import IDENTITY

        unknown = sorted(set(self.allow_mismatch) - set(IDENTITY))
        if unknown:
            raise click.BadParameter(
                f"{unknown[0]!r} is not one of {', '.join(IDENTITY)}", param_hint="--allow-mismatch"
            )
        return {
            "backbone": self.backbone,
            "allow_mismatch": self.allow_mismatch,
            "accept_drift": self.accept_drift,
            "progress": current_session(click.get_current_context()).progress,
            **self.loading,
        }


_OF_CLASSIFIER = ("backbone", "allow_mismatch", "accept_drift", "loading")


def classifier_options() -> Decorator:
    """Add all options of a command that runs a saved classifier on data.

    The command has an argument ``classifier``. It receives the session first, and by name `classifier`, a
    `SavedClassifier`, `reading` and `max_errors`.
    """

    def add(command: Command) -> Command:
        @wraps(command)
        def with_classifier(*session: Any, classifier: Path, **values: Any) -> Any:
            given = {name: values.pop(name) for name in _OF_CLASSIFIER}
            return command(*session, classifier=SavedClassifier(classifier, **given), **values)

        wrapped: Command = pass_session(with_classifier)
        for decorate in (
            output_options(),
            backbone_options(variant=False),
            data_options(),
            error_options(),
            _recorded_backbone_options(),
        ):
            wrapped = decorate(wrapped)
        return wrapped

    return add


def _recorded_backbone_options() -> Decorator:
    options = [
        click.option(
            "--backbone",
            "-b",
            metavar="NAME",
            help="Where the backbone is now [default: as recorded at fit].",
        ),
        click.option(
            "--allow-mismatch",
            multiple=True,
            metavar="NAME",
            help="Accept a backbone whose fingerprint differs in this entry, such as dtype; repeatable.",
        ),
        click.option(
            "--accept-drift",
            is_flag=True,
            help="Use the classifier even if the installed libraries compute other vectors than at fit.",
        ),
    ]
    return lambda command: _with_options(command, options)


# How heads become a classifier.


def method_options() -> Decorator:
    """Add ``--method``, ``--n-heads``, ``--scoring``, ``--priors``, ``--heads-of`` and ``--keep-shots``."""
    options = [
        click.option(
            "--method",
            default="sav",
            show_default=True,
            metavar="NAME",
            help="sav, the published rule; auto, the most accurate; another of docs/methods.md; or one that "
            "an installed package registers.",
        ),
        click.option(
            "--n-heads",
            type=_HeadCount(),
            metavar="N|auto|all",
            help="Heads to keep [default: as the method sets; 20 for sav].",
        ),
        click.option(
            "--scoring",
            type=click.Choice(["in_sample", "leave_one_out", "cross_validated"]),
            help="How heads are scored [default: as the method sets].",
        ),
        click.option(
            "--priors",
            type=_Priors(),
            metavar="P",
            help="Class priors: uniform, empirical, or LABEL=SHARE,... [default: as the method sets].",
        ),
        click.option(
            "--heads-of",
            "heads_from",
            type=PathName(),
            metavar="CLASSIFIER",
            help="Use only the heads of this saved classifier (methods votes, mean_proba, hec_v, ...).",
        ),
        click.option(
            "--keep-shots",
            is_flag=True,
            help="Save the features of the shots too: needed to add shots later, and for "
            "savs predict --out-of-distribution.",
        ),
    ]
    return lambda command: _with_options(command, options)


def check_method(
    name: str,
    n_heads: int | str | None,
    scoring: str | None,
    priors: str | dict[str, float] | None,
    heads: Sequence[tuple[int, int]] | None = None,
    exit_early: float | None = None,
    n_prompts: int = 1,
) -> None:
    """Raise `click.UsageError` if there is no such method, or it does not take the settings.

    Parameters
    ----------
    name : str
        The method.
    n_heads, scoring, priors, heads, exit_early
        As in `savs.classifiers.Method`.
    n_prompts : int, default=1
        How many prompts there are.
    """
    from savs.classifiers import Method
    from savs.classifiers.prompt_ensemble import check_takes_prompts

    try:
        chosen = None if heads is None else tuple(heads)
        check_takes_prompts(Method(name, n_heads, scoring, priors, chosen, exit_early=exit_early), n_prompts)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def heads_of(folder: Path | None) -> list[tuple[int, int]] | None:
    """Return the heads that a saved classifier uses."""
    from savs.artifact import load_artifact

    return None if folder is None else [head for head in load_artifact(folder).heads if head[1] >= 0]


def by_label(
    priors: str | dict[str, float] | None, examples: Sequence[Example]
) -> str | dict[Any, float] | None:
    """Return priors by the labels of the examples: on a command line every label is text."""
    if not isinstance(priors, dict):
        return priors
    labels = {str(example.label): example.label for example in examples if example.label is not None}
    return {labels.get(label, label): share for label, share in priors.items()}
