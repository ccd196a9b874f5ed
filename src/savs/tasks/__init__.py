"""Tasks of public benchmarks: prompt, labels, protocol and metric of each, and readers of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.tasks.registry import get_task, list_tasks, register_task
    from savs.tasks.scoring import score_task
    from savs.tasks.task import PROTOCOLS, Groups, Task

__all__ = ["PROTOCOLS", "Groups", "Task", "get_task", "list_tasks", "register_task", "score_task"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.tasks.registry": ["get_task", "list_tasks", "register_task"],
        "savs.tasks.scoring": ["score_task"],
        "savs.tasks.task": ["PROTOCOLS", "Groups", "Task"],
    },
)
