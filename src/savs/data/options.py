"""`ReadOptions`: how a source of data is read, one definition for every function and command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, TypedDict, Unpack

from savs.errors import DataError

__all__ = ["DataSource", "ReadKeywords", "ReadOptions"]

DataSource: TypeAlias = Path | str | Sequence[Path | str]
"""What data are read from: a path, a glob pattern or an address, or several of them."""


@dataclass(frozen=True)
class RowSelection:
    """The positions below `limit` that leave the rest `index` when divided by `count`.

    Parameters
    ----------
    limit : int or None
        None means all.
    index, count : int
        A shard: ``0 <= index < count``.

    Raises
    ------
    DataError
        If they are out of range.

    Examples
    --------
    >>> selection = RowSelection(limit=6, index=1, count=3)
    >>> [position for position in range(10) if position in selection]
    [1, 4]
    """

    limit: int | None = None
    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise DataError(f"the limit must be at least 1, not {self.limit} (--limit)")
        if not 0 <= self.index < self.count:
            raise DataError(
                f"shard {self.index} of {self.count} does not exist; the first is 0 of {max(self.count, 1)}"
            )

    def after(self, n_positions: int) -> RowSelection | None:
        """Return the selection as a source sees it that follows so many positions; None if nothing is left.

        Examples
        --------
        >>> RowSelection(limit=6, index=1, count=3).after(5)
        RowSelection(limit=1, index=2, count=3)
        """
        limit = None if self.limit is None else self.limit - n_positions
        if limit is not None and limit < 1:
            return None
        return RowSelection(limit, (self.index - n_positions) % self.count, self.count)

    def __contains__(self, position: int) -> bool:
        return (self.limit is None or position < self.limit) and position % self.count == self.index


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a file, folder or dataset is read.

    Parameters
    ----------
    image_column : str or sequence of str, optional
        Columns of images; several give several images, in that order. By default the columns of the public
        SAVs files: ``image``, ``image_path``, ``Image``, ``images``, ``image_1``, ``image_2``, ...
    text_column : str, optional
        By default the first of ``question``, ``text``, ``prompt``, ``claim``, ``instruction``, ``Text``.
    label_column : str, optional
        By default ``label``. Labels of CSV and TSV files are always text.
    id_column : str, optional
        By default ``id`` or ``ID``.
    video_column, audio_column : str or sequence of str, optional
        Columns of videos and audio clips. Where a column of images, videos or audio clips is named, columns
        with the public names for media are ignored.
    video_frames : int, optional
        Frames read of each video, evenly spread; 8 by default.
    video_fps : float, optional
        Frames read for each second of a video, at most `video_frames`, by default at most 64.
    bit_depth : int, optional
        Bits that images of more than 8 bits have, from 8 to 16; by default what each file says, else 16.
    delimiter : str, optional
        The character between the cells of CSV and TSV files; by default the first lines tell.
    root : Path or str, optional
        The folder that media paths are relative to and must lie in; by default the folder of the file or
        dataset.
    allow_outside : bool, default=False
        Accept media files outside `root`: absolute paths, ``..`` and links.
    skip_unread : bool, default=True
        Leave out files of a folder that are images, videos or audio clips of a format that is not read, and
        warn of them by kind; False makes them an error.
    split : str, optional
        The part of a dataset with several parts, such as ``"train"``.
    config, revision : str, optional
        Configuration, and branch, tag or commit, of a hub dataset.
    limit : int, optional
        Read only so many rows or files, from the first on.
    shard : (int, int), optional
        ``(i, n)``: of these only positions that leave the rest ``i`` when divided by ``n``. Ids and positions
        are those of the whole source: rows of other shards are still parsed, and their ids compared.
    multi_label : str, optional
        The examples have several labels: `Example.labels`. A label cell is a list, or a text with this text
        between two labels, such as ``";"``.
    fetch : callable, optional
        Opens web addresses of media: a `savs.media.Fetcher`. Without it they are refused.

    Raises
    ------
    DataError
        If `limit` or `shard` is out of range, or `delimiter` is not one character.

    Examples
    --------
    >>> options = ReadOptions(label_column="kind", limit=100)
    >>> options.label_column, options.split
    ('kind', None)
    """

    image_column: str | Sequence[str] | None = None
    text_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    video_column: str | Sequence[str] | None = None
    audio_column: str | Sequence[str] | None = None
    video_frames: int | None = None
    video_fps: float | None = None
    bit_depth: int | None = None
    delimiter: str | None = None
    root: Path | str | None = None
    allow_outside: bool = False
    skip_unread: bool = True
    split: str | None = None
    config: str | None = None
    revision: str | None = None
    limit: int | None = None
    shard: tuple[int, int] | None = None
    multi_label: str | None = None
    fetch: Callable[[str, str], Path] | None = None

    def __post_init__(self) -> None:
        _ = self.selection
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise DataError(f"the delimiter is one character, such as ';' or a tab, not {self.delimiter!r}")

    @property
    def selection(self) -> RowSelection:
        """The positions that `limit` and `shard` choose."""
        return RowSelection(self.limit, *(self.shard or (0, 1)))


class ReadKeywords(TypedDict, total=False):
    """The fields of `ReadOptions` as keyword arguments."""

    image_column: str | Sequence[str] | None
    text_column: str | None
    label_column: str | None
    id_column: str | None
    video_column: str | Sequence[str] | None
    audio_column: str | Sequence[str] | None
    video_frames: int | None
    video_fps: float | None
    bit_depth: int | None
    delimiter: str | None
    root: Path | str | None
    allow_outside: bool
    skip_unread: bool
    split: str | None
    config: str | None
    revision: str | None
    limit: int | None
    shard: tuple[int, int] | None
    multi_label: str | None
    fetch: Callable[[str, str], Path] | None


def merged_options(options: ReadOptions | None, **keywords: Unpack[ReadKeywords]) -> ReadOptions:
    """Return `options` with keyword arguments in place of its fields."""
    return ReadOptions(**keywords) if options is None else replace(options, **keywords)
