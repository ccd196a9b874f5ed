"""BLINK (Fu et al., ECCV 2024): fourteen kinds of questions about one to four images, a model for each."""

from savs.tasks._rows import MEDIA, Row
from savs.tasks.task import HubSource, Task

__all__ = ["BLINK"]

SPLITS = (
    *("Art_Style", "Counting", "Forensic_Detection", "Functional_Correspondence", "IQ_Test", "Jigsaw"),
    *("Multi-view_Reasoning", "Object_Localization", "Relative_Depth", "Relative_Reflectance"),
    *("Semantic_Correspondence", "Spatial_Relation", "Visual_Correspondence", "Visual_Similarity"),
)


def _row(row: Row) -> Row:
    """Return the question after its images, in one line, as in the file of the SAVs authors."""
    if "plain_question" in row:  # VLMEvalKit's table
        choices = " ".join(f"({letter}) {row[letter]}" for letter in "ABCD" if row.get(letter))
        asked = f"{row['plain_question']} Select from the following choices. {choices}"
        return _asked(row, asked, f"({row['label']})", row["category"])
    if "answer" not in row:
        return row
    return _asked(row, row["prompt"], row["answer"], row.get("split") or row["sub_task"])


def _asked(row: Row, text: str, label: str, split: str) -> Row:
    text = " ".join(text.replace("<image>", " ").split())
    return {"question": "<image>\n" * len(row[MEDIA]) + text, "label": label, "split": split}


BLINK = Task(
    name="blink",
    prompt="{question}",
    protocol="option_letters",
    metric="accuracy_by_split",
    origin="JSON files of the SAVs authors (question, label, image_1, ...); BLINK.tsv of VLMEvalKit; the hub",
    split_column="split",
    parts={name: name for name in SPLITS},
    hub=HubSource(id="BLINK-Benchmark/BLINK", split="val"),
    row=_row,
    aliases=("BLINK",),
)
