"""SugarCrepe (Hsieh et al., NeurIPS 2023): whether a caption, true or false by few words, fits an image."""

from collections.abc import Sequence

from savs.tasks._rows import Row
from savs.tasks.task import Task

__all__ = ["SUGARCREPE"]

_KINDS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")


def _row(row: Row) -> Row | Sequence[Row]:
    """Return a pair of rows for one of the authors' files, and the split of any other by one name."""
    split = str(row["split"]).replace("_ent", "_obj")
    if "negative_caption" not in row:
        return {**row, "split": split}
    pair = {"split": split, "question_id": row["key"]}
    captions = {"Yes": row["caption"], "No": row["negative_caption"]}
    return [
        {**pair, "question": f"Does this image show '{caption}'?", "label": label}
        for label, caption in captions.items()
    ]


SUGARCREPE = Task(
    name="sugarcrepe",
    prompt="{question} Please answer with Yes or No.",
    protocol="yes_no",
    metric="pair_accuracy",
    origin="JSONL files of the SAVs authors, or swap_obj.json, ... of the benchmark; images of COCO val2017",
    labels=("Yes", "No"),
    split_column="split",
    pair_column="question_id",
    splits_in_names=(*_KINDS, "add_ent", "replace_ent", "swap_ent"),
    row=_row,
)
