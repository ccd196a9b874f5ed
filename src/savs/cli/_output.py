"""What commands print: JSON for machines, tables and head maps for people."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from savs.artifact import Shot
    from savs.layout import HeadLayout


# JSON, text and tables.


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout."""
    # ASCII only: a label in any script survives a terminal or pipe of any encoding.
    click.echo(json.dumps(value, allow_nan=False))


def show(*renderables: RenderableType) -> None:
    """Print text and tables to stdout; text is not wrapped, so that paths can be copied."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for renderable in renderables:
        if isinstance(renderable, str):
            # Brackets in a label or path are not markup.
            console.print(Text(printable(renderable)), soft_wrap=True)
        else:
            console.print(renderable)


def table(columns: Iterable[str], rows: Iterable[Iterable[object]], title: str | None = None) -> Table:
    """Return a plain table; the first column is left-aligned, the others right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    built = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="", padding=(0, 1))
    for index, column in enumerate(columns):
        built.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        built.add_row(*(Text(printable(str(cell))) for cell in row))
    return built


def percent(share: float | None) -> str:
    """Return a share as a percentage with one decimal, or a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def percents(interval: tuple[float, float] | list[float]) -> str:
    """Return an interval of shares as percentages."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def printable(text: str) -> str:
    """Return text with control characters escaped, so that a label cannot control the terminal."""
    return "".join(
        char if char.isprintable() or char == " " else char.encode("unicode_escape").decode() for char in text
    )


def stdout_is_unicode() -> bool:
    """Whether stdout can print characters beyond ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")


# A map of layers and heads for the terminal: darker is better, kept heads are marked.

UNICODE = (" ░▒▓█", "◆")
ASCII = (" .:=#", "*")
WIDTH = 80


def head_map(layout: HeadLayout, scores: Sequence[int]) -> list[list[int | None]]:
    """Return scores as one list per layer, with None where there is no head."""
    n_columns = max(head.index for head in layout.heads) + 1
    n_rows = max(head.layer for head in layout.heads) + 1
    rows: list[list[int | None]] = [[None] * n_columns for _ in range(n_rows)]
    for head, score in zip(layout.heads, scores, strict=True):
        rows[head.layer][head.index] = int(score)
    return rows


def head_map_lines(
    layout: HeadLayout, scores: Sequence[int], kept: Collection[tuple[int, int]], *, unicode: bool
) -> list[str]:
    """Return the map as lines of text: one row per layer, then a legend.

    A head takes two characters where they fit into eighty columns, else one; the first one of a kept head is
    the mark.

    Parameters
    ----------
    layout : HeadLayout
    scores : sequence of int, length n_heads
        Correct shots of each head, in the order of the layout.
    kept : collection of (layer, index)
        Heads in use.
    unicode : bool
        Whether characters beyond ASCII can be printed.
    """
    shades, mark = UNICODE if unicode else ASCII
    low, high = min(scores), max(scores)
    rows = head_map(layout, scores)
    wide = 2 if 6 + 2 * len(rows[0]) <= WIDTH else 1
    lines = []
    for layer, row in enumerate(rows):
        cells = (
            (mark * ((layer, index) in kept) + _shade(score, low, high, shades) * wide)[:wide]
            for index, score in enumerate(row)
        )
        lines.append(f"{layer:>4}  {''.join(cells)}".rstrip())
    legend = f"{mark} kept; {shades[1]} {low} to {shades[-1]} {high} correct shots"
    return ["layer (down) x head (across)", *lines, legend]


def _shade(score: int | None, low: int, high: int, shades: str) -> str:
    if score is None:
        return "-"
    return shades[-1] if high == low else shades[round((score - low) / (high - low) * (len(shades) - 1))]


# Lines that `savs fit` and `savs inspect` share.

NOT_SCORED = "heads are not scored, as no class has two shots; the first ones vote"


def n_scored(shots: Iterable[Shot]) -> int:
    """Return the number of shots that heads are scored on: the only shot of a class does not count."""
    return sum(count for count in Counter(shot.label for shot in shots).values() if count > 1)


def hits(score: int, scored: int) -> str:
    """Return a head's score as text."""
    return f"{score}/{scored}" if scored else "-"


def scored_heads(
    heads: Iterable[tuple[int, int]], layout: HeadLayout, scores: Sequence[float] | None
) -> list[list[Any]]:
    """Return ``[layer, index, score]`` for each head in use, the score None where heads are not ranked."""
    return [
        [layer, index, None if scores is None else scores[layout.position((layer, index))]]
        for layer, index in heads
        if index >= 0  # the final state and the options are no heads
    ]


def wanted_heads(classifier: Any) -> int | None:
    """Return the number of heads that was set; None where the method chooses it or keeps none."""
    wanted = getattr(classifier, "n_heads", None)
    return wanted if isinstance(wanted, int) else None


def chosen_methods(report: dict[str, Any] | None) -> str:
    """Return the result of an automatic choice, for a line of text."""
    return f": {', '.join(report['chosen'])} ({report['why']})" if report and "chosen" in report else ""


def unlabelled_lines(report: dict[str, Any] | None) -> list[str]:
    """Return how a fit used unlabelled items, as lines of text; none for one without them."""
    if not report or "unlabelled" not in report:
        return []
    found = report["unlabelled"]
    if not found["strength"]:
        return [f"{found['n']} unlabelled items change nothing: held-out shots are surer without them"]
    most = max(map(abs, found["offsets"]))
    return [
        f"{found['n']} unlabelled items shift the classes by at most {most:.2f} in log probability (strength "
        f"{percent(found['strength'])})"
    ]


def exit_lines(report: dict[str, Any] | None) -> list[str]:
    """Return where a classifier answers early, as lines of text; none for one that never does."""
    if not report or "exit_early" not in report:
        return []
    found = report["exit_early"]
    stages = [
        f"{percent(one['share'])} after {one['n_layers']}"
        for one in found["stages"]
        if one["threshold"] is not None
    ]
    if not stages:
        return [found["why"]]
    expected = f"{found['layers_expected']:.1f} of {found['n_layers']} layers per answer expected"
    return [f"{expected}: {', '.join(stages)}"]


def prompt_records(prompts: Sequence[str], report: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return each prompt with its weight and the log loss behind it, for JSON."""
    of_each = (report or {}).get("prompts", [])
    return [
        {"prompt": prompt, "weight": one["weight"], "log_loss": one["log_loss"]}
        for prompt, one in zip(prompts, of_each, strict=True)
    ]


def prompt_table(records: Sequence[Mapping[str, Any]] | None) -> list[Table]:
    """Return a table of several prompts and how much each counts; none for one prompt."""
    if not records:
        return []
    rows = [
        (f"{one['weight']:.2f}", "-" if one["log_loss"] is None else f"{one['log_loss']:.3f}", one["prompt"])
        for one in records
    ]
    weighed = any(one["log_loss"] is not None for one in records)
    how = "weighed on held-out shots" if weighed else "which count alike"
    return [table(["weight", "log loss", "prompt"], rows, f"{len(rows)} prompts, {how}")]


def estimate_lines(estimate: dict[str, Any] | None) -> list[str]:
    """Return the accuracy to expect of a classifier, as lines of text."""
    if estimate is None:
        return ["no estimate of accuracy: no class has two shots"]
    held_out, untested = f"{estimate['n']} held-out shots", estimate.get("n_untested_classes")
    if untested:
        share, interval = percent(estimate["accuracy"]), percents(estimate["interval"])
        return [
            f"no estimate of accuracy over all classes: one shot alone tests nothing, and {untested} of them "
            "have no more",
            f"of the other classes, {share} of {held_out} were right (95 % interval {interval})",
            f"note: {estimate['note']}",
        ]
    if estimate.get("n_shots") is not None and estimate["n"] < estimate["n_shots"]:
        held_out = f"{estimate['n']} held-out of {estimate['n_shots']} shots"
    line = (
        f"estimated accuracy {percent(estimate['accuracy'])} (from {held_out}, "
        f"95 % interval {percents(estimate['interval'])})"
    )
    lines, figures = [line], [estimate.get(name) for name in ("log_loss", "ece", "brier")]
    if None not in figures:
        loss, ece, brier = (f"{one:.3f}" for one in figures)
        lines.append(f"log loss {loss}, ECE {ece}, Brier score {brier}, of the same shots")
    return [*lines, f"note: {estimate['note']}"] if estimate.get("note") else lines
