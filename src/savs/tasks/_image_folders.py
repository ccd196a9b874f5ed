"""Public layouts of image sets: class folders, lists of files, and the split files of CoOp."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from savs.data import Example, Label, as_example, read_examples
from savs.errors import DataError
from savs.media import resolve_media_path

__all__ = ["ImageLayout", "renamed"]

_Row = tuple[str, str]  # the path of an image below the folder of images, and its class


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
    lists : mapping, optional
        File with a list of images by split, one in each line.
    listed : callable, optional
        Gives path and class of a line.
    names : str, optional
        A file with names in place of what folders are called: lines such as ``n01440764 tench``, or a JSON
        object such as ``{"1": "pink primrose"}``.
    ignored : frozenset of str
        Folders that are no classes.
    nested : bool, default=False
        Whether a class is told by several folders in one another, as SUN397's are.
    """

    images: str = "images"
    lists: Mapping[str, str] | None = None
    listed: Callable[[str], _Row] | None = None
    names: str | None = None
    ignored: frozenset[str] = frozenset()
    nested: bool = False

    def read(self, folder: Path, split: str | None) -> list[Example]:
        """Return the examples of a folder, labels as the folder has them; no image is opened.

        Raises
        ------
        DataError
            If there is no such folder or split, a list is not what it should be, or an image is missing.
        """
        if not folder.is_dir():
            raise DataError(f"{folder.name!r} is not a folder; name the one that holds the images")
        splits = sorted(folder.glob("split_zhou_*.json"))
        if splits:
            return self._of_rows(folder, _split_rows(splits[0], split))
        if self.lists is not None and any((folder / name).is_file() for name in self.lists.values()):
            return self._of_rows(folder, self._listed_rows(folder, split))
        return self._of_folders(folder, split)

    def _of_rows(self, folder: Path, rows: Iterator[_Row]) -> list[Example]:
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

    def _listed_rows(self, folder: Path, split: str | None) -> Iterator[_Row]:
        lists = self.lists or {}
        if split is None or split not in lists or self.listed is None:
            raise DataError(f"{folder.name} has no list of split {split!r}; there are {', '.join(lists)}")
        for line in _text(folder / lists[split]).splitlines():
            if line.strip() and not line.startswith("#"):
                yield self.listed(line.strip())

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


def _split_rows(file: Path, split: str | None) -> Iterator[_Row]:
    splits = _json(file, dict)
    name = {"validation": "val"}.get(split or "", split)
    if name not in splits:
        raise DataError(f"{file.name} has no split {split!r}; there are {', '.join(map(str, splits))}")
    for number, row in enumerate(splits[name]):
        match row:
            case [str(path), _, str(label)]:
                yield path, label
            case _:
                raise DataError(f"{file.name}: row {number} of {name} is not [path, number, class]")


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
