"""Media of public annotation files, whose paths are those of another machine, found in a local folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from savs.data import Example, Message, Part, Text
from savs.errors import DataError, MediaError
from savs.media._paths import resolve_inside

__all__ = ["found_under"]


def found_under(examples: Sequence[Example], folder: Path) -> list[Example]:
    """Return the examples with each medium's path replaced by that of the file under `folder`.

    The file is the one whose path below `folder` is the longest end of the path in the example.

    Raises
    ------
    DataError
        If there is no such file, with the number of missing media and the first example; or if two paths lead
        to one file.
    """
    first: dict[Path, Example] = {}
    for example in examples:
        for part in example.parts:
            if not isinstance(part, Text) and isinstance(part.source, Path):
                first.setdefault(part.source, example)
    found = _files(first, folder)

    def local(part: Part) -> Part:
        if isinstance(part, Text) or not isinstance(part.source, Path):
            return part
        return replace(part, source=found[part.source])

    return [
        replace(
            example,
            messages=tuple(Message(one.role, tuple(map(local, one.parts))) for one in example.messages),
        )
        for example in examples
    ]


def _file(path: Path, folder: Path, resolved: Path) -> Path | None:
    parts = path.parts[1:]
    if resolved in path.parents:
        parts = path.relative_to(resolved).parts
    for start in range(len(parts)):
        try:
            file = resolve_inside(Path(*parts[start:]), folder, resolved)
        except MediaError:
            continue
        if file.is_file():
            return file
    return None


def _files(first: Mapping[Path, Example], folder: Path) -> dict[Path, Path]:
    """Return the file of each path; `first` has the first example with a path, for messages."""
    resolved = folder.resolve()
    found: dict[Path, Path] = {}
    origin: dict[Path, Path] = {}
    missing: list[Path] = []
    for path in first:
        file = _file(path, folder, resolved)
        if file is None:
            missing.append(path)
            continue
        found[path] = file
        other = origin.setdefault(file, path)
        if other != path:
            raise DataError(
                f"{first[other].id} and {first[path].id} name different media files, but under the folder "
                f"{folder.name!r} there is only one {path.name!r}; keep the folders of the public files"
            )
    if missing:
        raise DataError(
            f"{len(missing)} of {len(first)} media files are not under the folder {folder.name!r}, such as "
            f"{missing[0].name!r} of {first[missing[0]].id}; name the folder that holds them (media_root)"
        )
    return found
