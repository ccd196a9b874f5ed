"""Write the tables of a benchmark run into docs/results.md: python scripts/write_results.py RUN."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.table import write_between

from savs.benchmarks import ResultRow, RunFolder, result_rows
from savs.benchmarks.results_table import in_order
from savs.evaluation import interval_over_draws

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
CONTROLS = {
    "image_blanked": "images gray",
    "text_only": "text alone",
    "shuffled_labels": "labels shuffled",
    "options_permuted": "options in another order",
    "metadata_only": "sizes and formats alone",
}


def share(values: Sequence[float], bounds: tuple[float | None, float | None] | None = None) -> str:
    """Return a mean in percent with its interval."""
    if not values:
        return ""
    low, high = bounds or interval_over_draws(values) or (None, None)
    mean = f"{100 * np.mean(values):.1f}"
    return (
        mean if low is None or high is None or low == high else f"{mean} ({100 * low:.1f}-{100 * high:.1f})"
    )


def results_table(rows: Sequence[ResultRow]) -> str:
    """Return methods by tasks."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    cells = {
        (row.method, row.task): share([row.mean], (row.low, row.high)) for row in rows if row.mean is not None
    }
    lines = ["| method | " + " | ".join(tasks) + " |", "|---|" + "---|" * len(tasks)]
    for method in dict.fromkeys(row.method for row in rows):
        lines.append(f"| `{method}` | " + " | ".join(cells.get((method, task), "") for task in tasks) + " |")
    return "\n".join(lines)


def audit_table(folder: Path) -> str:
    """Return controls by tasks, of the method that was audited."""
    found = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    figures: dict[tuple[str, str], list[float]] = {}
    unchanged: dict[str, list[float]] = {}
    for line in found:
        if "accuracy" in line["figures"]:
            key = (line["task"], line["control"])
            figures.setdefault(key, []).append(line["figures"]["accuracy"]["value"])
            if line["control"] == "shuffled_labels":
                whole = line["figures"]["accuracy_unchanged"]["value"]
                unchanged.setdefault(line["task"], []).append(whole)
    lines = [
        f"| task | `{found[0]['method']}` | " + " | ".join(CONTROLS.values()) + " |",
        "|---|---|" + "---|" * len(CONTROLS),
    ]
    for task in dict.fromkeys(line["task"] for line in found):
        shown = [share(figures.get((task, control), [])) for control in CONTROLS]
        lines.append(f"| {task} | {share(unchanged.get(task, []))} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    folder = RunFolder(parser.parse_args().run)
    rows = in_order(result_rows(folder.cells()), (folder.configuration or {})["settings"])
    write_between(PAGE, "results", results_table(rows))
    write_between(PAGE, "audit", audit_table(folder.path))


if __name__ == "__main__":
    main()
