"""``savs compare``: methods and baselines on the same random draws of shots, from one forward pass."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from savs.cli._options import (
    DATA,
    PathName,
    backbone_options,
    data_options,
    error_options,
    example_help,
    output_options,
    prompt_option,
    prompt_setting,
)
from savs.cli._output import percent, print_json, show, table
from savs.cli._results import check_new_file, report_counts
from savs.cli._session import ITEM_ERRORS, Session, pass_session
from savs.cli._tables import Columns, check_table_name, write_rows

if TYPE_CHECKING:
    from savs.backbones import Backbone
    from savs.data import ErrorLedger, Example, ReadOptions
    from savs.errors import ItemError
    from savs.evaluation.results import Comparison, Overall

__all__ = ["compare"]


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
    help="Methods of docs/methods.md or installed packages, and the baselines majority, last_layer and "
    "zero_shot [default: a selection].",
)
@click.option(
    "--shots", default="5", show_default=True, metavar="N,...", help="Shots per class; one table for each."
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
    "prompts; last_layer and zero_shot have the first one alone."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--zero-shot-items",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Number of test examples that zero_shot asks the model about, at most.",
)
@click.option(
    "--output",
    "-o",
    type=PathName(dir_okay=False),
    help="File for the figures of each method: .csv, .tsv, .parquet, else JSON lines.",
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
    output: Path | None,
    max_errors: int,
    reading: ReadOptions,
    loading: dict[str, Any],
) -> int:
    """Fit every method on the same random shots, and measure it on the same test examples.

    DATA is read like the data of savs fit. Every example passes the model once. A test example is never a
    shot of the same draw, nor a copy of one. There are 95 % intervals for the mean over draws (Student's t),
    and for the differences to the published rule sav and to the best baseline (paired bootstrap over test
    examples). With --store, a second run with other methods, shots or draws needs no forward pass, except
    for zero_shot.

    Several DATA are compared one after the other, with a table of means at the end; --test is then the name
    of a file beside each. --output writes one row per dataset, number of shots and method.

    --json prints the figures of each under "datasets" and the means under "overall".
    """
    from savs.backbones import load_backbone
    from savs.cache import StoredBackbone
    from savs.evaluation.comparison import check_request, compare_methods

    started = time.perf_counter()
    names, counts = _names(methods), _counts(shots)
    _check_different(data)
    if output is not None:
        check_table_name(output)
        tests = [] if test is None else [test]
        check_new_file(output, *data, *tests, outside=[loading["store"]] if "store" in loading else [])
    store, left = loading.pop("store", None), max_errors
    sets = []
    for one in data:
        sets.append(_read_set(one, _beside(test, one, len(data)), prompts, reading, left))
        check_request(sets[-1].pool, names, counts, fixed_test=test is not None, draws=draws)
        left = _left(left, sets[-1].errors)
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
            max_errors=left,
            progress=session.progress,
        )
        left = _left(left, comparison.errors)
        comparison.errors[:0] = one_set.errors
        comparisons[str(one_set.name)] = comparison
    if output is not None:
        write_rows(output, _rows(comparisons), _COLUMNS)
    counts_of_store = report_counts(model.total if isinstance(model, StoredBackbone) else None, session)
    if session.as_json:
        seconds = {"seconds": round(time.perf_counter() - started, 2)}
        print_json({**_record(comparisons, test), **seconds, **counts_of_store})
    else:
        _show(comparisons, brief=session.quiet)
    return ITEM_ERRORS if any(one.errors for one in comparisons.values()) else 0


class _Set(NamedTuple):
    """A dataset with the prompt applied, and the errors of rows that are not examples."""

    name: Path | str
    pool: list[Example]
    test: list[Example]
    errors: list[ItemError]


def _check_different(data: Sequence[Path | str]) -> None:
    """Refuse the same dataset twice: it would count twice in the means."""
    seen: dict[Path | str, Path | str] = {}
    for one in data:
        place = Path(os.path.realpath(one)) if isinstance(one, Path) else one
        if place in seen:
            raise click.BadParameter(
                f"{seen[place]} and {one} are the same dataset; name each once", param_hint="DATA"
            )
        seen[place] = one


def _read_set(
    data: Path | str, test: Path | str | None, prompts: list[str], reading: ReadOptions, left: int
) -> _Set:
    from savs.data import ErrorLedger

    ledger = ErrorLedger(left)
    pool = _read(data, ledger, prompts, replace(reading, skip_unread=False))
    later = ErrorLedger(ledger.left)
    items = [] if test is None else _test_set(test, later, prompts, reading, pool)
    return _Set(data, pool, items, [*ledger.errors, *later.errors])


def _left(allowed: int, errors: Sequence[ItemError]) -> int:
    return allowed if allowed < 0 else allowed - len(errors)


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


_DIFFERENCE = {"name": str, "value": float, "low": float, "high": float}
_KEPT = ("against_sav", "against_baseline", "seconds", "bytes")
_COLUMNS: Columns = {
    **dict.fromkeys(("data", "method"), str),
    **dict.fromkeys(("shots", "draws", "failures"), int),
    **dict.fromkeys(("mean", "low", "high"), float),
    **{f"against_sav.{name}": kind for name, kind in _DIFFERENCE.items()},
    **{f"against_baseline.{name}": kind for name, kind in _DIFFERENCE.items()},
    "seconds": float,
    "bytes": int,
}


def _rows(found: Mapping[str, Comparison]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each dataset, method and number of shots."""
    for data, one in found.items():
        for shots in one.shots:
            for method in one.methods:
                figures = one.figures(method, shots)
                low, high = figures["interval"] or (None, None)
                yield {
                    "data": data,
                    "method": method,
                    "shots": shots,
                    "draws": one.draws,
                    "failures": len(figures["failures"]),
                    "mean": figures["mean"],
                    "low": low,
                    "high": high,
                    **{name: figures[name] for name in _KEPT},
                }


def _with_store(backbone: Backbone, store: Path | None) -> Backbone:
    from savs.cache import with_store

    return backbone if store is None else with_store(backbone, store)


def _names(text: str | None) -> list[str]:
    from savs.evaluation.contenders import DEFAULT_CONTENDERS, known_contenders

    if text is None:
        return list(DEFAULT_CONTENDERS)
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = known_contenders()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = f"no method named {unknown[0]!r}" if unknown else "at least one method is required"
        raise click.BadParameter(f"{wrong}; available are {', '.join(known)}", param_hint="--methods")
    return list(dict.fromkeys(names))


def _counts(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 and int(part) for part in parts):
        raise click.BadParameter(
            f"{text!r} is not one or more positive numbers, such as 5 or 5,10,20", param_hint="--shots"
        )
    return list(dict.fromkeys(int(part) for part in parts))


def _read(path: Path | str, ledger: ErrorLedger, prompts: list[str], reading: ReadOptions) -> list[Example]:
    """Return the examples of a data file with the prompts applied; the ledger takes those that cannot be."""
    from savs.cli._inputs import read_data
    from savs.cli._results import by_position
    from savs.model._prompts import WithPrompts

    examples = by_position(read_data(path, reading, ledger, require_labels=True), ledger)
    return list(ledger.collect(WithPrompts(prompts), examples).values())


def _test_set(
    path: Path | str, ledger: ErrorLedger, prompts: list[str], reading: ReadOptions, pool: list[Example]
) -> list[Example]:
    from savs.data import adopt_label_type
    from savs.errors import DataError

    classes = {example.label for example in pool if example.label is not None}
    items = adopt_label_type(_read(path, ledger, prompts, reading), path, list(classes))
    if not items:
        raise DataError(f"{path}: no test example can be used")
    return items


# The tables: one for each dataset and number of shots, and one over all datasets.


def _show(found: dict[str, Comparison], *, brief: bool) -> None:
    from savs.cli._output import show
    from savs.evaluation.results import overall

    for name, one in found.items():
        if len(found) > 1:
            show("", name)
        _show_comparison(one, brief=brief)
    if len(found) > 1:
        _show_overall(overall(found), len(found))


def _show_comparison(found: Comparison, *, brief: bool) -> None:
    """Show one table for each number of shots, a line on zero-shot answers, and unreadable examples."""
    for shots in found.shots:
        _show_table(found, shots)
    if found.answers is not None:
        said = list(found.answers.by_row.values())
        unparsed = sum(label is None for label in said)
        show(f"zero_shot: {len(said)} test items, {unparsed} answers name no class and count as wrong")
    if not brief:
        show("accuracy: mean over draws (95 % interval); +-: difference in points (95 % interval)")
        for error in found.errors:
            show(f"not read: {error.id}: {error.message}")


def _show_overall(figures: Mapping[int, Mapping[str, Overall]], n_data: int) -> None:
    """Show one table for each number of shots, over all datasets."""
    for shots, by_name in figures.items():
        rows = [
            (name, percent(one.mean), _signed(one.against_sav), _signed(one.worst), one.worst_on or "-")
            for name, one in by_name.items()
        ]
        title = f"mean over {n_data} datasets, {shots} shots per class"
        show("", table(["method", "accuracy", "+- sav", "worst", "on"], rows, title))


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"


def _show_table(found: Comparison, shots: int) -> None:
    tests = sorted(set(found.n_test[shots]))
    sizes = str(tests[0]) if len(tests) == 1 else f"{tests[0]} to {tests[-1]}"
    baseline = found.best_baseline(shots)
    columns = ["method", "accuracy", "+- sav"] + ([f"+- {baseline}"] if baseline else [])
    figures = {name: found.figures(name, shots) for name in found.methods}
    rows = [
        [name, _accuracy(one), _points(one["against_sav"])]
        + ([_points(one["against_baseline"])] if baseline else [])
        + [_or_dash(one["seconds"], ".3f"), _or_dash(one["bytes"], "d")]
        for name, one in figures.items()
    ]
    title = f"{shots} shots per class, draws: {found.draws}, test items: {sizes}"
    show(table([*columns, "seconds", "bytes"], rows, title))
    for name, one in figures.items():
        for draw, why in one["failures"].items():
            show(f"{name} failed in draw {int(draw) + 1} of {found.draws}: {why}")


def _accuracy(figures: dict[str, Any]) -> str:
    interval = figures["interval"]
    spread = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return percent(figures["mean"]) + spread


def _points(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return "-"
    low, high = difference["low"], difference["high"]
    return f"{100 * difference['value']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
