"""``savs compare``: methods and baselines on the same draws, from one forward pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli.answers import tell_counts
from savs.cli.failures import ITEM_ERRORS
from savs.cli.options import (
    DATA,
    backbone_options,
    data_options,
    error_options,
    example_help,
    load_options,
    output_options,
    store_option,
)
from savs.cli.output import percent, print_json, show, table
from savs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from savs.backbones import Backbone
    from savs.evaluation.results import Comparison
    from savs.examples import ErrorLedger, Example

__all__ = ["compare"]


@click.command(
    short_help="Compare methods on the same draws of the shots.",
    epilog=example_help(
        'savs compare pictures/ -b tiny --prompt "What is in this picture?" --shots 5,10 --draws 5'
    ),
)
@click.argument("data", type=DATA)
@click.option("--backbone", "-b", required=True, metavar="NAME", help="tiny, a model folder or a hub id.")
@click.option(
    "--methods", metavar="A,B,...", help="Names from docs/methods.md, majority, last_layer and zero_shot."
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
    help="Fixed test set [default: what of DATA the draw leaves].",
)
@click.option("--prompt", metavar="TEXT", help="Question put to the model, as in savs fit.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--zero-shot-items",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Test items that zero_shot puts to the model at most.",
)
@error_options()
@data_options()
@backbone_options()
@load_options()
@store_option()
@output_options()
@pass_session
def compare(
    session: Session,
    /,
    data: Path | str,
    backbone: str,
    methods: str | None,
    shots: str,
    draws: int,
    test: Path | str | None,
    prompt: str | None,
    seed: int,
    zero_shot_items: int,
    max_errors: int,
    **options: Any,
) -> int:
    """Fit every method on the same random shots and judge it on the same test items.

    DATA is read like the data of savs fit. All examples pass the model once; a test item is never a shot of
    the draw, nor a copy of one. Intervals: of the mean over draws (Student's t), and of the difference to the
    published rule sav and to the best baseline (paired bootstrap over test items). With --store, a second run
    with other methods, shots or draws needs no forward pass; only zero_shot asks the model each time.
    """
    from savs.backbones import load_backbone
    from savs.cli.reading import split_options
    from savs.evaluation.comparison import check_request, compare_methods
    from savs.examples import ErrorLedger

    started = time.perf_counter()
    names, counts = _names(methods), _counts(shots)
    reading, load = split_options(options)
    store = load.pop("store", None)
    ledger = ErrorLedger(max_errors)
    pool = _read(data, ledger, prompt, reading)
    check_request(pool, names, counts, fixed_test=test is not None, draws=draws)
    later = ErrorLedger(ledger.left)
    items = [] if test is None else _test_set(test, later, prompt, reading, pool)
    model = _with_store(load_backbone(backbone, progress=session.progress, **load), store)
    found = compare_methods(
        model,
        pool,
        methods=names,
        shots=counts,
        draws=draws,
        test=items,
        seed=seed,
        prompt=prompt,
        zero_shot_items=zero_shot_items,
        max_errors=later.left,
        progress=session.progress,
    )
    found.errors[:0] = [*ledger.errors, *later.errors]
    spared = tell_counts(getattr(model, "total", None), session)
    if session.as_json:
        seconds = {"seconds": round(time.perf_counter() - started, 2)}
        named = {"data": str(data), "test": None if test is None else str(test)}
        print_json({**named, **found.record(), **seconds, **spared})
    else:
        _show(found, brief=session.quiet)
    return ITEM_ERRORS if found.errors else 0


def _with_store(backbone: Backbone, store: Path | None) -> Backbone:
    from savs.backbones.stored import with_store

    return backbone if store is None else with_store(backbone, store)


def _names(text: str | None) -> list[str]:
    from savs.evaluation.contenders import DEFAULT_CONTENDERS, KNOWN

    if text is None:
        return list(DEFAULT_CONTENDERS)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in KNOWN]
    if unknown or not names:
        wrong = f"no method is called {unknown[0]!r}" if unknown else "no method is named"
        raise click.BadParameter(f"{wrong}; there are {', '.join(KNOWN)}", param_hint="--methods")
    return list(dict.fromkeys(names))


def _counts(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 and int(part) for part in parts):
        raise click.BadParameter(
            f"{text!r} is not one or more positive numbers, such as 5 or 5,10,20", param_hint="--shots"
        )
    return list(dict.fromkeys(int(part) for part in parts))


def _read(
    path: Path | str, ledger: ErrorLedger, prompt: str | None, reading: dict[str, Any]
) -> list[Example]:
    """Return the examples of a data file with the prompt applied; the ledger takes those that cannot be."""
    from savs.backbones import PromptTemplate
    from savs.cli.answers import placed
    from savs.cli.reading import read_data

    examples = placed(read_data(path, ledger, require_labels=True, **reading), ledger)
    if prompt is None:
        return list(examples.values())
    return list(ledger.collect(PromptTemplate(prompt).apply, examples).values())


def _test_set(
    path: Path | str, ledger: ErrorLedger, prompt: str | None, reading: dict[str, Any], pool: list[Example]
) -> list[Example]:
    from savs.datasets import adopt_label_type
    from savs.errors import DataError

    classes = {example.label for example in pool if example.label is not None}
    items = adopt_label_type(_read(path, ledger, prompt, reading), path, list(classes))
    if not items:
        raise DataError(f"{path}: no test example can be used")
    return items


def _show(found: Comparison, *, brief: bool) -> None:
    for shots in found.shots:
        _show_table(found, shots)
    if found.answers is not None:
        said = list(found.answers.by_row.values())
        unparsed = sum(label is None for label in said)
        show(f"zero_shot: {len(said)} test items asked, {unparsed} answers name no class and count as wrong")
    if not brief:
        show("accuracy: mean over draws, with its 95 % interval; +-: points against another method, 95 %")
        for error in found.errors:
            show(f"not read: {error.id}: {error.message}")


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
