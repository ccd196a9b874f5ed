"""`Task`: what a public benchmark asks and how it is scored. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from savs._labels import Label, key_of
from savs.data import Example, ReadOptions, read_examples
from savs.errors import DataError
from savs.tasks._media_paths import found_under

__all__ = ["PROTOCOLS", "Groups", "Task"]

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "four_way": "the prompt names four classes, A to D, one of them the true one",
        "option_letters": "each item names its own options, and the answer is the letter of one",
        "n_way": "the answer is one of all classes; the prompt names none of them, or all",
        "yes_no": "each item asks its own question, and the answer is Yes or No",
        "two_classes": "each item is of one of two classes, such as answerable and unanswerable",
    }
)
"""What an item is; results of different protocols are not comparable."""

_FOUR = re.compile(r"\nA\. (.+) B\. (.+) C\. (.+) D\. (.+)$")


@dataclass(frozen=True)
class Groups:
    """Which items belong together, told by whole numbers in a column.

    Parameters
    ----------
    column : str
        The column of an item's number, which counts through the groups and, in each, through its items.
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
        number = example.fields.get(self.column)
        if isinstance(number, str) and number.isdecimal() and len(number) < 19:
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or number < self.first:
            raise DataError(
                f"{example.id}: column {self.column!r} must hold a whole number from {self.first} on, which "
                "tells the group"
            )
        return divmod(number - self.first, self.size)


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
    groups : Groups, optional
        Which items belong together, for a metric of groups.
    split_column : str, optional
        The column that tells the part of the benchmark, for metrics per split.
    pair_column : str, optional
        The column whose value the two items of a pair of one split share.
    read_options : mapping, optional
        Fields of `savs.data.ReadOptions` that the public files need, such as ``{"label_column": "kind"}``.
    aliases : tuple of str
        Names of the task in other programs.

    Raises
    ------
    ValueError
        If there is no such protocol.

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
    groups: Groups | None = None
    split_column: str | None = None
    pair_column: str | None = None
    read_options: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise ValueError(f"task {self.name!r}: there is no protocol {self.protocol!r}; there are {known}")

    def read(self, file: Path | str, media_root: Path | str | None = None) -> list[Example]:
        """Return the labeled examples of an annotation file of the task, in order; no medium is opened.

        Paths of media in public files are often those of their authors' machine. A medium is the file under
        `media_root` whose path ends like the one in the annotation file, as much of it as possible.

        Parameters
        ----------
        file : Path or str
            Such as ``eurosat_train.json``.
        media_root : Path or str, optional
            The folder of the images or videos, at any depth; by default the folder of `file`.

        Raises
        ------
        DataError
            With the example's id, if the file cannot be read, media are not under `media_root`, or a row does
            not fit the protocol or the labels of the task.
        """
        folder = Path(file).parent if media_root is None else Path(media_root)
        options = ReadOptions(**{**self.read_options, "root": folder, "allow_outside": True})
        examples = found_under(read_examples(file, options, require_labels=True), folder)
        for example in examples:
            self._check(example)
        return examples

    def _check(self, example: Example) -> None:
        known = None if self.labels is None else {key_of(label) for label in self.labels}
        if known is not None and key_of(example.label) not in known:
            names = ", ".join(map(str, self.labels or ()))
            raise DataError(
                f"{example.id}: the labels of task {self.name} are {names}, not {example.label!r:.80}"
            )
        if self.protocol == "four_way":
            options = _FOUR.search(example.text)
            if options is None or example.label not in options.groups():
                raise DataError(
                    f"{example.id}: the question does not end with the options A to D, one of them the label "
                    f"(protocol four_way of task {self.name})"
                )
