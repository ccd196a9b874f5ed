"""MHaluBench (Chen et al., ACL 2024): whether a claim about an image is a hallucination."""

from collections.abc import Sequence

from savs.tasks._rows import Row
from savs.tasks.task import HubSource, Task

__all__ = ["MHALUBENCH"]


def _row(row: Row) -> Row | Sequence[Row]:
    """Return a row for each claim about an image."""
    if "label" in row:
        return row
    claims = row.get("claim_list", [row])
    return [{"claim": one["claim"], "label": one["claim_label"]} for one in claims]


MHALUBENCH = Task(
    name="mhalubench",
    prompt="\nClaim:{question}. Is the Claim hallucinating? Answer the question with Yes or No.",
    protocol="two_classes",
    metric="accuracy_and_macro_f1",
    origin="JSON files of the SAVs authors (image_path, claim, label); the hub; images of COCO and TextVQA",
    labels=("hallucination", "non-hallucination"),
    hub=HubSource(id="openkg/MHaluBench", split="validation", train="train"),
    row=_row,
)
