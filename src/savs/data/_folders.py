"""Folders of images, videos and audio clips: one folder per class, or no classes at all."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from savs._labels import DataWarning, has_surrogate
from savs.data._folder_layout import folder_layout, is_beside_images
from savs.data._skipped import Skipped, readable_suffixes
from savs.data.example import Example, Message, trusted
from savs.errors import DataError, ExampleError, ItemError
from savs.media import resolve_media_path
from savs.media._coercion import as_medium

_DEEPEST = 32
_OF_SYSTEMS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


@dataclass
class _Listing:
    suffixes: frozenset[str] = field(default_factory=readable_suffixes)
    images: list[Path] = field(default_factory=list)
    skipped: Skipped = field(default_factory=Skipped)


@dataclass(frozen=True)
class ImageFolder:
    """The images, videos and audio clips of a folder in natural order; "images" means all of them here.

    Attributes
    ----------
    path : Path
        The folder.
    images : tuple of Path
        The files.
    class_level : int or None
        Which of the folders between `path` and an image is its class, from 0; None without classes.
    """

    path: Path
    images: tuple[Path, ...]
    class_level: int | None

    def example(self, image: Path, *, allow_outside: bool = False, before: str = "") -> Example:
        """Return the example of one of the images, its id the relative path, after `before`.

        Raises
        ------
        ItemError
            If its link leads out of the folder, or its name is not valid Unicode.
        """
        relative = image.relative_to(self.path)
        try:
            _check_name(relative)
            resolved = resolve_media_path(relative, self.path, allow_outside=allow_outside)
            label = None if self.class_level is None else relative.parts[self.class_level]
            message = Message("user", (as_medium(resolved),))
            return trusted(Example((message,), label, before + relative.as_posix()))
        except ItemError as error:
            error.id = before + relative.as_posix().encode(errors="backslashreplace").decode()
            raise


def _check_name(path: Path) -> None:
    if has_surrogate(str(path)):
        raise ExampleError(
            "its name is not valid Unicode; rename the file or its folder", code="lone_surrogate"
        )


def scan_folder(folder: Path, split: str | None = None, *, skip_unread: bool = True) -> ImageFolder:
    """Return the images of a folder; none is opened.

    With folders inside, each of them is a class and holds its images at any depth, unless they are the parts
    of a split or only wrap the classes (`savs.data._folder_layout`); without, no image has a label.

    Parameters
    ----------
    folder : Path
    split : str, optional
        The part of a split to read.
    skip_unread : bool, default=True
        Leave out images, videos and audio clips of formats that are not read.

    Raises
    ------
    DataError
        If there are no images, a class folder has none, images lie both beside and in folders, or a split has
        to be chosen; without `skip_unread` also if a medium is not read.

    Warns
    -----
    DataWarning
        Once, with the numbers of entries of each kind that are not read; once for masks that are left out; if
        the folders may mean something else.
    """
    listing = _Listing()
    _walk(folder, folder, listing)
    if not listing.images:
        found = f"; skipped: {listing.skipped}" if listing.skipped else ""
        endings = ", ".join(sorted(listing.suffixes))
        raise DataError(f"{folder.name} holds 0 images, videos or audio clips ({endings}){found}")
    if listing.skipped.media and not skip_unread:
        raise DataError(
            f"{folder.name} would lose {listing.skipped.n_media}: {listing.skipped.of_media}; "
            "convert them, or move them out of the folder"
        )
    layout = folder_layout(folder.name, [path.relative_to(folder).parts for path in listing.images], split)
    if layout.labeled:
        known = {row[: layout.level + 1] for row in (*layout.rows, *layout.skipped)}
        inner = folder.joinpath(*layout.rows[0][: layout.level])
        _check_filled(inner, {names[-1] for names in known}, listing.skipped)
    if listing.skipped:
        _warn(f"{folder.name}: skipped {listing.skipped}")
    if layout.skipped:
        _warn(
            f"{folder.name}: {len(layout.skipped)} files beside images are masks, labels and the like by "
            f"their folders or names, and were skipped, such as {'/'.join(layout.skipped[0])!r}"
        )
    for doubt in layout.doubts:
        _warn(doubt)
    top = folder.joinpath(*layout.rows[0][: layout.start])
    level = layout.level - layout.start if layout.labeled else None
    return ImageFolder(top, tuple(folder.joinpath(*row) for row in layout.rows), level)


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=5)


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
        if entry.name.startswith("."):
            listing.skipped.add("hidden file or folder")
        elif entry.name in _OF_SYSTEMS:
            listing.skipped.add("folder of the system")
        elif inside and entry.is_symlink() and folder != top:
            listing.skipped.add("link to a folder")
        elif inside:
            _walk(path, top, listing)
        elif path.suffix.lower() in listing.suffixes:
            listing.images.append(path)
        else:
            listing.skipped.add_file(path)


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


def _check_filled(folder: Path, classes: set[str], skipped: Skipped) -> None:
    for entry in _entries(folder):
        if _is_folder(entry) and entry.name not in classes and not _holds_no_data(entry.name):
            found = f" (skipped: {skipped.of_media})" if skipped.media else ""
            raise DataError(f"the class folder {entry.name!r} holds 0 images{found}; fill it or remove it")


def _holds_no_data(name: str) -> bool:
    return name.startswith(".") or name in _OF_SYSTEMS or is_beside_images(name)
