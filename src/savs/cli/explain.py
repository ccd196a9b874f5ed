"""``savs explain``: why a classifier answers as it does for one example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._options import DATA, PathName, as_fitted, classifier_options, example_help, load_classifier
from savs.cli._output import print_json, show, table
from savs.cli._session import Session, remark

if TYPE_CHECKING:
    from savs.data import Example
    from savs.model import Explanation

__all__ = ["explain"]

HEADS_SHOWN = 10
PIECES_SHOWN = 8


@click.command(
    short_help="Show why a classifier answers as it does.",
    epilog=example_help("savs explain my-classifier image.jpg --plot why.png"),
)
@click.argument("classifier", type=PathName())
@click.argument("data", type=DATA)
@click.option("--id", "wanted", metavar="ID", help="Which example of DATA [default: the first].")
@click.option(
    "--tiles",
    type=click.IntRange(0, 32),
    default=4,
    show_default=True,
    help="Tiles along each side of an image that are hidden one by one; 0 for none.",
)
@click.option(
    "--plot",
    type=PathName(dir_okay=False),
    help="PNG with what each tile and word does to the answer.",
)
@classifier_options()
def explain(
    session: Session,
    /,
    classifier: Path,
    data: Path | str,
    wanted: str | None,
    tiles: int,
    plot: Path | None,
    backbone: str | None,
    allow_mismatch: tuple[str, ...],
    max_errors: int,
    **options: Any,
) -> None:
    """Show votes and margins of the heads, the nearest shots, and what the answer hangs on.

    DATA is read like the data of savs predict; one example of it is explained. It passes the model again
    without each tile of its images and each word of its text. Nearest shots are known to a classifier that
    was saved with savs fit --keep-shots.
    """
    from savs.cli._inputs import split_options
    from savs.cli._results import check_new_file

    reading, load = split_options(options)
    model = load_classifier(classifier, backbone, allow_mismatch, load)
    reading = as_fitted(model, reading)
    if plot is not None:
        check_new_file(plot, data, option="--plot", outside=[classifier])
    example = _chosen(data, wanted, max_errors, reading)
    found = model.explain(example, tiles=tiles, progress=session.progress)
    if plot is not None:
        from savs.cli._explanation_image import draw_explanation

        draw_explanation(found, example, plot)
    if session.as_json:
        print_json({"id": example.id, **found.record()})
    elif not session.quiet:
        _show(found)
        if plot is not None:
            remark(f"plot in {plot}")


def _chosen(data: Path | str, wanted: str | None, max_errors: int, reading: dict[str, Any]) -> Example:
    """Return the example to explain; rows before it that are none count as errors."""
    from savs.data import ErrorLedger, iter_examples
    from savs.errors import DataError

    for _, example in iter_examples(data, ledger=ErrorLedger(max_errors), **reading):
        if wanted is None or example.id == wanted:
            return example
    raise DataError(f"{data}: there is no example" + ("" if wanted is None else f" with id {wanted!r}"))


def _show(found: Explanation) -> None:
    shares = sorted(found.proba.items(), key=lambda pair: -pair[1])
    show(table(["class", "probability"], [(label, f"{share:.3f}") for label, share in shares]))
    show(f"answer: {found.label}")
    if found.heads:
        votes = ", ".join(f"{label} {count}" for label, count in found.votes().items())
        show(f"votes of {len(found.heads)} heads: {votes}; entropy {found.agreement_entropy:.2f} of 1")
        rows = [
            (one.head.layer, one.head.index, one.vote, f"{one.margin:.3f}", _near(one.nearest))
            for one in found.heads[:HEADS_SHOWN]
        ]
        show(table(["layer", "head", "vote", f"margin ({found.unit})", "nearest shot"], rows))
    if found.nearest:
        show(f"nearest shots: {', '.join(f'{n.id} ({n.label}, {n.cosine:.3f})' for n in found.nearest)}")
    if found.occlusion:
        show("", "what the answer hangs on (its log probability with, less without):")
        pieces = [
            (_place(one.where), f"{one.drop:+.3f}", one.label) for one in found.occlusion[:PIECES_SHOWN]
        ]
        show(table(["without", "drop", "answer then"], pieces))


def _near(nearest: list[Any]) -> str:
    return f"{nearest[0].id} ({nearest[0].label})" if nearest else "-"


def _place(where: Any) -> str:
    if where.kind == "words":
        return repr(where.text)
    left, top, right, bottom = where.box
    return f"part {where.part}: x {left}-{right}, y {top}-{bottom}"
