"""``savs predict``: one JSON row per example, from a saved classifier."""

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
from savs.cli._multi_label import multi_label_option, reading_of
from savs.cli._options import (
    PathName,
    SavedClassifier,
    abstention_options,
    abstention_policy,
    classifier_options,
    data_argument,
    example_help,
)
from savs.cli._output import print_json
from savs.cli._results import (
    Partial,
    answer,
    check_new_file,
    error_entry,
    filling_parts,
    mean_layers,
    report_store,
    resumable,
    shares_by_name,
)
from savs.cli._session import ITEM_ERRORS, Session, remark
from savs.cli._tables import ERROR_COLUMNS, Columns, check_table_name

if TYPE_CHECKING:
    from savs.cli._inputs import Chunk
    from savs.data import DataSource, ErrorLedger, ReadOptions
    from savs.model import AbstentionPolicy, MultiLabelModel, SAVModel

__all__ = ["predict"]

Target = TextIO | Partial


@click.command(
    short_help="Classify new examples.",
    epilog=example_help(
        "savs predict my-classifier new-images/ -o answers.jsonl",
        "savs predict my-classifier large.jsonl -o answers-0.jsonl --shard 0/8",
    ),
)
@click.argument("classifier", type=PathName())
@data_argument("data")
@click.option(
    "--output",
    "-o",
    type=PathName(dir_okay=False),
    help="File for the rows: .csv, .tsv, .parquet, else JSON lines [default: stdout].",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N examples.")
@click.option(
    "--shard", type=SHARD, metavar="I/N", help="Only every N-th example, starting with the I-th, from 0."
)
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Continue an interrupted run to the same file [default: yes].",
)
@multi_label_option("Text between two labels, where DATA has labels [default: as at fit].")
@abstention_options()
@classifier_options()
def predict(
    session: Session,
    /,
    classifier: SavedClassifier,
    data: DataSource,
    output: Path | None,
    limit: int | None,
    shard: tuple[int, int] | None,
    resume: bool,
    multi_label: str | None,
    sets: float | None,
    flags: dict[str, float],
    out_of_distribution: float | None,
    max_errors: int,
    reading: ReadOptions,
) -> int:
    """Classify every example: one JSON row with id, label and proba (shares of votes for the method sav).

    DATA is a .jsonl, .json, .csv, .tsv or .parquet file, a dataset, a folder of images with or without one
    folder per class, or one image; it may be larger than memory. Several are read one after the other;
    'photos/*.jpg' in quotes is a pattern of names. A row whose example cannot be read has the
    label null and an "error".

    A classifier of several labels per example gives "labels", a list, in place of "label".

    --sets adds "set", the classes that an example may have. --flag adds "flag", the labels that it is flagged
    as. --out-of-distribution adds "out_of_distribution"; where it is true, the label is null.

    In CSV and Parquet, nested names have dots: proba.red, error.code. The file of --output appears when it is
    complete. A run that ends early keeps its rows in FILE.partial, and the same command continues from there,
    whatever the format. With --output, --json prints {"output", "n", "n_errors"}, and
    "store" with --store. A classifier that was fitted with --exit-early adds "layers" to each row, the layers
    that the answer needed, and "mean_layers" to the summary.
    """
    from savs.data import ErrorLedger
    from savs.data._sources import expanded

    model = classifier.load_any()
    reading = reading_of(model, reading, multi_label)
    if output is not None:
        check_table_name(output)
        check_new_file(output, *expanded(data), outside=classifier.folders)
    source = Source(data, reading, limit, shard)
    policy = _policy(model, sets, flags, out_of_distribution)
    n_rows = source.check(max_errors)
    ledger = ErrorLedger(max_errors)
    abstaining = {"sets": sets, "flags": flags, "out_of_distribution": out_of_distribution}
    made_from = partial(_made_from, classifier, source, abstaining)
    layers: list[int | None] = []
    with _target(output, made_from, _columns(model, abstaining), resume) as target:
        done = _write(model, source, ledger, target, n_rows, policy, layers, progress=session.progress)
    passed = mean_layers(layers)
    counts = report_store(model, session)
    if output is not None and session.as_json:
        print_json({"output": str(output), "n": done, "n_errors": ledger.n_errors, **passed, **counts})
    elif output is not None and not session.quiet:
        remark(f"{done} rows in {output}" + (f", {ledger.n_errors} with errors" if ledger.n_errors else ""))
        if passed:
            remark(f"{passed['mean_layers']:.1f} layers per answer")
    return ITEM_ERRORS if ledger.n_errors else 0


@contextmanager
def _target(
    output: Path | None, made_from: Callable[[], dict[str, Any]], columns: Columns, resume: bool
) -> Iterator[Target]:
    """Yield where rows go, with the rows that an earlier run left there."""
    if output is None:
        yield sys.stdout
    elif output.exists() and not output.is_file():
        # Pipes and devices are written directly.
        with output.open("w", encoding="utf-8") as stream:
            yield stream
    else:
        with resumable(output, made_from(), columns, resume=resume, rows_per_chunk=ROWS_PER_CHUNK) as rows:
            yield rows


def _policy(
    model: SAVModel | MultiLabelModel,
    sets: float | None,
    flags: dict[str, float],
    out_of_distribution: float | None,
) -> AbstentionPolicy | None:
    from savs.model import SAVModel

    if isinstance(model, SAVModel):
        return abstention_policy(model, sets, flags, out_of_distribution)
    if sets is not None or flags or out_of_distribution is not None:
        raise click.UsageError(
            "--sets, --flag and --out-of-distribution are not for several labels per example"
        )
    return None


def _answer_name(model: SAVModel | MultiLabelModel) -> str:
    from savs.model import SAVModel

    return "label" if isinstance(model, SAVModel) else "labels"


def _columns(model: SAVModel | MultiLabelModel, abstaining: dict[str, Any]) -> Columns:
    """Return the columns of a table of answers; the same for all shards of the data."""
    labels = model.classes_.tolist()
    kind = type(labels[0])
    name = _answer_name(model)
    answers: Any = kind if name == "label" else list[kind]  # type: ignore[valid-type]
    columns: dict[str, Any] = {"id": str, name: answers}
    columns |= {f"proba.{label}": float for label in labels}
    if _answers_early(model):
        columns["layers"] = int
    if abstaining["sets"] is not None:
        columns["set"] = list[kind]  # type: ignore[valid-type]
    if abstaining["flags"]:
        columns["flag"] = list[kind]  # type: ignore[valid-type]
    if abstaining["out_of_distribution"] is not None:
        columns["out_of_distribution"] = bool
    return {**columns, **ERROR_COLUMNS}


def _answers_early(model: SAVModel | MultiLabelModel) -> bool:
    from savs.model import SAVModel

    return isinstance(model, SAVModel) and model.method_.exit_early is not None


def _made_from(classifier: SavedClassifier, source: Source, abstaining: dict[str, Any]) -> dict[str, Any]:
    """Return everything that decides the rows, by names that a user knows."""
    from savs.data._sources import expanded

    data = expanded(source.data)
    names = [str(one.resolve()) if isinstance(one, Path) else one for one in data]
    digests = [_digest(one) if isinstance(one, Path) and one.is_file() else None for one in data]
    reading = {name: value for name, value in vars(source.reading).items() if value not in (None, False, ())}
    return {
        "savs": __version__,
        "classifier": _digest_of_folder(classifier.folder),
        "backbone": classifier.backbone,
        "allow_mismatch": sorted(classifier.allow_mismatch),
        **({"accept_drift": True} if classifier.accept_drift else {}),
        **abstaining,
        "data": names[0] if len(names) == 1 else names,
        "sha256 of the data": digests[0] if len(digests) == 1 else digests,
        "data options": json.loads(json.dumps(reading, default=str)),
        "limit": source.limit,
        "shard": None if source.shard is None else "{}/{}".format(*source.shard),
    }


def _digest_of_folder(folder: Path) -> str:
    if not folder.is_dir():
        return str(folder)
    digests = {
        path.relative_to(folder).as_posix(): _digest(path) for path in folder.rglob("*") if path.is_file()
    }
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(
    model: SAVModel | MultiLabelModel,
    source: Source,
    ledger: ErrorLedger,
    target: Target,
    n_rows: int | None,
    policy: AbstentionPolicy | None,
    layers: list[int | None],
    *,
    progress: bool,
) -> int:
    """Write one row per row of the data, chunk by chunk, and return how many; adds to `layers`."""
    from savs.cli._progress import Progress

    unfinished, stream = (target, target.stream) if isinstance(target, Partial) else (None, target)
    chunks, done = in_chunks(source.rows(ledger), ledger, ROWS_PER_CHUNK), 0
    if unfinished is not None and unfinished.n_rows:
        done = _skip(unfinished, chunks, ledger)
        remark(f"continuing after {done} rows in {unfinished.path}")
    with filling_parts(model.backbone), Progress(n_rows, shown=progress, done=done) as shown:
        for chunk in chunks:
            rows = list(_rows(model, chunk, ledger, policy))
            layers += [row.get("layers") for row in rows]
            stream.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
            stream.flush()
            shown.advance(len(chunk))
    return shown.done


def _skip(partial: Partial, chunks: Iterator[Chunk], ledger: ErrorLedger) -> int:
    """Skip the chunks whose rows are written, comparing ids, and return how many rows they have."""
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
    model: SAVModel | MultiLabelModel, chunk: Chunk, ledger: ErrorLedger, policy: AbstentionPolicy | None
) -> Iterator[dict[str, Any]]:
    from savs.data import Example

    examples = {index: item for index, item in chunk.items() if isinstance(item, Example)}
    answers = answer(model, examples, ledger, abstention_policy=policy)
    errors: dict[int, Any] = {**chunk, **ledger.hand_over()}
    classes, name = model.classes_.tolist(), _answer_name(model)
    for index, item in chunk.items():
        if index in answers:
            label, shares, abstentions, n_layers = answers[index]
            proba = shares_by_name(classes, shares)
            label_or_none = None if abstentions.get("out_of_distribution") else label
            passed = {} if n_layers is None else {"layers": n_layers}
            yield {"id": item.id, name: label_or_none, "proba": proba, **passed, **abstentions}
        else:
            error = errors[index]
            yield {"id": error.record()["id"], name: None, "proba": None, "error": error_entry(error)}
