"""Public layouts of image sets: class folders, lists of files, and the split files of CoOp."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from savs.data import Example, Label, as_example, read_examples
from savs.errors import DataError
from savs.media import resolve_media_path

__all__ = ["ImageLayout", "Splits", "listed_lines", "renamed"]

_Row = tuple[str, str]  # the path of an image below the folder of images, and its class
Splits = dict[str, list[_Row]]


@dataclass(frozen=True, kw_only=True)
class ImageLayout:
    """Where the images of a set lie in its folder, and what tells their classes.

    Read is the first of these that there is: ``split_zhou_<set>.json`` of CoOp, which Tip-Adapter and HEC
    use, with rows ``[path, number, class]`` for ``train``, ``val`` and ``test``; the set's own lists of
    files; else folders of classes, in folders of splits or not.

    Parameters
    ----------
    images : str
        The folder of the images that the lists name, below the folder of the set.
    lists : callable, optional
        Gives the images that the set's own lists name, by split; nothing if they are not in the folder.
    names : str, optional
        A file with names in place of what folders are called: lines such as ``n01440764 tench``, or a JSON
        object such as ``{"1": "pink primrose"}``.
    ignored : frozenset of str
        Folders that are no classes.
    nested : bool, default=False
        Whether a class is told by several folders in one another, as SUN397's are.
    """

    images: str = "images"
    lists: Callable[[Path], Splits] | None = None
    names: str | None = None
    ignored: frozenset[str] = frozenset()
    nested: bool = False

    def read(self, folder: Path, split: str | None, folder_split: str | None) -> list[Example]:
        """Return the examples of a folder, labels as the folder has them; no image is opened.

        Parameters
        ----------
        folder : Path
        split : str or None
            The split as lists call it.
        folder_split : str or None
            The split as folders are called.

        Raises
        ------
        DataError
            If there is no such folder or split, a list is not what it should be, or an image is missing.
        """
        if not folder.is_dir():
            raise DataError(f"{folder.name!r} is not a folder; name the one that holds the images")
        splits = _coop_splits(folder) or ({} if self.lists is None else self.lists(folder))
        if not splits:
            return self._of_folders(folder, folder_split)
        name = "val" if split == "validation" else split
        if name not in splits:
            raise DataError(f"{folder.name} has no split {split!r}; there are {', '.join(splits)}")
        return self._of_rows(folder, splits[name])

    def _of_rows(self, folder: Path, rows: list[_Row]) -> list[Example]:
        images = folder / self.images
        examples, missing = [], []
        for path, name in rows:
            file = resolve_media_path(Path(path), images)
            if not file.is_file():
                missing.append(path)
            examples.append(as_example({"image": file}, label=name, id=path))
        if missing:
            raise DataError(
                f"{len(missing)} of {len(examples)} images are not in {folder.name}/{self.images}, such as "
                f"{missing[0][-200:]!r}"
            )
        return [replace(example, fields={"image": example.id}) for example in examples]

    def _of_folders(self, folder: Path, split: str | None) -> list[Example]:
        names = self._names(folder)
        found = []
        for example in read_examples(folder, split=split, require_labels=True):
            name = _class_folders(example) if self.nested else str(example.label)
            if name not in self.ignored:
                found.append(replace(example, label=names.get(name, name)))
        return found

    def _names(self, folder: Path) -> dict[str, str]:
        """Return the names of classes by those of their folders, from a file beside or above them."""
        if self.names is None:
            return {}
        files = [place / self.names for place in (folder, folder.parent) if (place / self.names).is_file()]
        if not files:
            return {}
        if self.names.endswith(".json"):
            return {str(key): str(name) for key, name in _json(files[0], dict).items()}
        pairs = (line.strip().partition(" ") for line in _text(files[0]).splitlines() if line.strip())
        return {key: name.strip() for key, _, name in pairs}


def _class_folders(example: Example) -> str:
    """Return the folders from the class to the image, which its id is the path of."""
    folders = PurePosixPath(example.id or "").parent.parts
    label = str(example.label)
    return "/".join(folders[folders.index(label) :]) if label in folders else label


def _coop_splits(folder: Path) -> Splits:
    files = sorted(folder.glob("split_zhou_*.json"))
    if not files:
        return {}
    found = _json(files[0], dict)
    return {str(split): [_coop_row(files[0], split, row) for row in rows] for split, rows in found.items()}


def _coop_row(file: Path, split: str, row: object) -> _Row:
    match row:
        case [str(path), _, str(label)]:
            return path, label
        case _:
            raise DataError(f"{file.name}: a row of {split} is not [path, number, class]")


def listed_lines(file: Path) -> list[str]:
    """Return the lines of a list without comments; none if there is no such file."""
    if not file.is_file():
        return []
    lines = (line.strip() for line in _text(file).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{file.name} cannot be read as text in UTF-8") from None


def _json(file: Path, kind: type) -> Any:
    try:
        found = json.loads(_text(file))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        raise DataError(f"{file.name} is not a JSON object")
    return found


def renamed(examples: list[Example], class_name: Callable[[str], str]) -> list[Example]:
    """Return the examples with their classes called as people say them.

    Raises
    ------
    DataError
        If two classes get the same name.
    """
    names: dict[Label | None, str] = {}
    origin: dict[str, Label | None] = {}
    for example in examples:
        if example.label not in names:
            name = class_name(str(example.label))
            if name in origin:
                both = f"{origin[name]!r} and {example.label!r}"
                raise DataError(f"the classes {both} get the same name {name!r}; give one of them another")
            names[example.label], origin[name] = name, example.label
    return [replace(example, label=names[example.label]) for example in examples]
