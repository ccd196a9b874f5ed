"""Numbers of papers, to stand beside one's own where task, protocol and number of shots are the same."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["PublishedResult", "published_results"]


class PublishedResult(NamedTuple):
    """A figure that a paper reports.

    Attributes
    ----------
    task, protocol, figure, method : str
        As in savs.
    shots : int or None
        Shots per class; None for what uses none.
    backbone : str
        The model behind it, such as ``"LLaVA-OneVision-7B"``.
    value : float
        In percent.
    source : str
        Where it stands.
    """

    task: str
    protocol: str
    figure: str
    method: str
    shots: int | None
    backbone: str
    value: float
    source: str


def published_results(
    task: str, protocol: str, figure: str, method: str, shots: int
) -> list[PublishedResult]:
    """Return what was published of a figure under the same protocol.

    Parameters
    ----------
    task, protocol, figure, method : str
        Such as ``"eurosat"``, ``"four_way"``, ``"accuracy"`` and ``"sav"``.
    shots : int
        Shots per class; methods that use none match any.

    Examples
    --------
    >>> [one.value for one in published_results("eurosat", "four_way", "accuracy", "sav", 20)]
    [86.7, 79.9]
    >>> published_results("eurosat", "n_way", "accuracy", "sav", 20)
    []
    """
    return [
        one
        for one in _all_results()
        if one[:4] == (task, protocol, figure, method) and one.shots in (None, shots)
    ]


@lru_cache(maxsize=1)
def _all_results() -> tuple[PublishedResult, ...]:
    content = json.loads((files("savs.benchmarks") / "published.json").read_text(encoding="utf-8"))
    tasks = {one["name"]: one for one in content["tasks"]}
    found = []
    for line in content["lines"]:
        for name, values in line["values"].items():
            task = tasks[name]
            for figure, value in zip(task["figures"], values, strict=True):
                found.append(
                    PublishedResult(
                        name,
                        task["protocol"],
                        figure,
                        line["method"],
                        line["shots"],
                        line["backbone"],
                        value,
                        content["source"],
                    )
                )
    return tuple(found)
