"""Run `savs doctor` on small random models of several families and make the table of docs/doctor.md.

    python scripts/examine_families.py                      five families
    python scripts/examine_families.py mllama janus         others, of those in tests/backbones/families
    python scripts/examine_families.py --write              ... and write the table into docs/doctor.md

Exits with 1 if a family is unsafe. Offline; a minute or two per family on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "doctor.md"
FAMILIES = ("qwen2_5_vl", "llava_onevision", "gemma3", "idefics3", "gpt2")
COLUMNS = ("image swapped", "batches of 8", "mixed image counts", "prefix reuse", "kernel eager")
DTYPES = ("dtype bfloat16", "dtype float16")
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_OFFLINE"] = "1"

if TYPE_CHECKING:
    from savs.doctor import Report


def examined(name: str) -> Report:
    """Return the doctor's report on one family."""
    from tests.backbones.families import make_family

    from savs.backbones import TransformersBackbone
    from savs.doctor import examine

    family = make_family(name)
    return examine(TransformersBackbone(family.model, family.processor), store=False)


def row(name: str, report: Report) -> str:
    """Return a family's line of the table."""
    cells = [_difference(report, column) for column in COLUMNS]
    cells += [f"{_difference(report, column)} ({report.check(column).label_flips})" for column in DTYPES]
    verdict = "safe" if report.safe else "UNSAFE: " + ", ".join(report.unsafe)
    return f"| {name} | {' | '.join(cells)} | {verdict} |"


def _difference(report: Report, column: str) -> str:
    found = next((check for check in report.checks if check.name == column), None)
    if found is None or found.max_difference is None:
        return "-"
    return f"{found.max_difference:.2g}"


def table(rows: list[str]) -> str:
    """Return the table with its heading."""
    names = ["family", *COLUMNS, *(f"{column} (flips)" for column in DTYPES), "verdict"]
    return "\n".join([f"| {' | '.join(names)} |", "|" + "---|" * len(names), *rows])


def main() -> int:
    """Examine the families and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", default=FAMILIES)
    parser.add_argument("--write", action="store_true", help="write the table into docs/doctor.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    reports = {}
    for name in options.families:
        reports[name] = examined(name)
        print(row(name, reports[name]), flush=True)
    made = table([row(name, report) for name, report in reports.items()])
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    return 0 if all(report.safe for report in reports.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
