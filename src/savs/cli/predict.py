"""``savs predict``: a saved classifier and files in, one JSON row per example out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from savs.cli.classifiers import classifier_options, load_classifier
from savs.cli.failures import ITEM_ERRORS, remark
from savs.cli.options import data_options, error_options, example_help, load_options, output_options
from savs.cli.output import print_json
from savs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from savs.examples import Example
    from savs.model import SAVModel

__all__ = ["predict"]

BATCHES_PER_CHUNK = 8
"""Rows reach the disk in chunks of so many batches."""


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
@error_options()
@data_options()
@load_options()
@output_options()
@pass_session
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
    With --output, --json prints {"output", "n", "n_errors"}.
    """
    from savs.cli.reading import read_data, split_options
    from savs.cli.targets import check_new_file, rows_to

    reading, load = split_options(options)
    model = load_classifier(classifier, backbone, allow_mismatch, load)
    if output is not None:
        check_new_file(output, data)
    examples = read_data(data, max_errors=max_errors, limit=limit, **reading)
    chunk = BATCHES_PER_CHUNK * load["batch_size"]
    with rows_to(output) as stream:
        n_errors = _write_rows(model, examples, stream, max_errors, chunk, progress=session.progress)
    if output is not None and session.as_json:
        print_json({"output": str(output), "n": len(examples), "n_errors": n_errors})
    elif output is not None and not session.quiet:
        remark(f"{len(examples)} rows in {output}" + (f", {n_errors} with errors" if n_errors else ""))
    return ITEM_ERRORS if n_errors else 0


def _write_rows(
    model: SAVModel, examples: list[Example], stream: TextIO, max_errors: int, chunk: int, *, progress: bool
) -> int:
    """Write one row per example, chunk by chunk, and return how many hold an error."""
    from tqdm import tqdm

    n_errors = 0
    with tqdm(total=len(examples), unit="ex", delay=2, disable=None if progress else True) as bar:
        for start in range(0, len(examples), chunk):
            part = examples[start : start + chunk]
            left = max_errors if max_errors < 0 else max_errors - n_errors
            rows = list(_rows(model, part, left))
            n_errors += sum("error" in row for row in rows)
            stream.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
            stream.flush()
            bar.update(len(part))
    return n_errors


def _rows(model: SAVModel, examples: list[Example], max_errors: int) -> Iterator[dict[str, Any]]:
    found = model.predict_each(examples, max_errors=max_errors)
    answers = dict(
        zip(found.indices.tolist(), zip(found.labels, found.proba.tolist(), strict=True), strict=True)
    )
    errors = iter(found.errors)
    names = [str(label) for label in model.classes_.tolist()]
    for index, example in enumerate(examples):
        if index in answers:
            label, shares = answers[index]
            proba = {name: round(share, 6) for name, share in zip(names, shares, strict=True)}
            yield {"id": example.id, "label": label, "proba": proba}
        else:
            record = next(errors).record()
            error = {name: record[name] for name in ("stage", "code", "message")}
            yield {"id": example.id, "label": None, "proba": None, "error": error}
