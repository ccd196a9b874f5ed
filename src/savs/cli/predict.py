"""``savs predict``: a saved classifier and files in, one JSON row per example out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from savs.cli.answers import answer, placed, tell_store
from savs.cli.classifiers import classifier_options, load_classifier
from savs.cli.failures import ITEM_ERRORS, remark
from savs.cli.options import example_help
from savs.cli.output import print_json
from savs.cli.session import Session

if TYPE_CHECKING:
    from savs.examples import ErrorLedger, Example
    from savs.model import SAVModel

__all__ = ["predict"]

ROWS_PER_CHUNK = 64
"""Rows reach the disk in chunks; questions on one picture share a pass within a chunk."""


@click.command(
    short_help="Answer for new examples.",
    epilog=example_help("savs predict my-classifier new-pictures/ -o answers.jsonl"),
)
@click.argument("classifier", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="JSONL file [default: stdout]."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N examples.")
@classifier_options()
def predict(
    session: Session,
    /,
    classifier: Path,
    data: Path,
    output: Path | None,
    limit: int | None,
    backbone: str | None,
    allow_mismatch: tuple[str, ...],
    max_errors: int,
    **options: Any,
) -> int:
    """Answer for every example: one JSON row with id, label and proba (vote shares).

    DATA is a .jsonl, .json, .csv or .tsv file, a folder of pictures, a folder with one folder per class, or
    one picture. An example that cannot be read gets the label null and its error.

    A file named by --output appears when it is complete; a run that ends early leaves its rows beside it.
    With --output, --json prints {"output", "n", "n_errors"}, and "store" with --store.
    """
    from savs.cli.reading import read_data, split_options
    from savs.cli.targets import check_new_file, rows_to
    from savs.examples import ErrorLedger

    reading, load = split_options(options)
    model = load_classifier(classifier, backbone, allow_mismatch, load)
    if output is not None:
        check_new_file(output, data)
    ledger = ErrorLedger(max_errors)
    examples = placed(read_data(data, ledger, limit=limit, **reading), ledger)
    with rows_to(output) as stream:
        n_rows = _write_rows(model, examples, ledger, stream, progress=session.progress)
    n_errors = len(ledger.errors)
    spared = tell_store(model, session)
    if output is not None and session.as_json:
        print_json({"output": str(output), "n": n_rows, "n_errors": n_errors, **spared})
    elif output is not None and not session.quiet:
        remark(f"{n_rows} rows in {output}" + (f", {n_errors} with errors" if n_errors else ""))
    return ITEM_ERRORS if n_errors else 0


def _write_rows(
    model: SAVModel,
    examples: Mapping[int, Example],
    ledger: ErrorLedger,
    stream: TextIO,
    *,
    progress: bool,
) -> int:
    """Write one row per row of the data, chunk by chunk, and return how many."""
    from tqdm import tqdm

    n_rows = len(examples) + len(ledger.errors)
    with tqdm(total=n_rows, unit="ex", delay=2, disable=None if progress else True) as bar:
        for start in range(0, n_rows, ROWS_PER_CHUNK):
            part = range(start, min(start + ROWS_PER_CHUNK, n_rows))
            rows = _rows(model, examples, part, ledger)
            stream.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
            stream.flush()
            bar.update(len(part))
    return n_rows


def _rows(
    model: SAVModel, examples: Mapping[int, Example], part: range, ledger: ErrorLedger
) -> Iterator[dict[str, Any]]:
    answers = answer(model, {index: examples[index] for index in part if index in examples}, ledger)
    errors = ledger.by_index
    names = [str(label) for label in model.classes_.tolist()]
    for index in part:
        if index in answers:
            label, shares = answers[index]
            proba = {name: round(share, 6) for name, share in zip(names, shares, strict=True)}
            yield {"id": examples[index].id, "label": label, "proba": proba}
        else:
            record = errors[index].record()
            error = {name: record[name] for name in ("stage", "code", "message")}
            yield {"id": record["id"], "label": None, "proba": None, "error": error}
