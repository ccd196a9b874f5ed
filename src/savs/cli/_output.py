"""What commands print: JSON for machines, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["percent", "percents", "print_json", "printable", "show", "speaks_unicode", "table"]


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
            # A label or path in square brackets is no markup.
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
    """Return text with control characters spelled out: a label cannot steer the terminal."""
    return "".join(
        char if char.isprintable() or char == " " else char.encode("unicode_escape").decode() for char in text
    )


def speaks_unicode() -> bool:
    """Whether stdout takes characters beyond ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")
