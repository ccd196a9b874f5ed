"""``savs compare``: methods and baselines on the same random draws of shots, from one forward pass."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs._optional import import_optional
from savs.cli._contender_options import baseline_options, check_shots, named_methods, shot_counts
from savs.cli._labeled_data import check_different, errors_left, read_labeled
from savs.cli._options import (
    DATA,
    PathName,
    backbone_options,
    data_options,
    error_options,
    example_help,
    output_options,
)
from savs.cli._output import percent, print_json, show, table
from savs.cli._prompt_options import prompt_option, prompt_setting
from savs.cli._results import check_new_file, report_counts
from savs.cli._session import ITEM_ERRORS, Session, pass_session
from savs.cli._tables import Columns, check_table_name, write_rows

if TYPE_CHECKING:
    from savs.backbones import Backbone
    from savs.data import ReadOptions
    from savs.evaluation.results import Comparison, Overall, OverDraws

__all__ = ["compare"]

PLOT_FORMATS = (".png", ".svg")


@click.command(
    short_help="Compare methods on the same draws of the shots.",
    epilog=example_help(
        'savs compare images/ -b tiny --prompt "What is in this picture?" --shots 5,10 --draws 5'
    ),
)
@click.argument("data", type=DATA, nargs=-1, required=True)
@click.option(
    "--backbone",
    "-b",
    required=True,
    metavar="NAME",
    help="tiny, a model folder, a hub id or a registered name.",
)
@click.option(
    "--methods",
    metavar="A,B,...",
    help="Methods of docs/methods.md or installed packages, and the baselines of docs/benchmarks.md "
    "[default: a selection].",
)
@click.option(
    "--shots",
    default="5",
    show_default=True,
    metavar="N,...",
    help="Shots per class; one table for each. 0: class names alone.",
)
@click.option(
    "--draws", type=click.IntRange(1), default=5, show_default=True, help="Random draws of the shots."
)
@click.option(
    "--test",
    type=DATA,
    help="Fixed test set [default: the examples of DATA that are not drawn as shots].",
)
@prompt_option(
    "Question for the model, as in savs fit. Repeatable: every method then averages the probabilities of all "
    "prompts; last_layer and zero_shot have the first one alone. option_likelihood and auto_names take one."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--zero-shot-items",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Number of test examples that zero_shot and other slow baselines are judged on, at most.",
)
@baseline_options()
@click.option(
    "--output",
    "-o",
    type=PathName(dir_okay=False),
    help="File for the figures of each method: .csv, .tsv, .parquet, else JSON lines.",
)
@click.option(
    "--plot",
    type=PathName(dir_okay=False),
    help="PNG or SVG file for a plot of accuracy and log loss against shots (needs savs[plots]).",
)
@error_options()
@data_options()
@backbone_options()
@output_options()
@pass_session
def compare(
    session: Session,
    /,
    data: tuple[Path | str, ...],
    backbone: str,
    methods: str | None,
    shots: str,
    draws: int,
    test: Path | str | None,
    prompts: list[str],
    seed: int,
    zero_shot_items: int,
    baselines: dict[str, Any],
    output: Path | None,
    plot: Path | None,
    max_errors: int,
    reading: ReadOptions,
    loading: dict[str, Any],
) -> int:
    """Fit every method on the same random shots, and measure it on the same test examples.

    DATA is read like the data of savs fit. Every example passes the model once. A test example is never a
    shot of the same draw, nor a copy of one. There are 95 % intervals for the mean over draws (Student's t),
    and for the differences to the published rule sav and to the best baseline (paired bootstrap over test
    examples). With --store, a second run with other methods, shots or draws needs no forward pass, except
    for zero_shot and for methods that read the likelihood of class names (option_likelihood, auto_names).

    The tables have accuracy, log loss, expected calibration error and Brier score. With 0 shots, only
    methods that read class names are judged.

    Several DATA are compared one after the other, with a table of means at the end; --test is then the
    name of a file beside each. 'parts/*.jsonl' in quotes is one dataset of several files. --output writes
    one row per dataset, number of shots and method. --plot draws the means over all DATA.

    --json prints the figures of each under "datasets" and the means under "overall".
    """
    from savs.backbones import load_backbone
    from savs.cache import StoredBackbone
    from savs.evaluation.comparison import check_request, compare_methods
    from savs.evaluation.contenders import BaselineSettings
    from savs.evaluation.results import overall

    started = time.perf_counter()
    names, counts = named_methods(methods, len(prompts)), shot_counts(shots)
    check_shots(names, counts)
    check_different(data)
    _check_files(output, plot, [*data, *([] if test is None else [test])], loading.get("store"))
    store, left = loading.pop("store", None), max_errors
    sets = []
    for one in data:
        sets.append(read_labeled(one, _beside(test, one, len(data)), prompts, reading, left))
        fixed, asked = test is not None, len(prompts)
        check_request(sets[-1].pool, names, counts, fixed_test=fixed, draws=draws, n_prompts=asked)
        left = errors_left(left, sets[-1].errors)
    model = _with_store(load_backbone(backbone, progress=session.progress, **loading), store)
    comparisons: dict[str, Comparison] = {}
    for one_set in sets:
        comparison = compare_methods(
            model,
            one_set.pool,
            methods=names,
            shots=counts,
            draws=draws,
            test=one_set.test,
            seed=seed,
            **prompt_setting(prompts),
            zero_shot_items=zero_shot_items,
            baselines=BaselineSettings(**baselines, seed=seed),
            max_errors=left,
            progress=session.progress,
        )
        left = errors_left(left, comparison.errors)
        comparison.errors[:0] = one_set.errors
        comparisons[str(one_set.name)] = comparison
    if output is not None:
        write_rows(output, _rows(comparisons), _COLUMNS)
    if plot is not None:
        from savs.cli._comparison_plot import draw_comparison

        draw_comparison(overall(comparisons), plot, n_data=len(comparisons), n_draws=draws)
    counts_of_store = report_counts(model.total if isinstance(model, StoredBackbone) else None, session)
    if session.as_json:
        seconds = {"seconds": round(time.perf_counter() - started, 2)}
        print_json({**_record(comparisons, test), **seconds, **counts_of_store})
    else:
        _show(comparisons, brief=session.quiet)
    return ITEM_ERRORS if any(one.errors for one in comparisons.values()) else 0


def _check_files(
    output: Path | None, plot: Path | None, inputs: Sequence[Path | str], store: Path | None
) -> None:
    """Refuse files that cannot be written, or must not be, before anything is read."""
    outside = [] if store is None else [store]
    if output is not None:
        check_table_name(output)
        check_new_file(output, *inputs, outside=outside)
    if plot is None:
        return
    import_optional("matplotlib")
    if plot.suffix.lower() not in PLOT_FORMATS:
        raise click.BadParameter(f"{plot.name}: a plot is written as .png or .svg", param_hint="--plot")
    check_new_file(plot, *inputs, option="--plot", outside=outside)
    if output is not None and output.resolve() == plot.resolve():
        raise click.BadParameter(f"{plot} is the --output, too; name another file", param_hint="--plot")


def _beside(test: Path | str | None, data: Path | str, n_data: int) -> Path | str | None:
    """Return the test set of a dataset: where there are several, a file of that name beside each."""
    if n_data == 1 or test is None:
        return test
    if not isinstance(data, Path) or not isinstance(test, Path) or test.is_absolute():
        raise click.BadParameter(
            "with several DATA, give the name of a file that is beside each of them", param_hint="--test"
        )
    return data.parent / test


def _record(found: dict[str, Comparison], test: Path | str | None) -> dict[str, Any]:
    from savs.evaluation.results import overall, record_overall

    named = {"test": None if test is None else str(test)}
    if len(found) == 1:
        (name, one), *_ = found.items()
        return {"data": name, **named, **one.record()}
    sets = {name: one.record() for name, one in found.items()}
    return {**named, "datasets": sets, "overall": record_overall(overall(found))}


_AVERAGE = {"mean": float, "low": float, "high": float}
_DIFFERENCE = {"name": str, "value": float, "low": float, "high": float}
_SHORT = {"log_loss": "log loss", "ece": "ECE", "brier": "Brier"}
_PROBABILITY = tuple(_SHORT)
_KEPT = ("against_sav", "against_baseline", "seconds", "bytes", "unparsed")
_COLUMNS: Columns = {
    **dict.fromkeys(("data", "method"), str),
    **dict.fromkeys(("shots", "draws", "failures"), int),
    **_AVERAGE,
    **{f"{metric}.{name}": kind for metric in _PROBABILITY for name, kind in _AVERAGE.items()},
    **{f"against_sav.{name}": kind for name, kind in _DIFFERENCE.items()},
    **{f"against_baseline.{name}": kind for name, kind in _DIFFERENCE.items()},
    "seconds": float,
    "bytes": int,
    "unparsed": float,
}


def _rows(found: Mapping[str, Comparison]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each dataset, method and number of shots."""
    for data, one in found.items():
        for shots in one.shots:
            for method in one.methods_at(shots):
                figures = one.figures(method, shots)
                yield {
                    "data": data,
                    "method": method,
                    "shots": shots,
                    "draws": len(figures["accuracy"]),
                    "failures": len(figures["failures"]),
                    **_average(figures),
                    **{name: figures[name] and _average(figures[name]) for name in _PROBABILITY},
                    **{name: figures[name] for name in _KEPT},
                }


def _average(figure: Mapping[str, Any]) -> dict[str, float | None]:
    low, high = figure["interval"] or (None, None)
    return {"mean": figure["mean"], "low": low, "high": high}


def _with_store(backbone: Backbone, store: Path | None) -> Backbone:
    from savs.cache import with_store

    return backbone if store is None else with_store(backbone, store)


# The tables: two for each dataset and number of shots, and two over all datasets.


def _show(found: dict[str, Comparison], *, brief: bool) -> None:
    from savs.cli._output import show
    from savs.evaluation.results import overall

    for name, one in found.items():
        if len(found) > 1:
            show("", name)
        _show_comparison(one, brief=brief)
    if len(found) > 1:
        _show_overall(overall(found), _told_apart(list(found)))


def _show_comparison(found: Comparison, *, brief: bool) -> None:
    """Show two tables for each number of shots, a line on zero-shot answers, and unreadable examples."""
    for shots in found.shots:
        _show_tables(found, shots)
    if found.answers is not None:
        said = list(found.answers.by_row.values())
        unparsed = sum(label is None for label in said)
        show(f"zero_shot: {len(said)} test items, {unparsed} answers name no class and count as wrong")
    for shots in found.shots:
        for name in found.methods_at(shots):
            share = found.figures(name, shots)["unparsed"]
            if share is not None and name != "zero_shot":
                show(
                    f"{name}, {shots} shots: {percent(share)} of the answers name no class and count as wrong"
                )
    if not brief:
        show(
            "accuracy, log loss, ECE, Brier: mean over draws (95 % interval); "
            "+-: difference in points (95 % interval)"
        )
        for error in found.errors:
            show(f"not read: {error.id}: {error.message}")


def _told_apart(names: Sequence[str]) -> dict[str, str]:
    """Return each name without the folders and file names that all of them share."""
    parts = {name: name.split("/") for name in names}
    most = min(map(len, parts.values())) - 1  # something is left of each

    def shared(columns: Iterable[tuple[str, ...]]) -> int:
        return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))

    front = min(most, shared(zip(*parts.values(), strict=False)))
    back = min(most - front, shared(zip(*(reversed(own) for own in parts.values()), strict=False)))
    return {name: "/".join(own[front : len(own) - back]) for name, own in parts.items()}


def _show_overall(figures: Mapping[int, Mapping[str, Overall]], names: Mapping[str, str]) -> None:
    """Show two tables for each number of shots, over all datasets; `names` are short ones."""
    for shots, by_name in figures.items():
        rows = [
            (
                name,
                _accuracy(one.mean, one.interval),
                *(_signed(one.against_sav), _signed(one.worst)),
                "-" if one.worst_on is None else names[one.worst_on],
            )
            for name, one in by_name.items()
        ]
        title = f"mean over {len(names)} datasets, {shots} shots per class"
        show("", table(["method", "accuracy", "+- sav", "worst", "on"], rows, title))
        _show_probabilities(
            {name: [getattr(one, metric) for metric in _SHORT] for name, one in by_name.items()}
        )


def _show_probabilities(figures: Mapping[str, Sequence[OverDraws | None]]) -> None:
    rows = [(name, *map(_figure, of_method)) for name, of_method in figures.items()]
    built = table(["method", *_SHORT.values()], rows)
    built.collapse_padding = True  # fits into 80 columns
    show(built)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"


def _show_tables(found: Comparison, shots: int) -> None:
    draws, tests = len(found.n_test[shots]), sorted(set(found.n_test[shots]))
    sizes = str(tests[0]) if len(tests) == 1 else f"{tests[0]} to {tests[-1]}"
    baseline, methods = found.best_baseline(shots), found.methods_at(shots)
    rivals = {"against_sav": "+- sav"} if "sav" in methods else {}
    rivals |= {"against_baseline": f"+- {baseline}"} if baseline else {}
    figures = {name: found.figures(name, shots) for name in methods}
    rows = [
        [
            name,
            _accuracy(one["mean"], one["interval"]),
            *(_points(one[rival]) for rival in rivals),
            *(_or_dash(one["seconds"], ".3f"), _or_dash(one["bytes"], "d")),
        ]
        for name, one in figures.items()
    ]
    title = f"{shots} shots per class, draws: {draws}, test items: {sizes}"
    show(table(["method", "accuracy", *rivals.values(), "seconds", "bytes"], rows, title))
    _show_probabilities(
        {name: [found.over_draws(name, shots, metric) for metric in _SHORT] for name in methods}
    )
    for name, one in figures.items():
        for draw, why in one["failures"].items():
            show(f"{name} failed in draw {int(draw) + 1} of {draws}: {why}")


def _accuracy(mean: float | None, interval: tuple[float, float] | None) -> str:
    spread = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return percent(mean) + spread


def _figure(found: OverDraws | None) -> str:
    """Return a figure that is no share, with its interval; a dash where a method gives no probabilities."""
    if found is None or found.mean is None:
        return "-"
    spread = f" ({found.interval[0]:.2f}-{found.interval[1]:.2f})" if found.interval else ""
    return f"{found.mean:.3f}{spread}"


def _points(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return "-"
    low, high = difference["low"], difference["high"]
    return f"{100 * difference['value']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
