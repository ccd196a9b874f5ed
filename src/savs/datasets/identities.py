"""Ids that stand twice, found while rows stream by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from savs.datasets.rows import Row
from savs.errors import DataError

__all__ = ["unique_rows"]

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
