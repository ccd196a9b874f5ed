"""Runs the demo: every task through all methods, a saved classifier for each, one picture, one JSON file."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from savs.backbones import Backbone, load_backbone
from savs.demo.comparison import N_HEADS, first_draw, run_task
from savs.demo.new_files import show_new_files
from savs.demo.outcome import Outcome
from savs.demo.tasks import Task, build_tasks

__all__ = ["run_demo"]

BATCH_SIZE = 32
_IDENTITY = (
    "source",
    "model_class",
    "weights_digest",
    "processor_digest",
    "dtype",
    "attn_implementation",
    "versions",
)


def run_demo(
    out: str | os.PathLike[str],
    *,
    backbone: Any = "tiny",
    shots: int = 20,
    n_draws: int = 5,
    seed: int = 0,
    progress: bool = False,
    per_class: int | None = None,
    zero_shot_items: int = 180,
) -> dict[str, Any]:
    """Run all tasks; write classifiers, new files, ``results.json`` and ``demo.png`` below a folder.

    Parameters
    ----------
    out : path
        Folder for the results; those of an earlier run are replaced.
    backbone : str, Path or Backbone
        As for `savs.load_backbone`, or a backbone that is loaded already.
    shots : int
        Shots per class.
    n_draws : int
        How often the shots are drawn anew; the rest of the examples are the test items.
    seed : int
        Decides examples, drawn pictures and draws.
    progress : bool
        Show a progress bar where stderr is a terminal.
    per_class : int, optional
        At most so many examples per class, for a quicker run.
    zero_shot_items : int
        How many items zero-shot generation answers: it is the slow part.

    Returns
    -------
    dict
        What ``results.json`` holds; `savs.demo.render_table` makes it readable.

    Raises
    ------
    BackboneError
        If the backbone cannot be loaded.
    DataError
        If a class has no more examples than shots.
    OSError
        If the folder cannot be written.
    """
    from savs.demo.picture import draw_results

    started, folder = time.perf_counter(), Path(out)
    model = backbone if isinstance(backbone, Backbone) else load_backbone(backbone, batch_size=BATCH_SIZE)
    _prepare(folder)
    outcomes: list[Outcome] = []
    shown: list[dict[str, Any]] = []
    with _one_thread():
        for task in _announced(build_tasks(seed, per_class), progress):
            settings = {"shots": shots, "n_draws": n_draws, "seed": seed, "zero_shot_items": zero_shot_items}
            outcomes.append(run_task(task, model, **settings))
            support, rest = ([task.examples[row] for row in rows] for rows in first_draw(task, shots, seed))
            shown.append(show_new_files(task, model, support, rest, folder, n_heads=N_HEADS))
    draw_results(outcomes, folder / "demo.png", n_draws=n_draws)
    result: dict[str, Any] = {
        "tasks": [outcome.record() for outcome in outcomes],
        "new_files": shown,
        "backbone": {key: model.fingerprint[key] for key in _IDENTITY if key in model.fingerprint},
        "shots": shots,
        "n_draws": n_draws,
        "n_heads": N_HEADS,
        "seed": seed,
        "files": {"results": str(folder / "results.json"), "picture": str(folder / "demo.png")},
        "seconds": round(time.perf_counter() - started, 1),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(f"{text}\n", encoding="utf-8")
    return result


def _prepare(folder: Path) -> None:
    """Make the folder; new files of an earlier run would mix with those of another seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _shown_before(folder / "results.json"):
        shutil.rmtree(folder / "new_files" / name, ignore_errors=True)


def _shown_before(results: Path) -> list[str]:
    """Return the tasks whose files an earlier demo wrote; somebody's own results name none."""
    try:
        found = json.loads(results.read_bytes())["new_files"]
        names = [str(one["task"]) for one in found if {"task", "classifier", "command"} <= one.keys()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [name for name in names if name == Path(name).name and name not in {"", ".", ".."}]


def _announced(tasks: Sequence[Task], progress: bool) -> Iterator[Task]:
    from tqdm import tqdm

    with tqdm(tasks, unit="task", disable=None if progress else True, leave=False) as bar:
        for task in bar:
            bar.set_description(task.title)
            yield task


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: on busy cores two threads mostly wait for each other."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
