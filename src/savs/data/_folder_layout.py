"""Which folders are classes, and which are the parts of a split or only wrap them, by their names alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from savs.errors import DataError

__all__ = ["Layout", "folder_layout", "is_beside_images", "part_of_split", "split_folder"]

_PARTS = {
    "train": ("train", "training", "trainset", "traindata"),
    "validation": ("val", "valid", "validation", "validate", "valset", "dev", "devel", "devset"),
    "test": ("test", "tests", "testing", "testset", "testdata", "eval", "evaluation", "holdout"),
    "prediction": ("pred", "prediction", "predict", "unlabeled", "unlabelled", "submission"),
    "fold": ("fold",),
}
_PART_OF = {word: part for part, words in _PARTS.items() for word in words}
_IMAGES = {
    *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pics", "rgb"),
    *("jpegimages", "frames", "video", "videos", "clips", "audio", "wav", "wavs"),
}
_FILLERS = {
    *_IMAGES,
    *("data", "dataset", "set", "folder", "files", "split", "part", "samples", "jpg", "png"),
}
_BESIDE = {
    *("mask", "masks", "label", "labels", "annotation", "annotations", "annots", "segmentation"),
    *("segmentations", "seg", "segs", "groundtruth", "gt", "trimap", "trimaps", "depth", "heatmaps"),
}
# In names of files: cat_mask.png and cat_mask_1.png beside cat.png.
_BESIDE_FILE = re.compile(r"(?P<image>.+?)[ _-]?(?P<word>[A-Za-z]+)(?:[ _-]?\d+)?")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SHOWN = 5

_Row = tuple[str, ...]  # the folders of a file, and its name


@dataclass(frozen=True)
class Layout:
    """Which files of a folder are read, and what their folders mean.

    Attributes
    ----------
    rows : tuple of tuple of str
        The folders and names of the files that are read.
    level : int
        The folder that is the class: 0 for the first one.
    start : int
        Folders at the beginning that were chosen as a split; ids leave them out.
    labeled : bool
        Whether folders are classes.
    skipped : tuple of tuple of str
        Masks and the like, which lie beside the images of a class.
    doubts : tuple of str
        What else the folders may mean.
    """

    rows: tuple[_Row, ...]
    level: int = 0
    start: int = 0
    labeled: bool = False
    skipped: tuple[_Row, ...] = ()
    doubts: tuple[str, ...] = field(default=())

    @cached_property
    def inners(self) -> dict[str, set[str]]:
        """The folders at the level of the classes, and those in them; an empty name for files in them."""
        deep, inners = self.level + 2, dict[str, set[str]]()
        for row in self.rows:
            if len(row) >= deep:
                inners.setdefault(row[deep - 2], set()).add(row[deep - 1] if len(row) > deep else "")
        return dict(sorted(inners.items()))

    @property
    def folders(self) -> list[str]:
        """The folders at the level of the classes."""
        return list(self.inners)

    def inside(self, name: str, *, chosen: bool = False) -> Layout:
        """Return the layout of one of the folders."""
        level = self.level + 1
        rows = tuple(row for row in self.rows if len(row) > level and row[level - 1] == name)
        return replace(self, rows=rows, level=level, start=level if chosen else self.start)


def folder_layout(name: str, rows: Sequence[_Row], split: str | None = None) -> Layout:
    """Return what the folders of some files mean.

    Folders are classes, unless their names are those of the parts of a split: ``train``, ``Train Set``,
    ``train_images``, ``seg_train`` beside ``seg_test``, ``fold1``. One of several classes may be called so:
    ``train`` beside ``car`` is a class. A single folder that holds folders only wraps them.

    Parameters
    ----------
    name : str
        Of the folder, for messages.
    rows : sequence of tuple of str
        The folders and the name of each file, relative to it.
    split : str, optional
        The part of a split to read.

    Raises
    ------
    DataError
        If a split has to be chosen, or there is none of that name; if files lie beside folders, or images
        beside their masks.
    """
    layout = Layout(tuple(rows))
    while True:
        folders = layout.folders
        parts = _split_folders(layout) if split is not None or not layout.start else []
        if split is None and len(parts) == 1 and part_of_split(parts[0]) == part_of_split(name):
            parts = []  # train/train/...: the name of the folder itself, once more
        if split is not None and (chosen := _chosen(name, split, folders, parts)) is not None:
            layout, split = layout.inside(chosen, chosen=True), None
        elif parts:
            raise _needs_split(name, parts)
        elif _wraps(layout):
            layout = _unwrapped(name, layout)
        else:
            break
    return _with_classes(name, layout, split)


def split_folder(name: str, folders: Sequence[str], split: str | None) -> str:
    """Return which of the folders with the parts of a split was chosen; `DataError` if none was."""
    if split is None:
        raise _needs_split(name, folders)
    chosen = _chosen(name, split, folders, folders)
    if chosen is None:
        raise DataError(f"{name} has no split {split!r} (--split); name one of {_listed(folders)}")
    return chosen


def is_beside_images(folder: str) -> bool:
    """Return whether a folder of this name holds what describes images: masks, labels, annotations."""
    return folder.lower().replace("_", "") in _BESIDE


# The parts of a split.


def _words(folder: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(folder)]


def _consists_of(folder: str, known: Collection[str]) -> bool:
    """Return whether a name has words, all of them known, and nothing else but numbers."""
    words = [word for word in _words(folder) if not word.isdecimal()]
    return bool(words) and folder.isascii() and all(word in known for word in words)


def part_of_split(folder: str) -> str | None:
    """Return the part of a split that a folder is called, such as ``"test"``, if it is called one of them."""
    parts = {_PART_OF[word] for word in _words(folder) if word in _PART_OF}
    return parts.pop() if len(parts) == 1 else None


def _rest(folder: str) -> str:
    """Return what a name says beside the part of a split: ``seg`` of ``seg_train``."""
    words = (word for word in _words(folder) if word not in _PART_OF and word not in _FILLERS)
    return " ".join(word for word in words if not word.isdecimal())


def _is_only_part(folder: str) -> bool:
    """Return whether the name says nothing else: ``Train Set``, ``test1``; ``seg_train`` does."""
    part = part_of_split(folder)
    numbered = part != "fold" or any(word.isdecimal() for word in _words(folder))
    return part is not None and folder.isascii() and not _rest(folder) and numbered


def _split_folders(layout: Layout) -> list[str]:
    """Return the folders that are the parts of a split, or none."""
    folders = layout.folders
    only = [folder for folder in folders if _is_only_part(folder)]
    called = {folder: part for folder in folders if (part := part_of_split(folder)) is not None}
    if only and only == folders:
        return folders
    if len(set(called.values())) < 2:
        return []
    # seg_train, seg_test; but train_station, test_tube are things.
    rests = {part: {_rest(folder) for folder in called if called[folder] == part} for part in called.values()}
    alike = all(rest == rests[called[folder]] for folder in called for rest in rests.values())
    # Beside others: unless images lie in them as in the folder of a class.
    nested = any("" not in layout.inners[folder] for folder in called)
    return list(called) if alike and (nested or len(called) == len(folders)) else []


def _chosen(name: str, split: str, folders: Collection[str], parts: Collection[str]) -> str | None:
    if split in folders:
        return split
    wanted = _PART_OF.get(split.lower(), "")
    found = [folder for folder in parts if wanted and wanted != "fold" and part_of_split(folder) == wanted]
    if len(found) > 1:
        raise DataError(f"{name} has several folders for the split {split!r} (--split): {_listed(found)}")
    if parts and not found:
        raise DataError(f"{name} has no split {split!r} (--split); name one of {_listed(parts)}")
    return found[0] if found else None


def _needs_split(name: str, parts: Collection[str]) -> DataError:
    return DataError(
        f"{name} holds the parts of a split ({_listed(parts)}), not classes; name one of them, as the folder "
        f"or as the split (--split)"
    )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


# One folder around all others.


def _wraps(layout: Layout) -> bool:
    folders = layout.folders
    loose = any(len(row) == layout.level + 1 for row in layout.rows)
    if len(folders) != 1 or loose or "" in layout.inners[folders[0]]:
        return False
    # A single class may have folders of its own: cat/monday.
    several = len({row[:-1] for row in layout.rows}) > 1
    return several or _consists_of(folders[0], _FILLERS)


def _unwrapped(name: str, layout: Layout) -> Layout:
    (folder,) = layout.folders
    inner = layout.inside(folder)
    known = folder == name or _consists_of(folder, _FILLERS) or part_of_split(folder) is not None
    if known or _split_folders(inner):
        return inner
    doubt = (
        f"{name} holds one folder, {folder!r}, and that holds folders: these are taken for the classes "
        f"({_listed(inner.folders)})"
    )
    return replace(inner, doubts=(*inner.doubts, doubt))


# Classes.


def _with_classes(name: str, layout: Layout, split: str | None) -> Layout:
    folders = layout.folders
    loose = sum(len(row) == layout.level + 1 for row in layout.rows)
    if not folders or (len(folders) == 1 and not loose and _consists_of(folders[0], _IMAGES)):
        return replace(_of_split(name, _without_masks(layout), split), labeled=False)
    if loose:
        raise DataError(
            f"{name} holds {loose} images beside {len(folders)} folders; put every image into the folder of "
            f"its class, or name one of the folders"
        )
    beside = [folder for folder in folders if is_beside_images(folder)]
    others = [folder for folder in folders if not is_beside_images(folder)]
    if beside and others and all(_consists_of(folder, _IMAGES) for folder in others):
        raise DataError(
            f"{name} holds images and what describes them ({_listed(folders)}), not classes; name the folder "
            f"of the images, and give labels in a data file or in folders per class"
        )
    layout = _of_split(name, _without_masks(layout), split)
    return replace(layout, labeled=True, doubts=(*layout.doubts, *_doubts(name, layout)))


def _of_split(name: str, layout: Layout, split: str | None) -> Layout:
    """Return the part of a split that lies inside each class, or all if there is none."""
    names = sorted(set().union(*layout.inners.values()))
    is_split = bool(names) and all(_is_only_part(one) for one in names)
    several = len({part_of_split(one) for one in names}) > 1 or "fold" in map(part_of_split, names)
    if not (is_split and several):
        if split is not None:
            raise DataError(
                f"{name} has no split {split!r} (--split); its folders: {_listed(layout.folders) or 'none'}"
            )
        return layout
    if split is None:
        raise DataError(
            f"each class of {name} holds the parts of a split ({_listed(names)}); name one as the split "
            f"(--split)"
        )
    chosen = _chosen(name, split, names, names)
    level = layout.level + 1
    return replace(layout, rows=tuple(row for row in layout.rows if row[level] == chosen))


def _without_masks(layout: Layout) -> Layout:
    """Leave out the masks that lie beside the images of a class, in folders of their own or among them."""
    folders: set[tuple[str, str]] = set()
    for folder, inner in layout.inners.items():
        if "" in inner or any(_consists_of(one, _IMAGES) for one in inner):
            folders |= {(folder, one) for one in inner if is_beside_images(one)}
    level = layout.level
    skipped = {
        row
        for row, stems in _with_stems(layout.rows)
        if (len(row) > level + 2 and row[level : level + 2] in folders) or _is_mask_of(row[-1], stems)
    }
    if not skipped:
        return layout
    kept = tuple(row for row in layout.rows if row not in skipped)
    return replace(layout, rows=kept, skipped=tuple(row for row in layout.rows if row in skipped))


def _with_stems(rows: Sequence[_Row]) -> Iterator[tuple[_Row, Collection[str]]]:
    """Yield each row with the names of the files in its folder, without their endings."""
    stems: dict[_Row, set[str]] = {}
    for row in rows:
        stems.setdefault(row[:-1], set()).add(row[-1].rpartition(".")[0])
    return ((row, stems[row[:-1]]) for row in rows)


def _is_mask_of(name: str, stems: Collection[str]) -> bool:
    """Return whether a file is called like the mask of another one beside it: ``1_mask.png``, ``1.png``."""
    found = _BESIDE_FILE.fullmatch(name.rpartition(".")[0])
    return found is not None and is_beside_images(found["word"]) and found["image"] in stems


def _doubts(name: str, layout: Layout) -> Iterator[str]:
    folders = layout.folders
    counts = Counter(one for inner in layout.inners.values() for one in inner)
    repeated = sorted(one for one, count in counts.items() if count == len(folders))
    if len(folders) > 1 and len(repeated) > 1 and "" not in repeated:
        yield (
            f"every folder of {name} holds the folders {_listed(repeated)}: the classes are "
            f"{_listed(folders)}; if that is the wrong way round, name one of these as the data, "
            f"or as the split (--split)"
        )
    called = [folder for folder in folders if part_of_split(folder) is not None]
    if len({part_of_split(folder) for folder in called}) > 1:
        yield (
            f"the folders {_listed(called)} of {name} are read as classes; if they are the parts of a split, "
            f"name one as the data, or as the split (--split)"
        )
