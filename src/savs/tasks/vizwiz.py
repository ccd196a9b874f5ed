"""VizWiz (Gurari et al., CVPR 2018): whether a blind person's photo answers their question."""

from savs.tasks.task import Task

__all__ = ["VIZWIZ"]

VIZWIZ = Task(
    name="vizwiz",
    prompt=(
        "\n{question} \nWhen the provided information is insufficient, respond with Unanswerable.\n"
        "Answer the question using a single word or phrase."
    ),
    protocol="two_classes",
    metric="accuracy",
    origin="JSONL files of the SAVs authors (question, label); images of VizWiz-VQA",
    labels=("answerable", "unanswerable"),
)
