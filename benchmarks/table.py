"""Findings as a table: in the terminal, and between markers of a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.findings import Finding

__all__ = ["has_markers", "markdown", "show", "write_between"]

HEADER = ("model", "measure", "value", "spread", "goal", "met")


def show(findings: Sequence[Finding]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEADER)
    for finding in findings:
        table.add_row(*_cells(finding))
    Console(width=150).print(table)


def markdown(findings: Sequence[Finding], machine: dict[str, Any]) -> str:
    """Return the table with its machine and notes."""
    lines = [
        f"Measured on {machine['date']}: {machine['device']} ({machine['name']}), "
        f"{machine['threads']} thread(s) of {machine['cores']} cores, {machine['dtype']}, "
        f"{machine['clock']}; Python {machine['python']}, torch {machine['torch']}, "
        f"transformers {machine['transformers']}.",
        "",
        *(f"    {command}" for command in machine["commands"]),
        "",
        *(f"- {name}: {text}" for name, text in machine["models"].items()),
        "",
        "| " + " | ".join((*HEADER, "on")) + " |",
        "|" + "---|" * (len(HEADER) + 1),
    ]
    lines += ["| " + " | ".join((*_cells(finding), finding.note)) + " |" for finding in findings]
    return "\n".join(lines)


def _cells(finding: Finding) -> tuple[str, ...]:
    goal = "" if finding.goal is None else f"{finding.goal.sign} {_number(finding.goal.bound)}"
    met = {None: "", True: "yes", False: "NO"}[finding.met]
    same = finding.low == finding.high
    spread = "" if same else f"{_number(finding.low)} to {_number(finding.high)}"
    return finding.subject, finding.measure, _number(finding.value), spread, goal, met


def _number(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.1e}" if abs(value) < 0.01 else f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"


def _markers(section: str) -> tuple[str, str]:
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


def has_markers(page: Path, section: str) -> bool:
    """Return whether a page exists and has a section's markers."""
    return page.is_file() and all(marker in page.read_text() for marker in _markers(section))


def write_between(page: Path, section: str, text: str) -> None:
    """Replace what stands between a section's markers.

    Raises
    ------
    ValueError
        If the page has no such markers.
    """
    begin, end = _markers(section)
    if not has_markers(page, section):
        raise ValueError(f"{page} has no markers {begin} and {end}")
    content = page.read_text()
    head, rest = content.split(begin, 1)
    tail = rest.split(end, 1)[1]
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
