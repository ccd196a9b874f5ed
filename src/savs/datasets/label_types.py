"""Labels of places without types: a CSV cell or a folder name is text, whatever a classifier expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from savs.datasets.sources import is_untyped
from savs.examples import Example, Label

__all__ = ["adopt_label_type"]


def adopt_label_type(
    examples: Sequence[Example], source: Path | str, classes: Sequence[Label]
) -> list[Example]:
    """Return the examples with labels of the classes' type, if they come from a place that has only text.

    Parameters
    ----------
    examples : sequence of Example
        As read from `source`.
    source : Path or str
        A CSV or TSV file or a folder of pictures; labels of any other have types of their own and stay as
        they are.
    classes : sequence of label
        A text label that reads like exactly one of them becomes it (``True`` and ``true`` like the truth
        value); any other stays.
    """
    if not is_untyped(source):
        return list(examples)
    by_text = {spelling: label for label in classes for spelling in _spellings(label)}
    return [replace(example, label=by_text.get(str(example.label), example.label)) for example in examples]


def _spellings(label: Label) -> tuple[str, ...]:
    text = str(label)
    return (text, text.lower(), text.upper()) if isinstance(label, bool) else (text,)
