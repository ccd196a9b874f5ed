"""Where the data of a task are: on the hub, or in a folder with a file for each split and part."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from savs.data import Example, ReadOptions, as_example
from savs.errors import DataError, ItemError

__all__ = ["HUB_PREFIX", "HubSource", "NoSplitError", "files_of_split", "name_in_file", "objects_by_key"]

HUB_PREFIX = "hf://"

_FILES = frozenset({".json", ".jsonl", ".tsv"})
_SPLIT_WORDS = {
    "train": ("train", "trainset"),
    "test": ("test", "eval", "testset"),
    "val": ("val", "validation", "dev"),
}


class NoSplitError(DataError):
    """A source has no such split."""


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """Where a task's data are on the hub.

    Parameters
    ----------
    id : str
        ``owner/name``.
    split : str, default="test"
        The split with the test items.
    train : str, optional
        That with the items to draw shots from; None where there are test items alone.
    config : str, optional
        Its configuration.
    read_options : mapping
        Fields of `savs.data.ReadOptions` that the columns there need.
    """

    id: str
    split: str = "test"
    train: str | None = None
    config: str | None = None
    read_options: Mapping[str, Any] = field(default_factory=dict)


def name_in_file(stem: str, names: Sequence[str]) -> str | None:
    """Return the one of some names that a file's name holds; None if it holds none, or several.

    Case and the kind of dash make no difference, and a name within another one that is there does not count.

    Examples
    --------
    >>> name_in_file("blink_art_style_train", ["Art_Style", "Style"])
    'Art_Style'
    """
    plain = _plain(stem)
    found = [name for name in names if _plain(name) in plain]
    found = [
        name for name in found if not any(name != other and _plain(name) in _plain(other) for other in found)
    ]
    return found[0] if len(found) == 1 else None


def files_of_split(folder: Path, split: str | None, parts: Sequence[str] = ()) -> list[Path]:
    """Return the file of a split in a folder; of a task with parts, that of each part that has one.

    Parameters
    ----------
    folder : Path
        Names of files, or of folders in it, tell the split.
    split : str or None
        None means ``"test"``.
    parts : sequence of str
        Names of the parts, which names of files tell.

    Raises
    ------
    NoSplitError
        If there is no such file.
    DataError
        If there are several of one part.
    """
    words = set(_SPLIT_WORDS.get(split or "test", (split or "",)))
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _FILES)
    found: dict[str | None, list[Path]] = {}
    for file in files:
        part = name_in_file(file.stem, parts)
        if parts and part is None:
            continue
        place = _plain(str(file.relative_to(folder).with_suffix("")))
        if part is not None:  # "IQ_Test" is no split
            place = place.replace(_plain(part), " ")
        if words & set(re.findall("[a-z]+", place)):
            found.setdefault(part, []).append(file)
    if not found:
        raise NoSplitError(
            f"{folder.name} holds 0 files (.json, .jsonl, .tsv) of the split {split or 'test'!r}; name the "
            "file itself"
        )
    for part, own in found.items():
        top = min(len(file.parts) for file in own)  # folders of media may hold files, too
        own[:] = [file for file in own if len(file.parts) == top]
        if len(own) > 1:
            of_one = "" if part is None else f" of {part}"
            raise DataError(
                f"{folder.name} holds {len(own)} files (.json, .jsonl, .tsv) of the split "
                f"{split or 'test'!r}{of_one}; name the file itself"
            )
    return [found[part][0] for part in (parts or (None,)) if part in found]


def _plain(name: str) -> str:
    return re.sub("[-_ ]+", "_", name.lower())


def objects_by_key(path: Path, options: ReadOptions) -> list[Example] | None:
    """Return the rows of a JSON file that is an object of objects, as SugarCrepe's; None of any other file.

    The key is the row's column ``key``.
    """
    if path.suffix.lower() != ".json":
        return None
    try:
        with path.open(encoding="utf-8") as file:
            start = file.read(64).lstrip()
            if not start.startswith("{"):
                return None
            file.seek(0)
            rows = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None  # the reader of files says what is wrong
    if not rows or not all(isinstance(row, dict) for row in rows.values()):
        return None
    root = None if options.root is None else Path(options.root)
    return [_object(path.name, key, row, root) for key, row in rows.items()]


def _object(file: str, key: str, row: dict[str, Any], root: Path | None) -> Example:
    try:
        example = as_example(row, id=f"{file}:{key}", root=root)
    except ItemError as error:
        raise DataError(f"{file}:{key}: {error}") from None
    return replace(example, fields={**example.fields, "key": key})
