"""MHaluBench (Chen et al., ACL 2024): whether a claim about an image is a hallucination."""

from savs.tasks.task import Task

__all__ = ["MHALUBENCH"]

MHALUBENCH = Task(
    name="mhalubench",
    prompt="\nClaim:{question}. Is the Claim hallucinating? Answer the question with Yes or No.",
    protocol="two_classes",
    metric="accuracy_and_macro_f1",
    origin="JSON files of the SAVs authors (image_path, claim, label); images of COCO 2014 and TextVQA",
    labels=("hallucination", "non-hallucination"),
)
