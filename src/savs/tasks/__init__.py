"""Tasks of public benchmarks: prompt, labels, protocol and metric of each, and readers of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.tasks.image_sets import ImageSet, ImageSetTask, with_four_options
    from savs.tasks.leaks import LeakReport, without_shots
    from savs.tasks.named_labels import NamedLabelsTask
    from savs.tasks.registry import get_task, list_tasks, register_task
    from savs.tasks.scoring import score_task
    from savs.tasks.task import PROTOCOLS, Groups, HubSource, Task
    from savs.tasks.vlmevalkit_sets import vlmevalkit

__all__ = [
    "PROTOCOLS",
    "Groups",
    "HubSource",
    "ImageSet",
    "ImageSetTask",
    "LeakReport",
    "NamedLabelsTask",
    "Task",
    "get_task",
    "list_tasks",
    "register_task",
    "score_task",
    "vlmevalkit",
    "with_four_options",
    "without_shots",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.tasks.image_sets": ["ImageSet", "ImageSetTask", "with_four_options"],
        "savs.tasks.leaks": ["LeakReport", "without_shots"],
        "savs.tasks.named_labels": ["NamedLabelsTask"],
        "savs.tasks.registry": ["get_task", "list_tasks", "register_task"],
        "savs.tasks.scoring": ["score_task"],
        "savs.tasks.task": ["PROTOCOLS", "Groups", "HubSource", "Task"],
        "savs.tasks.vlmevalkit_sets": ["vlmevalkit"],
    },
)
