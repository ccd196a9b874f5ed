"""Prepares the next batches on another thread while the model works on this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["prefetched"]

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
