"""Which rows of a comparison are shots, which are judged, and which are put to the model in words."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.datasets import DataWarning, example_hash
from savs.errors import DataError
from savs.evaluation.contenders import ReadExamples
from savs.evaluation.protocol import draw_rows
from savs.examples import Example, Label

__all__ = ["Rows", "items_to_ask", "shots_and_tests"]

Rows = NDArray[np.intp]


def shots_and_tests(
    read: ReadExamples,
    n_pool: int,
    shots: Sequence[int],
    draws: int,
    seed: int,
    classes: Sequence[Label],
    *,
    fixed_test: bool,
) -> dict[tuple[int, int], tuple[Rows, Rows]]:
    """Return rows of shots and test items by number of shots and draw.

    Parameters
    ----------
    read : ReadExamples
        The pool of the shots, then the fixed test set if there is one.
    n_pool : int
        How many of them are the pool.
    shots : sequence of int
        Shots per class.
    draws, seed : int
        Number and seed of the draws.
    classes : sequence of label
        The classes of the shots.
    fixed_test : bool
        Whether the rows after the pool are the test; else the rows of the pool that were not drawn are.

    Raises
    ------
    DataError
        If a draw leaves no test item that is not a copy of a shot.

    Warns
    -----
    DataWarning
        If items of a fixed test set are in the pool too, or have labels that no shot has.
    """
    copies = _copies(read.examples)
    fixed = np.arange(n_pool, len(read.examples)) if fixed_test else None
    if fixed is not None:
        _warn_of_test(read, fixed, copies, classes)
    pool = read.labels[:n_pool].tolist()
    splits: dict[tuple[int, int], tuple[Rows, Rows]] = {}
    for count in shots:
        for draw in range(draws):
            drawn, rest = draw_rows(pool, count, (seed, draw), leave=0 if fixed_test else 1)
            items = rest if fixed is None else fixed
            items = items[~np.isin(copies[items], copies[drawn])]
            if not len(items):
                raise DataError(f"{count} shots leave no test item that is not a copy of a shot")
            splits[count, draw] = drawn, items
    return splits


def _copies(examples: Sequence[Example]) -> Rows:
    """Return a number per example, the same for the same content."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(example_hash(example), len(numbers)) for example in examples])


def _warn_of_test(read: ReadExamples, fixed: Rows, copies: Rows, classes: Sequence[Label]) -> None:
    items = [read.examples[row] for row in fixed.tolist()]
    leaks = np.flatnonzero(np.isin(copies[fixed], copies[: fixed[0]])).tolist()
    if leaks:
        warnings.warn(
            f"{len(leaks)} of {len(items)} test examples are in the data of the shots too, the first is "
            f"{items[leaks[0]].id}: each is left out of the draws that it is a shot of",
            DataWarning,
            stacklevel=2,
        )
    known = {(type(label), label) for label in classes}
    unknown = [item for item in items if (type(item.label), item.label) not in known]
    if unknown:
        warnings.warn(
            f"{len(unknown)} of {len(items)} test examples have a label that no shot has, the first is "
            f"{unknown[0].id} ({unknown[0].label!r}): they count as wrong{_of_other_type(unknown, classes)}",
            DataWarning,
            stacklevel=2,
        )


def _of_other_type(items: Sequence[Example], classes: Sequence[Label]) -> str:
    if not {str(item.label) for item in items} & {str(label) for label in classes}:
        return ""
    return f"; the shots' labels are of type {type(classes[0]).__name__}, these are not"


def items_to_ask(labels: NDArray[Any], tests: Sequence[Rows], most: int, seed: int) -> list[int]:
    """Return at most so many of the items of any draw's test, in random order, classes in turn."""
    rows = np.random.default_rng(seed).permutation(np.unique(np.concatenate(tests))).tolist()
    turns: dict[Any, int] = {}
    order = []
    for row in rows:
        turn = turns[labels[row]] = turns.get(labels[row], 0) + 1
        order.append((turn, row))
    return [row for _, row in sorted(order, key=lambda pair: pair[0])[:most]]
