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
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from savs.backbones._batching import (
    Batch,
    BatchEncoder,
    Errors,
    Item,
    PaddingSide,
    by_length,
    families,
    render_all,
    take,
)
from savs.backbones._memory import BatchSize, OutOfMemoryError, release, too_large
from savs.backbones._prefixes import PassedChecks, SharedBatch, encode_family
from savs.backbones.base import RunReport
from savs.data import Example, Results
from savs.errors import ItemError
from savs.media._bit_depth import levels_checked

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
    def advance() -> T | object:
        return next(source, _END)

    waiting: deque[Future[T | object]] = deque()
    while True:
        while len(waiting) < depth:
            waiting.append(pool.submit(copy_context().run, advance))
        item = waiting.popleft().result()
        if item is _END:
            return
        yield item  # type: ignore[misc]


# All examples of one call through the model: prepared ahead, shared where alike, halved if too large.

_LOG = logging.getLogger(__name__)

Row = TypeVar("Row")


@dataclass(frozen=True)
class Work:
    """What the worker thread has prepared: batches, or prompts with a common beginning, and errors."""

    batches: Sequence[Batch] = ()
    shared: SharedBatch | None = None
    errors: Errors = field(default_factory=dict)


@dataclass
class Passes(Generic[Row]):
    """Reads one row per example.

    Parameters
    ----------
    encoder : BatchEncoder
    size : BatchSize
        Shared by all calls of a backbone: what did not fit once is not tried again.
    read : callable
        One row per example of a batch.
    read_shared : callable, optional
        One row per example of prompts that begin alike; None reads every prompt in full.
    check : callable, optional
        Given a row read on top of a shared beginning and the same row read in full, returns what is wrong.
    refuse : callable, optional
        Returns what is wrong with a row that cannot be used.
    advance : callable
        Called with the number of examples that are done.
    padding_side : {"right", "left"}
    passed : PassedChecks, optional
        What earlier calls have checked; by default each kind of prompts is checked in this call.
    depth : int, default=0
        How deep the rows are read: the number of layers.
    """

    encoder: BatchEncoder
    size: BatchSize
    read: Callable[[Batch], Sequence[Row]]
    read_shared: Callable[[SharedBatch], Sequence[Row]] | None = None
    check: Callable[[Row, Row], str | None] = lambda _row, _whole: None
    refuse: Callable[[Row], ItemError | None] = lambda _row: None
    advance: Callable[[int], object] = lambda _n: None
    padding_side: PaddingSide = "right"
    passed: PassedChecks | None = None
    depth: int = 0
    report: RunReport = field(default_factory=RunReport)

    @levels_checked()
    def run(self, examples: Sequence[Example], max_errors: int = 0) -> Results[Row]:
        """Return a row or an error for each example.

        Parameters
        ----------
        examples : sequence of Example
        max_errors : int, default=0
            How many examples may fail before the error of one more is raised; -1 means any number.
        """
        self.report.n_examples = len(examples)
        results: Results[Row] = Results(examples, max_errors)
        items, errors = render_all(self.encoder.processor, examples)
        self._put_errors(results, errors)
        with prefetched(self._prepare(items)) as prepared:
            for work in prepared:
                self._read(work, results)
        self.report.batch_size = self.size.limit
        return results

    def _put_errors(self, results: Results[Row], errors: Errors) -> None:
        for index, error in errors.items():
            results.put(index, error)
        self.advance(len(errors))

    def _put_rows(self, results: Results[Row], items: Sequence[Item], rows: Sequence[Row]) -> None:
        self.advance(len(rows))
        for item, row in zip(items, rows, strict=True):
            error = self.refuse(row)
            results.put(item.index, row if error is None else error)

    def _prepare(self, items: Sequence[Item]) -> Iterator[Work]:
        """Yield model inputs; runs on the worker thread, and touches nothing that the main thread changes."""
        alike, rest = families(self.encoder.processor, items) if self.read_shared else ([], list(items))
        for family in alike:
            shared, left, errors = encode_family(self.encoder, family)
            rest += left
            yield Work(shared=shared, errors=errors)
        yield from self._plain(rest)

    def _plain(self, items: Sequence[Item]) -> Iterator[Work]:
        waiting = by_length(items)
        n_tokens: int | None = None
        while waiting:
            group = take(waiting, self.size.next(n_tokens))
            del waiting[: len(group)]
            batches, errors = self.encoder.encode(group, self.padding_side)
            n_tokens = max((batch.longest for batch in batches), default=n_tokens)
            yield Work(batches, errors=errors)

    def _read(self, work: Work, results: Results[Row]) -> None:
        self._put_errors(results, work.errors)
        if work.shared is not None:
            rows = self._try_shared(work.shared)
            if rows is not None:
                self._put_rows(results, work.shared.items, rows)
                return
            for plain in self._plain(work.shared.items):
                self._read(plain, results)
        for batch in work.batches:
            self._read_or_split(batch, results)

    def _read_or_split(self, batch: Batch, results: Results[Row]) -> None:
        rows = self._try(batch)
        if rows is not None:
            self.report.n_forward += len(rows)
            self._put_rows(results, batch.items, rows)
        elif len(batch.items) == 1:
            self._put_errors(results, {batch.items[0].index: too_large(batch.longest, batch.sizes[0])})
        else:
            self.size.halve(len(batch.items))
            middle = len(batch.items) // 2
            for half in (batch.items[:middle], batch.items[middle:]):
                batches, errors = self.encoder.encode(half, self.padding_side)
                self._read(Work(batches, errors=errors), results)

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
        if self.passed is not None and self.passed.cover(shared.signature, self.depth):
            self.report.checked.add(shared.signature)
            return
        whole = self.read(shared.whole)[0]
        self.report.n_forward += 1
        wrong = self.check(row, whole)
        if wrong:
            raise ValueError(wrong)
        self.report.checked.add(shared.signature)
        if self.passed is not None:
            self.passed.note(shared.signature, self.depth)

    def _give_up(self, reason: str) -> None:
        self.report.prefix_failure = " ".join(reason.split())[:200] or "unknown"
        _LOG.warning("prefix reuse is off, every prompt is read in full: %s", self.report.prefix_failure)
