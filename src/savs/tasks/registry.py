"""The tasks by name: those of savs, those that are registered, and those of installed packages."""

from __future__ import annotations

from savs._registry import Registry
from savs.tasks.audio_sets import AUDIO_SETS
from savs.tasks.blink import BLINK
from savs.tasks.camerabench import CAMERABENCH, CAMERABENCH_VQA
from savs.tasks.eurosat import EUROSAT
from savs.tasks.hallusionbench import HALLUSIONBENCH
from savs.tasks.image_sets import image_set_tasks
from savs.tasks.mhalubench import MHALUBENCH
from savs.tasks.naturalbench import NATURALBENCH, NATURALBENCH_RETRIEVAL
from savs.tasks.pets import PETS
from savs.tasks.pope import POPE
from savs.tasks.rewardbench import REWARDBENCH_PAIRS, REWARDBENCH_SINGLE
from savs.tasks.sugarcrepe import SUGARCREPE
from savs.tasks.task import Task
from savs.tasks.vizwiz import VIZWIZ
from savs.tasks.vlguard import VLGUARD
from savs.tasks.vlmevalkit_sets import MME, VLMEVALKIT, VLMEVALKIT_YES_NO

__all__ = ["get_task", "list_tasks", "register_task"]

_TASKS: Registry[Task] = Registry("task", "savs.tasks")


def register_task(task: Task, *, replace: bool = False) -> None:
    """Make a task known by its name.

    Parameters
    ----------
    task : Task
        The task.
    replace : bool, default=False
        Allow a name that is taken.

    Raises
    ------
    ValueError
        If the name is taken, or is not a word.
    """
    _TASKS.register(task.name, task, replace=replace)


def list_tasks() -> list[str]:
    """Return the names of all tasks, without importing the packages that add some."""
    return list(_TASKS)


def get_task(name: str) -> Task:
    """Return a task by its name or one of its aliases.

    Raises
    ------
    KeyError
        If there is none; the message lists the names there are.

    Examples
    --------
    >>> get_task("eurosat").protocol
    'four_way'
    """
    if name not in _TASKS:
        for known in _TASKS:
            if name in _TASKS[known].aliases:
                return _TASKS[known]
    return _TASKS[name]


for _task in (
    EUROSAT,
    PETS,
    MHALUBENCH,
    BLINK,
    NATURALBENCH,
    NATURALBENCH_RETRIEVAL,
    REWARDBENCH_PAIRS,
    REWARDBENCH_SINGLE,
    SUGARCREPE,
    VIZWIZ,
    VLGUARD,
    CAMERABENCH,
    CAMERABENCH_VQA,
    POPE,
    HALLUSIONBENCH,
    MME,
    VLMEVALKIT,
    VLMEVALKIT_YES_NO,
    *AUDIO_SETS,
    *image_set_tasks(),
):
    register_task(_task)
