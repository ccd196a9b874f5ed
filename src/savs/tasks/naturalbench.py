"""NaturalBench (Li et al., NeurIPS 2024): two questions, or captions, on two images with opposite answers."""

from savs.tasks._rows import Row, value_of
from savs.tasks.task import Groups, HubSource, Task

__all__ = ["NATURALBENCH", "NATURALBENCH_RETRIEVAL"]

_SUFFIXES = {
    "yes_no": "Please answer Yes or No.",
    "multiple_choice": "Please output the letter corresponding to the correct option.",
}


def _row(row: Row) -> Row:
    """Return a row of the hub or of VLMEvalKit's table: its index counts through groups of four."""
    return {
        "question": value_of(row, "question"),
        "suffix": _SUFFIXES[value_of(row, "Question_Type", "type")],
        "question_id": int(value_of(row, "index")),
        "label": value_of(row, "answer", "label"),
    }


NATURALBENCH = Task(
    name="naturalbench",
    prompt="{question} {suffix}",
    protocol="yes_no_or_letter",
    metric="group_accuracies",
    origin="the hub (Index, Image, Question, Question_Type, Answer); NaturalBenchDataset.tsv of VLMEvalKit",
    labels=("Yes", "No", "A", "B"),
    # 0 to 3 are the first group: question 0 on image 0 and 1, then question 1 on both.
    groups=Groups("question_id", size=4),
    hub=HubSource(id="BaiqiL/NaturalBench-lmms-eval"),
    row=_row,
    aliases=("NaturalBenchDataset",),
)

NATURALBENCH_RETRIEVAL = Task(
    name="naturalbench_retrieval",
    prompt="\n{question} Answer with Yes or No.",
    protocol="yes_no",
    metric="group_accuracies",
    origin="retrieval JSONL files of the SAVs authors (question, question_id, label); images of NaturalBench",
    labels=("Yes", "No"),
    # 1 to 4 are the first group: caption 0 on image 0 and 1, then caption 1 on both. So it is in the file of
    # the shots; in that of the test items, all four have the number 1.
    groups=Groups("question_id", size=4, first=1),
)
