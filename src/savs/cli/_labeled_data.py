"""Labeled data of commands that draw shots: a pool, and a test set where one is named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from savs.data import ErrorLedger, Example, ReadOptions
    from savs.errors import ItemError

__all__ = ["LabeledSet", "check_different", "errors_left", "read_labeled"]


class LabeledSet(NamedTuple):
    """A dataset with the prompt applied, and the errors of rows that are not examples."""

    name: Path | str
    pool: list[Example]
    test: list[Example]
    errors: list[ItemError]


def check_different(data: Sequence[Path | str]) -> None:
    """Refuse the same dataset twice: it would count twice in the means."""
    seen: dict[Path | str, Path | str] = {}
    for one in data:
        place = Path(os.path.realpath(one)) if isinstance(one, Path) else one
        if place in seen:
            raise click.BadParameter(
                f"{seen[place]} and {one} are the same dataset; name each once", param_hint="DATA"
            )
        seen[place] = one


def read_labeled(
    data: Path | str, test: Path | str | None, prompts: list[str], reading: ReadOptions, left: int
) -> LabeledSet:
    """Read a dataset and its test set, as `savs.data.read_examples` does, and apply the prompts.

    Parameters
    ----------
    data : Path or str
        Where the shots are drawn from.
    test : Path, str or None
        A separate test set.
    prompts : list of str
        None, one, or several.
    reading : ReadOptions
    left : int
        Rows that may fail; -1 for any number.
    """
    from savs.data import ErrorLedger

    ledger = ErrorLedger(left)
    pool = _read(data, ledger, prompts, replace(reading, skip_unread=False))
    later = ErrorLedger(ledger.left)
    items = [] if test is None else _test_set(test, later, prompts, reading, pool)
    return LabeledSet(data, pool, items, [*ledger.errors, *later.errors])


def errors_left(allowed: int, errors: Sequence[ItemError]) -> int:
    """Return how many more examples may fail; -1 stays any number."""
    return allowed if allowed < 0 else allowed - len(errors)


def _read(path: Path | str, ledger: ErrorLedger, prompts: list[str], reading: ReadOptions) -> list[Example]:
    """Return the examples of a data file with the prompts applied; the ledger takes those that cannot be."""
    from savs.cli._inputs import read_data
    from savs.cli._results import by_position
    from savs.model._prompts import WithPrompts

    examples = by_position(read_data(path, reading, ledger, require_labels=True), ledger)
    return list(ledger.collect(WithPrompts(prompts), examples).values())


def _test_set(
    path: Path | str, ledger: ErrorLedger, prompts: list[str], reading: ReadOptions, pool: list[Example]
) -> list[Example]:
    from savs.data import adopt_label_type
    from savs.errors import DataError

    classes = {example.label for example in pool if example.label is not None}
    items = adopt_label_type(_read(path, ledger, prompts, reading), path, list(classes))
    if not items:
        raise DataError(f"{path}: no test example can be used")
    return items
