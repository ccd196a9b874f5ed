"""Test items that are copies of a shot, left out with the whole group or pair they belong to."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from savs.data import Example
from savs.data.checks import find_copies
from savs.tasks.task import Task

__all__ = ["LeakReport", "unit_of", "without_shots"]


@dataclass(frozen=True)
class LeakReport:
    """What `without_shots` left out.

    Attributes
    ----------
    n_items : int
        Test items before.
    n_copies : int
        Items with the content of a shot.
    n_left_out : int
        Items left out: copies, and the other items of their groups or pairs.
    n_units : int
        Groups or pairs left out; items where they stand alone.
    first : str or None
        Id of the first copy.
    """

    n_items: int
    n_copies: int
    n_left_out: int
    n_units: int
    first: str | None = None

    def __str__(self) -> str:
        if not self.n_copies:
            return f"none of {self.n_items} test items is a copy of a shot"
        return (
            f"{self.n_copies} of {self.n_items} test items are copies of a shot, the first is {self.first}; "
            f"{self.n_left_out} items in {self.n_units} groups are left out"
        )


def without_shots(
    task: Task, test: Sequence[Example], shots: Sequence[Example]
) -> tuple[list[Example], LeakReport]:
    """Return the test items without copies of a shot, in whole groups or pairs, and what was left out.

    The published shots of NaturalBench-retrieval and Pets are in their test files.

    Parameters
    ----------
    task : Task
        Says which items belong together: a group or pair with a copy is left out as a whole, as its metric
        needs all of its items.
    test : sequence of Example
        As `Task.read` returns them, with or without the prompt.
    shots : sequence of Example
        In the same form.

    Returns
    -------
    kept : list of Example
        In order.
    report : LeakReport
        How many were left out.

    Raises
    ------
    DataError
        If an item does not tell its group.

    Examples
    --------
    >>> from savs.data import as_examples
    >>> from savs.tasks import get_task
    >>> items = as_examples(["red", "blue", "green"])
    >>> kept, report = without_shots(get_task("eurosat"), items, items[1:2])
    >>> [example.text for example in kept], report.n_left_out
    (['red', 'green'], 1)
    """
    copies = find_copies(shots, test)
    units = [unit_of(task, example, place) for place, example in enumerate(test)]
    leaked = {units[place] for place in copies}
    kept = [example for example, unit in zip(test, units, strict=True) if unit not in leaked]
    first = test[copies[0]].id if copies else None
    return kept, LeakReport(len(test), len(copies), len(test) - len(kept), len(leaked), first)


def unit_of(task: Task, example: Example, index: int) -> Hashable:
    """Return what an example's group or pair has in common; its own number where it stands alone.

    Parameters
    ----------
    task : Task
        Says which items belong together.
    example : Example
        The item.
    index : int
        Its number.

    Raises
    ------
    DataError
        If the item does not tell its group.
    """
    if task.groups is not None:
        return "group", task.groups.place(example)[0]
    if task.pair_column is not None:
        split = None if task.split_column is None else str(example.fields.get(task.split_column))
        return "pair", split, str(example.fields.get(task.pair_column))
    return index
