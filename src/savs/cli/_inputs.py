"""The data of a command: how it is read, and a check of every row before a model is loaded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.errors import DataError

if TYPE_CHECKING:
    from savs.data import ErrorLedger, Example
    from savs.errors import ItemError
    from savs.media import Fetcher
    from savs.model import SAVModel


# How data is read.


@dataclass(frozen=True)
class ReadOptions:
    """How a file, folder or dataset is read: the keywords of `savs.data.read_examples`.

    Attributes
    ----------
    image_column, video_column, audio_column : sequence of str, optional
        Columns with media.
    text_column, label_column, id_column : str, optional
        Columns with the text, the label and the id.
    video_frames : int, optional
        Frames to read from each video.
    video_fps : float, optional
        Frames to read per second of video.
    root : Path, optional
        Folder that media paths are relative to.
    allow_outside : bool, default=False
        Accept media files outside `root`.
    split, config, revision : str, optional
        Part, configuration and revision of a dataset.
    fetch : Fetcher, optional
        Downloads media; without it addresses are refused.
    """

    image_column: Sequence[str] | None = None
    text_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    video_column: Sequence[str] | None = None
    audio_column: Sequence[str] | None = None
    video_frames: int | None = None
    video_fps: float | None = None
    root: Path | None = None
    allow_outside: bool = False
    split: str | None = None
    config: str | None = None
    revision: str | None = None
    fetch: Fetcher | None = None


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
    "text_column",
    "label_column",
    "id_column",
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


def with_sampling_of(model: SAVModel, reading: ReadOptions) -> ReadOptions:
    """Return options that read videos as the shots of a classifier were read, unless others were given."""
    sampling = model.video_sampling_
    if sampling is None or reading.video_frames is not None or reading.video_fps is not None:
        return reading
    return replace(reading, video_frames=sampling.n_frames, video_fps=sampling.fps)


# All data at once.


def read_data(
    source: Path | str,
    reading: ReadOptions,
    ledger: ErrorLedger | None = None,
    *,
    require_labels: bool = False,
) -> list[Example]:
    """Return the examples of a file, folder or dataset, after a check that their media files exist.

    Parameters
    ----------
    source : Path or str
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
    examples = read_examples(source, require_labels=require_labels, ledger=ledger, **vars(reading))
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
    data : Path or str
        What `savs.data.iter_examples` reads.
    reading : ReadOptions
    limit : int or None
        Only the first so many rows.
    shard : (int, int) or None
        Only every n-th of these, from the i-th on.
    """

    data: Path | str
    reading: ReadOptions = ReadOptions()
    limit: int | None = None
    shard: tuple[int, int] | None = None

    def rows(self, ledger: ErrorLedger) -> Iterator[tuple[int, Example]]:
        """Yield positions and examples; the ledger notes the rows that are not examples."""
        from savs.data import iter_examples

        options = vars(self.reading) | {"limit": self.limit, "shard": self.shard}
        return iter_examples(self.data, ledger=ledger, **options)

    def check(self, max_errors: int) -> int | None:
        """Check rows and media files for half a minute, and return the number of rows, if it is known.

        What is wrong later in the data shows when its turn comes.

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
        from savs.data import ErrorLedger, describe_errors, preflight

        bad: list[ItemError] = []
        ledger, n_rows, n_bad = ErrorLedger(max_errors), 0, 0
        end = time.monotonic() + _CHECK_SECONDS
        for _, example in self.rows(ledger):
            n_rows += 1
            found = preflight([example])
            n_bad += len(found)
            bad += found[: max(_LISTED - len(bad), 0)]
            if time.monotonic() > end:
                return self._count_rows()
            ledger.hand_over()
        n_rows += ledger.n_errors
        if 0 <= ledger.left < n_bad:
            listed = describe_errors(bad) + (f"\n... and {n_bad - len(bad)} more" if n_bad > len(bad) else "")
            raise unusable_files(n_bad, n_rows, ledger.n_errors, listed)
        return n_rows

    def _count_rows(self) -> int | None:
        from savs.data import count_rows

        where = self.reading
        n_rows = count_rows(self.data, split=where.split, config=where.config, revision=where.revision)
        if n_rows is None:
            return None
        n_rows = n_rows if self.limit is None else min(n_rows, self.limit)
        return n_rows if self.shard is None else len(range(self.shard[0], n_rows, self.shard[1]))


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
