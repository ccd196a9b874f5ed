"""The demo's results for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from savs.demo.outcome import METHODS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["render_table"]

_HEADERS = ("SAVs", "auto", "zero-\nshot", "last\nlayer", "major-\nity", "pixels")
_HEADS_SHOWN = 5
_ANSWERS_SHOWN = 3


def render_table(result: Mapping[str, Any]) -> RenderableType:
    """Return the result of `savs.demo.run_demo` for rich to print: table, remarks, heads, answers, files."""
    from rich.console import Group
    from rich.text import Text

    tasks = result["tasks"]
    blocks: list[RenderableType] = [_accuracies(result)]
    blocks += [Text(line, style="dim") for line in _remarks(tasks)]
    blocks += [
        Text(""),
        Text(
            f"the {_HEADS_SHOWN} best heads of the first draw (layer.head, shots right) and seconds",
            style="bold",
        ),
    ]
    blocks += [Text(f"  {task['title']}: {_heads(task)}; {task['seconds']:.0f} s") for task in tasks]
    blocks += [Text(""), Text("new files, answered by the saved classifiers", style="bold")]
    for task in result["new_files"]:
        blocks += [Text(f"  $ {task['command']}", style="cyan", overflow="fold")]
        blocks += [Text(f"    {_answer(answer)}") for answer in task["answers"][:_ANSWERS_SHOWN]]
    blocks += [
        Text(""),
        Text(f"picture: {result['files']['picture']}   results: {result['files']['results']}"),
    ]
    blocks += [Text(f"{result['seconds']:.0f} seconds in all")]
    return Group(*blocks)


def _accuracies(result: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    drawn = f"{result['shots']} shots per class, mean and 95 % interval of {result['n_draws']} draws"
    table = Table(title=f"accuracy in %, {drawn}", box=box.SIMPLE_HEAD, padding=0, title_justify="left")
    table.show_edge = table.pad_edge = False  # eighty columns are enough for everything
    table.add_column("task", no_wrap=True)
    for header in ("n", *_HEADERS):
        table.add_column(header, justify="right")
    for task in result["tasks"]:
        table.add_row(task["title"], str(task["n_test"]), *(_cell(task, method) for method in METHODS))
        for name, control in task["controls"].items():
            table.add_row(
                f"  SAVs, {name}", "", _spread(control["accuracy"], control["interval"]), style="dim"
            )
    return table


def _cell(task: Mapping[str, Any], method: str) -> str:
    shown = _spread(task["accuracy"][method], task["interval"][method])
    return f"[bold]{shown}[/bold]" if method == task["best"] else shown


def _spread(mean: float, interval: Sequence[float]) -> str:
    half = 50 * (interval[1] - interval[0])
    if half < 0.05:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f}±{half:.1f}" if half < 10 else f"{100 * mean:.1f}±{half:.0f}"


def _remarks(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what the numbers do not: where SAVs are not best, and what zero-shot generation answered."""
    lines = []
    for task in tasks:
        shares = task["accuracy"]
        rival = max((name for name in METHODS if name not in ("sav", "auto")), key=shares.__getitem__)
        ours = {METHODS[name]: 100 * shares[name] for name in ("sav", "auto")}
        behind = [f"{name} {share:.1f}" for name, share in ours.items() if share < 100 * shares[rival]]
        if behind:
            best = f"{METHODS[rival]} {100 * shares[rival]:.1f}"
            lines.append(f"Behind {best} on {task['title']}: {', '.join(behind)}.")
    for task in tasks:
        if task["unparsed"]:
            said = ", ".join(f"“{answer}”" for answer in list(task["said"])[:3])
            lines.append(
                f"Zero-shot on {task['title']}: {task['unparsed']} of {task['n_zero_shot']} answers name no "
                f"class and count as wrong; it says {said}."
            )
    return lines


def _heads(task: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{layer}.{index} {100 * score:.0f}%" for layer, index, score in task["heads"][:_HEADS_SHOWN]
    )


def _answer(answer: Mapping[str, Any]) -> str:
    verdict = "right" if str(answer["truth"]) == str(answer["label"]) else f"wrong, it is {answer['truth']}"
    return f"{answer['id']} → {answer['label']} ({100 * answer['share']:.0f} % of the votes; {verdict})"
