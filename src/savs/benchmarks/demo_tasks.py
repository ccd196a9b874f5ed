"""The five tasks of `savs.demo` as benchmark tasks, which need no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from savs.demo import scenes
from savs.demo import tasks as demo
from savs.tasks import Task

__all__ = ["DEMO_TASKS", "DemoTask"]

Maker = Callable[[np.random.Generator, int | None], demo.Task]


class DemoTask(NamedTuple):
    """A task whose examples come with savs.

    Attributes
    ----------
    task : Task
        Prompt, protocol and metric.
    make : callable
        From a seed to the demo's task, with labeled examples, without the prompt.
    """

    task: Task
    make: Callable[[int], demo.Task]


def _demo_task(name: str, maker: Maker, stream: int, prompt: str, protocol: str, origin: str) -> DemoTask:
    def make(seed: int) -> demo.Task:
        return maker(np.random.default_rng((seed, stream)), None)

    task = Task(
        name=f"demo_{name}",
        prompt=prompt,
        protocol=protocol,
        metric="accuracy",
        origin=f"savs demo: {origin}",
    )
    return DemoTask(task, make)


DEMO_TASKS: Mapping[str, DemoTask] = MappingProxyType(
    {
        one.task.name: one
        for one in (
            _demo_task(
                "digits",
                demo.digits_task,
                1,
                "What character is in the picture?",
                "n_way",
                "scans of scikit-learn's handwritten digits",
            ),
            _demo_task(
                "photos",
                demo.photos_task,
                2,
                "What is in this picture?",
                "n_way",
                "photographs of deer, ships and trucks",
            ),
            _demo_task(
                "note", demo.note_task, 3, scenes.PROMPT, "two_classes", "a rule over an image and a note"
            ),
            _demo_task(
                "shape",
                demo.shape_task,
                4,
                "What colour is it?",
                "n_way",
                "drawn shapes; the prompt asks for the colour",
            ),
            _demo_task(
                "pairs",
                demo.pairs_task,
                5,
                "Do both pictures show the same thing?",
                "yes_no",
                "two photographs in one prompt",
            ),
        )
    }
)
"""By name; the same examples, for the same seed, as ``savs demo`` has."""
