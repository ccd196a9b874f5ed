"""Folders of images, videos and audio clips: one folder per class, or no classes at all."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from savs.data._labels import DataWarning, has_surrogate
from savs.data.example import Example, Message, trusted
from savs.errors import DataError, ExampleError, ItemError
from savs.media import resolve_media_path
from savs.media._coercion import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES, as_medium

_DEEPEST = 32
_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES | AUDIO_SUFFIXES
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


@dataclass
class _Listing:
    images: list[Path] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImageFolder:
    """The images, videos and audio clips of a folder in natural order; "images" means all of them here.

    Attributes
    ----------
    path : Path
        The folder.
    images : tuple of Path
        The files.
    labeled : bool
        Whether each folder inside is a class.
    """

    path: Path
    images: tuple[Path, ...]
    labeled: bool

    def example(self, image: Path, *, allow_outside: bool = False) -> Example:
        """Return the example of one of the images, its id the relative path.

        Raises
        ------
        ItemError
            If its link leads out of the folder, or its name is not valid Unicode.
        """
        relative = image.relative_to(self.path)
        try:
            _check_name(relative)
            resolved = resolve_media_path(relative, self.path, allow_outside=allow_outside)
            label = relative.parts[0] if self.labeled else None
            message = Message("user", (as_medium(resolved),))
            return trusted(Example((message,), label, relative.as_posix()))
        except ItemError as error:
            error.id = relative.as_posix().encode(errors="backslashreplace").decode()
            raise


def _check_name(path: Path) -> None:
    if has_surrogate(str(path)):
        raise ExampleError(
            "its name is not valid Unicode; rename the file or its folder", code="lone_surrogate"
        )


def scan_folder(folder: Path) -> ImageFolder:
    """Return the images of a folder; none is opened.

    With folders inside, each of them is a class and holds its images at any depth; without, no image has
    a label.

    Raises
    ------
    DataError
        If there are no images, a class folder has none, images lie both beside and in folders, or the
        folders are parts of a split (train, test) and not classes.

    Warns
    -----
    DataWarning
        Once, with the number of files that are hidden or not media.
    """
    listing = _Listing()
    _walk(folder, folder, listing)
    if not listing.images:
        raise DataError(
            f"{folder.name} holds 0 images, videos or audio clips ({', '.join(sorted(_SUFFIXES))})"
        )
    classes = _class_folders(folder, listing)
    if listing.skipped:
        warnings.warn(
            f"{folder.name}: {len(listing.skipped)} entries are hidden, links to folders or not images and "
            f"were skipped, such as {listing.skipped[0]!r}",
            DataWarning,
            stacklevel=4,
        )
    return ImageFolder(folder, tuple(listing.images), bool(classes))


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sorting key by which ``img10`` comes after ``img2``."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    # Very long runs of digits stay text: their value would not be read as an int.
    keys = [
        (0, int(piece), piece) if piece.isdecimal() and len(piece) < 19 else (1, 0, piece) for piece in pieces
    ]
    return tuple(keys)


def _walk(folder: Path, top: Path, listing: _Listing) -> None:
    if len(folder.relative_to(top).parts) > _DEEPEST:
        raise DataError(f"{top.name} has folders more than {_DEEPEST} levels deep")
    for entry in _entries(folder):
        path = Path(entry.path)
        inside = _is_folder(entry)
        if entry.name.startswith(".") or (inside and entry.is_symlink() and folder != top):
            listing.skipped.append(path.relative_to(top).as_posix())
        elif inside:
            _walk(path, top, listing)
        elif path.suffix.lower() in _SUFFIXES:
            listing.images.append(path)
        else:
            listing.skipped.append(path.relative_to(top).as_posix())


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: natural_order(entry.name))
    except OSError:
        raise DataError(f"the folder {folder.name!r} cannot be read; check its permissions") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle: a file that cannot be read
        return False


def _class_folders(folder: Path, listing: _Listing) -> list[str]:
    relative = [path.relative_to(folder).parts for path in listing.images]
    classes = sorted({parts[0] for parts in relative if len(parts) > 1})
    loose = sum(len(parts) == 1 for parts in relative)
    if classes and loose:
        raise DataError(
            f"{folder.name} holds {loose} images beside {len(classes)} folders; put every image into the "
            f"folder of its class"
        )
    if classes and _SPLITS.issuperset(name.lower() for name in classes):
        raise DataError(
            f"{folder.name} holds the parts of a split ({', '.join(classes)}), not classes; name one of "
            f"them, as the folder or as the split"
        )
    _check_filled(folder, set(classes))
    return classes


def _check_filled(folder: Path, classes: set[str]) -> None:
    if classes:
        for entry in _entries(folder):
            if _is_folder(entry) and not entry.name.startswith(".") and entry.name not in classes:
                raise DataError(f"the class folder {entry.name!r} holds 0 images; fill it or remove it")
