"""Datasets of the Hugging Face hub, and folders laid out like one: ``hf://`` addresses.

The ``datasets`` library finds their files and splits and fetches them into its own cache (``HF_HOME``). They
are the only sources for which anything is fetched or stored: writing ``hf://`` is asking for that. Text files
(CSV, TSV, JSON, JSONL), also those beside media, are then read like any other text file, so that the same
file gives the same examples by path and by ``hf://``; the library would change what they say (see
`savs.data._text_files`). Everything else is read as the library shows it.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Any

from savs._labels import DataWarning
from savs.data._arrow_files import ArrowData, chosen_split, class_names, library_at_work
from savs.data._text_files import CSV_SUFFIXES, TEXT_SUFFIXES, Row, check_name, no_rows, text_rows
from savs.data.options import RowSelection
from savs.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetBuilder

HUB_PREFIX = "hf://"
"""How the address of a hub dataset begins."""

_PART = r"[A-Za-z0-9](?:[\w.-]*\w)?"
_ADDRESS = re.compile(
    rf"(?P<name>{_PART}(?:/{_PART})?)(?:@(?P<revision>[\w./-]+))?(?:#(?P<split>\w[\w.-]*))?", re.ASCII
)
# Of the hub's client, and of the libraries below it: not all of them are `ConnectionError`.
_UNREACHABLE = {
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
}
_FOLDER = re.compile(r"(?P<name>[~./][^#]*)(?:#(?P<split>\w[\w.-]*))?", re.ASCII)


@dataclass(frozen=True)
class HubAddress:
    """What an ``hf://`` address says.

    Attributes
    ----------
    name : str
        ``owner/name``, or the path of a folder.
    folder : Path or None
        The folder, if it is one on this machine.
    split, revision : str or None
        If they were named.
    """

    name: str
    folder: Path | None = None
    split: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, address: str, split: str | None = None, revision: str | None = None) -> HubAddress:
        """Return the address ``hf://[datasets/]owner/name[@revision][#split]`` or ``hf://./folder[#split]``.

        Raises
        ------
        DataError
            If it is none, or names another split or revision than the arguments.
        """
        text = address.removeprefix(HUB_PREFIX)
        match = _FOLDER.fullmatch(text)
        if match:
            folder = _folder(match["name"])
            return cls(folder.name, folder, _one("split", match["split"], split), revision)
        match = _ADDRESS.fullmatch(text.removeprefix("datasets/"))
        if match is None:
            raise DataError(
                f"{address!r} is not a dataset of the hub; write hf://owner/name, with @revision and #split "
                f"after it if needed, or hf://./folder for one on this machine"
            )
        found = _one("split", match["split"], split), _one("revision", match["revision"], revision)
        return cls(match["name"], None, *found)


def open_hub(address: HubAddress, config: str | None) -> tuple[ArrowData | HubText, tuple[Path, ...]]:
    """Return one split of a hub dataset, and the folders that its media files may lie in.

    Raises
    ------
    DataError
        If it cannot be found, reached or read, or a configuration or split has to be chosen.

    Warns
    -----
    DataWarning
        If the hub was not reached or did not give it, with the revision that was found in the cache; if text
        files are read by the ``datasets`` library, as their description asks for more than a delimiter.
    """
    if address.folder is not None and address.revision is not None:
        raise DataError(
            f"the folder {address.name!r} has no revisions (--data-revision); hf://owner/name is a hub "
            f"dataset"
        )
    with library_at_work(progress=True):
        splits, builder = _text_splits(address, config)
        if splits is not None:
            return splits.of(chosen_split(address.name, splits.files, address.split)), _media_folders(address)
        try:
            builder.download_and_prepare()
            split = chosen_split(address.name, builder.info.splits or {}, address.split)
            data = builder.as_dataset(split)
        except DataError:
            raise
        except Exception as error:
            raise _failed(address, error) from None
    return ArrowData(f"{address.name}/{split}", data), _media_folders(address)


# Text files: fetched by the library, read by the readers of text files.

_TEXT_BUILDERS = {"csv": ".csv", "json": ".json"}
# Folders of media, and what the library calls the column of those that a metadata file names as file_name.
_FOLDER_BUILDERS = {"imagefolder": "image", "audiofolder": "audio", "videofolder": "video"}
_METADATA = {"metadata.csv", "metadata.jsonl"}
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".lz4"}
# Entries of a dataset's description that say where its files are, or that are kept here.
_UNDERSTOOD = {"name", "version", "data_dir", "data_files", "description", "features", "sep", "delimiter"}

_NAMES_FILES = re.compile(r"(?:(?P<own>.+)_)?file_name(?P<several>s)?")

_File = tuple[str, str, str]  # its name in messages, its path, its suffix


@dataclass(frozen=True)
class HubText:
    """Text files of one split, one after the other.

    Parameters
    ----------
    name : str
        For ids and messages.
    files : sequence of (str, str, str)
        Name in messages, path and suffix of each.
    delimiter : str or None
        Of CSV files, if the dataset says so.
    classes : mapping
        `class_names`.
    medium : str or None
        Of metadata files beside media: the column of what they name as ``file_name``.
    media : mapping of str to str
        The media's paths on this machine, by their names in messages.
    """

    name: str
    files: Sequence[_File]
    delimiter: str | None = None
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    medium: str | None = None
    media: Mapping[str, str] = field(default_factory=dict)

    def count(self) -> int | None:
        """Return None: only reading all rows would tell."""
        return None

    def rows(self, _wanted: RowSelection, _kept: Sequence[str]) -> Iterator[Row]:
        """Yield all rows.

        Raises
        ------
        DataError
            As `text_rows`, and if a cell is none of the classes of its column, or a metadata file names a
            file that is not there.
        """
        number, named = 0, set[str]()
        for name, path, suffix in self.files:
            for row in text_rows(Path(path), self.delimiter, name=name, suffix=suffix):
                number += 1
                known = row.cells
                if self.medium is not None:
                    known = self._with_media(row, name.rpartition("/")[0], self.medium, named)
                cells = {column: self._cell(row, column, value) for column, value in known.items()}
                yield Row(f"{self.name}:{number}", row.where, cells, row.is_typed)
        if not number:
            raise no_rows(self.name)
        left = [name for name, path in self.media.items() if path not in named]
        if left:
            _warn(
                f"{self.name}: {len(left)} files beside its metadata are left out, as it does not name "
                f"them, the first is {min(left)}; add rows for them"
            )

    def _with_media(self, row: Row, folder: str, medium: str, named: set[str]) -> dict[str, Any]:
        """Return the cells of a row of a metadata file, its files in the columns that the library has."""
        cells: dict[str, Any] = {}
        for column, value in row.cells.items():
            match = _NAMES_FILES.fullmatch(column)
            if match is None:
                cells[column] = value
                continue
            own = match["own"] or medium + ("s" if match["several"] else "")
            several = value if isinstance(value, list) else [value]
            paths = [one if one in (None, "") else self._medium(row, folder, one) for one in several]
            named.update(path for path in paths if path)
            cells[own] = paths if isinstance(value, list) else paths[0]
        if cells.keys() == row.cells.keys():
            raise DataError(f"{row.where}: the metadata names no file: there is no column file_name")
        return cells

    def _medium(self, row: Row, folder: str, value: Any) -> str:
        found = self.media.get(f"{folder}/{normpath(str(value))}")
        if found is None:
            raise DataError(
                f"{row.where}: the metadata names {str(value)[:100]!r}, and there is no such file beside it"
            )
        return found

    def _cell(self, row: Row, column: str, value: Any) -> Any:
        if column not in self.classes:
            return value
        if isinstance(value, list):
            return [self._cell(row, column, part) for part in value]
        names = self.classes[column]
        if value in (None, -1, "-1") or value in names:
            return None if value in (None, -1, "-1") else value
        number = int(value) if re.fullmatch(r"[0-9]{1,9}", str(value)) else len(names)
        if number >= len(names):
            raise DataError(
                f"{row.where}: {str(value)[:100]!r} in column {column!r} is none of its {len(names)} classes"
            )
        return names[number]


@dataclass(frozen=True)
class _TextSplits:
    """The text files of all splits, as they are noted in the library's cache for times without the hub."""

    name: str
    config: str | None
    revision: str
    files: Mapping[str, Sequence[_File]]
    delimiter: str | None
    classes: Mapping[str, Sequence[str]]
    medium: str | None = None
    media: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, split: str) -> HubText:
        """Return the files of one split."""
        return HubText(
            f"{self.name}/{split}",
            self.files[split],
            self.delimiter,
            self.classes,
            self.medium,
            self.media.get(split, {}),
        )


def _text_splits(address: HubAddress, config: str | None) -> tuple[_TextSplits | None, Any]:
    """Return the text files of a dataset, or else the builder that reads it."""
    try:
        builder = _builder(address, config)
    except DataError:
        noted = _noted(address, config)
        if noted is None:
            raise
        return noted, None
    if builder.__module__.endswith(".cache") and builder.info.builder_name in _TEXT_BUILDERS:
        _warn(
            f"{address.name}: the datasets library stored its text files with changed values (NA, 007, "
            "dates); read it once while the hub can be reached"
        )
    if not _is_plain_text(address, builder):
        return None, builder
    medium = _FOLDER_BUILDERS.get(_kind(builder))
    tables, others = _urls(builder), {}
    if medium is not None:
        tables = {split: [url for url in urls if _is_metadata(url)] for split, urls in tables.items()}
        others = {
            split: [url for url in urls if not _is_metadata(url)] for split, urls in _urls(builder).items()
        }
    try:
        files = {str(split): _fetched(address, builder, urls) for split, urls in tables.items()}
        media = {str(split): _fetched_media(address, builder, urls) for split, urls in others.items()}
    except Exception as error:
        raise _failed(address, error) from None
    delimiter = getattr(builder.config, "sep", ",")
    features = builder.config.features or builder.info.features or {}
    splits = _TextSplits(
        address.name,
        config,
        str(builder.hash),
        files,
        None if delimiter == "," else delimiter,
        class_names(features),
        medium,
        media,
    )
    if address.folder is None:
        _note(splits)
    return splits, None


def _urls(builder: DatasetBuilder) -> Mapping[Any, Sequence[str]]:
    return getattr(builder.config, "data_files", None) or {}


def _kind(builder: DatasetBuilder) -> str:
    """Return what the library calls the format of a dataset."""
    return str(builder.__module__).rpartition(".")[2]


def _is_metadata(url: str) -> bool:
    return url.rpartition("/")[2] in _METADATA


def _is_plain_text(address: HubAddress, builder: DatasetBuilder) -> bool:
    """Return whether a dataset is text files, or media beside such, and its description changes no value."""
    listed = [url for urls in _urls(builder).values() for url in urls]
    of_media = _kind(builder) in _FOLDER_BUILDERS and any(map(_is_metadata, listed))
    if not listed or not (of_media or _kind(builder) in _TEXT_BUILDERS):
        return False
    usual, given = type(builder.config)(), builder.config
    changed = [
        entry.name
        for entry in fields(given)
        if entry.name not in _UNDERSTOOD and getattr(given, entry.name) != getattr(usual, entry.name)
    ]
    changed = [name for name in changed if name not in {"names", "column_names"} or getattr(given, name)]
    if len(getattr(given, "sep", ",") or "") != 1:
        changed.append("sep")
    packed = [url for url in listed if Path(url).suffix.lower() == ".zip"]
    if changed or packed:
        reason = f"its description sets {', '.join(changed)}" if changed else "they are packed as .zip"
        _warn(
            f"{address.name}: its text files are read by the datasets library, as {reason}; that changes "
            "values such as NA, 007 and dates"
        )
    return not changed and not packed


def _fetched(address: HubAddress, builder: Any, urls: Sequence[str]) -> list[_File]:
    from datasets import DownloadConfig
    from datasets.utils.file_utils import cached_path

    options = DownloadConfig(token=builder.token, extract_compressed_file=True)
    default = _TEXT_BUILDERS.get(_kind(builder), ".jsonl")
    files = []
    for url in urls:
        inside = _inside(address, builder, url)
        suffixes = [suffix.lower() for suffix in Path(inside).suffixes if suffix.lower() not in _PACKED]
        suffix = suffixes[-1] if suffixes and suffixes[-1] in TEXT_SUFFIXES else default
        if (suffix in CSV_SUFFIXES) != (default == ".csv") and not _is_metadata(url):
            suffix = default
        files.append((f"{address.name}/{inside}", str(cached_path(url, options)), suffix))
    return files


def _inside(address: HubAddress, builder: DatasetBuilder, url: str) -> str:
    """Return the path of a file inside its dataset."""
    if url.startswith(HUB_PREFIX):
        return url.partition("@")[2].partition("/")[2]
    # Of a folder on this machine, text files have always been called by their name alone.
    if address.folder is None or _kind(builder) not in _FOLDER_BUILDERS:
        return Path(url).name
    return Path(url).relative_to(address.folder).as_posix()


def _fetched_media(address: HubAddress, builder: Any, urls: Sequence[str]) -> dict[str, str]:
    """Return where the media of a split are on this machine, by their names in messages."""
    from datasets import DownloadConfig, DownloadManager

    manager = DownloadManager(download_config=DownloadConfig(token=builder.token), record_checksums=False)
    paths = manager.download(list(urls))
    names = (f"{address.name}/{_inside(address, builder, url)}" for url in urls)
    return dict(zip(names, map(str, paths), strict=True))


def _notes(address: HubAddress) -> Path:
    from datasets import config

    return Path(config.HF_DATASETS_CACHE) / "savs" / address.name.replace("/", "___")


def _note(splits: _TextSplits) -> None:
    """Keep where the files of a dataset are, for times when the hub cannot be reached."""
    folder = _notes(HubAddress(splits.name))
    note = folder / f"{splits.config or 'default'}-{splits.revision}.json"
    written = note.with_suffix(f".{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(asdict(splits)), encoding="utf-8")
        written.replace(note)
    except OSError:
        return  # a cache that cannot be written: the files are read all the same


def _noted(address: HubAddress, config: str | None) -> _TextSplits | None:
    """Return the text files that were fetched last, or those of the revision asked for."""
    if address.folder is not None:
        return None
    notes = sorted(_notes(address).glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True)
    for note in notes:
        splits = _TextSplits(**json.loads(note.read_text(encoding="utf-8")))
        wanted = {splits.revision} if address.revision is None else {address.revision, _last_commit(address)}
        there = all(Path(path).is_file() for files in splits.files.values() for _, path, _ in files)
        if splits.config == config and splits.revision in wanted and there:
            if address.revision is None:
                _warn(_unreached(address, splits.revision))
            return splits
    return None


def is_csv(address: HubAddress) -> bool:
    """Return whether a dataset, as it was read last, is CSV files alone, whose labels are text."""
    if address.folder is not None:
        suffixes = {path.suffix.lower() for path in address.folder.rglob("*") if path.is_file()}
    else:
        notes = sorted(_notes(address).glob("*.json"), key=lambda note: note.stat().st_mtime)
        files = json.loads(notes[-1].read_text(encoding="utf-8"))["files"] if notes else {}
        suffixes = {suffix for listed in files.values() for _, _, suffix in listed}
    return bool(suffixes & set(CSV_SUFFIXES)) and not suffixes & {*TEXT_SUFFIXES[:3], ".parquet", ".arrow"}


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=7)


def _unreached(address: HubAddress, revision: Any) -> str:
    return (
        f"{address.name}: the hub cannot be reached or does not give it; revision {revision} of the cache is "
        "read"
    )


# Any other dataset: as the library reads it.


def _folder(text: str) -> Path:
    try:
        folder = Path(text).expanduser().resolve()
        found = folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        found = False
    if found:
        check_name(folder)
        return folder
    raise DataError(f"there is no folder {text[-200:]!r}; hf://owner/name is a dataset of the hub")


def _builder(address: HubAddress, config: str | None) -> DatasetBuilder:
    from datasets import load_dataset_builder

    # Without this prefix a folder owner/name in the working directory would be taken for it.
    name = f"hf://datasets/{address.name}" if address.folder is None else str(address.folder)
    try:
        builder = load_dataset_builder(name, config, revision=address.revision)
    except Exception as error:
        raise _failed(address, error) from None
    if builder.__module__.endswith(".cache"):
        _check_cached(address, builder)
    return builder


def _check_cached(address: HubAddress, builder: Any) -> None:
    """Warn that the hub was not reached; the library's cache does not look at the revision asked for."""
    if address.revision is not None:
        if builder.hash in (address.revision, _last_commit(address)):
            return
        raise DataError(
            f"{address.name}: the hub does not give it, and the cache holds revision {builder.hash}, not "
            f"{address.revision}"
        )
    _warn(_unreached(address, builder.hash))


def _last_commit(address: HubAddress) -> str:
    """Return the commit that a branch or tag stood for when the hub was last reached; else nothing."""
    from huggingface_hub import constants

    note = Path(constants.HF_HUB_CACHE) / _repository(address) / "refs" / str(address.revision)
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""


def _repository(address: HubAddress) -> str:
    return "datasets--" + address.name.replace("/", "--")


def _failed(address: HubAddress, error: Exception) -> DataError:
    """Return what to do about whatever the library raised; its own text may hold addresses and tokens."""
    from datasets.exceptions import DatasetNotFoundError

    if type(error).__name__ == "DatasetGenerationError" and isinstance(error.__cause__, Exception):
        error = error.__cause__
    kind = type(error).__name__
    if isinstance(error, DatasetNotFoundError):
        return DataError(
            f"{address.name}: there is no such dataset on the hub, no such revision, or no access; check "
            f"the name, or log in with 'hf auth login'"
        )
    if isinstance(error, ConnectionError) or kind in _UNREACHABLE:
        return DataError(f"{address.name}: the hub cannot be reached and the cache does not hold it ({kind})")
    if isinstance(error, FileNotFoundError) and error.errno is None:  # not of the file system
        return DataError(f"{address.name}: it holds no file that the datasets library reads")
    if isinstance(error, OSError):
        return DataError(
            f"{address.name}: the cache of the datasets library (HF_HOME) cannot be read or written; check "
            f"its permissions and the space on its disk ({kind})"
        )
    if "Config name is missing" in str(error) or "BuilderConfig" in str(error):
        return DataError(f"{address.name}: {_configs(address)}")
    if "CastError" in kind:
        return DataError(
            f"{address.name}: its files differ in their columns; choose some with config (--config)"
        )
    return DataError(f"{address.name} cannot be read by the datasets library ({kind})")


def _configs(address: HubAddress) -> str:
    from datasets import get_dataset_config_names

    name = f"hf://datasets/{address.name}" if address.folder is None else str(address.folder)
    names = get_dataset_config_names(name, revision=address.revision)
    return f"choose one of its configurations with config (--config): {', '.join(names)}"


def _media_folders(address: HubAddress) -> tuple[Path, ...]:
    """Return the folders into which the library puts what it fetches for this dataset."""
    if address.folder is not None:
        return (address.folder,)
    from datasets import config
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / _repository(address), Path(config.EXTRACTED_DATASETS_PATH)


def _one(what: str, inside: str | None, given: str | None) -> str | None:
    option = "--split" if what == "split" else "--data-revision"
    if inside is not None and given is not None and inside != given:
        raise DataError(
            f"the address names the {what} {inside!r} and the option {given!r} ({option}); keep one"
        )
    return inside if inside is not None else given
