"""`Task`: what a public benchmark asks and how it is scored. Knows no model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from savs._labels import Label, check_labels, key_of
from savs.data import Example, ReadOptions, read_examples
from savs.errors import DataError
from savs.tasks._media_paths import found_under
from savs.tasks._rows import RowMapper, mapped
from savs.tasks._sources import (
    HUB_PREFIX,
    HubSource,
    NoSplitError,
    files_of_split,
    name_in_file,
    objects_by_key,
)

__all__ = ["PROTOCOLS", "Groups", "HubSource", "Task"]

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "four_way": "the prompt names four classes, A to D, one of them the true one",
        "option_letters": "each item names its own options, and the answer is the letter of one",
        "n_way": "the answer is one of all classes; the prompt names none of them, or all",
        "yes_no": "each item asks its own question, and the answer is Yes or No",
        "yes_no_or_letter": "each item asks its own question; the answer is Yes or No, or A or B",
        "two_classes": "each item is of one of two classes, such as answerable and unanswerable",
    }
)
"""What an item is; results of different protocols are not comparable."""

_FOUR = re.compile(r"\nA\. (.+) B\. (.+) C\. (.+) D\. (.+)$")
_LETTER = re.compile(r"\([A-Z]\)")
_TABLE = ".tsv"


@dataclass(frozen=True)
class Groups:
    """Which items belong together, told by whole numbers in a column.

    Parameters
    ----------
    column : str
        The column of an item's number, which counts through the groups and, in each, through its items. In a
        file it may count the groups alone (`numbered`).
    size : int
        Items in a group.
    first : int, default=0
        The number of the first item of all.
    """

    column: str
    size: int
    first: int = 0

    def place(self, example: Example) -> tuple[int, int]:
        """Return the group of an example and its place in the group.

        Raises
        ------
        DataError
            If the column does not hold a whole number from `first` on.
        """
        number = self._number(example)
        if number is None:
            raise DataError(
                f"{example.id}: column {self.column!r} must hold a whole number from {self.first} on, which "
                "tells the group"
            )
        return divmod(number - self.first, self.size)

    def numbered(self, examples: Sequence[Example]) -> list[Example]:
        """Return the examples of a file with the numbers of items where the file has those of groups.

        They are numbers of groups, counted from `first` on, if one stands in `size` rows and none in more.
        The items of a group are in the order of their rows. Other examples are returned as they are.

        Parameters
        ----------
        examples : sequence of Example
            All rows of a file, in order.
        """
        numbers = [number for example in examples if (number := self._number(example)) is not None]
        rows = Counter(numbers)
        if len(numbers) < len(examples) or max(rows.values(), default=0) != self.size:
            return list(examples)
        seen: Counter[int] = Counter()
        found = []
        for example, group in zip(examples, numbers, strict=True):
            item = self.first + self.size * (group - self.first) + seen[group]
            seen[group] += 1
            found.append(replace(example, fields={**example.fields, self.column: item}))
        return found

    def _number(self, example: Example) -> int | None:
        number = example.fields.get(self.column)
        if isinstance(number, str) and number.isdecimal() and len(number) < 19:
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or number < self.first:
            return None
        return number


@dataclass(frozen=True, kw_only=True)
class Task:
    r"""A task of a public benchmark.

    Parameters
    ----------
    name : str
        Such as ``"eurosat"``.
    prompt : str
        A prompt template (`savs.backbones.PromptTemplate`), for `savs.SAVModel`.
    protocol : str
        One of `PROTOCOLS`.
    metric : str
        One of `savs.tasks.scoring.METRICS`.
    origin : str
        Where the public files come from.
    labels : tuple of label, optional
        All labels, if they are few and fixed; else those of the files.
    positive : label, optional
        The class that precision, recall, F1 and scores are about.
    groups : Groups, optional
        Which items belong together, for a metric of groups.
    split_column : str, optional
        The column that tells the part of the benchmark, for metrics per split.
    pair_column : str, optional
        The column whose value the two items of a pair of one split share.
    parts : mapping of str to str or None
        Name of each part that has files of its own, and a model of its own in a benchmark, with its
        configuration on the hub. The name is the value of `split_column`.
    splits_in_names : tuple of str
        Names of splits, one of which the name of a file holds: it becomes the value of `split_column`. Those
        of `parts` always do.
    read_options : mapping, optional
        Fields of `savs.data.ReadOptions` that the public files need, such as ``{"label_column": "kind"}``.
    hub : HubSource, optional
        Where the data are on the hub.
    row : callable, optional
        From a row of any public layout to the columns of the authors' annotation files, or to a list of such
        rows. Returns a row that has them already as it is. Media are those of the row.
    aliases : tuple of str
        Names of the task in other programs.

    Raises
    ------
    ValueError
        If there is no such protocol, or parts without a column of splits.

    Examples
    --------
    >>> task = Task(
    ...     name="leaves",
    ...     prompt="\n{question} Please answer with Yes or No.",
    ...     protocol="yes_no",
    ...     metric="accuracy",
    ...     origin="my own files",
    ...     labels=("Yes", "No"),
    ... )
    >>> task.protocol
    'yes_no'
    """

    name: str
    prompt: str
    protocol: str
    metric: str
    origin: str
    labels: tuple[Label, ...] | None = None
    positive: Label | None = None
    groups: Groups | None = None
    split_column: str | None = None
    pair_column: str | None = None
    parts: Mapping[str, str | None] = field(default_factory=dict)
    splits_in_names: tuple[str, ...] = ()
    read_options: Mapping[str, Any] = field(default_factory=dict)
    hub: HubSource | None = None
    row: RowMapper | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise ValueError(f"task {self.name!r}: there is no protocol {self.protocol!r}; there are {known}")
        if (self.parts or self.splits_in_names) and self.split_column is None:
            raise ValueError(f"task {self.name!r}: names of splits need a column for them (split_column)")

    def read(self, file: Path | str, media_root: Path | str | None = None) -> list[Example]:
        """Return the labeled examples of an annotation file of the task, in order; no medium is opened.

        Paths of media in public files are often those of their authors' machine. A medium is the file under
        `media_root` whose path ends like the one in the annotation file, as much of it as possible.

        Parameters
        ----------
        file : Path or str
            Such as ``eurosat_train.json``; a table of VLMEvalKit (``.tsv``); a folder or ``hf://owner/name``,
            of which the test items are read.
        media_root : Path or str, optional
            The folder of the images or videos, at any depth; by default the folder of `file`.

        Raises
        ------
        DataError
            With the example's id, if the file cannot be read, media are not under `media_root`, or a row does
            not fit the protocol or the labels of the task.
        """
        if isinstance(file, str) and file.startswith(HUB_PREFIX):
            return self.load(file, media_root=media_root)
        path = Path(file)
        if path.is_dir():
            return self.load(path, media_root=media_root)
        folder = path.parent if media_root is None else Path(media_root)
        options = ReadOptions(root=folder, allow_outside=True)
        source: Path | str = path
        if path.suffix.lower() == _TABLE:
            source = f"vlmevalkit://{path}"
        else:
            options = replace(options, **self.read_options)
        rows = objects_by_key(path, options)
        if rows is None:
            rows = read_examples(source, options, require_labels=self.row is None)
        names = tuple(self.parts) or self.splits_in_names
        split = name_in_file(path.stem, names)
        return self._finished(found_under(self._with_split(rows, split), folder))

    def load(
        self,
        source: Path | str | None = None,
        *,
        media_root: Path | str | None = None,
        split: str | None = None,
    ) -> list[Example]:
        """Return the labeled examples of a file, a folder of files or a hub dataset.

        Parameters
        ----------
        source : Path or str, optional
            As `read` takes it; a folder with a file for each split, such as ``esc_mcq_train.json``, or for
            each split of each part, at any depth; by default the task's own place on the hub.
        media_root : Path or str, optional
            The folder of the media that a file names; by default the folder or that of the file. For a hub
            dataset that names files beside its rows.
        split : str, optional
            ``"train"``, ``"test"``, or another split of the hub dataset; by default the test items.

        Raises
        ------
        DataError
            As `read`; if the folder does not hold one file of the split, or the hub has no such split.
        """
        if source is not None and not str(source).startswith(HUB_PREFIX):
            if not Path(source).is_dir():
                return self.read(source, media_root)
            files = files_of_split(Path(source), split, tuple(self.parts))
            root = source if media_root is None else media_root
            return [example for file in files for example in self.read(file, root)]
        if self.hub is None and source is None:
            raise DataError(f"{self.name}: no copy on the hub is known; name a file of it")
        hub = HubSource(id="") if self.hub is None else self.hub
        address = str(source or f"{HUB_PREFIX}{hub.id}")
        if split == "train" and hub.train is None:
            raise NoSplitError(
                f"{self.name}: there are test items alone; draw the shots from them, too: give {address} as "
                "the one file"
            )
        wanted = {"train": hub.train, "test": hub.split, None: hub.split}.get(split, split)
        if "#" in address:
            wanted = None if split in (None, "test") else wanted
        options = ReadOptions(**hub.read_options, config=hub.config, split=wanted)
        if media_root is not None:
            options = replace(options, root=media_root, allow_outside=True)
        examples: list[Example] = []
        parts: Mapping[str | None, str | None] = {None: hub.config}
        if self.parts:
            parts = dict(self.parts.items())
        for part, config in parts.items():
            own = replace(options, config=config)
            rows = read_examples(address, own, require_labels=self.row is None)
            examples += self._with_split(rows, part)
        if media_root is not None:
            examples = found_under(examples, Path(media_root))
        return self._finished(examples)

    def _with_split(self, examples: Sequence[Example], name: str | None) -> list[Example]:
        column = self.split_column
        if column is None or name is None:
            return list(examples)
        return [
            one if one.fields.get(column) is not None else replace(one, fields={**one.fields, column: name})
            for one in examples
        ]

    def _finished(self, examples: Sequence[Example]) -> list[Example]:
        """Return examples with the columns of the annotation files, checked."""
        rows = list(examples) if self.row is None else mapped(examples, self.row, self.split_column)
        if self.groups is not None:
            rows = self.groups.numbered(rows)
        found = [self._named(example) for example in rows]
        if self.groups is not None:
            found = self.groups.numbered(found)
        unlabeled = next((one for one in found if one.label is None), None)
        if unlabeled is not None:
            raise DataError(f"{unlabeled.id}: there is no label (task {self.name})")
        check_labels([one.label for one in found])
        for example in found:
            self._check(example)
        return found

    def _named(self, example: Example) -> Example:
        """Return an example with its label as the task calls it."""
        return example

    def _check(self, example: Example) -> None:
        known = None if self.labels is None else {key_of(label) for label in self.labels}
        if known is not None and key_of(example.label) not in known:
            names = ", ".join(map(str, self.labels or ()))
            raise DataError(
                f"{example.id}: the labels of task {self.name} are {names}, not {example.label!r:.80}"
            )
        if self.parts and example.fields.get(self.split_column or "") not in self.parts:
            raise DataError(
                f"{example.id}: which part of task {self.name} it is of is told by the name of its file, or "
                f"by column {self.split_column!r}: {', '.join(self.parts)}"
            )
        if self.protocol == "option_letters" and not _is_option(example):
            raise DataError(
                f"{example.id}: the answer {str(example.label)[:80]!r} is not the letter of one of the "
                f"options (protocol {self.protocol} of task {self.name})"
            )
        if self.protocol == "four_way":
            options = _FOUR.search(example.text)
            if options is None or example.label not in options.groups():
                raise DataError(
                    f"{example.id}: the question does not end with the options A to D, one of them the label "
                    f"(protocol four_way of task {self.name})"
                )


def _is_option(example: Example) -> bool:
    """Return whether the label is the letter of a column, or as it stands in the question: ``(B)``."""
    label = example.label
    if not isinstance(label, str):
        return False
    return example.fields.get(label) is not None or bool(_LETTER.fullmatch(label) and label in example.text)
