"""`RunFolder`: the files of a benchmark run, each complete or absent, so that a killed run goes on.

The layout is described in docs/benchmarks.md. A cell is one method at one number of shots in one draw of one
task; its file is written last, after its answers and its head map.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from savs._posix import lock_file
from savs.backbones._identity import RECORDED_ONLY, differing
from savs.cache._files import remove_stale, whole_file, write_all
from savs.errors import DataError

__all__ = ["RunFolder", "cell_name", "file_name"]

SCHEMA = 1
_COMPARED = ("settings", "data", "versions")
_JOINING = {"methods", "audit"}
_LONGEST = 60


def file_name(name: str) -> str:
    """Return a task's name as it stands in file names.

    Parameters
    ----------
    name : str
        Of the task.

    Examples
    --------
    >>> file_name("my photos/2024")
    'my_photos_2024'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip(".") or "_"


def cell_name(method: str, shots: int, draw: int) -> str:
    """Return the name of a cell's files, without its ending.

    Parameters
    ----------
    method : str
        Method or baseline.
    shots, draw : int
        Shots per class, and number of the draw.
    """
    return f"{method}-{shots}-{draw}"


class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    path : Path or str
        It is made if it is missing.

    Raises
    ------
    DataError
        If there is something else in the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{path}: is not a folder")
        if self.path.is_dir() and any(self.path.iterdir()) and not self.is_begun:
            raise DataError(f"{path}: there are files that are of no benchmark run; name a new folder")

    @property
    def is_begun(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / "run.json").is_file() or (self.path / ".lock").is_file()

    @property
    def configuration(self) -> dict[str, Any] | None:
        """What `begin` recorded; None before.

        Raises
        ------
        DataError
            If the file cannot be read.
        """
        file = self.path / "run.json"
        if not file.is_file():
            return None
        try:
            found = json.loads(file.read_bytes())
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise DataError(f"{file}: is not the record of a benchmark run that this savs can read")
        return found

    def check(self, configuration: Mapping[str, Any]) -> None:
        """Refuse to go on with a run of another configuration; other methods, tasks and an audit may join.

        Parameters
        ----------
        configuration : mapping
            As for `begin`; entries that are missing are not compared.

        Raises
        ------
        DataError
            With what differs, in one line.
        """
        saved = self.configuration
        if saved is None:
            return
        now = _plain(dict(configuration))
        changes = [
            change
            for name in _COMPARED
            if name in now
            for change in _changes(name, *_without_what_may_join(name, saved.get(name), now[name]))
        ]
        if "backbone" in configuration:
            before, after = (one["backbone"].get("fingerprint", {}) for one in (saved, now))
            names = sorted((set(before) | set(after)) - RECORDED_ONLY)
            changes += [f"backbone {name}" for name in differing(before, after, names)]
        files = {file_name(name).casefold(): name for name in saved.get("tasks", [])}
        for name in now.get("tasks", []):
            other = files.get(file_name(name).casefold(), name)
            if other != name:
                changes.append(f"task {name} would write the files of task {other}")
        if changes:
            listed = "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")
            raise DataError(f"{self.path} holds another run, name a new folder; what differs: {listed}")

    def begin(self, configuration: Mapping[str, Any]) -> None:
        """Record the configuration of a new run, or check that of one that goes on, and add to it.

        New methods and tasks, and an audit, join those of the run; ``extended_by`` lists the commands.

        Parameters
        ----------
        configuration : mapping
            JSON-able: ``command``, ``created``, ``savs``, ``versions``, ``backbone``, ``settings``,
            ``tasks`` and ``data``.

        Raises
        ------
        DataError
            If the run that is here has another configuration.
        """
        for folder in (self.path, *self.path.glob("*/"), *self.path.glob("*/*/")):
            remove_stale(folder)
        self.check(configuration)
        saved = self.configuration
        if saved is None:
            self.write_json("run.json", {"schema": SCHEMA, **configuration}, indent=1)
        elif (extended := _extended(saved, _plain(dict(configuration)))) != saved:
            self.write_json("run.json", extended, indent=1)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder while the block runs.

        Raises
        ------
        DataError
            If one is at work.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                lock_file(descriptor)
            except BlockingIOError:
                raise DataError(f"{self.path}: another process is at work on this run") from None
            except OSError:
                pass  # a file system without locks
            yield
        finally:
            os.close(descriptor)

    # Cells.

    def cell(self, task: str, method: str, shots: int, draw: int) -> dict[str, Any] | None:
        """Return a finished cell; None if it is missing.

        Parameters
        ----------
        task, method : str
            Of the cell.
        shots, draw : int
            Of the cell.
        """
        file = self._cell_file(task, method, shots, draw)
        try:
            found = json.loads(file.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write_cell(
        self,
        record: Mapping[str, Any],
        answers: Iterable[Mapping[str, Any]] = (),
        heads: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a cell; it counts as finished when its own file is there.

        Parameters
        ----------
        record : mapping
            The line of ``results.jsonl``.
        answers : iterable of mapping
            Lines of its answers.
        heads : mapping, optional
            Its head map.
        """
        place = (record["method"], record["shots"], record["draw"])
        task, name = file_name(record["task"]), cell_name(*place)
        self.write_lines(f"answers/{task}/{name}.jsonl", answers)
        if heads is not None:
            self.write_json(f"heads/{task}/{name}.json", heads)
        self.write_json(str(self._cell_file(record["task"], *place).relative_to(self.path)), record)

    def cells(self, tasks: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return all finished cells, by task in the order of the run, then by name of the file.

        Parameters
        ----------
        tasks : sequence of str, optional
            Which tasks; by default those of the run.
        """
        configuration = self.configuration or {}
        names = configuration.get("tasks", []) if tasks is None else tasks
        found = []
        for task in names:
            for file in sorted((self.path / "cells" / file_name(task)).glob("*.json")):
                record = json.loads(file.read_bytes())
                found.append(record)
        return found

    def _cell_file(self, task: str, method: str, shots: int, draw: int) -> Path:
        return self.path / "cells" / file_name(task) / f"{cell_name(method, shots, draw)}.json"

    # Writing.

    def write_json(self, name: str, value: Any, *, indent: int | None = None) -> None:
        """Write a JSON file, whole or not at all.

        Parameters
        ----------
        name : str
            Path in the folder.
        value : Any
            JSON-able.
        indent : int, optional
            As for `json.dumps`.
        """
        self.write(name, f"{json.dumps(value, allow_nan=False, indent=indent)}\n".encode())

    def write_lines(self, name: str, values: Iterable[Any]) -> None:
        """Write a file of JSON lines, whole or not at all.

        Parameters
        ----------
        name : str
            Path in the folder.
        values : iterable
            JSON-able, one per line.
        """
        self.write(name, "".join(f"{json.dumps(value, allow_nan=False)}\n" for value in values).encode())

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; an older one is replaced.

        Parameters
        ----------
        name : str
            Path in the folder.
        content : bytes
            All of it.
        """
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file.parent) as (descriptor, finish):
            write_all(descriptor, content)
            finish(file.name)


def _without_what_may_join(name: str, then: Any, now: Any) -> tuple[Any, Any]:
    """Return an entry of two configurations without methods, audit, and tasks that only one of them has."""
    if name == "settings":
        kept = (then.keys() | now.keys()) - _JOINING
    elif name == "data":
        kept = then.keys() & now.keys()
    else:
        return then, now
    return {key: then[key] for key in then if key in kept}, {key: now[key] for key in now if key in kept}


def _extended(saved: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run with the methods and tasks that join it."""
    settings = {
        **saved["settings"],
        "methods": _union(saved["settings"]["methods"], now["settings"]["methods"]),
        "audit": bool(saved["settings"].get("audit") or now["settings"].get("audit")),
    }
    tasks = _union(saved["tasks"], now["tasks"])
    if tasks == saved["tasks"] and settings == {"audit": False, **saved["settings"]}:
        return saved
    return {
        **saved,
        "settings": settings,
        "tasks": tasks,
        "data": {**now["data"], **saved["data"]},
        "extended_by": [*saved.get("extended_by", []), now.get("command")],
    }


def _union(one: Sequence[str], other: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _changes(name: str, then: Any, now: Any) -> list[str]:
    """Return what differs, the innermost entry by name."""
    if then == now:
        return []
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [*then, *(key for key in now if key not in then)]
        return [change for key in keys for change in _changes(f"{name} {key}", then.get(key), now.get(key))]
    return [f"{name.removeprefix('settings ')} ({_short(then)} -> {_short(now)})"]


def _short(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
