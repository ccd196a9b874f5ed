"""``savs extract``: head vectors of examples, kept in a feature store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._inputs import ROWS_PER_CHUNK, SHARD, Source, in_chunks
from savs.cli._options import (
    PathName,
    backbone_options,
    data_argument,
    data_options,
    error_options,
    example_help,
    output_options,
)
from savs.cli._output import print_json
from savs.cli._prompt_options import one_prompt_option
from savs.cli._session import ITEM_ERRORS, Session, Terminated, pass_session, remark

if TYPE_CHECKING:
    from savs.backbones import PromptTemplate
    from savs.cache import StoredBackbone
    from savs.cli._inputs import Chunk
    from savs.cli._progress import Progress
    from savs.data import DataSource, ErrorLedger, ReadOptions
    from savs.errors import ItemError

__all__ = ["extract"]

ERRORS_SHOWN = 20


def _folder_name(_context: click.Context, _option: click.Parameter, folder: Path) -> Path:
    """Refuse the name of a file: a store is a folder."""
    if folder.suffix.lower() in {".csv", ".parquet", ".npz", ".npy", ".jsonl"} and not folder.is_dir():
        raise click.BadParameter(
            f"{folder} would be a feature store, which is a folder: name one, then write its rows to a file "
            f"with savs export STORE -o {folder.name}"
        )
    return folder


@click.command(
    short_help="Fill a feature store.",
    epilog=example_help(
        'savs extract images/ -b tiny --prompt "What is in this picture?" -o my-store',
        "savs extract large.jsonl -b tiny -o my-store --shard 0/8 --max-errors 100 --errors errors.jsonl",
    ),
)
@data_argument("data")
@click.option(
    "--backbone",
    "-b",
    required=True,
    metavar="NAME",
    help="tiny, a model folder, a hub id or a registered name.",
)
@click.option(
    "--output",
    "--store",
    "-o",
    required=True,
    metavar="STORE",
    type=PathName(file_okay=False),
    callback=_folder_name,
    help="Folder of the feature store; created if missing.",
)
@one_prompt_option("Question for the model, as in savs fit.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N examples.")
@click.option(
    "--shard", type=SHARD, metavar="I/N", help="Only every N-th example, starting with the I-th, from 0."
)
@error_options()
@click.option(
    "--errors",
    "errors_file",
    type=PathName(dir_okay=False),
    metavar="FILE",
    help="JSONL file for the examples that failed: id, stage, code, message.",
)
@click.option(
    "--states/--no-states",
    default=True,
    help="Store final hidden states too; savs compare needs them [default: yes].",
)
@click.option(
    "--part-rows",
    type=click.IntRange(1, 2**14),
    metavar="N",
    help="Rows written together; a killed run loses no more than these "
    "[default: 256, or what a minute computes].",
)
@data_options()
@backbone_options(store=False)
@output_options()
@pass_session
def extract(
    session: Session,
    /,
    data: DataSource,
    backbone: str,
    output: Path,
    prompt: str | None,
    limit: int | None,
    shard: tuple[int, int] | None,
    max_errors: int,
    errors_file: Path | None,
    states: bool,
    part_rows: int | None,
    reading: ReadOptions,
    loading: dict[str, Any],
) -> int:
    """Compute the head vectors of all examples once, and keep them in a feature store.

    DATA is read like the data of savs predict; labels are not needed. Examples that are already in the store
    are not computed again, so the same command continues an interrupted run. savs fit, predict, evaluate and
    compare need no forward pass for these examples with --store and the same prompt.

    --json prints {"store", "n", "computed", "stored", "n_errors", "seconds", "examples_per_second"}.
    """
    from savs.backbones import PromptTemplate, load_backbone
    from savs.cache import with_store
    from savs.cache._part_catalog import check_folder
    from savs.cli._progress import Progress
    from savs.cli._results import check_new_file, check_writable
    from savs.data import ErrorLedger
    from savs.data._sources import expanded

    template = None if prompt is None else PromptTemplate(prompt)
    check_folder(output)
    check_writable(output)
    if errors_file is not None:
        check_new_file(errors_file, *expanded(data), option="--errors", outside=[output])
    source = Source(data, reading, limit, shard)
    n_rows = source.check(max_errors)
    model = load_backbone(backbone, progress=session.progress, **loading)
    stored = with_store(model, output, on_full="raise", part_rows=part_rows)
    stored.keeps_states = states
    ledger = ErrorLedger(max_errors)
    with _failures(errors_file, session) as failures, Progress(n_rows, shown=session.progress) as progress:
        run = _Run(stored, template, ledger, failures)
        run.fill(in_chunks(source.rows(ledger), ledger, ROWS_PER_CHUNK), progress)
    _report(session, output, run, progress)
    return ITEM_ERRORS if ledger.n_errors else 0


class _Run:
    """Fills a store chunk by chunk and reports errors as they come."""

    def __init__(
        self,
        stored: StoredBackbone,
        template: PromptTemplate | None,
        ledger: ErrorLedger,
        failures: Callable[[ItemError], object],
    ) -> None:
        from savs.data._unread import UnreadColumns, UnreadMarkers

        self.stored, self.ledger = stored, ledger
        self._template, self._failures = template, failures
        self._unread = UnreadColumns(() if template is None else template.placeholders)
        self._markers = UnreadMarkers()

    def fill(self, chunks: Iterator[Chunk], progress: Progress) -> None:
        """Compute the rows that the store lacks; complete rows are on disk at the end, even an early one."""
        from savs.errors import ItemError

        try:
            with self.stored.holding():
                for chunk in chunks:
                    for error in self._filled(chunk):
                        self._failures(error)
                    progress.advance(len(chunk))
        except ItemError as error:
            self._failures(error)
            raise
        except (KeyboardInterrupt, Terminated):
            store = self.stored.store
            remark(f"{len(store)} rows are in {store.folder}; the same command continues from there")
            raise

    def _filled(self, chunk: Chunk) -> list[ItemError]:
        """Compute what the store lacks of a chunk, and return its errors in order."""
        from savs.data import Example

        examples = {index: item for index, item in chunk.items() if isinstance(item, Example)}
        errors = {index: item for index, item in chunk.items() if not isinstance(item, Example)}
        self._unread.warn(examples.values())
        if self._template is not None:
            examples = self.ledger.collect(self._template.apply, examples)
        self._markers.warn(examples.values())
        failed = self.stored.fill(list(examples.values()), max_errors=self.ledger.left)
        positions = list(examples)
        for place, error in failed.items():
            self.ledger.add(positions[place], examples[positions[place]], error)
        errors |= self.ledger.hand_over()
        return [errors[index] for index in sorted(errors)]


@contextmanager
def _failures(path: Path | None, session: Session) -> Iterator[Callable[[ItemError], object]]:
    """Yield a function that writes errors to a file, or the first of them to stderr."""
    if path is None:
        shown = iter(range(ERRORS_SHOWN))

        def show(error: ItemError) -> None:
            if not session.quiet and next(shown, None) is not None:
                remark(f"not read: {error}")

        yield show
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:

        def write(error: ItemError) -> None:
            file.write(json.dumps(error.record()) + "\n")
            file.flush()

        yield write


def _report(session: Session, output: Path, run: _Run, progress: Progress) -> None:
    n, computed, n_errors = progress.done, run.stored.total.computed, run.ledger.n_errors
    if session.as_json:
        print_json(
            {
                "store": str(output),
                "n": n,
                "computed": computed,
                "stored": n - computed - n_errors,
                "n_errors": n_errors,
                "seconds": round(progress.seconds, 3),
                "examples_per_second": round(progress.rate, 3),
            }
        )
    elif not session.quiet:
        failed = f", {n_errors} with errors" if n_errors else ""
        remark(
            f"{n} examples: {computed} computed, {n - computed - n_errors} without a forward pass{failed}; "
            f"{progress.rate:.1f} per second; {len(run.stored.store)} rows in {output}"
        )
