"""POPE (Li et al., EMNLP 2023): whether an object is in an image; random, popular and adversarial objects."""

from savs.tasks.named_labels import NamedLabelsTask
from savs.tasks.task import HubSource

__all__ = ["POPE"]

POPE = NamedLabelsTask(
    name="pope",
    # The question as lmms-eval asks it.
    prompt="{question}\nAnswer the question using a single word or phrase.",
    protocol="yes_no",
    metric="binary_scores",
    origin="coco_pope_random.json, _popular, _adversarial of the authors; POPE.tsv of VLMEvalKit; the hub",
    labels=("Yes", "No"),
    label_names={"yes": "Yes", "no": "No"},
    positive="Yes",
    split_column="category",
    splits_in_names=("random", "popular", "adversarial"),
    hub=HubSource(id="lmms-lab-encoder/POPE", read_options={"label_column": "answer"}),
    aliases=("POPE", "pope_full"),
)
