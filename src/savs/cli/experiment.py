"""``savs experiment``: what accuracy depends on, and whether a shortcut explains it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from savs._optional import import_optional
from savs.cli._labeled_data import LabeledSet, check_different, errors_left, read_labeled
from savs.cli._options import (
    DATA,
    PathName,
    backbone_options,
    data_options,
    error_options,
    example_help,
    output_options,
)
from savs.cli._output import print_json, show, table
from savs.cli._prompt_options import one_prompt_option
from savs.cli._results import report_counts
from savs.cli._session import ITEM_ERRORS, Session, pass_session, remark
from savs.errors import SAVsError

if TYPE_CHECKING:
    from savs.backbones import Backbone
    from savs.data import ReadOptions
    from savs.experiments import Experiment, ShortcutAudit
    from savs.experiments.results import PlotFormat

__all__ = ["experiment"]


@click.group(
    short_help="Measure what accuracy depends on, and look for shortcuts.",
    epilog=example_help(
        'savs experiment shots images/ -b tiny --prompt "What is in this picture?" -o results/',
        'savs experiment shortcuts images/ -b tiny --prompt "What is in this picture?" -o results/',
    ),
)
def experiment() -> None:
    """Measure what accuracy depends on, and look for shortcuts.

    Every command draws shots at random several times, reads each example once, and writes a plot, a CSV file
    and a JSON file to a folder. Within a draw, everything that is compared has the same shots and the same
    test examples; these are never shots of the draw, nor copies of one. Intervals are 95 % intervals of the
    mean over draws (Student's t). With --store, a second run needs no forward pass.
    """


# What all experiments share: data, backbone and results.


_Found: TypeAlias = "Experiment | ShortcutAudit"
Run = Callable[["Backbone", Sequence[LabeledSet], Mapping[str, Any]], "_Found"]
"""From a backbone, the datasets and common keywords to the result."""


class _Setup:
    """The values of the options that all experiments have.

    Parameters
    ----------
    session : Session
    values : dict
        Of the command line.
    """

    def __init__(self, session: Session, values: Mapping[str, Any]) -> None:
        self.session = session
        self.sources: list[Path | str] = list(values["data"])
        self.backbone: str = values["backbone"]
        self.output: Path = values["output"]
        self.plot_format: PlotFormat = values["plot_format"]
        self.test: Path | str | None = values.get("test")
        self.reading: ReadOptions = values["reading"]
        self.loading: dict[str, Any] = values["loading"]
        self.max_errors: int = values["max_errors"]
        self.draws: int = values["draws"]
        self.seed: int = values["seed"]

    def run(
        self,
        work: Run,
        prompts: Sequence[str | None],
        check: Callable[[Sequence[LabeledSet]], None],
        *,
        apply_prompt: bool = True,
    ) -> int:
        """Read and check the data, load the backbone, run the experiment, show and write what it found."""
        from savs.backbones import load_backbone
        from savs.cache import StoredBackbone, with_store

        started = time.perf_counter()
        import_optional("matplotlib")
        _check_folder(self.output, self.sources)
        sets, left = [], self.max_errors
        for source, prompt in zip(self.sources, prompts, strict=True):
            asked = [prompt] if apply_prompt and prompt is not None else []
            sets.append(read_labeled(source, self.test, asked, self.reading, left))
            left = errors_left(left, sets[-1].errors)
        with _wrong_usage():
            check(sets)
        store = self.loading.pop("store", None)
        backbone = load_backbone(self.backbone, progress=self.session.progress, **self.loading)
        backbone = backbone if store is None else with_store(backbone, store)
        common = {"draws": self.draws, "seed": self.seed, "max_errors": left}
        with _wrong_usage():
            found = work(backbone, sets, {**common, "progress": self.session.progress})
        found.errors[:0] = [error for one in sets for error in one.errors]
        files = found.write(self.output, plot_format=self.plot_format)
        counts = report_counts(backbone.total if isinstance(backbone, StoredBackbone) else None, self.session)
        if self.session.as_json:
            more = {
                "files": [str(file) for file in files],
                "seconds": round(time.perf_counter() - started, 2),
            }
            errors = [
                {"id": error.id, "code": error.code, "message": error.message} for error in found.errors
            ]
            print_json({**found.record(), "errors": errors, **more, **counts})
        else:
            _show(found, files, self.session)
        return ITEM_ERRORS if found.errors else 0


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """Report a value that is out of range as wrong usage; errors of savs, such as of data, stay."""
    try:
        yield
    except SAVsError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _check_folder(output: Path, sources: Sequence[Path | str]) -> None:
    """Refuse a folder whose plots would become data."""
    place = output.resolve()
    for source in sources:
        if isinstance(source, Path) and source.is_dir() and place.is_relative_to(source.resolve()):
            raise click.BadParameter(
                f"{output} is in the folder of the data; name another folder", param_hint="--output"
            )
    if output.exists() and not output.is_dir():
        raise click.BadParameter(f"{output} is no folder", param_hint="--output")


def _show(found: _Found, files: Sequence[Path], session: Session) -> None:
    from savs.experiments import ShortcutAudit

    unit = "accuracy in %, with 95 % intervals"
    if isinstance(found, ShortcutAudit):
        lines = [(one["control"], _interval(one), one["reason"] or "") for one in found.summary()]
        show(table(["control", "accuracy", "not applicable, as"], lines, unit))
    else:
        cells = {(one["series"], one["x"]): _interval(one) for one in found.summary()}
        names, places = found.series, found.x_values
        # The longer list goes down.
        if len(names) >= len(places):
            rows = [[name, *(cells.get((name, x), "-") for x in places)] for name in names]
            show(table(["", *map(_text, places)], rows, f"{unit}; from left to right: {found.x_name}"))
        else:
            rows = [[_text(x), *(cells.get((name, x), "-") for name in names)] for x in places]
            show(table(["", *names], rows, f"{unit}; downward: {found.x_name}"))
        if not session.quiet:
            for series, reason in found.failures().items():
                remark(f"warning: {series}: {reason}")
    if not session.quiet:
        show(*(f"wrote {file}" for file in files))
        for error in found.errors:
            remark(f"warning: {error}")


def _text(x: float | str) -> str:
    return x if isinstance(x, str) else f"{x:g}"


def _interval(one: Mapping[str, Any]) -> str:
    if one["mean"] is None:
        return "-"
    interval = "" if one["low"] is None else f" ({100 * one['low']:.0f}-{100 * one['high']:.0f})"
    return f"{100 * one['mean']:.1f}{interval}"


def _task_names(sources: Sequence[Path | str]) -> list[str]:
    """Return a short name for each dataset, its whole path where two would be the same."""
    short = [
        source.resolve().stem if isinstance(source, Path) else source.rpartition("/")[2] for source in sources
    ]
    return [
        name if short.count(name) == 1 else str(source) for name, source in zip(short, sources, strict=True)
    ]


# Options.


def _integers(text: str | None, option: str) -> list[int] | None:
    """Return whole numbers from 1 on from a list with commas."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 and int(part) for part in parts):
        raise click.BadParameter(
            f"{text!r} is not one or more whole numbers, such as 1,5,20", param_hint=option
        )
    return sorted({int(part) for part in parts})


def _levels(text: str) -> list[float]:
    """Return shares from percentages with commas."""
    try:
        levels = [float(part) / 100 for part in text.split(",")]
    except ValueError:
        levels = [-1.0]
    if not all(0 <= level < 1 for level in levels):
        raise click.BadParameter(
            f"{text!r} is not one or more percentages below 100, such as 0,10,20", param_hint="--levels"
        )
    return levels


def _names(text: str | None, default: Sequence[str]) -> list[str]:
    if text is None:
        return list(default)
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


_PROMPT = "Question for the model, as in savs fit."


def _common(*own: Callable[[Any], Any], several: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Add the argument DATA and all options that experiments share; the command gets a `_Setup` first."""
    options = [
        click.argument("data", type=DATA, nargs=-1 if several else 1, required=True),
        click.option(
            "--backbone",
            "-b",
            required=True,
            metavar="NAME",
            help="tiny, a model folder, a hub id or a registered name.",
        ),
        click.option(
            "--output",
            "-o",
            required=True,
            type=PathName(),
            metavar="FOLDER",
            help="Folder for the plot, the CSV and the JSON file; made if it is missing.",
        ),
        *own,
        click.option(
            "--draws", type=click.IntRange(1), default=5, show_default=True, help="Random draws of the shots."
        ),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draws."
        ),
        *([] if several else [_TEST]),
        click.option(
            "--plot-format",
            type=click.Choice(["png", "svg"]),
            default="png",
            show_default=True,
            help="Format of the plot (needs savs[plots]).",
        ),
        error_options(),
        data_options(),
        backbone_options(),
        output_options(),
    ]

    def add(command: Callable[..., int]) -> Any:
        @wraps(command)
        def with_setup(session: Session, /, **values: Any) -> int:
            values["data"] = values["data"] if several else [values["data"]]
            setup = _Setup(session, values)
            kept = {name: value for name, value in values.items() if name not in _SETUP}
            return command(setup, **kept)

        wrapped: Callable[..., Any] = pass_session(with_setup)
        return reduce(lambda inner, option: option(inner), reversed(options), wrapped)

    return add


_SETUP = (
    *("data", "backbone", "output", "plot_format", "test", "reading", "loading"),
    *("max_errors", "draws", "seed"),
)
_TEST = click.option(
    "--test",
    type=DATA,
    help="Separate test set [default: the examples of DATA that are not drawn as shots].",
)
_ONE_PROMPT = one_prompt_option(_PROMPT)
_SHOTS = click.option(
    "--shots",
    type=click.IntRange(1),
    help="Shots per class [default: 20, at most half of the smallest class].",
)


_BASELINES = "majority, last_layer, all_heads, knn, ridge_probe and logistic_probe"


def _methods_option(default: str, *, baselines: bool = True) -> Callable[[Any], Any]:
    also = f", and the baselines {_BASELINES}" if baselines else ""
    return click.option(
        "--methods",
        metavar="A,B,...",
        help=f"Methods of docs/methods.md or installed packages{also} [default: {default}].",
    )


def _check(shots: int | Sequence[int] | None, draws: int) -> Callable[[Sequence[LabeledSet]], None]:
    """Return what refuses data from which the shots cannot be drawn, before a model is loaded."""

    def check(sets: Sequence[LabeledSet]) -> None:
        from savs.experiments.reading import check_data

        for one in sets:
            counts = [shots] if isinstance(shots, int) else [1] if shots is None else list(shots)
            check_data(one.pool, counts, draws, fixed_test=bool(one.test))

    return check


def _check_names(check: Callable[[Sequence[str]], None], names: Sequence[str], option: str) -> None:
    try:
        check(names)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _one(sets: Sequence[LabeledSet], sources: Sequence[Path | str]) -> dict[str, Any]:
    """Return the keywords of a single dataset."""
    return {"examples": sets[0].pool, "test": sets[0].test, "task": _task_names(sources)[0]}


# The experiments.


@experiment.command(
    short_help="Accuracy against shots per class.",
    epilog=example_help(
        'savs experiment shots images/ -b tiny --prompt "What is in this picture?" --draws 5 -o results/'
    ),
)
@_common(
    _ONE_PROMPT,
    _methods_option("sav, hec_v, nearest_shot, kernel_ridge, auto, last_layer, majority"),
    click.option(
        "--shots",
        metavar="N,...",
        help="Shots per class [default: 1,2,5,10,20,50,100, up to half of the smallest class].",
    ),
)
def shots(setup: _Setup, /, prompt: str | None, methods: str | None, shots: str | None) -> int:
    """Measure accuracy against the number of shots per class.

    DATA is read like the data of savs fit. In a draw, all methods and numbers of shots are judged on the same
    test examples, those that the largest number leaves; fewer shots are a subset of more.
    """
    from savs.experiments.reading import check_methods
    from savs.experiments.shots import METHODS, shots_experiment

    names, counts = _names(methods, METHODS), _integers(shots, "--shots")
    _check_names(check_methods, names, "--methods")
    return setup.run(
        lambda backbone, sets, common: shots_experiment(
            backbone, **_one(sets, setup.sources), methods=names, shots=counts, prompt=prompt, **common
        ),
        [prompt],
        _check(counts, setup.draws),
    )


@experiment.command(
    short_help="Accuracy against the number of heads.",
    epilog=example_help(
        'savs experiment heads images/ -b tiny --prompt "What is in this picture?" --shots 10 -o results/'
    ),
)
@_common(
    _ONE_PROMPT,
    _methods_option("sav, calm, hec_v, nearest_shot", baselines=False),
    click.option(
        "--heads", metavar="N,...", help="Numbers of heads [default: 1,2,5,10,20,40,80,... and all]."
    ),
    _SHOTS,
)
def heads(
    setup: _Setup, /, prompt: str | None, methods: str | None, heads: str | None, shots: int | None
) -> int:
    """Measure accuracy against the number of heads that a method keeps.

    DATA is read like the data of savs fit.
    """
    from savs.experiments.heads import METHODS, check_keeps_heads, heads_experiment

    names, counts = _names(methods, METHODS), _integers(heads, "--heads")
    _check_names(check_keeps_heads, names, "--methods")
    return setup.run(
        lambda backbone, sets, common: heads_experiment(
            backbone,
            **_one(sets, setup.sources),
            methods=names,
            heads=counts,
            shots=shots,
            prompt=prompt,
            **common,
        ),
        [prompt],
        _check(shots, setup.draws),
    )


@experiment.command(
    short_help="Heads of one dataset on another.",
    epilog=example_help(
        'savs experiment transfer photos/ drawings/ -b tiny --prompt "What is it?" -o results/'
    ),
)
@_common(
    click.option(
        "--prompt",
        "prompts",
        metavar="TEXT",
        multiple=True,
        help=f"{_PROMPT} Give it once, or once for each DATA in their order.",
    ),
    click.option(
        "--method",
        default="sav",
        show_default=True,
        metavar="NAME",
        help="A method that keeps a number of heads.",
    ),
    click.option(
        "--n-heads", type=click.IntRange(1), help="Heads to keep [default: as the method sets; 20 for sav]."
    ),
    _SHOTS,
    several=True,
)
def transfer(
    setup: _Setup, /, prompts: tuple[str, ...], method: str, n_heads: int | None, shots: int | None
) -> int:
    """Measure how well heads that were chosen on one dataset serve on another.

    Two or more DATA are read like the data of savs fit; every pair of them is measured. The heads are chosen
    on the shots of one, and the method is fitted with them on the shots of the other. Beside them stand the
    heads that the dataset chose itself, as many random heads, and, where labels are the same, the other's
    whole classifier as it is.
    """
    from savs.experiments.heads import check_keeps_heads
    from savs.experiments.transfer import transfer_experiment

    n_data = len(setup.sources)
    if n_data < 2:
        raise click.BadParameter("name two or more datasets", param_hint="DATA")
    if len(prompts) not in (0, 1, n_data):
        raise click.BadParameter(
            f"give it once, or once for each of the {n_data} DATA", param_hint="--prompt"
        )
    check_different(setup.sources)
    _check_names(check_keeps_heads, [method], "--method")
    asked = list(prompts) if len(prompts) == n_data else [next(iter(prompts), None)] * n_data
    names = _task_names(setup.sources)
    return setup.run(
        lambda backbone, sets, common: transfer_experiment(
            backbone,
            {name: one.pool for name, one in zip(names, sets, strict=True)},
            method=method,
            n_heads=n_heads,
            shots=shots,
            prompts=dict(zip(names, asked, strict=True)),
            **common,
        ),
        asked,
        _check(shots, setup.draws),
    )


@experiment.command(
    short_help="Images alone, text alone, and both.",
    epilog=example_help(
        'savs experiment interleaved data.jsonl -b tiny --prompt "Is the note right?" -o results/'
    ),
)
@_common(_ONE_PROMPT, _methods_option("sav, hec_v, kernel_ridge"), _SHOTS)
def interleaved(setup: _Setup, /, prompt: str | None, methods: str | None, shots: int | None) -> int:
    """Measure what images alone, text alone, and both together are worth.

    Every example of DATA is read in three forms. "image only": its images, videos and audio clips with the
    prompt, whose placeholders are empty. "text only": its text with the prompt. "both": as it is. A fourth,
    "side by side", has the head vectors of the first two, so that no head saw image and text together.
    """
    from savs.experiments.interleaved import METHODS, interleaved_experiment
    from savs.experiments.reading import check_methods

    names = _names(methods, METHODS)
    _check_names(check_methods, names, "--methods")
    return setup.run(
        lambda backbone, sets, common: interleaved_experiment(
            backbone, **_one(sets, setup.sources), methods=names, shots=shots, prompt=prompt, **common
        ),
        [prompt],
        _check(shots, setup.draws),
        apply_prompt=False,
    )


@experiment.command(
    short_help="Accuracy against wrong labels among the shots.",
    epilog=example_help(
        'savs experiment noise images/ -b tiny --prompt "What is in this picture?" --shots 10 -o results/'
    ),
)
@_common(
    _ONE_PROMPT,
    _methods_option("sav, hec_v, nearest_shot, kernel_ridge, auto, last_layer"),
    click.option(
        "--levels",
        metavar="P,...",
        default="0,10,20,30,40",
        show_default=True,
        help="Percentages of wrong labels among the shots of each class.",
    ),
    _SHOTS,
)
def noise(setup: _Setup, /, prompt: str | None, methods: str | None, levels: str, shots: int | None) -> int:
    """Measure accuracy against the share of shots that have a wrong label.

    DATA is read like the data of savs fit. Only labels of shots become wrong. All methods see the same wrong
    labels. The number of wrong labels is cut to a whole number for each class: 10 % of 5 shots are none.
    """
    from savs.experiments.noise import METHODS, noise_experiment
    from savs.experiments.reading import check_methods

    names, shares = _names(methods, METHODS), _levels(levels)
    _check_names(check_methods, names, "--methods")
    return setup.run(
        lambda backbone, sets, common: noise_experiment(
            backbone,
            **_one(sets, setup.sources),
            methods=names,
            levels=shares,
            shots=shots,
            prompt=prompt,
            **common,
        ),
        [prompt],
        _check(shots, setup.draws),
    )


@experiment.command(
    short_help="What is left without images, without labels, ...",
    epilog=example_help(
        'savs experiment shortcuts images/ -b tiny --prompt "What is in this picture?" -o results/'
    ),
)
@_common(
    _ONE_PROMPT,
    click.option(
        "--method",
        default="sav",
        show_default=True,
        metavar="NAME",
        help=f"A method of docs/methods.md or an installed package, or one of the baselines {_BASELINES}.",
    ),
    _SHOTS,
)
def shortcuts(setup: _Setup, /, prompt: str | None, method: str, shots: int | None) -> int:
    """Measure the accuracy that is left where what a classifier should look at is taken away.

    DATA is read like the data of savs fit. Controls: images and videos gray, audio silent; none of
    them at all; labels of the shots shuffled; the options A, B, ... of the prompt in another order; size,
    format and length of the prompt alone. A control that cannot be applied is reported with the reason. One
    that is clearly above the most frequent class shows a shortcut in the data.
    """
    from savs.experiments.reading import check_methods
    from savs.experiments.shortcuts import shortcut_audit

    _check_names(check_methods, [method], "--method")
    return setup.run(
        lambda backbone, sets, common: shortcut_audit(
            backbone, **_one(sets, setup.sources), method=method, shots=shots, prompt=prompt, **common
        ),
        [prompt],
        _check(shots, setup.draws),
    )
