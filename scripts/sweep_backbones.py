"""Build every model type of transformers' model maps small, and compare the locating rule with its attention.

    python scripts/sweep_backbones.py                       every family, one line each
    python scripts/sweep_backbones.py --write               ... and write the table into docs/backbones.md
    python scripts/sweep_backbones.py --check               ... and fail if the table there is stale
    python scripts/sweep_backbones.py --family gemma4_text  one family (repeatable)
    python scripts/sweep_backbones.py --shard 1/4           a quarter of them
    python scripts/sweep_backbones.py --json results.json   outcomes as JSON

Exits with 1 if an outcome is not the expected one. Offline; about a minute on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "backbones.md"
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_OFFLINE"] = "1"


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", action="append", help="a model type; repeatable")
    parser.add_argument("--shard", default="1/1", help="i/n: every n-th family from the i-th")
    parser.add_argument("--json", type=Path, help="write the outcomes here")
    parser.add_argument("--write", action="store_true", help="write the table into docs/backbones.md")
    parser.add_argument(
        "--check", action="store_true", help="fail if the table in docs/backbones.md is stale"
    )
    options = parser.parse_args()
    if (options.write or options.check) and (options.family or options.shard != "1/1"):
        parser.error("the table needs every family: no --family or --shard with --write or --check")
    return options


def selected(options: argparse.Namespace) -> list[str]:
    """Return the families asked for."""
    from tests.backbones.sweep.entries import entries

    names = options.family or list(entries())
    unknown = [name for name in names if name not in entries()]
    if unknown:
        sys.exit(f"unknown model type {unknown[0]}")
    number, count = map(int, options.shard.split("/"))
    return names[number - 1 :: count]


def main() -> int:
    """Run the sweep and return the exit code."""
    options = arguments()
    warnings.simplefilter("ignore")
    import torch
    import transformers
    from tests.backbones.sweep.outcomes import sweep, unexpected
    from tests.backbones.sweep.table import rendered, replaced

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    outcomes, surprises = [], []
    for family in selected(options):
        outcome = sweep(family)
        outcomes.append(outcome)
        surprises += [text for text in [unexpected(outcome)] if text]
        print(f"{outcome.status:9} {family:28} {' '.join(outcome.heads):12} {outcome.reason}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([outcome.as_json() for outcome in outcomes], indent=1) + "\n")
    if options.write or options.check:
        before = DOCUMENT.read_text(encoding="utf-8")
        after = replaced(before, rendered(outcomes))
        if options.write:
            DOCUMENT.write_text(after, encoding="utf-8")
        elif after != before:
            surprises.append(
                "the table in docs/backbones.md is stale: python scripts/sweep_backbones.py --write"
            )
    print(*surprises, sep="\n", file=sys.stderr)
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
