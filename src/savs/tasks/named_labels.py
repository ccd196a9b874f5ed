"""`NamedLabelsTask`: one task whose files, tables and hub datasets call the same labels differently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from savs._labels import Label
from savs.data import Example, ReadOptions, read_examples
from savs.errors import DataError
from savs.tasks._class_names import plain
from savs.tasks._media_paths import found_under
from savs.tasks.task import Task

__all__ = ["HubCopy", "NamedLabelsTask", "file_of_split"]

HUB_PREFIX = "hf://"

_WORD = re.compile(r"[a-z]+")
_FILES = frozenset({".json", ".jsonl", ".tsv"})
_SPLIT_WORDS = {"train": {"train"}, "test": {"test", "eval"}, "val": {"val", "validation", "dev"}}

# Options in one line, or each in its own.
_FOUR = re.compile(r"\nA\. (.+?)\s+B\. (.+?)\s+C\. (.+?)\s+D\. (.+?)\s*$")


@dataclass(frozen=True, kw_only=True)
class HubCopy:
    """Where a task's data are on the hub.

    Parameters
    ----------
    id : str
        ``owner/name``.
    split : str
        The split with the test items.
    config : str, optional
        Its configuration.
    read_options : mapping
        Fields of `savs.data.ReadOptions` that the columns there need.
    """

    id: str
    split: str = "test"
    config: str | None = None
    read_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NamedLabelsTask(Task):
    """A task that reads annotation files, VLMEvalKit's tables and the hub to the same labels.

    Parameters
    ----------
    label_names : mapping of str to label
        The label by what a file calls it, in small letters. Empty: labels stay as they are.
    positive : label, optional
        The class that precision, recall, F1, and scores are about.
    hub_copy : HubCopy, optional
        Where the data are on the hub.
    splits_in_names : tuple of str
        Names of splits, one of which the name of an annotation file holds: it becomes the value of
        `split_column`.
    """

    label_names: Mapping[str, Label] = field(default_factory=dict)
    positive: Label | None = None
    hub_copy: HubCopy | None = None
    splits_in_names: tuple[str, ...] = ()

    def read(self, file: Path | str, media_root: Path | str | None = None) -> list[Example]:
        """Return the labeled examples of an annotation file or table, in order; no medium is opened.

        Parameters
        ----------
        file : Path or str
            As `Task.read` takes it; a table of VLMEvalKit (``.tsv``); or ``hf://owner/name``, of which the
            split with the test items is read.
        media_root : Path or str, optional
            The folder of the media that the file names; by default the folder of `file`.

        Raises
        ------
        DataError
            As `Task.read`; if the file calls a label by a name that the task does not know.
        """
        if isinstance(file, str) and file.startswith(HUB_PREFIX):
            return self.load(file, media_root=media_root)
        path = Path(file)
        folder = path.parent if media_root is None else Path(media_root)
        options = ReadOptions(**{**self.read_options, "root": folder, "allow_outside": True})
        source: Path | str = path
        if path.suffix.lower() == ".tsv":
            source = f"vlmevalkit://{path}"
            options = ReadOptions(root=folder, allow_outside=True)
        examples = found_under(read_examples(source, options, require_labels=True), folder)
        return self._checked([self._with_split(example, path.stem) for example in examples])

    def load(
        self,
        source: Path | str | None = None,
        *,
        media_root: Path | str | None = None,
        split: str | None = None,
    ) -> list[Example]:
        """Return the labeled examples of a file or of a hub dataset.

        Parameters
        ----------
        source : Path or str, optional
            As `read` takes it; a folder with one file for each split, such as ``esc_mcq_train.json``; by
            default the task's copy on the hub.
        media_root : Path or str, optional
            The folder of the media that a file names.
        split : str, optional
            ``"train"``, ``"test"``, or another split of the hub dataset; by default the test items.

        Raises
        ------
        DataError
            As `read`, and if the hub dataset cannot be read.
        """
        if source is not None and not (isinstance(source, str) and source.startswith(HUB_PREFIX)):
            file = file_of_split(Path(source), split) if Path(source).is_dir() else source
            return self.read(file, source if media_root is None and Path(source).is_dir() else media_root)
        copy = self.hub_copy
        if copy is None:
            raise DataError(f"{self.name}: no copy on the hub is known; name a file of it")
        address = source or f"{HUB_PREFIX}{copy.id}"
        if split == "train":
            raise DataError(
                f"{self.name}: there are test items alone; draw the shots from them, too: give {address} as "
                "the one file"
            )
        chosen = copy.split if split in (None, "test") and "#" not in str(address) else split
        options = ReadOptions(**copy.read_options, config=copy.config, split=chosen)
        return self._checked(read_examples(address, options, require_labels=True))

    def _checked(self, examples: list[Example]) -> list[Example]:
        named = [self._named(example) for example in examples]
        for example in named:
            self._check(example)
        return named

    def _named(self, example: Example) -> Example:
        if not self.label_names:
            return example
        name = str(example.label).strip().lower()
        if name not in self.label_names:
            raise DataError(
                f"{example.id}: the label {str(example.label)[:80]!r} is none that task {self.name} knows: "
                f"{', '.join(self.label_names)}"
            )
        return replace(example, label=self.label_names[name])

    def _with_split(self, example: Example, file_name: str) -> Example:
        column = self.split_column
        found = [one for one in self.splits_in_names if one in file_name]
        if column is None or example.fields.get(column) is not None or len(found) != 1:
            return example
        return replace(example, fields={**example.fields, column: found[0]})

    def _check(self, example: Example) -> None:
        if self.protocol == "option_letters":
            if not isinstance(example.label, str) or example.fields.get(example.label) is None:
                raise DataError(
                    f"{example.id}: the answer {str(example.label)[:80]!r} is not the letter of one of the "
                    f"options (protocol {self.protocol} of task {self.name})"
                )
        elif self.protocol == "four_way":
            found = _FOUR.search(example.text)
            options = () if found is None else found.groups()
            if plain(str(example.label)).lower() not in {plain(option).lower() for option in options}:
                raise DataError(
                    f"{example.id}: the question does not end with the options A to D, one of them the label "
                    f"(protocol four_way of task {self.name})"
                )
        else:
            super()._check(example)


def file_of_split(folder: Path, split: str | None) -> Path:
    """Return the one file of a folder whose name has the word of a split.

    Parameters
    ----------
    folder : Path
        With annotation files.
    split : str or None
        ``"train"``, ``"test"`` (None, too) or another one.

    Raises
    ------
    DataError
        If there is none, or more than one.
    """
    words = _SPLIT_WORDS.get(split or "test", {split})
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _FILES)
    found = [file for file in files if words & set(_WORD.findall(file.stem.lower()))]
    if len(found) != 1:
        raise DataError(
            f"{folder.name} holds {len(found)} files (.json, .jsonl, .tsv) of the split {split or 'test'!r}; "
            "name the file itself"
        )
    return found[0]
