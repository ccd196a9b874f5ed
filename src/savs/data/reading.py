"""`read_examples` and `iter_examples`: any source of data to examples, all at once or in little memory.

A source is read once, row by row: columns, labels, ids, markers and media paths are checked as the rows
stream by. No medium is opened.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, Unpack

from savs._labels import check_labels
from savs.data._columns import Columns
from savs.data._conversations import is_conversation
from savs.data._error_ledger import ErrorLedger
from savs.data._folders import scan_folder
from savs.data._results import ErrorLimit
from savs.data._sources import Images, Rows, Source, find_sources, warn_of_unlisted
from savs.data._text_files import Row, name_of
from savs.data._unread import UnreadMedia, UnreadSplit
from savs.data.coercion import CHAT_FIELDS, as_example, media_fields, settled
from savs.data.example import Example, Message, Part, Text, trusted
from savs.data.options import DataSource, ReadKeywords, ReadOptions, RowSelection, merged_options
from savs.errors import DataError, ItemError, MediaError
from savs.media import Image, Video
from savs.media._bit_depth import check_bit_depth
from savs.media._coercion import MOST_TIMED_FRAMES, check_sampling
from savs.media._paths import resolve_inside

__all__ = [
    "MOST_TIMED_FRAMES",
    "count_rows",
    "iter_examples",
    "iter_results",
    "read_examples",
    "sampled",
    "with_bit_depth",
]


def read_examples(
    source: DataSource,
    options: ReadOptions | None = None,
    *,
    require_labels: bool = False,
    ledger: ErrorLedger | None = None,
    **keywords: Unpack[ReadKeywords],
) -> list[Example]:
    """Return the examples of a file, folder or dataset, in order; no medium is opened.

    Parameters
    ----------
    source : Path, str, or sequence of them
        A ``.jsonl``, ``.json`` (a list of objects), ``.csv``, ``.tsv`` or ``.parquet`` file; a folder of
        Parquet files; a dataset that the ``datasets`` library saved (``save_to_disk``); the text
        ``"hf://owner/name"`` for a dataset of the hub, ``"hf://./folder"`` for a folder laid out like one;
        a folder with one folder per class, or with ``metadata.csv``; a folder of images, videos or audio
        clips without classes; one of them; or a file or address that a reader is registered for
        (`savs.data.register_reader`). Several are read one after the other, as are the files that a glob
        pattern such as ``"photos/*.jpg"`` fits, in natural order.
    options : ReadOptions, optional
        Columns, limits and everything else about reading; each field may be given as a keyword argument
        instead, which wins.
    require_labels : bool, default=False
        Refuse examples without a label.
    ledger : ErrorLedger, optional
        Notes the rows and files that are not examples, by their position, and they are left out. By default
        the first one is raised. A file that is not what its format says is an error in any case.
    **keywords
        Fields of `ReadOptions`, such as ``label_column="kind"``.

    Returns
    -------
    list of Example
        Ids from the id column; else relative paths for folders, ``<file name>:<line, item or row>`` for data.

    Raises
    ------
    DataError
        With file and line or row, if the source or its labels cannot be used.
    ItemError
        If a row is not an example, with file and line or row, and `ledger` takes no more of them.

    Examples
    --------
    >>> from savs.demo.data import PHOTO_FOLDER
    >>> first, second = read_examples(PHOTO_FOLDER, limit=2)
    >>> first.id, first.label
    ('deer/0000.jpg', 'deer')
    """
    examples = [
        example for _, example in iter_examples(source, merged_options(options, **keywords), ledger=ledger)
    ]
    if require_labels:
        _check_labelled(_shown(source), examples)
    check_labels([example.label for example in examples])
    check_labels([label for example in examples for label in example.labels or ()])
    return examples


def iter_examples(
    source: DataSource,
    options: ReadOptions | None = None,
    *,
    ledger: ErrorLedger | None = None,
    **keywords: Unpack[ReadKeywords],
) -> Iterator[tuple[int, Example]]:
    """Yield the examples of a source with their positions, in order; no medium is opened.

    A few rows are in memory at a time, but for a ``.json`` list, which is parsed as a whole, and the file
    names of a folder. Labels are checked one by one; `read_examples` looks at all of them.

    Parameters
    ----------
    source, options, ledger, **keywords
        As in `read_examples`.

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
        If a row is not an example, with file and line or row, and `ledger` takes no more of them.
    """
    errors = ErrorLedger() if ledger is None else ledger
    results = iter_results(source, merged_options(options, **keywords), ErrorLimit(-1))
    return _examples_alone(results, errors)


def iter_results(
    source: DataSource, options: ReadOptions | None = None, limit: ErrorLimit | None = None
) -> Iterator[tuple[int, Example | ItemError]]:
    """Yield an example or an error for each position of a source, in order; no medium is opened.

    Parameters
    ----------
    source, options
        As in `read_examples`.
    limit : ErrorLimit, optional
        Raises the error that is one too many; by default the first.

    Yields
    ------
    position : int
        Among all rows or files of the source, from 0.
    result : Example or ItemError
        As in `iter_examples`; an error names its file and line or row.

    Raises
    ------
    DataError, ItemError
        As `iter_examples`.
    """
    options = ReadOptions() if options is None else options
    limit = ErrorLimit() if limit is None else limit
    ids = _Ids()
    sources = find_sources(source, options)
    for part in sources:
        warn_of_unlisted(part, options)
    return _results([_reader(part, options, ids) for part in sources], options, limit)


def count_rows(
    source: DataSource, options: ReadOptions | None = None, **keywords: Unpack[ReadKeywords]
) -> int | None:
    """Return how many positions `iter_examples` goes through; None if only reading would tell.

    Known for Parquet, saved and hub datasets and images; the lines of a JSONL file are counted. None for
    CSV, TSV, JSON lists and registered readers.

    Parameters
    ----------
    source, options, **keywords
        As in `read_examples`.

    Raises
    ------
    DataError
        As the call of `iter_examples`.
    """
    options = merged_options(options, **keywords)
    counts = list(map(_count, find_sources(source, options)))
    if None in counts:
        return None
    n_rows = sum(count for count in counts if count is not None)
    first, step = options.shard or (0, 1)
    return len(range(first, n_rows if options.limit is None else min(n_rows, options.limit), step))


def _examples_alone(
    results: Iterable[tuple[int, Example | ItemError]], ledger: ErrorLedger
) -> Iterator[tuple[int, Example]]:
    for position, result in results:
        if isinstance(result, ItemError):
            ledger.add(position, None, result)
        else:
            yield position, result


def _count(source: Source) -> int | None:
    if isinstance(source, Rows):
        return source.data.count()
    return len(scan_folder(source.path, source.split).images) if source.path.is_dir() else 1


# One source after the other.

Items: TypeAlias = Callable[[RowSelection], Iterable[Any]]
Reading: TypeAlias = tuple[Items, Callable[[Any], Example]]
"""What gives the rows or files of a source, and what makes an example of one."""


def _reader(source: Source, options: ReadOptions, ids: _Ids) -> Reading:
    if isinstance(source, Rows):
        reader = _RowReader(source, options, ids)
        return reader.rows, reader.example
    if Columns.of(options).named or options.root is not None:
        raise DataError(
            "columns and a media root belong to a data file or dataset, not to images; leave --root and the "
            "options of columns out"
        )
    files, from_file = _media_files(source, options)
    return lambda selection: files[: selection.limit], from_file


def _then(make: Callable[[Any], Example], sample: Callable[[Example], Example]) -> Callable[[Any], Example]:
    return lambda item: sample(make(item))


def _results(
    readings: Sequence[Reading], options: ReadOptions, limit: ErrorLimit
) -> Iterator[tuple[int, Example | ItemError]]:

    def sample(example: Example) -> Example:
        framed = sampled(example, options.video_frames, options.video_fps)
        return with_bit_depth(framed, options.bit_depth)

    start = 0
    for items, make in readings:
        selection, n_items = options.selection.after(start), 0
        if selection is None:
            return
        for position, item in enumerate(items(selection)):
            n_items += 1
            if position in selection:
                yield start + position, limit.attempt(_then(make, sample), item)
        start += n_items


# The rows of a data file or dataset.


class _RowReader:
    """Turns the rows of a source into examples, their ids unique and their media inside the root.

    Parameters
    ----------
    source : Rows
    options : ReadOptions
    ids : _Ids
        Those of the sources before it.
    """

    def __init__(self, source: Rows, options: ReadOptions, ids: _Ids) -> None:
        self._source = source
        self._options = options
        self._ids = ids
        self._unread = UnreadMedia(media_fields)
        self._columns = Columns.of(options)
        self._split = UnreadSplit(self._columns.named)
        self._roots = [(root, root.resolve()) for root in source.roots]

    def rows(self, selection: RowSelection) -> Iterator[Row]:
        """Yield the rows below the limit, in order."""
        limit = None if selection.limit is None else min(selection.limit, sys.maxsize)
        rows = islice(self._source.data.rows(selection, self._columns.id_names), limit)
        for row in rows:
            own = self._columns.id_of(row)
            if not self._ids.add(row, own):
                raise self._repeated(row, row.id if own is None else own)
            yield row

    def _repeated(self, row: Row, name: str) -> DataError:
        """Return the error for an id that another row has; the rows are read again to find that one."""
        advice = "; make ids unique, or name another column (--id-column)"
        for other in self._source.data.rows(self._options.selection, self._columns.id_names):
            own = self._columns.id_of(other)
            if (other.id if own is None else own) == name:
                return DataError(f"{row.where}: the id {name!r} stands at {other.where} already{advice}")
        return DataError(f"{row.where}: the id {name!r} stands twice{advice}")

    def example(self, row: Row) -> Example:
        """Return the example of a row, with an id; an error names its place."""
        try:
            example = _inside(
                self._columns.to_example(row, self._source.roots[0]),
                self._roots,
                self._options.allow_outside,
            )
            if not self._columns.media:
                self._unread.warn([row.cells])
            self._split.warn([row.cells])
            # What is fetched lies outside the roots, and may.
            example = settled(example, self._options.fetch)
        except ItemError as error:
            own = self._columns.id_of(row)
            if own is None:
                error.id = row.where
            else:
                error.id, error.message = own, f"{row.where}: {error.message}"
            raise
        return trusted(example if example.id is not None else replace(example, id=row.id))


_DIGEST_BYTES = 16


class _Ids:
    """The ids of the rows so far: about 100 bytes for each own id, 8 for each row named by its place."""

    def __init__(self) -> None:
        self._own: set[bytes] = set()
        self._numbers: dict[str, array[int]] = {}  # by file, ascending

    def add(self, row: Row, own: str | None) -> bool:
        """Take in the id of the next row; return False if an earlier row has it."""
        file, _, number = row.id.rpartition(":")
        if own is None:
            if self._own and _digest(row.id) in self._own:
                return False
            self._numbers.setdefault(file, array("q")).append(int(number))
            return True
        digest = _digest(own)
        if digest in self._own or self._is_place(own):
            return False
        self._own.add(digest)
        return True

    def _is_place(self, name: str) -> bool:
        """Return whether an own id is the one that an earlier row got from its place."""
        file, _, digits = name.rpartition(":")
        numbers = self._numbers.get(file)
        if numbers is None or not digits.isdecimal() or len(digits) > 18:
            return False
        place = bisect_left(numbers, int(digits))
        return place < len(numbers) and str(numbers[place]) == digits


def _digest(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


_Root = tuple[Path, Path]  # as it was named, and with its links followed


def _inside(example: Example, roots: Sequence[_Root], allow_outside: bool) -> Example:
    """Return the example with its media paths resolved, each of them inside one of the roots."""
    if not any(not isinstance(part, Text) and isinstance(part.source, Path) for part in example.parts):
        return example

    def resolved(part: Part) -> Part:
        if not isinstance(part, Text) and isinstance(part.source, Path):
            return replace(part, source=_resolve(part.source.absolute(), roots, allow_outside))
        return part

    messages = [Message(message.role, tuple(map(resolved, message.parts))) for message in example.messages]
    return replace(example, messages=tuple(messages))


def _resolve(path: Path, roots: Sequence[_Root], allow_outside: bool) -> Path:
    for root, resolved_root in roots[1:]:
        try:
            return resolve_inside(path, root, resolved_root)
        except MediaError:
            continue
    return resolve_inside(path, *roots[0], allow_outside=allow_outside)


# Folders of media files, and one file.


def _media_files(source: Images, options: ReadOptions) -> tuple[Sequence[Path], Callable[[Path], Example]]:
    """Return the files of a source, and what makes the example of one."""
    if not source.path.is_dir():
        return [source.path], partial(as_example, id=source.name or name_of(source.path))
    folder = scan_folder(source.path, source.split, skip_unread=options.skip_unread)
    before = "" if source.name is None else f"{source.name}/"
    make = partial(folder.example, allow_outside=options.allow_outside, before=before)
    return folder.images[: options.limit], make


# Which frames of a dataset's videos are read.


def sampled(example: Example, n_frames: int | None, fps: float | None) -> Example:
    """Return an example whose videos are read with a number of frames, or at a rate, or both.

    Videos whose own part of a chat names their frames stay as they are.

    Parameters
    ----------
    example : Example
    n_frames : int or None
        Frames, evenly spread; at most so many if `fps` is given, then by default `MOST_TIMED_FRAMES`.
    fps : float or None
        Frames for each second.

    Raises
    ------
    ExampleError
        ``video_type`` for numbers that mean nothing.
    """
    if (n_frames is None and fps is None) or not example.videos:
        return example
    number = n_frames if n_frames is not None else MOST_TIMED_FRAMES

    def resampled(part: Part) -> Part:
        if not isinstance(part, Video) or part.own_frames:
            return part
        video = replace(part, n_frames=number, fps=fps)
        check_sampling(video.sampling)
        return video

    messages = tuple(
        Message(message.role, tuple(map(resampled, message.parts))) for message in example.messages
    )
    return trusted(replace(example, messages=messages))


def with_bit_depth(example: Example, bit_depth: int | None) -> Example:
    """Return an example whose images are read with a bit depth, but for those that name their own.

    Parameters
    ----------
    example : Example
    bit_depth : int or None
        From 8 to 16; see `savs.media.Image`.

    Raises
    ------
    ExampleError
        ``bit_depth`` for another number.
    """
    if bit_depth is None or not example.images:
        return example
    check_bit_depth(bit_depth)

    def deepened(part: Part) -> Part:
        if not isinstance(part, Image) or isinstance(part, Video) or part.bit_depth is not None:
            return part
        return replace(part, bit_depth=bit_depth)

    messages = tuple(
        Message(message.role, tuple(map(deepened, message.parts))) for message in example.messages
    )
    return trusted(replace(example, messages=messages))


# A look at all labels.


def _shown(source: DataSource) -> str:
    """Return a source for messages: the last part of a path; of several the first and how many others."""
    if not isinstance(source, list | tuple):
        return Path(str(source)).name
    others = f" and {len(source) - 1} more" if len(source) > 1 else ""
    return f"{Path(str(source[0])).name}{others}"


def _check_labelled(source: str, examples: Sequence[Example]) -> None:
    missing = [example for example in examples if example.label is None and example.labels is None]
    if missing:
        raise DataError(
            f"{source}: {len(missing)} of {len(examples)} examples have no label, the first is "
            f"{missing[0].id}; name the label column (--label-column{_columns(missing[0])}), or make one "
            f"folder per class"
        )


def _columns(example: Example) -> str:
    """Return what may hold the label, for the message."""
    chats = [name for name in CHAT_FIELDS[1:] if is_conversation(example.fields.get(name))]
    if chats:
        return f"; --label-column {chats[0]} takes the last answers"
    names = [name for name, value in example.fields.items() if isinstance(value, str | int)]
    return f"; columns: {', '.join(map(repr, names))}" if names else ""
