"""Whether a set of shots can make a classifier."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

from savs.datasets.contents import duplicate_groups, example_hash
from savs.datasets.preflight import preflight
from savs.errors import DataError
from savs.examples import DataWarning, Example, Label, check_labels

__all__ = ["check_support", "class_counts"]

_MOST_LISTED = 20


def check_support(examples: Sequence[Example]) -> None:
    """Check the shots for a fit: labels, files and contents.

    Give them as the model reads them, after the prompt template: columns in the prompt tell examples apart.

    Raises
    ------
    DataError
        If there are no examples, one has no label, types of labels are mixed, there is one class only, or the
        same content has two labels (all such pairs are listed, up to 20).
    ItemError
        If media files cannot be read: the first one's error, with the number of the others.

    Warns
    -----
    DataWarning
        If examples with the same label have the same content, or labels are Unicode twins.
    """
    counts = class_counts(examples)
    if len(counts) < 2:
        raise DataError(f"a classifier needs at least two classes; {_spelled(counts)}")
    _check_files(examples)
    groups = duplicate_groups([example_hash(example) for example in examples])
    _check_contradictions(examples, groups)
    if groups:
        extra = sum(len(group) - 1 for group in groups)
        first = ", ".join(str(examples[position].id) for position in groups[0])
        message = f"{extra} of {len(examples)} shots repeat another one ({first}); they count twice"
        warnings.warn(message, DataWarning, stacklevel=2)


def class_counts(examples: Sequence[Example]) -> Counter[Label]:
    """Return the size of each class, in order of appearance; `DataError` if a label is missing or mixed."""
    if not examples:
        raise DataError("there are 0 examples; at least two classes with one example each are needed")
    missing = [example for example in examples if example.label is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(examples)} examples have no label, the first is {missing[0].id}"
        )
    check_labels([example.label for example in examples])
    return Counter(example.label for example in examples if example.label is not None)


def _spelled(counts: Counter[Label]) -> str:
    return ", ".join(f"{label!r} has {count}" for label, count in counts.items())


def _check_files(examples: Sequence[Example]) -> None:
    errors = preflight(examples)
    if len(errors) > 1:
        others = ", ".join(str(error.id) for error in errors[1:_MOST_LISTED])
        errors[0].message += f"; {len(errors) - 1} other examples have such a file too: {others}"
    if errors:
        raise errors[0]


def _check_contradictions(examples: Sequence[Example], groups: Sequence[tuple[int, ...]]) -> None:
    pairs = [
        f"{examples[group[0]].id} ({examples[group[0]].label!r}) and {examples[other].id} "
        f"({examples[other].label!r})"
        for group in groups
        for other in group[1:]
        if examples[other].label != examples[group[0]].label
    ]
    if pairs:
        more = f" and {len(pairs) - _MOST_LISTED} more pairs" if len(pairs) > _MOST_LISTED else ""
        raise DataError(f"the same content has different labels: {'; '.join(pairs[:_MOST_LISTED])}{more}")
