"""`ErrorLedger`: the one place that decides how many examples may fail before the work stops."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TypeVar

from savs.data.example import Example
from savs.errors import ItemError

Given = TypeVar("Given")
Made = TypeVar("Made")


class ErrorLedger:
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
        self.max_errors = max_errors
        self._errors: dict[int, ItemError] = {}
        self._n_handed_over = 0

    def add(self, index: int, example: Example | None, error: ItemError) -> None:
        """Note the error of one example, or raise it if there are too many.

        Parameters
        ----------
        index : int
            Position of the example among all that were given.
        example : Example or None
            Its id names the error, if nobody named it before; the position does if it has none, or if there
            is no example yet.
        error : ItemError
            What is wrong with it.
        """
        if error.id is None:
            error.id = str(index) if example is None or not example.id else example.id
        self._errors[index] = error
        if 0 <= self.max_errors < self.n_errors:
            raise error

    def collect(self, make: Callable[[Given], Made], items: Mapping[int, Given]) -> dict[int, Made]:
        """Return what `make` gives for each item by its position, and note the errors of the others."""
        made: dict[int, Made] = {}
        for index, item in items.items():
            try:
                made[index] = make(item)
            except ItemError as error:
                self.add(index, item if isinstance(item, Example) else None, error)
        return made

    def note_rest(
        self, examples: Mapping[int, Example], done: Container[int], errors: Sequence[ItemError]
    ) -> None:
        """Note the errors of a stage that tells them in order, one for each of `examples` not in `done`."""
        rest = [index for index in examples if index not in done]
        for index, error in zip(rest, errors, strict=True):
            self.add(index, examples[index], error)

    def hand_over(self) -> dict[int, ItemError]:
        """Return the errors by position and forget them; they still count.

        A run over more examples than fit into memory tells them as they come.
        """
        handed, self._errors = self.by_index, {}
        self._n_handed_over += len(handed)
        return handed

    def take_over(self, n_errors: int) -> None:
        """Count errors of an earlier run, which this one goes on with."""
        self._n_handed_over += n_errors

    @property
    def n_errors(self) -> int:
        """How many there were, with those that were handed over."""
        return self._n_handed_over + len(self._errors)

    def kept(self, n_kept: int) -> list[int]:
        """Return the positions of `n_kept` examples that are left when those with errors are taken out."""
        n_given = n_kept + len(self._errors)
        return [index for index in range(n_given) if index not in self._errors]

    @property
    def left(self) -> int:
        """How many more may fail; -1 means any number."""
        return self.max_errors if self.max_errors < 0 else max(self.max_errors - self.n_errors, 0)

    @property
    def by_index(self) -> dict[int, ItemError]:
        """The errors by position, ascending."""
        return dict(sorted(self._errors.items()))

    @property
    def errors(self) -> list[ItemError]:
        """In the order of the examples."""
        return list(self.by_index.values())
