"""``savs explain``: how a classifier comes to its answer for one example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs._optional import import_optional
from savs.cli._inputs import with_sampling_of
from savs.cli._options import PathName, SavedClassifier, classifier_options, data_argument, example_help
from savs.cli._output import print_json, show, table
from savs.cli._results import check_new_file
from savs.cli._session import Session, remark

if TYPE_CHECKING:
    from savs.data import DataSource, Example, ReadOptions
    from savs.model import Explanation

__all__ = ["explain"]

HEADS_SHOWN = 10
PIECES_SHOWN = 8


@click.command(
    short_help="Explain the answer for one example.",
    epilog=example_help("savs explain my-classifier image.jpg --plot why.png"),
)
@click.argument("classifier", type=PathName())
@data_argument("data")
@click.option("--id", "wanted", metavar="ID", help="Id of the example in DATA [default: the first one].")
@click.option(
    "--tiles",
    type=click.IntRange(0, 32),
    default=4,
    show_default=True,
    help="Tiles along each side of an image, hidden one by one; 0 hides none.",
)
@click.option(
    "--plot",
    type=PathName(dir_okay=False),
    help="PNG file for a plot of the effect of each tile and word (needs savs[plots]).",
)
@classifier_options()
def explain(
    session: Session,
    /,
    classifier: SavedClassifier,
    data: DataSource,
    wanted: str | None,
    tiles: int,
    plot: Path | None,
    max_errors: int,
    reading: ReadOptions,
) -> None:
    """Show votes and margins of the heads, the nearest shots, and the parts that the answer depends on.

    DATA is read like the data of savs predict; one example of it is explained. The model runs again without
    each tile of its images and without each word of its text. Nearest shots need a classifier that was saved
    with savs fit --keep-shots.

    Of a classifier of several prompts, the answer of each prompt alone is shown in place of its heads.

    --json prints {"id", "label", "proba", "heads", "nearest", "occlusion", ...}, with several prompts the
    same for each under "prompts".
    """
    from savs.data._sources import expanded

    model = classifier.load()
    if plot is not None:
        import_optional("matplotlib")
        check_new_file(plot, *expanded(data), option="--plot", outside=classifier.folders)
    example = _read_one(data, wanted, max_errors, with_sampling_of(model, reading))
    explanation = model.explain(example, tiles=tiles, progress=session.progress)
    if plot is not None:
        from savs.cli._explanation_plot import draw_explanation

        draw_explanation(explanation, example, plot)
    if session.as_json:
        print_json({"id": example.id, **explanation.record()})
    elif not session.quiet:
        _show(explanation)
        if plot is not None:
            remark(f"plot in {plot}")


def _read_one(data: DataSource, wanted: str | None, max_errors: int, reading: ReadOptions) -> Example:
    """Return the example to explain; rows before it that are not examples count as errors."""
    from savs.data import ErrorLedger, iter_examples
    from savs.errors import DataError

    for _, example in iter_examples(data, ledger=ErrorLedger(max_errors), **vars(reading)):
        if wanted is None or example.id == wanted:
            return example
    where = f"{data} has" if isinstance(data, Path | str) else f"the {len(data)} sources have"
    raise DataError(f"{where} no example" + ("" if wanted is None else f" with id {wanted!r}"))


def _show(explanation: Explanation) -> None:
    shares = sorted(explanation.proba.items(), key=lambda pair: -pair[1])
    show(table(["class", "probability"], [(label, f"{share:.3f}") for label, share in shares]))
    show(f"answer: {explanation.label}")
    if explanation.heads:
        votes = ", ".join(f"{label} {count}" for label, count in explanation.votes().items())
        entropy = explanation.agreement_entropy
        show(f"votes of {len(explanation.heads)} heads: {votes}; entropy {entropy:.2f} of 1")
        rows = [
            (one.head.layer, one.head.index, one.vote, f"{one.margin:.3f}", _near(one.nearest))
            for one in explanation.heads[:HEADS_SHOWN]
        ]
        show(table(["layer", "head", "vote", f"margin ({explanation.unit})", "nearest shot"], rows))
    if explanation.prompts:
        _show_prompts(explanation.prompts)
    if explanation.nearest:
        show(
            f"nearest shots: {', '.join(f'{n.id} ({n.label}, {n.cosine:.3f})' for n in explanation.nearest)}"
        )
    if explanation.occlusion:
        show("", "what the answer depends on (drop of its log probability without the part):")
        pieces = [
            (_place(one.where), f"{one.drop:+.3f}", one.label) for one in explanation.occlusion[:PIECES_SHOWN]
        ]
        show(table(["without", "drop", "answer"], pieces))


def _show_prompts(prompts: list[Any]) -> None:
    """Show what each of several prompts says alone."""
    rows = [
        (f"{one.weight:.2f}", one.alone.label, f"{one.alone.proba[one.alone.label]:.3f}", one.prompt)
        for one in prompts
    ]
    show(table(["weight", "answer alone", "probability", "prompt"], rows))


def _near(nearest: list[Any]) -> str:
    return f"{nearest[0].id} ({nearest[0].label})" if nearest else "-"


def _place(where: Any) -> str:
    if where.kind == "words":
        return repr(where.text)
    left, top, right, bottom = where.box
    return f"part {where.part}: x {left}-{right}, y {top}-{bottom}"
