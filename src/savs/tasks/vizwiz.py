"""VizWiz (Gurari et al., CVPR 2018): whether a blind person's photo answers their question."""

from savs.tasks._rows import Row, value_of
from savs.tasks.task import HubSource, Task

__all__ = ["VIZWIZ"]


def _row(row: Row) -> Row:
    """Return whether it is answerable, by what VizWiz says, the type of its answer, or most answers."""
    if "label" in row:
        return row
    known = row.get("answerable")
    if known is None and value_of(row, "answer_type", "category") is not None:
        known = value_of(row, "answer_type", "category") != "unanswerable"
    if known is None:
        answers = [one["answer"] if isinstance(one, dict) else one for one in row["answers"]]
        if not answers or isinstance(row["answers"], str):
            raise ValueError("an item of the test split, whose answers are not public")
        known = 2 * answers.count("unanswerable") <= len(answers)
    return {"question": row["question"], "label": "answerable" if int(known) else "unanswerable"}


VIZWIZ = Task(
    name="vizwiz",
    prompt=(
        "\n{question} \nWhen the provided information is insufficient, respond with Unanswerable.\n"
        "Answer the question using a single word or phrase."
    ),
    protocol="two_classes",
    metric="accuracy",
    origin="JSONL files of the SAVs authors (question, label); val.json of VizWiz-VQA; the hub",
    labels=("answerable", "unanswerable"),
    hub=HubSource(id="lmms-lab-encoder/VizWiz-VQA", split="val"),
    row=_row,
    aliases=("vizwiz_vqa", "vizwiz_vqa_val", "VizWiz"),
)
