"""The examples of a task: shots and test items from its files, from the hub, or made by savs itself."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from savs._labels import key_of
from savs.backbones import PromptTemplate
from savs.benchmarks.demo_tasks import DEMO_TASKS
from savs.data import Example, adopt_label_type, example_hash, read_examples
from savs.demo import tasks as demo
from savs.errors import DataError
from savs.tasks import Task
from savs.tasks._sources import NoSplitError
from savs.tasks.image_sets import ImageSetTask
from savs.tasks.leaks import unit_of

__all__ = ["TaskData", "TaskPart", "choose_items", "load_task_data", "own_task"]


@dataclass(frozen=True)
class TaskPart:
    """The examples of a task, or of one part of a task that has a model for each part.

    Attributes
    ----------
    name : str or None
        Of the part; None where a task has no parts.
    pool : list of Example
        Labeled, the prompt applied; the shots are drawn from them.
    test : list of Example
        A fixed test set. Empty: the examples of `pool` that are not drawn are the test.
    questions : mapping of str to Example
        By id, the examples with a prompt of their own for ``zero_shot``, which names the classes.
    lettered : bool
        Whether that prompt lists the classes as options (A), (B), ...
    """

    name: str | None
    pool: list[Example]
    test: list[Example]
    questions: Mapping[str, Example] = field(default_factory=dict)
    lettered: bool = False


@dataclass(frozen=True)
class TaskData:
    """A task with its examples.

    Attributes
    ----------
    task : Task
        Prompt, protocol and metric.
    parts : list of TaskPart
        One, unless the task has a model for each of several parts.
    source, test_source : str or None
        Where the examples come from; None for the hub or examples that come with savs.
    """

    task: Task
    parts: list[TaskPart]
    source: str | None = None
    test_source: str | None = None

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def examples(self) -> list[Example]:
        """All examples of all parts."""
        return [example for part in self.parts for example in (*part.pool, *part.test)]

    def record(self) -> dict[str, Any]:
        """Return what tells these data from others, JSON-able: numbers, and a digest of all content."""
        digest = hashlib.sha256()
        for part in self.parts:
            for example in (*part.pool, *part.test):
                # What the metric reads of an item beside its label: two runs with other pairs are two runs.
                together = unit_of(self.task, example, -1), example.fields.get(self.task.split_column or "")
                digest.update(f"{example_hash(example)} {key_of(example.label)} {together}\n".encode())
        return {
            "protocol": self.task.protocol,
            "metric": self.task.metric,
            "prompt": self.task.prompt,
            "source": self.source,
            "test_source": self.test_source,
            "parts": [part.name for part in self.parts if part.name is not None],
            "n_pool": sum(len(part.pool) for part in self.parts),
            "n_test": sum(len(part.test) for part in self.parts) or None,
            "digest": digest.hexdigest(),
        }


def own_task(name: str, prompt: str | None = None) -> Task:
    """Return the task of somebody's own labeled data: plain accuracy among all classes.

    Parameters
    ----------
    name : str
        Of the task.
    prompt : str, optional
        A prompt template.

    Examples
    --------
    >>> own_task("leaves", "What leaf is this?").protocol
    'n_way'
    """
    return Task(name=name, prompt=prompt or "", protocol="n_way", metric="accuracy", origin="own files")


def load_task_data(
    task: Task,
    source: Path | str | None = None,
    *,
    test: Path | str | None = None,
    media_root: Path | str | None = None,
    seed: int = 0,
    max_test: int | None = None,
    own: bool = False,
) -> TaskData:
    """Return the examples of a task with its prompt; no medium is opened.

    Parameters
    ----------
    task : Task
        What to load.
    source : Path or str, optional
        A folder in the public layout of the task, or one file, whose examples are shots and test items both
        unless `test` is given; by default the hub, or examples that come with savs.
    test : Path or str, optional
        A file of test items.
    media_root : Path or str, optional
        Folder of the images, videos and audio clips; by default that of the file.
    seed : int, default=0
        Of examples that savs makes, and of the choice of `max_test`.
    max_test : int, optional
        At most about how many test items to take, in whole groups.
    own : bool, default=False
        Whether the files are somebody's own, in any format that `savs.data.read_examples` reads.

    Raises
    ------
    DataError
        If there are no such files, or no examples in them.
    """
    if source is None and task.name in DEMO_TASKS:
        return TaskData(task, [_demo_part(task, DEMO_TASKS[task.name].make(seed))])
    if own and source is not None:
        pool = read_examples(source, require_labels=True)
        items = [] if test is None else _same_labels(read_examples(test, require_labels=True), test, pool)
    else:
        pool, items = _public(task, source, test, media_root)
    if not pool:
        raise DataError(f"task {task.name}: there are no examples for shots")
    parts = [
        _limited(task, part, max_test, seed)
        for part in _parts(task, _prompted(task, pool), _prompted(task, items))
    ]
    names = [None if one is None else str(one) for one in (source, test)]
    return TaskData(task, parts, *names)


def _demo_part(task: Task, made: demo.Task) -> TaskPart:
    asked = PromptTemplate(made.zero_shot_prompt)
    questions = {str(example.id): asked.apply(example) for example in made.examples}
    return TaskPart(None, _prompted(task, made.examples), [], questions, made.lettered)


def _same_labels(items: list[Example], test: Path | str, pool: Sequence[Example]) -> list[Example]:
    return adopt_label_type(items, test, [example.label for example in pool if example.label is not None])


def _public(
    task: Task, source: Path | str | None, test: Path | str | None, media_root: Path | str | None
) -> tuple[list[Example], list[Example]]:
    on_hub = "://" in str(source)
    if source is not None and not (on_hub or Path(source).exists()):
        raise DataError(f"task {task.name}: there is no file or folder {source}")
    items = [] if test is None else task.read(test, media_root)
    if source is not None and not on_hub and Path(source).is_file():
        return task.read(source, media_root), items
    if source is None and task.hub is None and not isinstance(task, ImageSetTask):
        raise DataError(
            f"task {task.name}: name the file of the shots with --source {task.name}=FILE, and that of the "
            f"test items with --test {task.name}=FILE"
        )
    try:
        pool = task.load(source, media_root=media_root, split="train")
    except DataError as error:
        if source is not None and isinstance(task, ImageSetTask):
            return task.read(source, media_root), items  # a folder without splits
        if not isinstance(error, NoSplitError):
            raise
        # Test items alone: the shots are drawn from them, too.
        return task.load(source, media_root=media_root, split="test"), items
    return pool, items or task.load(source, media_root=media_root, split="test")


def _prompted(task: Task, examples: Sequence[Example]) -> list[Example]:
    if not task.prompt:
        return list(examples)
    template = PromptTemplate(task.prompt)
    return [template.apply(example) for example in examples]


def _parts(task: Task, pool: list[Example], items: list[Example]) -> list[TaskPart]:
    if not task.parts:
        return [TaskPart(None, pool, items)]
    names, tested = (
        list(dict.fromkeys(str(example.fields.get("split")) for example in some)) for some in (pool, items)
    )
    for name in dict.fromkeys([*names, *tested]) if items else ():
        if name not in names or name not in tested:
            lacking = "test items but no shots" if name in tested else "shots but no test items"
            raise DataError(
                f"task {task.name}: there are {lacking} of the part {name!r}; name files with the same parts"
            )

    def of(name: str, examples: list[Example]) -> list[Example]:
        return [example for example in examples if str(example.fields.get("split")) == name]

    return [TaskPart(name, of(name, pool), of(name, items)) for name in names]


# Items that belong together.


def choose_items(task: Task, examples: Sequence[Example], most: int, seed: int) -> list[int]:
    """Choose at random at most `most` items: whole groups where a task has some, else the classes in turn.

    Parameters
    ----------
    task : Task
        Says which items belong together.
    examples : sequence of Example
        To choose from.
    most : int
        Largest number; one group is taken in any case.
    seed : int
        Of the choice.

    Returns
    -------
    list of int
        Positions, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(examples)).tolist()
    units: dict[Hashable, list[int]] = {}
    for index in order:
        units.setdefault(unit_of(task, examples[index], index), []).append(index)
    if len(units) == len(examples):  # every item stands alone
        turns: dict[Any, int] = {}
        places = []
        for index in order:
            key = key_of(examples[index].label)
            turns[key] = turns.get(key, 0) + 1
            places.append((turns[key], index))
        return sorted(index for _, index in sorted(places, key=lambda place: place[0])[:most])
    chosen: list[int] = []
    for members in units.values():
        if chosen and len(chosen) + len(members) > most:
            break
        chosen += members
    return sorted(chosen)


def _limited(task: Task, part: TaskPart, max_test: int | None, seed: int) -> TaskPart:
    if max_test is None or not part.test or len(part.test) <= max_test:
        return part
    kept = choose_items(task, part.test, max_test, seed)
    return replace(part, test=[part.test[index] for index in kept])
