"""What a report reads of a benchmark run: answers, items, head maps, audits and experiments."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from savs.benchmarks.run_folder import RunFolder, cell_name, file_name
from savs.errors import DataError, SAVsError
from savs.experiments import Experiment

__all__ = ["RunFiles", "mean_head_map"]

SIDE = 96
"""Pixels of the longer side of a thumbnail."""

_LARGEST_THUMBNAIL = 1 << 20


class RunFiles:
    """The files of a benchmark run, as docs/benchmarks.md describes them.

    Parameters
    ----------
    path : Path
        The folder.

    Raises
    ------
    DataError
        If it is no run, or nothing of it is finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "run.json").is_file():
            raise DataError(f"{path} is no benchmark run: it has no run.json")
        folder = RunFolder(path)
        self.configuration: dict[str, Any] = folder.configuration or {}
        try:
            self.cells = folder.cells()
        except ValueError:
            raise DataError(f"{path}: a file of cells is damaged; run savs benchmark again") from None
        if not self.cells:
            raise DataError(f"{path}: no part of the run is finished; run savs benchmark again to go on")

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks with a finished cell, in order."""
        return list(dict.fromkeys(cell["task"] for cell in self.cells))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the run."""
        found: dict[str, Any] = self.configuration.get("settings", {})
        return found

    def draws(self, task: str, method: str, shots: int) -> list[int]:
        """Return the draws of a method that did not fail."""
        return [
            cell["draw"]
            for cell in self.cells
            if (cell["task"], cell["method"], cell["shots"], cell["failure"]) == (task, method, shots, None)
        ]

    def answers(self, task: str, method: str, shots: int) -> list[dict[str, Any]]:
        """Return the answers of a method in all draws."""
        folder = self.path / "answers" / file_name(task)
        return [
            line
            for draw in self.draws(task, method, shots)
            for line in self._lines(folder / f"{cell_name(method, shots, draw)}.jsonl")
        ]

    def items(self, task: str) -> dict[str, dict[str, Any]]:
        """Return the test items by id."""
        return {str(line["id"]): line for line in self._lines(self.path / f"items/{file_name(task)}.jsonl")}

    def thumbnail(self, item: Mapping[str, Any]) -> bytes | None:
        """Return the small picture of an item, a JPEG; None without one that can be read."""
        name = item.get("thumbnail")
        if not isinstance(name, str):
            return None
        file = (self.path / name).resolve()
        inside = file.is_relative_to(self.path.resolve())
        if not inside or not file.is_file() or file.stat().st_size > _LARGEST_THUMBNAIL:
            return None
        return small_jpeg(file)

    def head_maps(self, task: str, method: str, shots: int) -> list[dict[str, Any]]:
        """Return the head maps of a method in all draws; none for a method without heads."""
        folder = self.path / "heads" / file_name(task)
        files = [
            folder / f"{cell_name(method, shots, draw)}.json" for draw in self.draws(task, method, shots)
        ]
        return [self._json(file) for file in files if file.is_file()]

    def audits(self) -> list[dict[str, Any]]:
        """Return the lines of the shortcut audits."""
        return list(self._lines(self.path / "audit.jsonl"))

    def experiments(self) -> list[Experiment]:
        """Return what ``savs experiment`` wrote to the folder ``experiments``, but for shortcut audits."""
        found = []
        for file in sorted((self.path / "experiments").glob("*.json")):
            record = self._json(file)
            if record.get("kind") == "shortcuts":
                continue
            try:
                found.append(Experiment.from_record(record))
            except (ValueError, KeyError, TypeError):
                raise DataError(
                    f"{file}: is no record of savs experiment that this savs can read; remove it"
                ) from None
        return found

    def _json(self, file: Path) -> dict[str, Any]:
        try:
            found = json.loads(file.read_bytes())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise DataError(f"{file}: is damaged; remove it")
        return found

    def _lines(self, file: Path) -> Iterator[dict[str, Any]]:
        if not file.is_file():
            return
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    found = json.loads(line)
                except ValueError:
                    found = None
                if not isinstance(found, dict):
                    raise DataError(f"{file}: line {number} is damaged; run savs benchmark again")
                yield found


def small_jpeg(file: Path) -> bytes | None:
    """Return an image as a JPEG of at most 96 pixels; None if it cannot be read."""
    from savs.media import load_image

    try:
        picture = load_image(file).convert("RGB")
    except SAVsError:
        return None
    picture.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=78, optimize=True)
    return stream.getvalue()


def mean_head_map(
    maps: Sequence[Mapping[str, Any]],
) -> tuple[list[tuple[int, int]], list[float] | None, list[tuple[int, int]]]:
    """Return all heads, their mean scores over draws, and the heads that were kept in most draws.

    Parameters
    ----------
    maps : sequence of mapping
        Head maps of the same backbone, one per draw.

    Examples
    --------
    >>> one = {"n_heads": [2], "scores": [[0, 0, 4], [0, 1, 6]], "kept": [[0, 1]]}
    >>> mean_head_map([one, {**one, "scores": [[0, 0, 5], [0, 1, 7]]}])
    ([(0, 0), (0, 1)], [4.5, 6.5], [(0, 1)])
    """
    heads = [(layer, index) for layer, n in enumerate(maps[0]["n_heads"]) for index in range(n)]
    by_draw = [{(layer, index): score for layer, index, score in one["scores"]} for one in maps]
    scored = all(set(heads) <= set(scores) for scores in by_draw)
    means = [float(np.mean([scores[head] for scores in by_draw])) for head in heads] if scored else None
    times = Counter((layer, index) for one in maps for layer, index in one["kept"])
    return heads, means, [head for head in heads if 2 * times[head] > len(maps)]
