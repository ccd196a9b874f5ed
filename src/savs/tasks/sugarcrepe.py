"""SugarCrepe (Hsieh et al., NeurIPS 2023): whether a caption, true or false by few words, fits an image."""

from savs.tasks.task import Task

__all__ = ["SUGARCREPE"]

SUGARCREPE = Task(
    name="sugarcrepe",
    prompt="\n{question} Please answer with Yes or No.",
    protocol="yes_no",
    metric="pair_accuracy",
    origin="JSONL files of the SAVs authors (question, split, question_id, label); images of COCO val2017",
    labels=("Yes", "No"),
    split_column="split",
    pair_column="question_id",
)
