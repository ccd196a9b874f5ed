"""`NamedLabelsTask`: one task whose files, tables and hub datasets call the same labels differently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from savs._labels import Label
from savs.data import Example
from savs.errors import DataError
from savs.tasks._class_names import plain
from savs.tasks.task import Task

__all__ = ["NamedLabelsTask"]

# Options in one line, or each in its own.
_FOUR = re.compile(r"\nA\. (.+?)\s+B\. (.+?)\s+C\. (.+?)\s+D\. (.+?)\s*$")


@dataclass(frozen=True, kw_only=True)
class NamedLabelsTask(Task):
    """A task that reads annotation files, VLMEvalKit's tables and the hub to the same labels.

    Parameters
    ----------
    label_names : mapping of str to label
        The label by what a file calls it, in small letters. Empty: labels stay as they are.
    """

    label_names: Mapping[str, Label] = field(default_factory=dict)

    def _named(self, example: Example) -> Example:
        if not self.label_names or example.label is None:
            return example
        name = str(example.label).strip().lower()
        if name not in self.label_names:
            raise DataError(
                f"{example.id}: the label {str(example.label)[:80]!r} is none that task {self.name} knows: "
                f"{', '.join(self.label_names)}"
            )
        return replace(example, label=self.label_names[name])

    def _check(self, example: Example) -> None:
        if self.protocol != "four_way":
            super()._check(example)
            return
        found = _FOUR.search(example.text)
        options = () if found is None else found.groups()
        if plain(str(example.label)).lower() not in {plain(option).lower() for option in options}:
            raise DataError(
                f"{example.id}: the question does not end with the options A to D, one of them the label "
                f"(protocol four_way of task {self.name})"
            )
