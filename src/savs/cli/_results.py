"""Answers of a saved classifier, and the file they go to: checked early, written row by row, resumable.

``answers.jsonl.partial`` holds the rows, ``answers.jsonl.partial.json`` what they were made from. The file
gets its name when everything is written. A run that was killed may leave an incomplete last line, so only
whole chunks of rows are kept. The unfinished rows of a CSV or Parquet file are JSON lines too; the table is
made of them at the end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from savs._posix import lock_file, require_posix
from savs.cli._output import print_json
from savs.cli._session import ITEM_ERRORS, Session, remark
from savs.cli._tables import Columns, is_table, read_json_lines, write_rows
from savs.errors import DataError

if TYPE_CHECKING:
    from savs.backbones import Backbone
    from savs.cache import Counts
    from savs.data import ErrorLedger, Example, Label
    from savs.errors import ItemError
    from savs.model import AbstentionPolicy, Abstentions, MultiLabelModel, SAVModel


# Answers and errors, each at the position of its example.


def by_position(examples: list[Example], ledger: ErrorLedger) -> dict[int, Example]:
    """Return examples by their position among all rows of the data, unreadable rows included."""
    return dict(zip(ledger.kept(len(examples)), examples, strict=True))


class Answer(NamedTuple):
    """The answer for one example.

    Attributes
    ----------
    label : label, or list of label where an example may have several
    proba : list of float
        One probability per class.
    abstentions : dict
        Values of ``"set"``, ``"flag"`` and ``"out_of_distribution"``, those that were asked for.
    n_layers : int or None
        The layers that the answer needed, of a classifier that answers early.
    """

    label: Any
    proba: list[float]
    abstentions: dict[str, Any]
    n_layers: int | None = None


def answer(
    model: SAVModel | MultiLabelModel,
    examples: Mapping[int, Example],
    ledger: ErrorLedger,
    *,
    abstention_policy: AbstentionPolicy | None = None,
    progress: bool = False,
) -> dict[int, Answer]:
    """Return answers by position; the ledger notes the errors of the other examples.

    Parameters
    ----------
    model : SAVModel
    examples : mapping of int to Example
        By position.
    ledger : ErrorLedger
        Raises the error that is one too many.
    abstention_policy : AbstentionPolicy, optional
        When to abstain.
    progress : bool, default=False
        Show a progress bar.
    """
    if not examples:
        return {}
    items = list(examples.values())
    # A policy is for classifiers of one label per example alone.
    policy: dict[str, Any] = {} if abstention_policy is None else {"abstention_policy": abstention_policy}
    predictions: Any = model.predict(
        items, on_error="collect", max_errors=ledger.left, progress=progress, **policy
    )
    positions = list(examples)
    answered = [positions[row] for row in predictions.indices.tolist()]
    ledger.note_rest(examples, set(answered), predictions.errors)
    abstentions: Any = [{}] * len(answered)
    if abstention_policy is not None:
        abstentions = _by_row(predictions.abstentions, len(answered))
    n_layers: Any = getattr(predictions, "n_layers", None)
    layers = [None] * len(answered) if n_layers is None else n_layers.tolist()
    answers = map(Answer, predictions.labels, predictions.proba.tolist(), abstentions, layers)
    return dict(zip(answered, answers, strict=True))


def _by_row(abstentions: Abstentions, n_rows: int) -> list[dict[str, Any]]:
    out_of_distribution = (
        None if abstentions.out_of_distribution is None else abstentions.out_of_distribution.tolist()
    )
    columns = {"set": abstentions.sets, "flag": abstentions.flags, "out_of_distribution": out_of_distribution}
    present = {name: values for name, values in columns.items() if values is not None}
    return [{name: values[row] for name, values in present.items()} for row in range(n_rows)]


def mean_layers(n_layers: Sequence[int | None]) -> dict[str, float]:
    """Return the mean number of layers that answers needed, for ``--json``; empty if none is known."""
    known = [count for count in n_layers if count is not None]
    return {"mean_layers": round(sum(known) / len(known), 3)} if known else {}


def shares_by_name(classes: Sequence[Label], shares: Sequence[float]) -> dict[str, float]:
    """Return the probability of each class as rows have it: by name, with six decimals."""
    return {str(label): round(share, 6) for label, share in zip(classes, shares, strict=True)}


def error_entry(error: ItemError) -> dict[str, str]:
    """Return the error of an example as rows have it."""
    record = error.record()
    return {"stage": record["stage"], "code": record["code"], "message": record["message"]}


# The feature store of a command.


def filling_parts(backbone: Backbone) -> AbstractContextManager[None]:
    """Return a block in which the backbone's store, if any, collects rows of several calls in one part."""
    from savs.cache import StoredBackbone

    return backbone.holding() if isinstance(backbone, StoredBackbone) else nullcontext()


def report_store(model: SAVModel | MultiLabelModel, session: Session) -> dict[str, dict[str, int]]:
    """Print how many examples came from the store, and return it for ``--json``; empty without a store."""
    heads = getattr(model, "heads_", [])  # a model of several labels reads no likelihoods
    note = NOT_STORED if any(head.is_options for head in heads) else ""
    return report_counts(model.store_counts, session, note)


NOT_STORED = "; likelihoods of class names are not stored, and are read by the model each time"


def report_counts(counts: Counts | None, session: Session, note: str = "") -> dict[str, dict[str, int]]:
    """Print counts of a store, and return them for ``--json``; empty without a store."""
    if counts is None:
        return {}
    if not session.quiet:
        remark(
            f"{counts.stored} of {counts.examples} examples from the store, {counts.computed} forward passes"
            f"{note}"
        )
    return {"store": {"from_store": counts.stored, "computed": counts.computed}}


# Where results go, checked before a model is loaded.


def finish_evaluation(
    session: Session,
    model: SAVModel | MultiLabelModel,
    report: dict[str, Any],
    rows: Sequence[Mapping[str, Any]],
    columns: Columns,
    *,
    output: Path | None,
    started: float,
    show: Callable[..., None],
) -> int:
    """Write a row per example if asked, print or show the report, and return the exit code.

    Parameters
    ----------
    session : Session
    model : SAVModel or MultiLabelModel
    report : dict
        The figures; ``seconds`` and what the store did are added.
    rows, columns
        Of the file.
    output : Path or None
        The file.
    started : float
        By `time.perf_counter`.
    show : callable
        Shows the report, given it and ``brief=``.
    """
    if output is not None:
        write_rows(output, rows, columns)
    report["seconds"] = round(time.perf_counter() - started, 2)
    report |= report_store(model, session)
    if session.as_json:
        print_json(report)
    else:
        show(report, brief=session.quiet)
        if output is not None and not session.quiet:
            remark(f"{len(rows)} rows in {output}")
    return ITEM_ERRORS if report["n_errors"] else 0


def check_writable(target: Path) -> None:
    """Raise `OSError` if a file or folder cannot be made there."""
    parent = target.absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(20, "Not a folder", str(parent))
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(parent))


def check_new_file(
    output: Path, *inputs: Path | str, option: str = "--output", outside: Sequence[Path] = ()
) -> None:
    """Refuse an output that cannot be written, would replace an input, or is inside a folder of savs.

    Parameters
    ----------
    output : Path
    *inputs : Path or str
        The data.
    option : str, default="--output"
        The option that names the output.
    outside : sequence of Path
        Folders whose files only savs may write: a store, a classifier.

    Raises
    ------
    OSError
        If the file cannot be created.
    click.BadParameter
        If it would replace an input, or is inside one of these folders.
    """
    check_writable(output)
    place = output.resolve()
    if any(place == Path(source).resolve() for source in inputs):
        raise click.BadParameter(f"{output} is the data itself; name another file", param_hint=option)
    for folder in outside:
        if place.is_relative_to(folder.resolve()):
            raise click.BadParameter(
                f"{output} is inside {folder}, where only savs writes files; name another file",
                param_hint=option,
            )


# The rows of an unfinished run: kept beside the output, and continued by the next run.

_FORMAT = "savs predict 1"
_SHOWN = 60


@dataclass
class Partial:
    """Rows of an unfinished run.

    Attributes
    ----------
    path : Path
    stream : text file
        At the end of the kept rows.
    n_rows, n_errors : int
        Rows kept from an earlier run, and those of them that are errors.
    """

    path: Path
    stream: TextIO
    n_rows: int = 0
    n_errors: int = 0

    def ids(self) -> Iterator[str | None]:
        """Yield the ids of the kept rows."""
        with self.path.open("rb") as file:
            for _, line in zip(range(self.n_rows), file, strict=False):
                yield json.loads(line)["id"]


@contextmanager
def resumable(
    output: Path, made_from: Mapping[str, Any], columns: Columns, *, resume: bool, rows_per_chunk: int
) -> Iterator[Partial]:
    """Yield the partial file beside `output`, which gets that name when the block ends well.

    Parameters
    ----------
    output : Path
    made_from : mapping of str to JSON value
        Everything that decides the rows; an unfinished run made from something else is not continued.
    columns : mapping of str to type
        Of the table, where the output is one.
    resume : bool
        Whether to continue an unfinished run.
    rows_per_chunk : int
        Rows that are written together; an incomplete chunk is dropped.

    Raises
    ------
    DataError
        If the unfinished run was made from something else (the message names it), or is still running.
    OSError
        If the files cannot be written.
    SAVsError
        On a system without file locks.
    """
    require_posix("savs predict --output")
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    path, beside = (output.with_name(output.name + end) for end in (".partial", ".partial.json"))
    with _locked(path) as stream:
        partial = Partial(path, stream)
        try:
            if resume and path.stat().st_size:
                _continue(partial, beside, made_from, rows_per_chunk)
            if not partial.n_rows:
                _start(partial, beside, made_from)
            yield partial
            stream.flush()
            os.fsync(stream.fileno())
            if is_table(output):
                write_rows(output, read_json_lines(path), columns)
                path.unlink()
            else:
                path.replace(output)
            beside.unlink(missing_ok=True)
        except BaseException:
            _keep_or_drop(stream, path, beside)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    """Open a file that no other run is writing; a link is not followed, as it may lead to another file."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise DataError(f"unfinished rows go to {path}, which is not a regular file; name another output")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    while True:
        with open(os.open(path, flags, 0o644), "r+", encoding="utf-8") as stream:  # noqa: PTH123
            try:
                lock_file(stream)
            except BlockingIOError:
                raise DataError(
                    f"another run is writing {path}; wait for it, or name another output"
                ) from None
            # The other run may have finished, and renamed the file, before this one got the lock.
            if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                yield stream
                return


def _start(partial: Partial, beside: Path, made_from: Mapping[str, Any]) -> None:
    partial.stream.seek(0)
    partial.stream.truncate()
    temporary = beside.with_name(beside.name + ".tmp")
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8") as file:  # a new file: never written through a link
        file.write(json.dumps({"format": _FORMAT, **made_from}) + "\n")
    temporary.replace(beside)


def _continue(partial: Partial, beside: Path, made_from: Mapping[str, Any], rows_per_chunk: int) -> None:
    """Keep the whole chunks of an earlier run of the same kind."""
    before = _header(beside)
    if before is None:
        remark(f"{partial.path} does not record what it was made from; starting over")
        return
    wanted = _given(json.loads(json.dumps(dict(made_from))))
    before = _given(before)
    former = [name for name in before if name not in made_from]
    if former:
        remark(
            f"{partial.path} was written by another version of savs, with {former[0]!r}, which this one does "
            "not know; starting over"
        )
        return
    names = [name for name in dict.fromkeys([*before, *wanted]) if before.get(name) != wanted.get(name)]
    if names:
        differences = "; ".join(
            f"{name}: {_short(before.get(name))} -> {_short(wanted.get(name))}" for name in names
        )
        raise DataError(
            f"{partial.path} was made from something else ({differences}); --no-resume starts over, "
            "another --output keeps it"
        )
    offset = _count(partial, rows_per_chunk)
    partial.stream.seek(offset)
    partial.stream.truncate()


def _given(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that say something: what was not asked for has no effect on the rows."""
    return {name: value for name, value in entries.items() if value not in (None, [], {})}


def _header(beside: Path) -> dict[str, Any] | None:
    try:
        header = json.loads(beside.read_bytes()[: 2**20]) if beside.is_file() else None  # a pipe would block
    except (OSError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) and header.pop("format", None) == _FORMAT else None


def _count(partial: Partial, rows_per_chunk: int) -> int:
    """Count the rows of whole chunks, and return how many bytes they take."""
    n_rows = n_errors = offset = kept = 0
    with partial.path.open("rb") as file:
        for line in file:
            row = _row(line)
            if row is None:
                break
            n_rows, n_errors, offset = n_rows + 1, n_errors + ("error" in row), offset + len(line)
            if n_rows % rows_per_chunk == 0:
                partial.n_rows, partial.n_errors, kept = n_rows, n_errors, offset
    return kept


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and "id" in row else None


def _keep_or_drop(stream: TextIO, path: Path, beside: Path) -> None:
    if path.exists() and os.fstat(stream.fileno()).st_size:
        remark(f"the rows written so far are in {path}; the same command continues from there")
    else:
        path.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)


def _short(value: object) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
