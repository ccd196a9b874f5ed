"""`run_benchmark`: every method on every task, number of shots and draw, from one pass of each example."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from savs._progress import progress_bar
from savs.backbones import Backbone
from savs.benchmarks.item_files import item_lines, surest_mistakes, write_thumbnails
from savs.benchmarks.results_table import write_tables
from savs.benchmarks.run_folder import RunFolder, cell_name, file_name
from savs.benchmarks.scoring import JudgedItems, score_cell
from savs.benchmarks.task_data import TaskData, TaskPart, choose_items
from savs.cache import with_store
from savs.classifiers import HeadClassifier
from savs.data import Example
from savs.errors import DataError, ItemError, SAVsError
from savs.evaluation.comparison import check_request, read_for_comparison, turn_or_reason
from savs.evaluation.contenders import (
    BASELINES,
    BaselineModels,
    BaselineSettings,
    ReadExamples,
    Rows,
    Turn,
    shots_and_tests,
    works_without_shots,
)
from savs.evaluation.probabilities import ClassProbabilities
from savs.tasks import Task
from savs.tasks.leaks import unit_of

__all__ = ["Audit", "BenchmarkSettings", "check_benchmark", "run_benchmark"]

MAJORITY = "majority"
ANSWERS_IN_PROMPT = ("four_way", "option_letters", "yes_no_or_letter")
"""Protocols whose prompts list the answers themselves."""
Audit = Callable[[Backbone, TaskData], list[dict[str, Any]]]
"""From the backbone and the examples of a task to lines of ``audit.jsonl``."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is run on every task.

    Attributes
    ----------
    methods : tuple of str
        Names of `savs.evaluation.contenders.known_contenders`. ``majority`` is run in any case.
    shots : tuple of int
        Shots per class.
    draws : int, default=5
        Random draws of the shots; one is made where a draw takes all examples there are.
    seed : int, default=0
        Of all random choices.
    items : int, default=100
        Largest number of test items, in whole groups, that slow baselines are judged on.
    max_test : int or None
        Largest number of test items of all methods, in whole groups.
    baselines : BaselineSettings
        Models and numbers of the baselines.
    """

    methods: tuple[str, ...]
    shots: tuple[int, ...] = (20,)
    draws: int = 5
    seed: int = 0
    items: int = 100
    max_test: int | None = None
    baselines: BaselineSettings = field(default_factory=BaselineSettings)

    @property
    def contenders(self) -> list[str]:
        """The methods, ``majority`` among them."""
        return list(dict.fromkeys([*self.methods, MAJORITY]))

    def record(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        found = asdict(self)
        names = ("image_text_model", "embedding_model", "in_context_shots")
        found |= {name: found["baselines"][name] for name in names}
        del found["baselines"]
        return found


def check_benchmark(tasks: Sequence[TaskData], settings: BenchmarkSettings) -> None:
    """Refuse a run that cannot be made, before any model is loaded.

    Parameters
    ----------
    tasks : sequence of TaskData
        What to run.
    settings : BenchmarkSettings
        How.

    Raises
    ------
    ValueError
        If a method is unknown, a number is out of range, or two tasks would write the same files.
    DataError
        With the task, if a class has too few examples for the shots, or there is one class only.
    """
    files: dict[str, str] = {}
    for data in tasks:
        other = files.setdefault(file_name(data.name).casefold(), data.name)
        if other is not data.name:
            raise ValueError(f"the tasks {other} and {data.name} would write the same files; rename one")
        for part in data.parts:
            try:
                check_request(
                    part.pool,
                    settings.contenders,
                    settings.shots,
                    fixed_test=bool(part.test),
                    draws=settings.draws,
                )
            except DataError as error:
                raise DataError(f"task {_full_name(data.task, part.name)}: {error}") from None


def _full_name(task: Task, part: str | None) -> str:
    return task.name if part is None else f"{task.name}, {part}"


def run_benchmark(
    backbone: Backbone,
    tasks: Sequence[TaskData],
    folder: RunFolder,
    settings: BenchmarkSettings,
    *,
    audit: Audit | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> list[ItemError]:
    """Run what is missing in a folder, and write the tables.

    Every example passes the backbone once, for all methods, shots and draws; its vectors are kept in the
    folder's store. A cell that is there is not computed again, except one that failed.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    tasks : sequence of TaskData
        The tasks with their examples.
    folder : RunFolder
        Where `RunFolder.begin` was called.
    settings : BenchmarkSettings
        Methods, shots and draws.
    audit : callable, optional
        Makes the shortcut audit of a task.
    max_errors : int, default=0
        Examples that may be unreadable before the error of one more is raised; -1 means any number. Those in
        the test count as failed for every method.
    progress : bool, default=False
        Show progress bars on a terminal.

    Returns
    -------
    list of ItemError
        Of the examples that could not be read.

    Raises
    ------
    DataError
        If a task's files cannot be used.
    ItemError
        If more than `max_errors` examples cannot be read.
    """
    check_benchmark(tasks, settings)
    stored, errors = with_store(backbone, folder.path / "store"), list[ItemError]()
    for data in tasks:
        left = max_errors if max_errors < 0 else max_errors - len(errors)
        run = _TaskRun(stored, data, folder, settings, left, progress)
        errors += run.errors
        run.run_cells()
        run.write_items()
        if audit is not None:
            file = f"audit/{file_name(data.name)}.jsonl"
            if not (folder.path / file).is_file():
                folder.write_lines(file, audit(stored, data))
        _write_summaries(folder)
    return errors


def _write_summaries(folder: RunFolder) -> None:
    """Make the files of the whole run from those of its parts."""
    cells = folder.cells()
    folder.write_lines("results.jsonl", cells)
    names = (folder.configuration or {}).get("tasks", [])
    parts = [folder.path / "audit" / f"{file_name(name)}.jsonl" for name in names]
    audits = [part.read_bytes() for part in parts if part.is_file()]
    if audits:
        folder.write("audit.jsonl", b"".join(audits))
    write_tables(folder, cells)


# One task.


class _Split(NamedTuple):
    """Shots and test items of one draw of one part."""

    drawn: Rows
    items: Rows
    unreadable: list[Example]
    n_left_out: int


@dataclass(frozen=True)
class _ReadPart:
    part: TaskPart
    read: ReadExamples
    models: BaselineModels
    splits: Mapping[tuple[int, int], _Split]
    n_pool: int

    def takes_all(self, shots: int) -> bool:
        return bool(self.part.test) and len(self.splits[shots, 0].drawn) == self.n_pool


class _TaskRun:
    """One task of a run."""

    def __init__(
        self,
        backbone: Backbone,
        data: TaskData,
        folder: RunFolder,
        settings: BenchmarkSettings,
        max_errors: int,
        progress: bool,
    ) -> None:
        self.task, self.data, self.folder, self.settings = data.task, data, folder, settings
        self.progress, self.errors = progress, list[ItemError]()
        self.parts = []
        for part in data.parts:
            left = max_errors if max_errors < 0 else max_errors - len(self.errors)
            self.parts.append(self._read(backbone, part, left))

    def _read(self, backbone: Backbone, part: TaskPart, max_errors: int) -> _ReadPart:
        settings = self.settings
        read, n_pool, errors = read_for_comparison(
            backbone,
            part.pool,
            part.test,
            methods=settings.contenders,
            max_errors=max_errors,
            progress=self.progress,
        )
        self.errors += errors
        lost = set(read.classes) - {example.label for example in read.examples[:n_pool]}
        if lost:
            name = _full_name(self.task, part.name)
            raise DataError(f"task {name}: no example of class {min(lost)!r} can be read")
        splits = self._splits(part, read, n_pool)
        most = max(1, settings.items // len(self.data.parts))
        asked = {
            row: part.questions.get(str(example.id), example)
            for row, example in _asked(self.task, read, splits, most, settings.seed).items()
        }
        baselines = BaselineSettings(
            **{
                **asdict(settings.baselines),
                "name_classes": self.task.protocol not in ANSWERS_IN_PROMPT,
                "seed": settings.seed,
            }
        )
        own = {"name_classes": False, "lettered": part.lettered} if part.questions else None
        models = BaselineModels(backbone, read.classes, asked, baselines, asked_with=own)
        return _ReadPart(part, read, models, splits, n_pool)

    def _splits(self, part: TaskPart, read: ReadExamples, n_pool: int) -> dict[tuple[int, int], _Split]:
        settings, fixed = self.settings, bool(part.test)
        found = shots_and_tests(
            read, n_pool, settings.shots, settings.draws, settings.seed, read.classes, fixed_test=fixed
        )
        readable = {id(example) for example in read.examples}
        unreadable = [one for one in (part.test if fixed else part.pool) if id(one) not in readable]
        candidates = np.arange(n_pool, len(read.examples)) if fixed else np.arange(n_pool)
        splits = {}
        for place, (drawn, items) in found.items():
            whole, failed = _whole_units(self.task, read.examples, candidates, items, unreadable)
            if not len(whole):
                raise DataError(f"task {self.task.name}: {place[0]} shots leave no whole group for the test")
            whole = _limited(self.task, read.examples, whole, settings.max_test, settings.seed)
            left_out = len(candidates) - len(items) - (0 if fixed else len(drawn))
            splits[place] = _Split(drawn, whole, failed, left_out)
        return splits

    def places(self) -> Iterator[tuple[str, int, int]]:
        """Yield method, shots and draw of all cells."""
        for method in self.settings.contenders:
            for shots in self.settings.shots:
                if not shots and not works_without_shots(method):
                    continue
                same = not shots or all(part.takes_all(shots) for part in self.parts)
                for draw in range(1 if same else self.settings.draws):
                    yield method, shots, draw

    def run_cells(self) -> None:
        """Compute the cells that are missing, and those that failed."""
        places = list(self.places())
        with progress_bar(len(places), "cell", self.progress, self.task.name) as tell:
            for method, shots, draw in places:
                found = self.folder.cell(self.task.name, method, shots, draw)
                if found is None or found["failure"] is not None:
                    self._run_cell(method, shots, draw)
                tell(1)

    def _run_cell(self, method: str, shots: int, draw: int) -> None:
        started = time.perf_counter()
        record: dict[str, Any] = {
            "task": self.task.name,
            "protocol": self.task.protocol,
            "metric": self.task.metric,
            "part": None,
            "method": method,
            "shots": shots,
            "draw": draw,
            "n_test": sum(len(part.splits[shots, draw].items) for part in self.parts),
            "n_failed": 0,
            "n_unparsed": None,
            "n_left_out": sum(part.splits[shots, draw].n_left_out for part in self.parts),
            "failure": None,
            "figures": {},
            "probability": None,
            "seconds": 0.0,
            "bytes": None,
        }
        turns: list[Turn] = []
        for part in self.parts:
            split = part.splits[shots, draw]
            contender = part.read.contender(method, part.models)
            turn = turn_or_reason(contender, split.drawn, split.items)
            if isinstance(turn, str):
                where = "" if part.part.name is None else f"{part.part.name}: "
                seconds = round(time.perf_counter() - started, 4)
                self.folder.write_cell({**record, "failure": f"{where}{turn}", "seconds": seconds})
                return
            turns.append(turn)
        judged, probabilities = self._judged(method, shots, draw, turns)
        said = [turn for turn in turns if turn.answers]
        sizes = [turn.n_bytes for turn in turns if turn.n_bytes is not None]
        unparsed = sum(label is None for turn in said for label in turn.labels) if said else None
        try:
            record |= score_cell(self.task, judged, probabilities)
        except (SAVsError, ValueError) as error:
            record["failure"] = " ".join(f"{self.task.metric}: {error}".split())
        record |= {
            "n_unparsed": unparsed,
            "seconds": round(sum(turn.seconds for turn in turns), 4),
            "bytes": sum(sizes) if len(sizes) == len(turns) else None,
        }
        heads = _head_map(turns[0].classifier) if len(turns) == 1 else None
        self.folder.write_cell(record, judged.lines(), heads)

    def _judged(
        self, method: str, shots: int, draw: int, turns: Sequence[Turn]
    ) -> tuple[JudgedItems, ClassProbabilities | None]:
        judged, positive = JudgedItems(), self.task.positive
        for part, turn in zip(self.parts, turns, strict=True):
            examples = [part.read.examples[row] for row in turn.rows.tolist()]
            start = len(judged.examples)
            judged.add(examples, turn.labels, turn.probabilities, positive)
            judged.votes |= {start + place: votes for place, votes in turn.votes.items()}
        slow = method in BASELINES and BASELINES[method].slow
        for part in self.parts:
            # Slow baselines are judged on items that are chosen among those that can be read.
            judged.add_failed([] if slow else part.splits[shots, draw].unreadable)
        return judged, turns[0].probabilities if len(turns) == 1 else None

    def write_items(self) -> None:
        """Write the test items, with small pictures of those that were wrong with the largest probability."""
        name = file_name(self.task.name)
        wrong: dict[str, None] = {}
        for method in self.settings.contenders:
            places = [place for place in self.places() if place[0] == method and method not in BASELINES]
            lines = [json.loads(line) for place in places for line in self._answers_file(place)]
            wrong |= dict.fromkeys(surest_mistakes(lines))
        items = [example for part in self.data.parts for example in (part.test or part.pool)]
        by_id = {str(example.id): example for example in items}
        thumbnails = write_thumbnails(self.folder, self.task.name, by_id, list(wrong))
        self.folder.write_lines(f"items/{name}.jsonl", item_lines(items, thumbnails))

    def _answers_file(self, place: tuple[str, int, int]) -> list[str]:
        file = self.folder.path / "answers" / file_name(self.task.name) / f"{cell_name(*place)}.jsonl"
        return file.read_text().splitlines() if file.is_file() else []


def _whole_units(
    task: Task, examples: Sequence[Example], candidates: Rows, items: Rows, unreadable: list[Example]
) -> tuple[Rows, list[Example]]:
    """Return the test items, and the unreadable ones, without groups of which an item is left out."""
    if task.groups is None and task.pair_column is None:
        return items, unreadable
    units: dict[int, Hashable] = {row: unit_of(task, examples[row], row) for row in candidates.tolist()}
    broken = {units[row] for row in np.setdiff1d(candidates, items).tolist()}
    kept = [row for row in items.tolist() if units[row] not in broken]
    failed = [example for example in unreadable if unit_of(task, example, -1) not in broken]
    return np.array(kept, dtype=np.intp), failed


def _limited(task: Task, examples: Sequence[Example], items: Rows, max_test: int | None, seed: int) -> Rows:
    if max_test is None or len(items) <= max_test:
        return items
    return items[choose_items(task, [examples[row] for row in items.tolist()], max_test, seed)]


def _asked(
    task: Task,
    read: ReadExamples,
    splits: Mapping[tuple[int, int], _Split],
    most: int,
    seed: int,
) -> dict[int, Example]:
    """Return the items that slow baselines are judged on, by row."""
    rows = np.unique(np.concatenate([split.items for split in splits.values()])).tolist()
    chosen = choose_items(task, [read.examples[row] for row in rows], most, seed)
    return {rows[place]: read.examples[rows[place]] for place in chosen}


def _head_map(classifier: HeadClassifier | None) -> dict[str, Any] | None:
    """Return scores and heads in use of a method on heads, JSON-able; None for anything else."""
    if classifier is None:
        return None
    layout, scores = classifier.layout_, classifier.head_scores_
    n_layers = 1 + max(head.layer for head in layout.heads)
    counts = [sum(head.layer == layer for head in layout.heads) for layer in range(n_layers)]
    by_head = [] if scores is None else zip(layout.heads, np.asarray(scores).tolist(), strict=True)
    return {
        "n_layers": n_layers,
        "n_heads": counts,
        "scores": [[head.layer, head.index, score] for head, score in by_head if np.isfinite(score)],
        "kept": [[head.layer, head.index] for head in classifier.heads_ if head.index >= 0],
    }
