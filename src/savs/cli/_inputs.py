"""The data of a command: how it is read, and a check of every row before a model is loaded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from savs.data.options import ReadOptions
from savs.errors import DataError

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from savs.data import DataSource, ErrorLedger, Example
    from savs.errors import ItemError
    from savs.media import Fetcher
    from savs.model import MultiLabelModel, SAVModel


# How data is read.


def pop_read_options(values: dict[str, Any]) -> ReadOptions:
    """Take the options of `data_options` out of the values of a command line.

    Raises
    ------
    click.BadParameter
        If an allowed host is not a host name.
    """
    hosts = values.pop("allow_host")
    fields = {name: values.pop(name) for name in _SAME_NAMES}
    # One fetcher for all data of a command: each address is downloaded once.
    fetch = _fetcher(hosts) if hosts else None
    return ReadOptions(**fields, revision=values.pop("data_revision"), fetch=fetch)


_SAME_NAMES = (
    "image_column",
    "video_column",
    "audio_column",
    "video_frames",
    "video_fps",
    "bit_depth",
    "text_column",
    "label_column",
    "id_column",
    "delimiter",
    "root",
    "allow_outside",
    "split",
    "config",
)
"""Options called like the field that they fill; --data-revision differs, as --revision is the backbone's."""


def _fetcher(hosts: tuple[str, ...]) -> Fetcher:
    from savs.media import Fetcher, UrlPolicy

    try:
        return Fetcher(UrlPolicy(hosts))
    except DataError as error:
        raise click.BadParameter(str(error), param_hint="--allow-host") from None


def with_sampling_of(model: SAVModel | MultiLabelModel, reading: ReadOptions) -> ReadOptions:
    """Return options that read media as the shots of a classifier were read, unless others were given."""
    if reading.bit_depth is None:
        reading = replace(reading, bit_depth=model.bit_depth_)
    sampling = model.video_sampling_
    if sampling is None or reading.video_frames is not None or reading.video_fps is not None:
        return reading
    return replace(reading, video_frames=sampling.n_frames, video_fps=sampling.fps)


# All data at once.


def read_data(
    source: DataSource,
    reading: ReadOptions,
    ledger: ErrorLedger | None = None,
    *,
    require_labels: bool = False,
) -> list[Example]:
    """Return the examples of a file, folder or dataset, after a check that their media files exist.

    Parameters
    ----------
    source : Path, str or list of them
        What `savs.data.read_examples` reads.
    reading : ReadOptions
    ledger : ErrorLedger, optional
        Notes the rows that are not examples; without it the first one is raised.
    require_labels : bool, default=False
        Refuse examples without a label.

    Raises
    ------
    DataError
        If more media files are unusable than the ledger allows (up to 20 are listed, one per line).
    ItemError
        If more rows are not examples than the ledger allows.
    """
    from savs.data import ErrorLedger, describe_errors, preflight, read_examples

    ledger = ledger or ErrorLedger()
    examples = read_examples(source, reading, require_labels=require_labels, ledger=ledger)
    bad = preflight(examples)
    if 0 <= ledger.left < len(bad):
        n_rows = len(examples) + ledger.n_errors
        raise unusable_files(len(bad), n_rows, ledger.n_errors, describe_errors(bad))
    return examples


def unusable_files(n_bad: int, n_rows: int, n_errors: int, listed: str) -> DataError:
    """Return the error for media files that cannot be used.

    Parameters
    ----------
    n_bad, n_rows : int
        Examples with such a file, and all rows.
    n_errors : int
        Rows that are not examples at all.
    listed : str
        The files and what is wrong with them, one per line.
    """
    rows = f"{n_errors} more {'row is not an example' if n_errors == 1 else 'rows are not examples'}"
    more = f", and {rows}" if n_errors else ""
    return DataError(f"{n_bad} of {n_rows} examples name a file that cannot be used{more}:\n{listed}")


# Data of any size: checked before the model is loaded, then read row by row in constant memory.

if TYPE_CHECKING:
    Chunk = dict[int, Example | ItemError]
    """Rows by position: examples, and the errors of rows that are not examples."""


ROWS_PER_CHUNK = 64
"""Rows that are read, computed and written together; questions on one image share a pass within them."""

_CHECK_SECONDS = 30.0
_LISTED = 20
_MOST_KEPT, _MOST_KEPT_BYTES = 20_000, 2**26  # rows, and bytes of their contents


class _Shard(click.ParamType["tuple[int, int]"]):
    """``I/N``: shard I of N, counted from 0."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return both numbers."""
        if isinstance(value, tuple):
            return value
        first, _, second = str(value).partition("/")
        if not (first.isascii() and first.isdecimal() and second.isascii() and second.isdecimal()):
            self.fail(f"{value!r} is not I/N, such as 0/4", param, ctx)
        index, count = int(first), int(second)
        if index >= count:
            self.fail(f"{value!r} is not a shard: I must be smaller than N, as in 0/4", param, ctx)
        return index, count


SHARD = _Shard()


@dataclass(frozen=True)
class Source:
    """Data as a command was given it.

    Parameters
    ----------
    data : Path, str or list of them
        What `savs.data.iter_examples` reads.
    reading : ReadOptions
        How.
    limit : int or None
        Only the first so many rows.
    shard : (int, int) or None
        Only every n-th of these, from the i-th on.
    """

    data: DataSource
    reading: ReadOptions = field(default_factory=ReadOptions)
    limit: int | None = None
    shard: tuple[int, int] | None = None
    _kept: list[tuple[int, Example | ItemError]] = field(default_factory=list, init=False, repr=False)

    def rows(self, ledger: ErrorLedger) -> Iterator[tuple[int, Example]]:
        """Yield positions and examples; the ledger notes the rows that are not examples.

        What `check` kept is not read again.
        """
        for position, result in self._kept or self._results(-1):
            if _is_error(result):
                ledger.add(position, None, result)
            else:
                yield position, result

    def check(self, max_errors: int) -> int | None:
        """Check rows and media files for half a minute, and return the number of rows, if it is known.

        What is wrong later in the data shows when its turn comes. Data of usual size are kept for `rows`;
        larger data are read again, so that memory stays flat.

        Parameters
        ----------
        max_errors : int
            Examples that may fail; -1 for any number.

        Raises
        ------
        DataError
            If the data cannot be read, or more media files are unusable than may fail (up to 20 are listed).
        ItemError
            If more rows are not examples than may fail.
        """
        from savs.data import describe_errors, preflight

        bad: list[ItemError] = []
        kept = _Kept()
        n_rows = n_errors = n_bad = 0
        end = time.monotonic() + _CHECK_SECONDS
        for position, result in self._results(max_errors):
            n_rows += 1
            kept.add(position, result)
            if _is_error(result):
                n_errors += 1
                continue
            errors = preflight([result])
            n_bad += len(errors)
            bad += errors[: max(_LISTED - len(bad), 0)]
            if time.monotonic() > end:
                return self._counted()
        if 0 <= max_errors < n_bad + n_errors and n_bad:
            listed = describe_errors(bad) + (f"\n... and {n_bad - len(bad)} more" if n_bad > len(bad) else "")
            raise unusable_files(n_bad, n_rows, n_errors, listed)
        self._kept.extend(kept.rows)
        return n_rows

    def _results(self, max_errors: int) -> Iterator[tuple[int, Example | ItemError]]:
        from savs.data import ErrorLimit, iter_results

        return iter_results(self.data, self._options, ErrorLimit(max_errors))

    @property
    def _options(self) -> ReadOptions:
        return replace(self.reading, limit=self.limit, shard=self.shard)

    def _counted(self) -> int | None:
        from savs.data import count_rows

        return count_rows(self.data, self._options)


class _Kept:
    """Rows that were read, as long as they are few and small: none of them otherwise."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Example | ItemError]] = []
        self._n_bytes = 0
        self._full = False

    def add(self, position: int, result: Example | ItemError) -> None:
        """Keep one more row, or drop them all if they have become too many."""
        if self._full:
            return
        self.rows.append((position, result))
        self._n_bytes += 0 if _is_error(result) else _content_bytes(result)
        if len(self.rows) > _MOST_KEPT or self._n_bytes > _MOST_KEPT_BYTES:
            self.rows, self._full = [], True


def _is_error(result: Example | ItemError) -> TypeIs[ItemError]:
    from savs.errors import ItemError

    return isinstance(result, ItemError)


def _content_bytes(example: Example) -> int:
    """Return about how many bytes of text and media an example holds in memory."""
    from savs.data import Text

    contents = [part.text if isinstance(part, Text) else part.source for part in example.parts]
    return sum(
        len(content) for content in (*contents, *example.fields.values()) if isinstance(content, str | bytes)
    )


def in_chunks(
    rows: Iterator[tuple[int, Example]], ledger: ErrorLedger, size: int = ROWS_PER_CHUNK
) -> Iterator[Chunk]:
    """Yield rows by position, `size` at a time, with the errors of the ledger in their places."""
    waiting: Chunk = {}
    for position, example in rows:
        waiting |= ledger.hand_over()
        waiting[position] = example
        while len(waiting) >= size:
            ready = sorted(waiting)[:size]
            # A reader may note errors of rows that it has not reached yet.
            if ready[-1] > position:
                break
            yield {index: waiting.pop(index) for index in ready}
    waiting |= ledger.hand_over()
    left = sorted(waiting)
    for start in range(0, len(left), size):
        yield {index: waiting[index] for index in left[start : start + size]}
