"""`ErrorLedger`: an `ErrorLimit` that also keeps the errors, by the position of their example."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TypeVar

from savs.data._results import ErrorLimit
from savs.data.example import Example
from savs.errors import ItemError

Item = TypeVar("Item")
Value = TypeVar("Value")


class ErrorLedger(ErrorLimit):
    """Collects item errors until there are too many; one ledger may go through several stages of the work.

    Parameters
    ----------
    max_errors : int, default=0
        How many are kept before the next one is raised; -1 means any number.

    Examples
    --------
    >>> from savs.data import as_examples
    >>> ledger = ErrorLedger(max_errors=1)
    >>> [example.text for example in as_examples(["red", "http://x.org/a.png", "blue"], ledger=ledger)]
    ['red', 'blue']
    >>> [error.code for error in ledger.errors], ledger.left, ledger.kept(2)
    (['url_refused'], 0, [0, 2])
    """

    def __init__(self, max_errors: int = 0) -> None:
        super().__init__(max_errors)
        self._errors: dict[int, ItemError] = {}

    def add(self, index: int, example: Example | None, error: ItemError) -> None:
        """Note the error of one example, or raise it if there are too many.

        Parameters
        ----------
        index : int
            Position of the example among all that were given.
        example : Example or None
            Its id names the error, if nobody named it before; the position does if it has none, or if there
            is not an example yet.
        error : ItemError
            What is wrong with it.
        """
        if index in self._errors:  # a later error of the same example counts once
            self.n_errors -= 1
        self._errors[index] = error
        self.count(error, str(index) if example is None or not example.id else example.id)

    def collect(self, make: Callable[[Item], Value], items: Mapping[int, Item]) -> dict[int, Value]:
        """Return what `make` gives for each item by its position, and note the errors of the others."""
        values: dict[int, Value] = {}
        for index, item in items.items():
            try:
                values[index] = make(item)
            except ItemError as error:
                self.add(index, item if isinstance(item, Example) else None, error)
        return values

    def note_rest(
        self, examples: Mapping[int, Example], done: Container[int], errors: Sequence[ItemError]
    ) -> None:
        """Note the errors of a stage that returns them in order, one for each of `examples` not in `done`."""
        rest = [index for index in examples if index not in done]
        for index, error in zip(rest, errors, strict=True):
            self.add(index, examples[index], error)

    def hand_over(self) -> dict[int, ItemError]:
        """Return the errors by position and forget them; they still count."""
        errors, self._errors = self.by_index, {}
        return errors

    def take_over(self, n_errors: int) -> None:
        """Count the errors of an earlier run, which this one goes on with."""
        self.n_errors += n_errors

    def kept(self, n_kept: int) -> list[int]:
        """Return the positions of `n_kept` examples that are left when those with errors are taken out."""
        n_given = n_kept + len(self._errors)
        return [index for index in range(n_given) if index not in self._errors]

    @property
    def by_index(self) -> dict[int, ItemError]:
        """The errors by position, ascending."""
        return dict(sorted(self._errors.items()))

    @property
    def errors(self) -> list[ItemError]:
        """In the order of the examples."""
        return list(self.by_index.values())
