"""The unlabelled items of a fit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from savs.classifiers import Method
from savs.classifiers.semi_supervised import checked_for_unlabelled
from savs.data import DataWarning, Example, as_examples, example_hash
from savs.errors import DataError
from savs.model._source import ExampleReader


def unlabelled_items(reader: ExampleReader, items: Sequence[Any] | None, method: Method) -> list[Example]:
    """Return unlabelled items with their prompt, in the order of their contents.

    Parameters
    ----------
    reader : ExampleReader
        What reads them.
    items : sequence or None
        Anything that `as_examples` takes; none where it is None or empty.
    method : Method
        What is fitted.

    Raises
    ------
    ItemError
        If an item cannot be used.
    DataError
        If the method cannot use unlabelled items, or there are several prompts or early answers.

    Warns
    -----
    DataWarning
        Once, if items have labels.
    """
    made = [] if items is None else as_examples(items)
    if not made:
        return []
    if reader.prompts_or_none is not None or method.exit_early is not None:
        raise DataError("unlabelled items go with one prompt, and not with exit_early")
    checked_for_unlabelled(method.estimator, method.name)
    n_labeled = sum(item.label is not None or item.labels is not None for item in made)
    if n_labeled:
        warnings.warn(
            f"{n_labeled} of {len(made)} unlabelled items have labels, which are not read; to learn from "
            "them, give them as shots",
            DataWarning,
            stacklevel=5,
        )
    prompted = reader.prompted([replace(item, label=None, labels=None) for item in made])
    return sorted(prompted, key=example_hash)
