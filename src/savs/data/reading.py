"""`read_examples` and `iter_examples`: any source of data to examples, all at once or in little memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TypeVar

from savs.data._error_ledger import ErrorLedger
from savs.data._folders import scan_folder
from savs.data._labels import check_labels
from savs.data._sources import Columns, Images, Rows, find_source
from savs.data._text_files import Row, RowSelection, name_of
from savs.data.coercion import as_example, settled
from savs.data.example import Example, Message, Part, Text
from savs.errors import DataError, ItemError, MediaError
from savs.media import Video, resolve_media_path
from savs.media._coercion import Fetch, as_video

__all__ = ["MOST_TIMED_FRAMES", "sampled", "unique_rows", "count_rows", "iter_examples", "read_examples"]


# Which frames of a dataset's videos are read.

MOST_TIMED_FRAMES = 64
"""Frames of a video at most, where a rate was asked for and no number."""


def sampled(example: Example, n_frames: int | None, fps: float | None) -> Example:
    """Return an example whose videos are read with a number of frames, or at a rate, or both.

    Raises
    ------
    ExampleError
        ``video_type`` for numbers that mean nothing.
    """
    if n_frames is None and fps is None:
        return example
    number = n_frames if n_frames is not None else MOST_TIMED_FRAMES

    def part(given: Part) -> Part:
        return as_video(replace(given, n_frames=number, fps=fps)) if isinstance(given, Video) else given

    return replace(
        example,
        messages=tuple(replace(m, parts=tuple(part(given) for given in m.parts)) for m in example.messages),
    )


# Ids that stand twice, found while rows stream by.

Naming = Callable[[Row], str | None]

_DIGEST_BYTES = 16
_NUMBERED = re.compile(r"(?P<name>.*):\d{1,18}", re.DOTALL)


def unique_rows(rows: Iterable[Row], id_of: Naming, again: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """Yield the rows until an id stands a second time.

    Of each id 16 bytes are kept, about 100 bytes of memory a row; nothing as long as rows have no ids of
    their own, as ids by place are unique.

    Parameters
    ----------
    rows : iterable of Row
        In order.
    id_of : callable
        A row's own id, or None.
    again : callable
        Gives the rows once more, to find the first place of an id.

    Raises
    ------
    DataError
        With both places.
    """
    seen: set[bytes] = set()
    files: set[str] = set()
    for row in rows:
        own = id_of(row)
        files.add(row.id.rpartition(":")[0])
        # An own id may look like a place: then ids by place have to be known too.
        if own is None and not seen:
            yield row
            continue
        name = row.id if own is None else own
        digest = blake2b(name.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
        if digest in seen or (own is not None and _is_place(own, files)):
            _refuse(row, name, id_of, again())
        seen.add(digest)
        yield row


def _is_place(name: str, files: set[str]) -> bool:
    match = _NUMBERED.fullmatch(name)
    return match is not None and match["name"] in files


def _refuse(row: Row, name: str, id_of: Naming, rows: Iterable[Row]) -> None:
    for other in rows:
        if other.where == row.where:
            return
        own = id_of(other)
        if (other.id if own is None else own) == name:
            raise DataError(f"{row.where}: the id {name!r} stands at {other.where} already")


# `iter_examples`: any source of data to examples, one after the other, in little memory.

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
        Opens web addresses of media, as in `savs.as_example`: a `savs.media.Fetcher`.

    Yields
    ------
    position : int
        Among all rows or files of the source, from 0.
    example : Example
        With an id: its own, or ``<file name>:<line or row>``, or the relative path of an image.

    Raises
    ------
    DataError
        By the call, if there is no such source or an option does not belong to it; later, with file and line
        or row, if the source cannot be read any further.
    ItemError
        If a row is no example, with file and line or row, and `ledger` takes no more of them.
    """
    columns = Columns(image_column, text_column, label_column, id_column, video_column, audio_column)
    wanted = RowSelection(limit, *(shard or (0, 1)))
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
        raise DataError("columns and a media root belong to a data file or dataset, not to images")
    return _images(found, allow_outside, frames, wanted, ledger)


def count_rows(
    source: Path | str, *, split: str | None = None, config: str | None = None, revision: str | None = None
) -> int | None:
    """Return how many positions `iter_examples` goes through; None if only reading would tell.

    Known for Parquet, saved and hub datasets and images; the lines of a JSONL file are counted. None for
    CSV, TSV and JSON lists.

    Raises
    ------
    DataError
        As the call of `iter_examples`.
    """
    found = find_source(source, split=split, config=config, revision=revision)
    if isinstance(found, Rows):
        return found.data.count()
    return len(scan_folder(found.path).images) if found.path.is_dir() else 1


def _unique(found: Rows, columns: Columns, wanted: RowSelection) -> Iterator[Row]:
    def rows() -> Iterator[Row]:
        return found.data.rows(wanted, columns.id_names)

    most = None if wanted.limit is None else min(wanted.limit, sys.maxsize)
    return unique_rows(islice(rows(), most), columns.id_of, rows)


def _examples(
    items: Iterable[Item],
    make: Callable[[Item], Example],
    frames: _Change,
    wanted: RowSelection,
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


def _images(
    found: Images, allow_outside: bool, frames: _Change, wanted: RowSelection, ledger: ErrorLedger
) -> Iterator[tuple[int, Example]]:
    if not found.path.is_dir():
        return _examples([found.path], partial(as_example, id=name_of(found.path)), frames, wanted, ledger)
    folder = scan_folder(found.path)
    make = partial(folder.example, allow_outside=allow_outside)
    return _examples(folder.images[: wanted.limit], make, frames, wanted, ledger)


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


# `read_examples`: any source of data to a list of examples, with a look at all labels.


def read_examples(
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
    require_labels: bool = False,
    allow_outside: bool = False,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
    ledger: ErrorLedger | None = None,
    fetch: Fetch | None = None,
) -> list[Example]:
    """Return the examples of a file, folder or dataset, in order; no medium is opened.

    Parameters
    ----------
    source : Path or str
        A ``.jsonl``, ``.json`` (a list of objects), ``.csv``, ``.tsv`` or ``.parquet`` file; a folder or glob
        of Parquet files; a dataset that the ``datasets`` library saved (``save_to_disk``); the text
        ``"hf://owner/name"`` for a dataset of the hub, ``"hf://./folder"`` for a folder laid out like one;
        a folder with one folder per class; a folder of images, videos or audio clips
        without classes; or one of them.
    image_column, text_column, label_column, id_column : str, optional
        Columns; by default the public SAVs names (`savs.data.coercion.row_to_example`). Several image columns
        give several images, in that order. Labels of CSV and TSV are always text.
    video_column, audio_column : str, optional
        Columns of videos and audio clips, as image columns. Where a column of images, videos or audio clips
        is named, columns of the public names for media are not looked at.
    video_frames : int, optional
        Frames read of each video, evenly spread; 8 by default.
    video_fps : float, optional
        Frames read for each second of a video, at most `video_frames`, by default at most 64.
    root : Path or str, optional
        What media paths are relative to, and must lie in; by default the folder of the file or the dataset.
    require_labels : bool, default=False
        Refuse examples without a label.
    allow_outside : bool, default=False
        Take media files outside `root`: absolute paths, ``..`` and links.
    split : str, optional
        The part of a dataset with several, such as ``"train"``.
    config, revision : str, optional
        Configuration, and branch, tag or commit, of a hub dataset.
    limit : int, optional
        Read only so many, from the first on.
    ledger : ErrorLedger, optional
        Notes the rows and files that are no examples, by their position, and they are left out. By default
        the first one is raised. A file that is not what its format says is an error in any case.
    fetch : callable, optional
        Opens web addresses of media, as in `savs.as_example`: a `savs.media.Fetcher`.

    Returns
    -------
    list of Example
        Ids from the id column; else relative paths for folders, ``<file name>:<line, item or row>`` for data.

    Raises
    ------
    DataError
        With file and line or row, if the source or its labels cannot be used.
    ItemError
        If a row is no example, with file and line or row, and `ledger` takes no more of them.
    """
    found = iter_examples(
        source,
        image_column=image_column,
        text_column=text_column,
        label_column=label_column,
        id_column=id_column,
        video_column=video_column,
        audio_column=audio_column,
        video_frames=video_frames,
        video_fps=video_fps,
        root=root,
        allow_outside=allow_outside,
        split=split,
        config=config,
        revision=revision,
        limit=limit,
        ledger=ledger,
        fetch=fetch,
    )
    examples = [example for _, example in found]
    if require_labels:
        _check_labelled(str(source), examples)
    check_labels([example.label for example in examples])
    return examples


def _check_labelled(source: str, examples: Sequence[Example]) -> None:
    missing = [example for example in examples if example.label is None]
    if missing:
        raise DataError(
            f"{Path(source).name}: {len(missing)} of {len(examples)} examples have no label, the first is "
            f"{missing[0].id}; name the label column, or make one folder per class"
        )
