"""``savs demo``: Sparse Attention Vectors on real images, with the bundled model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from savs.cli._options import PathName, example_help, output_options
from savs.cli._output import print_json, show
from savs.cli._session import Session, pass_session

__all__ = ["demo"]

QUICK_TESTED = 30
"""Test examples per class of a quick run."""


@click.command(short_help="Try it on real images.", epilog=example_help("savs demo --output demo-results"))
@click.option(
    "--output",
    "-o",
    type=PathName(file_okay=False),
    default=Path("demo-results"),
    show_default=True,
    help="Folder for results, classifiers and the plot.",
)
@click.option(
    "--backbone", "-b", default="tiny", show_default=True, metavar="NAME", help="Another model to try."
)
@click.option("--shots", type=click.IntRange(1), default=20, show_default=True, help="Examples per class.")
@click.option(
    "--draws", type=click.IntRange(1), help="Random draws of the shots [default: 5; 2 with --quick]."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all random draws."
)
@click.option("--quick", is_flag=True, help="Fewer test examples and draws: faster, less precise.")
@output_options()
@pass_session
def demo(
    session: Session, /, output: Path, backbone: str, shots: int, draws: int | None, seed: int, quick: bool
) -> None:
    """Compare methods on handwritten digits, photographs of unseen classes and more (needs savs[demo]).

    --json prints {"tasks": [{"name", "shots", "n_test", "accuracy", "heads", ...}], "seconds", ...}.
    """
    from savs.cli._results import check_writable
    from savs.demo import render_table, run_demo

    check_writable(output)
    less: dict[str, Any] = {"per_class": shots + QUICK_TESTED, "zero_shot_items": 60} if quick else {}
    n_draws = draws if draws is not None else (2 if quick else 5)
    result = run_demo(
        output, backbone=backbone, shots=shots, n_draws=n_draws, seed=seed, progress=session.progress, **less
    )
    if session.as_json:
        print_json(result)
    else:
        show(render_table(result))
