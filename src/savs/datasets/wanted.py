"""Which positions of a source become examples."""

from __future__ import annotations

from dataclasses import dataclass

from savs.errors import DataError

__all__ = ["Wanted"]


@dataclass(frozen=True)
class Wanted:
    """The positions below `limit` that leave the rest `index` when divided by `count`.

    Parameters
    ----------
    limit : int or None
        None means all.
    index, count : int
        A shard: ``0 <= index < count``.

    Raises
    ------
    DataError
        If they are out of range.

    Examples
    --------
    >>> wanted = Wanted(limit=6, index=1, count=3)
    >>> [position for position in range(10) if position in wanted]
    [1, 4]
    """

    limit: int | None = None
    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise DataError(f"the limit must be at least 1, not {self.limit}")
        if not 0 <= self.index < self.count:
            raise DataError(
                f"shard {self.index} of {self.count} does not exist; the first is 0 of {max(self.count, 1)}"
            )

    def __contains__(self, position: int) -> bool:
        return (self.limit is None or position < self.limit) and position % self.count == self.index
