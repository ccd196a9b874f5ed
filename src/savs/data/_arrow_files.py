"""Data sets of the Hugging Face hub, and folders laid out like one: ``hf://`` addresses.

The ``datasets`` library fetches them into its own cache (``HF_HOME``) and reads them as the hub shows them.
They are the only sources for which anything is fetched or stored: writing ``hf://`` is asking for that.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.datasets.lines import check_name
from savs.datasets.saved import ArrowData, chosen_split, library_at_work
from savs.errors import DataError
from savs.examples import DataWarning

if TYPE_CHECKING:
    from datasets import DatasetBuilder

__all__ = ["HUB_PREFIX", "HubAddress", "open_hub"]

HUB_PREFIX = "hf://"
"""How the address of a hub data set begins."""

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
                f"{address!r} is no data set of the hub; write hf://owner/name, with @revision and #split "
                f"after it if needed, or hf://./folder for one on this machine"
            )
        found = _one("split", match["split"], split), _one("revision", match["revision"], revision)
        return cls(match["name"], None, *found)


def open_hub(address: HubAddress, config: str | None) -> tuple[ArrowData, tuple[Path, ...]]:
    """Return one split of a hub data set, and the folders that its media files may lie in.

    Raises
    ------
    DataError
        If it cannot be found, reached or read, or a configuration or split has to be chosen.

    Warns
    -----
    DataWarning
        If the hub was not reached or did not give it, with the revision that was found in the cache.
    """
    if address.folder is not None and address.revision is not None:
        raise DataError(f"the folder {address.name!r} has no revisions; hf://owner/name is a hub data set")
    with library_at_work(progress=True):
        builder = _builder(address, config)
        try:
            builder.download_and_prepare()
            split = chosen_split(address.name, builder.info.splits or {}, address.split)
            data = builder.as_dataset(split)
        except DataError:
            raise
        except Exception as error:
            raise _failed(address, error) from None
    return ArrowData(f"{address.name}/{split}", data), _media_folders(address)


def _folder(text: str) -> Path:
    try:
        folder = Path(text).expanduser().resolve()
        found = folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        found = False
    if found:
        check_name(folder)
        return folder
    raise DataError(f"there is no folder {text[-200:]!r}; hf://owner/name is a data set of the hub")


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
    warnings.warn(
        f"{address.name}: the hub cannot be reached or does not give it; revision {builder.hash} of the "
        "cache is read",
        DataWarning,
        stacklevel=6,
    )


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
            f"{address.name}: there is no such data set on the hub, no such revision, or no access; check "
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
    """Return the folders into which the library puts what it fetches for this data set."""
    if address.folder is not None:
        return (address.folder,)
    from datasets import config
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / _repository(address), Path(config.EXTRACTED_DATASETS_PATH)


def _one(what: str, inside: str | None, given: str | None) -> str | None:
    if inside is not None and given is not None and inside != given:
        raise DataError(f"the address names the {what} {inside!r} and the option {given!r}; keep one")
    return inside if inside is not None else given
