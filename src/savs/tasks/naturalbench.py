"""NaturalBench (Li et al., NeurIPS 2024) as retrieval: whether one of two captions fits an image."""

from savs.tasks.task import Groups, Task

__all__ = ["NATURALBENCH_RETRIEVAL"]

NATURALBENCH_RETRIEVAL = Task(
    name="naturalbench_retrieval",
    prompt="\n{question} Answer with Yes or No.",
    protocol="yes_no",
    metric="group_accuracies",
    origin="retrieval JSONL files of the SAVs authors (question, question_id, label); images of NaturalBench",
    labels=("Yes", "No"),
    # 1 to 4 are the first group: caption 0 on image 0 and 1, then caption 1 on both.
    groups=Groups("question_id", size=4, first=1),
)
