"""``savs predict``: a saved classifier and files in, one JSON row per example out."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from savs import __version__
from savs.cli._inputs import ROWS_PER_CHUNK, SHARD, Source, in_chunks
from savs.cli._options import (
    DATA,
    PathName,
    abstention_options,
    as_fitted,
    asked_abstention,
    classifier_options,
    example_help,
    load_classifier,
)
from savs.cli._output import print_json
from savs.cli._results import answer, held, report_store
from savs.cli._session import ITEM_ERRORS, Session, remark

if TYPE_CHECKING:
    from savs.cli._inputs import Chunk
    from savs.cli._results import Partial
    from savs.data import ErrorLedger
    from savs.model import AbstentionPolicy, SAVModel

__all__ = ["predict"]

if TYPE_CHECKING:
    Target = TextIO | Partial


@click.command(
    short_help="Answer for new examples.",
    epilog=example_help(
        "savs predict my-classifier new-images/ -o answers.jsonl",
        "savs predict my-classifier large.jsonl -o answers-0.jsonl --shard 0/8",
    ),
)
@click.argument("classifier", type=PathName())
@click.argument("data", type=DATA)
@click.option("--output", "-o", type=PathName(dir_okay=False), help="JSONL file [default: stdout].")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N examples.")
@click.option(
    "--shard", type=SHARD, metavar="I/N", help="Only every N-th of them, from the I-th on, counted from 0."
)
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Go on with what an interrupted run to the same file has written [default: yes].",
)
@abstention_options()
@classifier_options()
def predict(
    session: Session,
    /,
    classifier: Path,
    data: Path | str,
    output: Path | None,
    limit: int | None,
    shard: tuple[int, int] | None,
    resume: bool,
    sets: float | None,
    flags: dict[str, float],
    out_of_distribution: float | None,
    backbone: str | None,
    allow_mismatch: tuple[str, ...],
    max_errors: int,
    **options: Any,
) -> int:
    """Answer for every example: one JSON row with id, label and proba (vote shares for the method sav).

    DATA is a .jsonl, .json, .csv or .tsv file, a folder of images, a folder with one folder per class, or
    one image; it may be larger than memory. An example that cannot be read gets the label null and its
    error; so does, with --out-of-distribution, one that lies too far from all shots, with
    "out_of_distribution": true and no error.
    --sets adds "set", the classes that an example may be; --flag adds "flag", the classes announced.

    A file named by --output appears when it is complete. A run that ends early leaves its rows in
    FILE.partial, and the same command goes on with them. With --output, --json prints {"output", "n",
    "n_errors"}, and "store" with --store.
    """
    from savs.cli._inputs import split_options
    from savs.cli._results import check_new_file
    from savs.data import ErrorLedger

    reading, load = split_options(options)
    model = load_classifier(classifier, backbone, allow_mismatch, load)
    reading = as_fitted(model, reading)
    if output is not None:
        kept = [classifier, *filter(None, [load.get("store")])]
        check_new_file(output, data, outside=kept)
    source = Source(data, reading, limit, shard)
    abstention_policy = asked_abstention(model, sets, flags, out_of_distribution)
    n_rows = source.look_through(max_errors)
    ledger = ErrorLedger(max_errors)
    asked = {"sets": sets, "flags": flags, "out_of_distribution": out_of_distribution}
    made_from = partial(_made_from, classifier, source, backbone, allow_mismatch, asked)
    with _target(output, made_from, resume) as target:
        done = _write(model, source, ledger, target, n_rows, abstention_policy, shown=session.progress)
    spared = report_store(model, session)
    if output is not None and session.as_json:
        print_json({"output": str(output), "n": done, "n_errors": ledger.n_errors, **spared})
    elif output is not None and not session.quiet:
        remark(f"{done} rows in {output}" + (f", {ledger.n_errors} with errors" if ledger.n_errors else ""))
    return ITEM_ERRORS if ledger.n_errors else 0


@contextmanager
def _target(output: Path | None, made_from: Callable[[], dict[str, Any]], resume: bool) -> Iterator[Target]:
    """Yield where rows go, with what an earlier run has left there."""
    from savs.cli._results import resumable

    if output is None:
        yield sys.stdout
    elif output.exists() and not output.is_file():
        # Pipes and devices are written directly.
        with output.open("w", encoding="utf-8") as stream:
            yield stream
    else:
        with resumable(output, made_from(), resume=resume, rows_per_chunk=ROWS_PER_CHUNK) as partial:
            yield partial


def _made_from(
    classifier: Path,
    source: Source,
    backbone: str | None,
    allow_mismatch: tuple[str, ...],
    asked: dict[str, Any],
) -> dict[str, Any]:
    """Return what decides the rows, by names that a user knows."""
    data = source.data
    is_file = isinstance(data, Path) and data.is_file()
    reading = {name: value for name, value in source.reading.items() if value not in (None, False, ())}
    return {
        "savs": __version__,
        "classifier": _digest_of_folder(classifier),
        "backbone": backbone,
        "allow_mismatch": sorted(allow_mismatch),
        **asked,
        "data": str(data.resolve()) if isinstance(data, Path) else data,
        "sha256 of the data": _digest(data) if is_file and isinstance(data, Path) else None,
        "data options": json.loads(json.dumps(reading, default=str)),
        "limit": source.limit,
        "shard": None if source.shard is None else "{}/{}".format(*source.shard),
    }


def _digest_of_folder(folder: Path) -> str:
    if not folder.is_dir():
        return str(folder)
    found = {
        path.relative_to(folder).as_posix(): _digest(path) for path in folder.rglob("*") if path.is_file()
    }
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(
    model: SAVModel,
    source: Source,
    ledger: ErrorLedger,
    target: Target,
    n_rows: int | None,
    abstention_policy: AbstentionPolicy | None,
    *,
    shown: bool,
) -> int:
    """Write one row per row of the data, chunk by chunk, and return how many there are."""
    from savs.cli._progress import Progress
    from savs.cli._results import Partial

    partial, stream = (target, target.stream) if isinstance(target, Partial) else (None, target)
    chunks, done = in_chunks(source.rows(ledger), ledger, ROWS_PER_CHUNK), 0
    if partial is not None and partial.n_rows:
        done = _skip(partial, chunks, ledger)
        remark(f"going on after {done} rows in {partial.path}")
    with held(model.backbone), Progress(n_rows, shown=shown, done=done) as progress:
        for chunk in chunks:
            rows = _rows(model, chunk, ledger, abstention_policy)
            stream.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
            stream.flush()
            progress.advance(len(chunk))
    return progress.done


def _skip(partial: Partial, chunks: Iterator[Chunk], ledger: ErrorLedger) -> int:
    """Pass over the chunks whose rows are there, comparing ids, and return how many rows they have."""
    from savs.errors import DataError, ItemError

    ids, done, unread = partial.ids(), 0, 0
    while done < partial.n_rows:
        for position, item in next(chunks, {}).items():
            if item.id != next(ids, None):
                raise DataError(
                    f"{partial.path} was made from other data: its row {done + 1} is not for {item.id!r} at "
                    f"position {position}; --no-resume starts over"
                )
            done, unread = done + 1, unread + isinstance(item, ItemError)
    ledger.take_over(partial.n_errors - unread)
    if 0 <= ledger.max_errors < partial.n_errors:
        raise DataError(
            f"{partial.n_errors} of the rows in {partial.path} are errors, more than --max-errors allows"
        )
    return done


def _rows(
    model: SAVModel, chunk: Chunk, ledger: ErrorLedger, abstention_policy: AbstentionPolicy | None
) -> Iterator[dict[str, Any]]:
    from savs.data import Example

    examples = {index: item for index, item in chunk.items() if isinstance(item, Example)}
    answers = answer(model, examples, ledger, abstention_policy=abstention_policy)
    errors: dict[int, Any] = {**chunk, **ledger.hand_over()}
    names = [str(label) for label in model.classes_.tolist()]
    for index, item in chunk.items():
        if index in answers:
            found = answers[index]
            proba = {name: round(share, 6) for name, share in zip(names, found.shares, strict=True)}
            label = None if found.abstentions.get("out_of_distribution") else found.label
            yield {"id": item.id, "label": label, "proba": proba, **found.abstentions}
        else:
            record = errors[index].record()
            error = {name: record[name] for name in ("stage", "code", "message")}
            yield {"id": record["id"], "label": None, "proba": None, "error": error}
