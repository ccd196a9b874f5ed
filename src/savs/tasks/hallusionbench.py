"""HallusionBench (Guan et al., CVPR 2024): the same questions about figures, their edits, and no figure."""

from savs.tasks.named_labels import NamedLabelsTask
from savs.tasks.task import HubSource

__all__ = ["HALLUSIONBENCH"]

HALLUSIONBENCH = NamedLabelsTask(
    name="hallusionbench",
    prompt="{question} Answer with Yes or No.",
    protocol="yes_no",
    metric="hallusion_accuracies",
    origin="HallusionBench.json and hallusion_bench.zip of the authors; VLMEvalKit's table; the hub (images)",
    labels=("Yes", "No"),
    label_names={"1": "Yes", "0": "No", "yes": "Yes", "no": "No"},
    positive="Yes",
    read_options={"label_column": "gt_answer"},
    hub=HubSource(
        id="lmms-lab-encoder/HallusionBench", split="image", read_options={"label_column": "gt_answer"}
    ),
    aliases=("HallusionBench", "hallusion_bench_image"),
)
