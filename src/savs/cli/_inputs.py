"""Data for a command: looked through before any model is loaded, then read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.errors import DataError

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from savs.data import ErrorLedger, Example, ReadOptions
    from savs.errors import ItemError
    from savs.media import Fetcher


# Data for a command: read it, and find missing files before any model is loaded.

DATA_OPTIONS = {
    "image_column": "image_column",
    "video_column": "video_column",
    "audio_column": "audio_column",
    "video_frames": "video_frames",
    "video_fps": "video_fps",
    "text_column": "text_column",
    "label_column": "label_column",
    "id_column": "id_column",
    "root": "root",
    "allow_outside": "allow_outside",
    "split": "split",
    "config": "config",
    "data_revision": "revision",  # --revision is the backbone's
}


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of `read_examples` and those of `load_backbone` that were given.

    Raises
    ------
    click.BadParameter
        If an allowed host is none.
    """
    hosts = options.pop("allow_host", ())
    data = {DATA_OPTIONS[name]: value for name, value in options.items() if name in DATA_OPTIONS}
    load = {name: value for name, value in options.items() if name not in DATA_OPTIONS and value is not None}
    # One for all data of a command: each address is fetched once.
    return (data | {"fetch": _fetcher(hosts)} if hosts else data), load


def _fetcher(hosts: tuple[str, ...]) -> Fetcher:
    from savs.media import Fetcher, UrlPolicy

    try:
        return Fetcher(UrlPolicy(hosts))
    except DataError as error:
        raise click.BadParameter(str(error), param_hint="--allow-host") from None


def unusable(n_bad: int, n_rows: int, n_errors: int, listed: str) -> DataError:
    """Return the error for files that cannot be used; `n_errors` other rows failed before files were seen."""
    kind = "is not an example" if n_errors == 1 else "are not examples"
    more = f", beside {n_errors} more that {kind}" if n_errors else ""
    return DataError(f"{n_bad} of {n_rows} examples name a file that cannot be used{more}:\n{listed}")


def read_data(
    source: Path | str, ledger: ErrorLedger | None = None, *, require_labels: bool = False, **options: Any
) -> list[Example]:
    """Return the examples of a file, folder or dataset; the errors of the other rows go to the ledger.

    Without a ledger the first error is raised. The options are those of `read_examples`.

    Raises
    ------
    DataError
        If more media files cannot be used than the ledger takes (up to 20 listed, one per line).
    ItemError
        If more rows are no examples than the ledger takes.
    """
    from savs.data import ErrorLedger, describe_errors, preflight, read_examples

    ledger = ledger or ErrorLedger()
    examples = read_examples(source, require_labels=require_labels, ledger=ledger, **options)
    bad = preflight(examples)
    if 0 <= ledger.left < len(bad):
        n_rows = len(examples) + ledger.n_errors
        raise unusable(len(bad), n_rows, ledger.n_errors, describe_errors(bad))
    return examples


# Data for a long run: looked through before the model is loaded, then read row by row in flat memory.

if TYPE_CHECKING:
    Chunk = dict[int, Example | ItemError]
    """Rows by position: examples, and the errors of those that are none."""


ROWS_PER_CHUNK = 64
"""Rows that are read, computed and written together; questions on one image share a pass within them."""

_LOOKED_THROUGH = 30.0  # seconds
_LISTED = 20
_MOST_KEPT, _MOST_KEPT_BYTES = 20_000, 2**26  # rows, and bytes of their contents


class _Shard(click.ParamType["tuple[int, int]"]):
    """Which of how many pieces, counted from 0."""

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
            self.fail(f"the pieces of {count} are 0/{count} to {max(count - 1, 0)}/{count}", param, ctx)
        return index, count


SHARD = _Shard()


@dataclass(frozen=True)
class Source:
    """Data as a command was given it.

    Parameters
    ----------
    data : Path or str
        What `savs.data.iter_examples` reads.
    reading : dict
        Its options.
    limit : int or None
        Only the first so many rows.
    shard : (int, int) or None
        Only every n-th of these, from the i-th on.
    """

    data: Path | str
    reading: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    shard: tuple[int, int] | None = None
    _kept: list[tuple[int, Example | ItemError]] = field(default_factory=list, init=False, repr=False)

    def rows(self, ledger: ErrorLedger) -> Iterator[tuple[int, Example]]:
        """Yield positions and examples; the errors of the other rows go to the ledger.

        What `look_through` kept is not read again.
        """
        for position, result in self._kept or self._results(-1):
            if _is_error(result):
                ledger.add(position, None, result)
            else:
                yield position, result

    def look_through(self, max_errors: int) -> int | None:
        """Find wrong files and rows before a model is loaded, and return the number of rows, if it is known.

        What cannot be looked through in half a minute is found when its turn comes. Data of usual size are
        kept for `rows`; larger data are read again, so that memory stays flat.

        Raises
        ------
        DataError
            If the data cannot be read, or more media files cannot be used than may fail (up to 20 listed).
        ItemError
            If more rows are not examples than may fail.
        """
        from savs.data import describe_errors, preflight

        bad: list[ItemError] = []
        kept = _Kept()
        n_rows = n_errors = n_bad = 0
        end = time.monotonic() + _LOOKED_THROUGH
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
            raise unusable(n_bad, n_rows, n_errors, listed)
        self._kept.extend(kept.rows)
        return n_rows

    def _results(self, max_errors: int) -> Iterator[tuple[int, Example | ItemError]]:
        from savs.data import ErrorLimit, iter_results

        return iter_results(self.data, self._options, ErrorLimit(max_errors))

    @property
    def _options(self) -> ReadOptions:
        from savs.data import ReadOptions

        return ReadOptions(**self.reading, limit=self.limit, shard=self.shard)

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
    """Yield rows by position, so many at a time, with the errors that the ledger was told in their places."""
    waiting: Chunk = {}
    for position, example in rows:
        waiting |= ledger.hand_over()
        waiting[position] = example
        while len(waiting) >= size:
            ready = sorted(waiting)[:size]
            # A reader may know of errors further on than it has come.
            if ready[-1] > position:
                break
            yield {index: waiting.pop(index) for index in ready}
    waiting |= ledger.hand_over()
    left = sorted(waiting)
    for start in range(0, len(left), size):
        yield {index: waiting[index] for index in left[start : start + size]}
