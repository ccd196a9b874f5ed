"""`read_examples`: a data file, a folder of pictures or one picture to examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from savs.datasets.columns import Columns
from savs.datasets.folders import read_folder
from savs.datasets.rows import DATA_SUFFIXES, Row, read_rows
from savs.errors import DataError, ItemError
from savs.examples import ErrorLedger, Example, Image, Message, Part, as_example, check_labels
from savs.examples.pictures import looks_like_image
from savs.media import resolve_media_path

__all__ = ["read_examples"]


def read_examples(
    path: Path | str,
    *,
    image_column: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    root: Path | str | None = None,
    require_labels: bool = False,
    allow_outside: bool = False,
    limit: int | None = None,
    ledger: ErrorLedger | None = None,
) -> list[Example]:
    """Return the examples of a data file or folder, in order; no picture is opened.

    Parameters
    ----------
    path : Path or str
        A ``.jsonl``, ``.json`` (a list of objects), ``.csv`` or ``.tsv`` file; a folder with one folder per
        class; a folder of pictures without classes; or one picture.
    image_column, text_column, label_column, id_column : str, optional
        Columns of a data file; by default the public SAVs names (`savs.examples.rows.row_to_example`). Labels
        of CSV and TSV are always text.
    root : Path or str, optional
        What a data file's media paths are relative to, and must lie in; the file's own folder by default.
    require_labels : bool, default=False
        Refuse examples without a label.
    allow_outside : bool, default=False
        Take media files outside `root`: absolute paths, ``..`` and links.
    limit : int, optional
        Read only so many, from the first on.
    ledger : ErrorLedger, optional
        Notes the rows and files that are no examples, by their position, and they are left out. By default
        the first one is raised. A file that is not what its format says is an error in any case.

    Returns
    -------
    list of Example
        Ids from the id column; else relative paths for folders, ``<file name>:<line or item>`` for data
        files.

    Raises
    ------
    DataError
        With file and line, if the file or its labels cannot be used.
    ItemError
        If a row is no example, with file and line, and `ledger` takes no more of them.
    """
    path, ledger = Path(path), ledger or ErrorLedger()
    columns = Columns(image_column, text_column, label_column, id_column)
    if path.suffix.lower() in DATA_SUFFIXES and not path.is_dir():
        top = path.parent if root is None else Path(root)
        examples = _from_rows(path, read_rows(path)[:limit], columns, top, allow_outside, ledger)
    else:
        examples = _from_pictures(path, columns, root, allow_outside, limit, ledger)
    if require_labels:
        _check_labelled(path, examples)
    check_labels([example.label for example in examples])
    return examples


def _from_rows(
    path: Path, rows: Sequence[Row], columns: Columns, root: Path, allow_outside: bool, ledger: ErrorLedger
) -> list[Example]:
    if not root.is_dir():
        raise DataError(f"the media root {root.name!r} is not a folder")
    make = partial(_from_row, path=path, columns=columns, root=root, allow_outside=allow_outside)
    made = ledger.collect(make, dict(enumerate(rows)))
    names = {index: example.id for index, example in made.items()}
    _check_ids(rows, names | {index: error.id for index, error in ledger.by_index.items()})
    return list(made.values())


def _from_row(row: Row, *, path: Path, columns: Columns, root: Path, allow_outside: bool) -> Example:
    try:
        example = _inside(columns.to_example(row, root), root, allow_outside)
    except ItemError as error:
        error.id = columns.id_of(row)
        if error.id is None:
            error.id = row.where
        else:
            error.message = f"{row.where}: {error.message}"
        raise
    return example if example.id is not None else replace(example, id=f"{path.name}:{row.number}")


def _inside(example: Example, root: Path, allow_outside: bool) -> Example:
    """Return the example with its media paths resolved, all of them inside `root`."""

    def resolved(part: Part) -> Part:
        if isinstance(part, Image) and isinstance(part.source, Path):
            return Image(resolve_media_path(part.source.absolute(), root, allow_outside=allow_outside))
        return part

    messages = [Message(message.role, tuple(map(resolved, message.parts))) for message in example.messages]
    return replace(example, messages=tuple(messages))


def _from_pictures(
    path: Path,
    columns: Columns,
    root: Path | str | None,
    allow_outside: bool,
    limit: int | None,
    ledger: ErrorLedger,
) -> list[Example]:
    if columns.named or root is not None:
        raise DataError("columns and a media root belong to a data file (" + ", ".join(DATA_SUFFIXES) + ")")
    if path.is_dir():
        return read_folder(path, allow_outside=allow_outside, limit=limit, ledger=ledger)
    if looks_like_image(path.name, path.parent):
        return list(ledger.collect(partial(as_example, id=path.name), {0: path}).values())
    problem = "is not read" if path.exists() else "does not exist"
    raise DataError(
        f"{path.name!r} {problem}; give a file ({', '.join(DATA_SUFFIXES)}), a folder with one folder per "
        f"class, or a picture"
    )


def _check_labelled(path: Path, examples: Sequence[Example]) -> None:
    missing = [example for example in examples if example.label is None]
    if missing:
        raise DataError(
            f"{path.name}: {len(missing)} of {len(examples)} examples have no label, the first is "
            f"{missing[0].id}; name the label column, or make one folder per class"
        )


def _check_ids(rows: Sequence[Row], names: Mapping[int, str | None]) -> None:
    seen: dict[str | None, str] = {}
    for index, row in enumerate(rows):
        name = names[index]
        if name in seen:
            raise DataError(f"{row.where}: the id {name!r} stands at {seen[name]} already")
        seen[name] = row.where
