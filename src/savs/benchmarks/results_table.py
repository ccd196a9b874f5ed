"""The results of a run as a table: means over draws with intervals, published numbers beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from savs.benchmarks.published import published_results
from savs.benchmarks.run_folder import RunFolder
from savs.evaluation import interval_over_draws

__all__ = [
    "ResultRow",
    "csv_table",
    "failure_lines",
    "in_order",
    "markdown_table",
    "result_rows",
    "write_tables",
]


class ResultRow(NamedTuple):
    """One figure of one method at one number of shots.

    Attributes
    ----------
    task, protocol, metric : str
        The task and its metric.
    figure : str
        Such as ``"accuracy"``.
    method : str
        Method or baseline.
    shots : int
        Shots per class.
    n_draws : int
        Draws in which it did not fail.
    mean : float or None
        Over these draws; None if it failed in all.
    low, high : float or None
        95 % interval: Student's t over draws; that over the items of the first draw where there is one draw,
        or the figures of all draws are equal.
    n_test : int
        Test items of the first draw in which it did not fail.
    n_failed : int
        Items without an answer in all draws; they count as wrong.
    n_failures : int
        Draws in which it failed.
    failure : str or None
        Why, in the first of them.
    """

    task: str
    protocol: str
    metric: str
    figure: str
    method: str
    shots: int
    n_draws: int
    mean: float | None
    low: float | None
    high: float | None
    n_test: int
    n_failed: int
    n_failures: int
    failure: str | None


_NO_FIGURE = "-"
_SAME = 1e-12
"""Figures of draws that differ by less do not differ."""


def result_rows(cells: Iterable[Mapping[str, Any]]) -> list[ResultRow]:
    """Return the figures of finished cells, over their draws.

    Parameters
    ----------
    cells : iterable of mapping
        Lines of ``results.jsonl``.
    """
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["task"], cell["method"], cell["shots"]), []).append(cell)
    names: dict[str, dict[str, None]] = {}
    for (task, _, _), members in groups.items():
        known = names.setdefault(task, {})
        known |= dict.fromkeys(name for cell in members for name in cell["figures"])
    return [
        _row(figure, sorted(members, key=lambda cell: cell["draw"]))
        for (task, _, _), members in groups.items()
        for figure in names[task] or [_NO_FIGURE]
    ]


def _row(figure: str, cells: Sequence[Mapping[str, Any]]) -> ResultRow:
    done = [cell for cell in cells if figure in cell["figures"]]
    failed = [cell for cell in cells if cell["failure"] is not None]
    values = [cell["figures"][figure]["value"] for cell in done]
    low = high = None
    if values and max(values) - min(values) > _SAME:
        low, high = interval_over_draws(values) or (None, None)
    elif values:
        # Draws that are all the same, as of a baseline without shots, tell nothing about other items.
        low, high = (done[0]["figures"][figure][name] for name in ("low", "high"))
    first = cells[0]
    return ResultRow(
        first["task"],
        first["protocol"],
        first["metric"],
        figure,
        first["method"],
        first["shots"],
        len(values),
        float(np.mean(values)) if values else None,
        low,
        high,
        done[0]["n_test"] if done else first["n_test"],
        sum(cell["n_failed"] for cell in done),
        len(failed),
        failed[0]["failure"] if failed else None,
    )


def csv_table(rows: Sequence[ResultRow]) -> str:
    """Return all figures as CSV, one line each; the last column has the published numbers, in percent.

    Parameters
    ----------
    rows : sequence of ResultRow
        From `result_rows`.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*ResultRow._fields, "published"])
    for row in rows:
        found = published_results(row.task, row.protocol, row.figure, row.method, row.shots)
        published = "; ".join(f"{one.value} ({one.backbone})" for one in found)
        writer.writerow([*("" if value is None else value for value in row), published])
    return buffer.getvalue()


def markdown_table(rows: Sequence[ResultRow]) -> str:
    """Return the main figures as Markdown: a table per number of shots, a line per task, a column per method.

    Figures of single splits are left to the CSV file. Numbers are percentages. Published numbers stand on
    lines of their own below those of the same task and protocol, with the name of their backbone.

    Parameters
    ----------
    rows : sequence of ResultRow
        From `result_rows`.
    """
    main = [row for row in rows if " of " not in row.figure]
    return "\n".join(
        _shots_table(shots, [row for row in main if row.shots == shots])
        for shots in dict.fromkeys(row.shots for row in main)
    )


def _shots_table(shots: int, rows: Sequence[ResultRow]) -> str:
    methods = list(dict.fromkeys(row.method for row in rows))
    lines = [
        f"## {shots} shots per class\n" if shots else "## No shots: class names alone\n",
        f"| task | {' | '.join(methods)} |",
        f"|---|{'---|' * len(methods)}",
    ]
    for task, protocol, figure in dict.fromkeys((row.task, row.protocol, row.figure) for row in rows):
        cells = {row.method: _cell(row) for row in rows if (row.task, row.figure) == (task, figure)}
        lines.append(_line(f"{task} ({protocol}), {figure}", methods, cells))
        published = {name: published_results(task, protocol, figure, name, shots) for name in methods}
        for backbone in dict.fromkeys(one.backbone for found in published.values() for one in found):
            values = {
                name: f"{one.value}"
                for name in methods
                for one in published[name]
                if one.backbone == backbone
            }
            lines.append(_line(f"published, {backbone}", methods, values))
    return "\n".join([*lines, "", *_notes(rows), ""])


def _line(name: str, methods: Sequence[str], cells: Mapping[str, str]) -> str:
    return f"| {_escaped(name)} | {' | '.join(cells.get(method, '') for method in methods)} |"


def _cell(row: ResultRow) -> str:
    if row.mean is None:
        return "failed"
    spread = "" if row.low is None or row.high is None else f" ({100 * row.low:.1f} to {100 * row.high:.1f})"
    return f"{100 * row.mean:.1f}{spread}"


def _notes(rows: Sequence[ResultRow]) -> list[str]:
    first = {(row.task, row.method): row for row in reversed(rows)}
    sizes: dict[str, dict[int, list[str]]] = {}
    for (task, method), row in reversed(first.items()):
        if row.mean is not None:
            sizes.setdefault(task, {}).setdefault(row.n_test, []).append(method)
    notes = []
    for task, by_size in sizes.items():
        usual = max(by_size, key=lambda size: len(by_size[size]))
        others = [f"{', '.join(names)}: {size}" for size, names in by_size.items() if size != usual]
        notes.append(f"- {task}: {usual} test items" + (f" ({'; '.join(others)})" if others else ""))
    for (task, method), row in reversed(first.items()):
        if row.n_failed:
            notes.append(f"- {task}, {method}: {row.n_failed} items without an answer count as wrong")
    notes += [f"- {_escaped(line)}" for line in failure_lines(rows)]
    draws = max(row.n_draws for row in rows)
    interval = (
        "mean over draws (95 % interval, Student's t; over items where all draws are equal)"
        if draws > 1
        else "one draw (95 % interval)"
    )
    return [f"Percent; {interval}.", "", *notes]


def failure_lines(rows: Iterable[ResultRow]) -> list[str]:
    """Return which methods failed, how often and why: one line per method and reason.

    Parameters
    ----------
    rows : iterable of ResultRow
        From `result_rows`.
    """
    found: dict[tuple[str, str], dict[tuple[str, int], ResultRow]] = {}
    for row in rows:
        if row.failure is not None:
            found.setdefault((row.method, row.failure), {})[row.task, row.shots] = row
    lines = []
    for (method, why), members in found.items():
        failed = sum(row.n_failures for row in members.values())
        draws = failed + sum(row.n_draws for row in members.values())
        tasks = ", ".join(dict.fromkeys(task for task, _ in members))
        lines.append(f"{tasks}: {method} failed in {failed} of {draws} draws: {why}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def write_tables(folder: RunFolder, cells: Sequence[Mapping[str, Any]]) -> None:
    """Write ``table.md`` and ``table.csv`` of a run.

    Parameters
    ----------
    folder : RunFolder
        Where to.
    cells : sequence of mapping
        Its finished cells.
    """
    rows = in_order(result_rows(cells), (folder.configuration or {}).get("settings", {}))
    folder.write("table.md", markdown_table(rows).encode())
    folder.write("table.csv", csv_table(rows).encode())


def in_order(rows: Sequence[ResultRow], settings: Mapping[str, Any]) -> list[ResultRow]:
    """Return rows in the order of the methods and numbers of shots of the settings, ``majority`` last.

    Parameters
    ----------
    rows : sequence of ResultRow
        From `result_rows`; tasks keep their order.
    settings : mapping
        ``methods`` and ``shots`` of a run.
    """
    methods, shots = list(settings.get("methods", [])), list(settings.get("shots", []))

    def place(values: list[Any], value: Any) -> int:
        return values.index(value) if value in values else len(values)

    tasks = list(dict.fromkeys(row.task for row in rows))
    return sorted(
        rows,
        key=lambda row: (tasks.index(row.task), place(shots, row.shots), place(methods, row.method)),
    )
