"""`read_examples`: any source of data to a list of examples, with a look at all labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from savs.datasets.streaming import iter_examples
from savs.errors import DataError
from savs.examples import ErrorLedger, Example, check_labels
from savs.examples.addresses import Fetch

__all__ = ["read_examples"]


def read_examples(
    source: Path | str,
    *,
    image_column: str | Sequence[str] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    video_column: str | Sequence[str] | None = None,
    audio_column: str | Sequence[str] | None = None,
    video_frames: int | None = None,
    video_fps: float | None = None,
    root: Path | str | None = None,
    require_labels: bool = False,
    allow_outside: bool = False,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
    ledger: ErrorLedger | None = None,
    fetch: Fetch | None = None,
) -> list[Example]:
    """Return the examples of a file, folder or data set, in order; no medium is opened.

    Parameters
    ----------
    source : Path or str
        A ``.jsonl``, ``.json`` (a list of objects), ``.csv``, ``.tsv`` or ``.parquet`` file; a folder or glob
        of Parquet files; a data set that the ``datasets`` library saved (``save_to_disk``); the text
        ``"hf://owner/name"`` for a data set of the hub, ``"hf://./folder"`` for a folder laid out like one;
        a folder with one folder per class; a folder of pictures, videos or sounds
        without classes; or one of them.
    image_column, text_column, label_column, id_column : str, optional
        Columns; by default the public SAVs names (`savs.examples.rows.row_to_example`). Several image columns
        give several pictures, in that order. Labels of CSV and TSV are always text.
    video_column, audio_column : str, optional
        Columns of videos and sounds, as image columns. Where a column of pictures, videos or sounds is named,
        columns of the public names for media are not looked at.
    video_frames : int, optional
        Frames read of each video, evenly spread; 8 by default.
    video_fps : float, optional
        Frames read for each second of a video, at most `video_frames`, by default at most 64.
    root : Path or str, optional
        What media paths are relative to, and must lie in; by default the folder of the file or the data set.
    require_labels : bool, default=False
        Refuse examples without a label.
    allow_outside : bool, default=False
        Take media files outside `root`: absolute paths, ``..`` and links.
    split : str, optional
        The part of a data set with several, such as ``"train"``.
    config, revision : str, optional
        Configuration, and branch, tag or commit, of a hub data set.
    limit : int, optional
        Read only so many, from the first on.
    ledger : ErrorLedger, optional
        Notes the rows and files that are no examples, by their position, and they are left out. By default
        the first one is raised. A file that is not what its format says is an error in any case.
    fetch : callable, optional
        Opens web addresses of media, as in `savs.as_example`: a `savs.media.addresses.Fetcher`.

    Returns
    -------
    list of Example
        Ids from the id column; else relative paths for folders, ``<file name>:<line, item or row>`` for data.

    Raises
    ------
    DataError
        With file and line or row, if the source or its labels cannot be used.
    ItemError
        If a row is no example, with file and line or row, and `ledger` takes no more of them.
    """
    found = iter_examples(
        source,
        image_column=image_column,
        text_column=text_column,
        label_column=label_column,
        id_column=id_column,
        video_column=video_column,
        audio_column=audio_column,
        video_frames=video_frames,
        video_fps=video_fps,
        root=root,
        allow_outside=allow_outside,
        split=split,
        config=config,
        revision=revision,
        limit=limit,
        ledger=ledger,
        fetch=fetch,
    )
    examples = [example for _, example in found]
    if require_labels:
        _check_labelled(str(source), examples)
    check_labels([example.label for example in examples])
    return examples


def _check_labelled(source: str, examples: Sequence[Example]) -> None:
    missing = [example for example in examples if example.label is None]
    if missing:
        raise DataError(
            f"{Path(source).name}: {len(missing)} of {len(examples)} examples have no label, the first is "
            f"{missing[0].id}; name the label column, or make one folder per class"
        )
