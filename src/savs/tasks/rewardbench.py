"""Multimodal RewardBench (Yasunaga et al., 2025): the better of two answers, and single answers."""

from collections.abc import Sequence

from savs.tasks._rows import Row
from savs.tasks.task import HubSource, Task

__all__ = ["REWARDBENCH_PAIRS", "REWARDBENCH_SINGLE"]

_HUB = HubSource(id="syhuggingface/multimodal_rewardbench", read_options={"image_column": "Image"})


def _pair(row: Row) -> Row:
    return row if "Better" not in row else {**row, "label": row["Better"]}


def _single(row: Row) -> Row | Sequence[Row]:
    if "Better" not in row:
        return row
    return [
        {**row, "Output": row[name], "label": "preferred" if row["Better"] == name else "non-preferred"}
        for name in ("Output1", "Output2")
    ]


REWARDBENCH_PAIRS = Task(
    name="rewardbench_pairs",
    prompt="Question: {question}\n\nAnswer 1: {Output1}\n\nAnswer 2: {Output2}",
    protocol="two_classes",
    metric="accuracy_by_split",
    origin="JSON files of pairs (Text, Image, Output1, Output2, Category, label); the hub (Better for label)",
    labels=("Output1", "Output2"),
    split_column="Category",
    hub=_HUB,
    row=_pair,
    aliases=("multimodal_rewardbench",),
)

REWARDBENCH_SINGLE = Task(
    name="rewardbench_single",
    prompt="Question: {question}\n\n Answer: {Output}",
    protocol="two_classes",
    metric="accuracy_by_split",
    origin="JSON files of single answers (Text, Image, Output, Category, label); pairs of the hub as two",
    labels=("preferred", "non-preferred"),
    split_column="Category",
    hub=_HUB,
    row=_single,
)
