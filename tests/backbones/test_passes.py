"""The next item is prepared while the caller works on this one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from savs.backbones._passes import prefetched


def test__prefetched__items__in_order_each_once() -> None:
    with prefetched(iter(range(20))) as items:
        assert list(items) == list(range(20))
    with prefetched(iter(())) as items:
        assert list(items) == []


def test__prefetched__while_the_caller_works__the_next_is_prepared_on_one_other_thread() -> None:
    threads: set[int] = set()
    second = threading.Event()

    def source() -> Iterator[int]:
        for number in range(3):
            threads.add(threading.get_ident())
            if number == 1:
                second.set()
            yield number

    with prefetched(source()) as items:
        assert next(items) == 0
        assert second.wait(5)  # nobody has asked for it yet
        assert list(items) == [1, 2]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test__prefetched__depth__no_further_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with prefetched(source(), depth=2) as items:
        for _ in range(3):
            next(items)
    assert len(made) <= 5


def test__prefetched__source_fails__raised_where_its_item_would_have_come() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with prefetched(source()) as items:
        assert next(items) == 1
        with pytest.raises(ZeroDivisionError):
            next(items)


def test__prefetched__caller_stops__no_thread_stays() -> None:
    before = threading.active_count()

    def stop() -> None:
        with prefetched(iter(range(1000))) as items:
            next(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert threading.active_count() == before
