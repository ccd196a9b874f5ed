"""One value or one error per item: `Result`, `Results`, and `ErrorLimit`, which counts the errors.

A stage of the work takes results in the order of the items and gives results in the same order: an error
stays in the place of its item, and positions are never translated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from savs.data.example import Example
from savs.errors import ItemError

Item = TypeVar("Item")
Value = TypeVar("Value")

Result: TypeAlias = Value | ItemError
"""What became of one item: a value, or the reason why there is none."""


class ErrorLimit:
    """Decides how many items may fail: the one place that raises the error that is one too many.

    Parameters
    ----------
    max_errors : int, default=0
        How many errors are allowed; -1 means any number.

    Attributes
    ----------
    n_errors : int
        How many there were so far.

    Examples
    --------
    >>> limit = ErrorLimit(max_errors=1)
    >>> limit.attempt(int, "7"), limit.left
    (7, 1)
    """

    def __init__(self, max_errors: int = 0) -> None:
        self.max_errors = max_errors
        self.n_errors = 0

    @property
    def left(self) -> int:
        """How many more items may fail; -1 means any number."""
        return self.max_errors if self.max_errors < 0 else max(self.max_errors - self.n_errors, 0)

    def count(self, error: ItemError, name: str | None = None) -> ItemError:
        """Count an error and return it, or raise it if it is one too many.

        Parameters
        ----------
        error : ItemError
        name : str, optional
            The item's id, for an error that has none yet.
        """
        if error.id is None:
            error.id = name
        self.n_errors += 1
        if 0 <= self.max_errors < self.n_errors:
            raise error
        return error

    def attempt(
        self, make: Callable[[Item], Value], item: Item | ItemError, name: str | None = None
    ) -> Value | ItemError:
        """Return what `make` gives for an item, or its error; an error of an earlier stage stays.

        Parameters
        ----------
        make : callable
            May raise `ItemError`.
        item : object or ItemError
        name : str, optional
            The item's id, for the error.
        """
        if isinstance(item, ItemError):
            return item
        try:
            return make(item)
        except ItemError as error:
            return self.count(error, name)


class Results(Generic[Value]):
    """One value or error per example, filled in any order.

    Parameters
    ----------
    examples : sequence of Example
        They name the errors: by id, or by position for those without.
    max_errors : int, default=0
        How many may fail before the error of one more is raised; -1 means any number.
    """

    def __init__(self, examples: Sequence[Example], max_errors: int = 0) -> None:
        self._ids = [example.id for example in examples]
        self._limit = ErrorLimit(max_errors)
        self._results: dict[int, Value | ItemError] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, position: int, result: Value | ItemError) -> None:
        """Take in the value or error of one example.

        Raises
        ------
        ItemError
            If `result` is the error that is one too many.
        """
        if isinstance(result, ItemError):
            result = self._limit.count(result, self._ids[position] or str(position))
        self._results[position] = result

    @property
    def left(self) -> int:
        """How many more examples may fail; -1 means any number."""
        return self._limit.left

    @property
    def values(self) -> dict[int, Value]:
        """The values by position, ascending."""
        return {
            position: result
            for position, result in sorted(self._results.items(), key=lambda pair: pair[0])
            if not isinstance(result, ItemError)
        }

    @property
    def errors(self) -> dict[int, ItemError]:
        """The errors by position, ascending."""
        return {
            position: result
            for position, result in sorted(self._results.items(), key=lambda pair: pair[0])
            if isinstance(result, ItemError)
        }
