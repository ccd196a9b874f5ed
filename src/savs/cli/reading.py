"""Data for a command: read it, and find missing files before any model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.errors import DataError

if TYPE_CHECKING:
    from savs.examples import ErrorLedger, Example
    from savs.media.addresses import Fetcher

__all__ = ["read_data", "split_options", "unusable"]

DATA_OPTIONS = {
    "image_column": "image_column",
    "video_column": "video_column",
    "audio_column": "audio_column",
    "video_frames": "video_frames",
    "video_fps": "video_fps",
    "text_column": "text_column",
    "label_column": "label_column",
    "id_column": "id_column",
    "root": "root",
    "allow_outside": "allow_outside",
    "split": "split",
    "config": "config",
    "data_revision": "revision",  # --revision is the backbone's
}


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of `read_examples` and those of `load_backbone` that were given.

    Raises
    ------
    click.BadParameter
        If an allowed host is none.
    """
    hosts = options.pop("allow_host", ())
    data = {DATA_OPTIONS[name]: value for name, value in options.items() if name in DATA_OPTIONS}
    load = {name: value for name, value in options.items() if name not in DATA_OPTIONS and value is not None}
    # One for all data of a command: each address is fetched once.
    return (data | {"fetch": _fetcher(hosts)} if hosts else data), load


def _fetcher(hosts: tuple[str, ...]) -> Fetcher:
    from savs.media.addresses import Fetcher, UrlPolicy

    try:
        return Fetcher(UrlPolicy(hosts))
    except DataError as error:
        raise click.BadParameter(str(error), param_hint="--allow-host") from None


def unusable(n_bad: int, n_rows: int, n_errors: int, listed: str) -> DataError:
    """Return the error for files that cannot be used; `n_errors` other rows failed before files were seen."""
    more = f", beside {n_errors} more that {'is' if n_errors == 1 else 'are'} no example" if n_errors else ""
    return DataError(f"{n_bad} of {n_rows} examples name a file that cannot be used{more}:\n{listed}")


def read_data(
    source: Path | str, ledger: ErrorLedger | None = None, *, require_labels: bool = False, **options: Any
) -> list[Example]:
    """Return the examples of a file, folder or data set; the errors of rows that are none go to the ledger.

    Without a ledger the first error is raised. The options are those of `read_examples`.

    Raises
    ------
    DataError
        If more media files cannot be used than the ledger takes (up to 20 listed, one per line).
    ItemError
        If more rows are no examples than the ledger takes.
    """
    from savs.datasets import describe_errors, preflight, read_examples
    from savs.examples import ErrorLedger

    ledger = ledger or ErrorLedger()
    examples = read_examples(source, require_labels=require_labels, ledger=ledger, **options)
    bad = preflight(examples)
    if 0 <= ledger.left < len(bad):
        n_rows = len(examples) + ledger.n_errors
        raise unusable(len(bad), n_rows, ledger.n_errors, describe_errors(bad))
    return examples
