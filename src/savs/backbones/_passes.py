"""All examples of one call through the model: planned, prepared ahead, shared, halved if too large.

Each example is read exactly once, in full or on top of a shared beginning; one that cannot be read is an item
error and takes no other down.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from savs.backbones._batching import (
    Batch,
    BatchEncoder,
    Failure,
    Item,
    PaddingSide,
    by_length,
    families,
    render_all,
    take,
)
from savs.backbones._memory import BatchSize, OutOfMemoryError, release, too_large
from savs.backbones._prefixes import SharedBatch, encode_family
from savs.backbones.base import RunReport
from savs.data import ErrorLedger, Example
from savs.errors import ItemError

# Prepares the next batches on another thread while the model works on this one.

T = TypeVar("T")
_END = object()


@contextmanager
def prefetched(source: Iterator[T], depth: int = 2) -> Iterator[Iterator[T]]:
    """Run an iterator up to `depth` items ahead on one worker thread.

    One thread only, which alone touches the source: tokenizers must not be used by two threads at a time.
    What the source raises is raised where its item would have come. On leaving the block the thread ends
    after the item that it is at.

    Parameters
    ----------
    source : iterator
        Advanced only on the worker thread.
    depth : int
        Items prepared ahead.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="savs-preprocessing")
    try:
        yield _in_order(source, pool, depth)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(source: Iterator[T], pool: ThreadPoolExecutor, depth: int) -> Iterator[T]:
    waiting: deque[Future[T | object]] = deque()
    while True:
        while len(waiting) < depth:
            waiting.append(pool.submit(next, source, _END))
        item = waiting.popleft().result()
        if item is _END:
            return
        yield item  # type: ignore[misc]


# All examples of one call through the model: prepared ahead, shared where alike, halved if too large.

_LOG = logging.getLogger(__name__)

Row = TypeVar("Row")


@dataclass(frozen=True)
class _Work:
    """What the worker thread has prepared."""

    batches: Sequence[Batch] = ()
    shared: SharedBatch | None = None
    failures: Sequence[Failure] = ()


@dataclass
class Passes(Generic[Row]):
    """Reads one row per example.

    Parameters
    ----------
    encoder : BatchEncoder
    size : BatchSize
        Shared by all calls of a backbone: what did not fit once is not tried again.
    ledger : ErrorLedger
        Raises when too many examples fail.
    read : callable
        One row per example of a batch.
    read_shared : callable, optional
        One row per example of prompts that begin alike; None reads every prompt in full.
    check : callable, optional
        Given a row read on top of a shared beginning and the same row read in full, returns what is wrong.
    refuse : callable, optional
        Returns what is wrong with a row that cannot be used.
    advance : callable
        Told how many examples are done.
    padding_side : {"right", "left"}
    """

    encoder: BatchEncoder
    size: BatchSize
    ledger: ErrorLedger
    read: Callable[[Batch], Sequence[Row]]
    read_shared: Callable[[SharedBatch], Sequence[Row]] | None = None
    check: Callable[[Row, Row], str | None] = lambda _row, _whole: None
    refuse: Callable[[Row], ItemError | None] = lambda _row: None
    advance: Callable[[int], object] = lambda _n: None
    padding_side: PaddingSide = "right"
    report: RunReport = field(default_factory=RunReport)

    def run(self, examples: Sequence[Example]) -> dict[int, Row]:
        """Return the rows by position of the example; the ledger holds the others."""
        self.report.n_examples = len(examples)
        rows: dict[int, Row] = {}
        items, failures = render_all(self.encoder.processor, examples)
        self._note(failures, examples)
        with prefetched(self._prepare(items)) as prepared:
            for work in prepared:
                self._note(work.failures, examples)
                for item, row in self._read(work, examples):
                    error = self.refuse(row)
                    if error is None:
                        rows[item.index] = row
                    else:
                        self.ledger.add(item.index, examples[item.index], error)
        self.report.batch_size = self.size.limit
        return rows

    def _note(self, failures: Sequence[Failure], examples: Sequence[Example]) -> None:
        for failure in failures:
            self.ledger.add(failure.index, examples[failure.index], failure.error)
        self.advance(len(failures))

    def _prepare(self, items: Sequence[Item]) -> Iterator[_Work]:
        """Yield model inputs; runs on the worker thread, and touches nothing that the main thread changes."""
        alike, rest = families(self.encoder.processor, items) if self.read_shared else ([], list(items))
        for family in alike:
            shared, left, failures = encode_family(self.encoder, family)
            rest += left
            yield _Work(shared=shared, failures=failures)
        yield from self._plain(rest)

    def _plain(self, items: Sequence[Item]) -> Iterator[_Work]:
        waiting = by_length(items)
        n_tokens: int | None = None
        while waiting:
            group = take(waiting, self.size.next(n_tokens))
            del waiting[: len(group)]
            batches, failures = self.encoder.encode(group, self.padding_side)
            n_tokens = max((batch.longest for batch in batches), default=n_tokens)
            yield _Work(batches=batches, failures=failures)

    def _read(self, work: _Work, examples: Sequence[Example]) -> Iterator[tuple[Item, Row]]:
        if work.shared is not None:
            rows = self._try_shared(work.shared)
            if rows is not None:
                self.advance(len(rows))
                yield from zip(work.shared.items, rows, strict=True)
                return
            for plain in self._plain(work.shared.items):
                yield from self._read(plain, examples)
        for batch in work.batches:
            yield from self._read_or_split(batch, examples)

    def _read_or_split(self, batch: Batch, examples: Sequence[Example]) -> Iterator[tuple[Item, Row]]:
        rows = self._try(batch)
        if rows is not None:
            self.report.n_forward += len(rows)
            self.advance(len(rows))
            yield from zip(batch.items, rows, strict=True)
        elif len(batch.items) == 1:
            error = too_large(batch.longest, batch.sizes[0])
            self._note([Failure(batch.items[0].index, error)], examples)
        else:
            self.size.halve(len(batch.items))
            middle = len(batch.items) // 2
            for half in (batch.items[:middle], batch.items[middle:]):
                batches, failures = self.encoder.encode(half, self.padding_side)
                yield from self._read(_Work(batches, None, failures), examples)

    def _try(self, batch: Batch) -> Sequence[Row] | None:
        """Return the rows, or None if they do not fit into memory; the failed pass is gone by then."""
        try:
            return self.read(batch)
        except OutOfMemoryError:
            self.report.n_out_of_memory += 1
        release()
        return None

    def _try_shared(self, shared: SharedBatch) -> Sequence[Row] | None:
        """Return the rows, or None if the prompts must be read in full."""
        if self.read_shared is None or self.report.prefix_failure:
            return None
        try:
            rows = self.read_shared(shared)
            self._compare(shared, rows[-1])
        except OutOfMemoryError:
            self.report.n_out_of_memory += 1
        except Exception as error:  # a model can fail at this in any way; the full pass decides what is wrong
            self._give_up(str(error))
        else:
            self.report.n_prefixes += 1
            self.report.n_reused += len(rows)
            return rows
        release()
        return None

    def _compare(self, shared: SharedBatch, row: Row) -> None:
        if shared.signature in self.report.checked:
            return
        whole = self.read(shared.whole)[0]
        self.report.n_forward += 1
        wrong = self.check(row, whole)
        if wrong:
            raise ValueError(wrong)
        self.report.checked.add(shared.signature)

    def _give_up(self, reason: str) -> None:
        self.report.prefix_failure = " ".join(reason.split())[:200] or "unknown"
        _LOG.warning("prefix reuse is off, every prompt is read in full: %s", self.report.prefix_failure)
