"""Multimodal RewardBench (Yasunaga et al., 2025): the better of two answers, and single answers."""

from savs.tasks.task import Task

__all__ = ["REWARDBENCH_PAIRS", "REWARDBENCH_SINGLE"]

REWARDBENCH_PAIRS = Task(
    name="rewardbench_pairs",
    prompt="Question: {question}\n\nAnswer 1: {Output1}\n\nAnswer 2: {Output2}",
    protocol="two_classes",
    metric="accuracy_by_split",
    origin="JSON files of pairs (Text, Image, Output1, Output2, Category, label)",
    labels=("Output1", "Output2"),
    split_column="Category",
)

REWARDBENCH_SINGLE = Task(
    name="rewardbench_single",
    prompt="Question: {question}\n\n Answer: {Output}",
    protocol="two_classes",
    metric="accuracy_by_split",
    origin="JSON files of single answers (Text, Image, Output, Category, label)",
    labels=("preferred", "non-preferred"),
    split_column="Category",
)
