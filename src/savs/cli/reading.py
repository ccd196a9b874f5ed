"""Data for a command: read it, and find missing files before any model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.errors import DataError

if TYPE_CHECKING:
    from savs.examples import Example

__all__ = ["read_data", "split_options"]

DATA_OPTIONS = {"image_column", "text_column", "label_column", "id_column", "root", "allow_outside"}


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of `read_examples` and those of `load_backbone` that were given."""
    data = {name: value for name, value in options.items() if name in DATA_OPTIONS}
    load = {name: value for name, value in options.items() if name not in DATA_OPTIONS and value is not None}
    return data, load


def read_data(
    path: Path, *, require_labels: bool = False, max_errors: int = 0, limit: int | None = None, **options: Any
) -> list[Example]:
    """Return the examples of a data file or folder.

    Raises
    ------
    DataError
        If there is nothing to read, or more than `max_errors` media files cannot be used (up to 20 listed,
        one per line).
    """
    from savs.datasets import describe_errors, preflight, read_examples

    examples = read_examples(path, require_labels=require_labels, **options)[:limit]
    if not examples:
        raise DataError(f"{path} holds no examples")
    bad = preflight(examples)
    if 0 <= max_errors < len(bad):
        raise DataError(
            f"{len(bad)} of {len(examples)} examples name a file that cannot be used:\n{describe_errors(bad)}"
        )
    return examples
