"""`iter_examples`: any source of data to examples, one after the other, in little memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from savs.datasets.columns import Columns
from savs.datasets.films import sampled
from savs.datasets.folders import scan_folder
from savs.datasets.identities import unique_rows
from savs.datasets.lines import name_of
from savs.datasets.rows import Row
from savs.datasets.sources import Pictures, Rows, find_source
from savs.datasets.wanted import Wanted
from savs.errors import DataError, ItemError, MediaError
from savs.examples import ErrorLedger, Example, Message, Part, Text, as_example
from savs.examples.addresses import Fetch, settled
from savs.media import resolve_media_path

__all__ = ["count_rows", "iter_examples"]

Item = TypeVar("Item")
_Change = Callable[[Example], Example]


def iter_examples(
    source: Path | str,
    *,
    image_column: str | Sequence[str] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    video_column: str | Sequence[str] | None = None,
    audio_column: str | Sequence[str] | None = None,
    video_frames: int | None = None,
    video_fps: float | None = None,
    root: Path | str | None = None,
    allow_outside: bool = False,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
    shard: tuple[int, int] | None = None,
    ledger: ErrorLedger | None = None,
    fetch: Fetch | None = None,
) -> Iterator[tuple[int, Example]]:
    """Yield the examples of a source with their positions, in order; no medium is opened.

    A few rows are in memory at a time, but for a ``.json`` list, which is parsed as a whole, and the file
    names of a folder. Labels are checked one by one; `read_examples` looks at all of them.

    Parameters
    ----------
    image_column, text_column, label_column, id_column, video_column, audio_column, video_frames, video_fps
        As in `read_examples`.
    source, root, allow_outside, split, config, revision
        As in `read_examples`.
    limit : int, optional
        Only positions below it.
    shard : (int, int), optional
        ``(i, n)``: of these only positions that leave the rest ``i`` when divided by ``n``. Ids and positions
        are those of the whole source. Rows of other shards are still parsed, and their ids compared.
    ledger : ErrorLedger, optional
        Notes the rows and files that are no examples by their position, and they are left out. By default the
        first one is raised.
    fetch : callable, optional
        Opens web addresses of media, as in `savs.as_example`: a `savs.media.addresses.Fetcher`.

    Yields
    ------
    position : int
        Among all rows or files of the source, from 0.
    example : Example
        With an id: its own, or ``<file name>:<line or row>``, or the relative path of a picture.

    Raises
    ------
    DataError
        By the call, if there is no such source or an option does not belong to it; later, with file and line
        or row, if the source cannot be read any further.
    ItemError
        If a row is no example, with file and line or row, and `ledger` takes no more of them.
    """
    columns = Columns(image_column, text_column, label_column, id_column, video_column, audio_column)
    wanted = Wanted(limit, *(shard or (0, 1)))
    frames = partial(sampled, n_frames=video_frames, fps=video_fps)
    ledger = ledger or ErrorLedger()
    found = find_source(source, root=root, split=split, config=config, revision=revision)
    if isinstance(found, Rows):
        rows = _unique(found, columns, wanted)
        make = partial(
            _from_row, columns=columns, roots=found.roots, allow_outside=allow_outside, fetch=fetch
        )
        return _examples(rows, make, frames, wanted, ledger)
    if columns.named or root is not None:
        raise DataError("columns and a media root belong to a data file or data set, not to pictures")
    return _pictures(found, allow_outside, frames, wanted, ledger)


def count_rows(
    source: Path | str, *, split: str | None = None, config: str | None = None, revision: str | None = None
) -> int | None:
    """Return how many positions `iter_examples` goes through; None if only reading would tell.

    Known for Parquet, saved and hub data sets and pictures; the lines of a JSONL file are counted. None for
    CSV, TSV and JSON lists.

    Raises
    ------
    DataError
        As the call of `iter_examples`.
    """
    found = find_source(source, split=split, config=config, revision=revision)
    if isinstance(found, Rows):
        return found.data.count()
    return len(scan_folder(found.path).pictures) if found.path.is_dir() else 1


def _unique(found: Rows, columns: Columns, wanted: Wanted) -> Iterator[Row]:
    def rows() -> Iterator[Row]:
        return found.data.rows(wanted, columns.id_names)

    most = None if wanted.limit is None else min(wanted.limit, sys.maxsize)
    return unique_rows(islice(rows(), most), columns.id_of, rows)


def _examples(
    items: Iterable[Item],
    make: Callable[[Item], Example],
    frames: _Change,
    wanted: Wanted,
    ledger: ErrorLedger,
) -> Iterator[tuple[int, Example]]:
    for position, item in enumerate(items):
        if position not in wanted:
            continue
        try:
            example = frames(make(item))
        except ItemError as error:
            ledger.add(position, None, error)
        else:
            yield position, example


def _pictures(
    found: Pictures, allow_outside: bool, frames: _Change, wanted: Wanted, ledger: ErrorLedger
) -> Iterator[tuple[int, Example]]:
    if not found.path.is_dir():
        return _examples([found.path], partial(as_example, id=name_of(found.path)), frames, wanted, ledger)
    folder = scan_folder(found.path)
    make = partial(folder.example, allow_outside=allow_outside)
    return _examples(folder.pictures[: wanted.limit], make, frames, wanted, ledger)


def _from_row(
    row: Row, *, columns: Columns, roots: Sequence[Path], allow_outside: bool, fetch: Fetch | None
) -> Example:
    try:
        # What is fetched lies outside the roots, and may.
        example = settled(_inside(columns.to_example(row, roots[0]), roots, allow_outside), fetch)
    except ItemError as error:
        error.id = columns.id_of(row)
        if error.id is None:
            error.id = row.where
        else:
            error.message = f"{row.where}: {error.message}"
        raise
    return example if example.id is not None else replace(example, id=row.id)


def _inside(example: Example, roots: Sequence[Path], allow_outside: bool) -> Example:
    """Return the example with its media paths resolved, each of them inside one of the roots."""

    def resolved(part: Part) -> Part:
        if not isinstance(part, Text) and isinstance(part.source, Path):
            return replace(part, source=_resolve(part.source.absolute(), roots, allow_outside))
        return part

    messages = [Message(message.role, tuple(map(resolved, message.parts))) for message in example.messages]
    return replace(example, messages=tuple(messages))


def _resolve(path: Path, roots: Sequence[Path], allow_outside: bool) -> Path:
    for root in roots[1:]:
        try:
            return resolve_media_path(path, root)
        except MediaError:
            continue
    return resolve_media_path(path, roots[0], allow_outside=allow_outside)
