"""What ``savs compare`` shows: a table for each data set and number of shots, and one over all data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from savs.cli.output import percent, show, table

if TYPE_CHECKING:
    from savs.evaluation.overall import Overall
    from savs.evaluation.results import Comparison

__all__ = ["show_comparison", "show_overall"]


def show_comparison(found: Comparison, *, brief: bool) -> None:
    """Show one table for each number of shots, what the model was asked, and what could not be read."""
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


def show_overall(figures: Mapping[int, Mapping[str, Overall]], n_data: int) -> None:
    """Show one table for each number of shots, over all data sets."""
    for shots, by_name in figures.items():
        rows = [
            (name, percent(one.mean), _signed(one.against_sav), _signed(one.worst), one.worst_on or "-")
            for name, one in by_name.items()
        ]
        title = f"mean over {n_data} data sets, {shots} shots per class"
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
