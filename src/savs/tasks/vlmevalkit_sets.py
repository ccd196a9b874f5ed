"""Sets in VLMEvalKit's form: multiple choice and yes/no tables, one task for all of them and one for MME."""

from __future__ import annotations

from savs.tasks.named_labels import NamedLabelsTask

__all__ = ["MME", "VLMEVALKIT", "VLMEVALKIT_YES_NO", "vlmevalkit"]


def vlmevalkit(
    name: str, *, yes_no: bool = False, category: str = "category", aliases: tuple[str, ...] = ()
) -> NamedLabelsTask:
    """Return the task of a set in VLMEvalKit's form, whose ``.tsv`` the user names.

    Parameters
    ----------
    name : str
        The set, such as ``"MMBench_DEV_EN"``.
    yes_no : bool, default=False
        Whether answers are Yes and No, as in AMBER; else letters of options.
    category : str, default="category"
        The column whose values are scored apart, such as ``"l2-category"``.
    aliases : tuple of str
        Other names of the task.

    Examples
    --------
    >>> vlmevalkit("MMStar").protocol
    'option_letters'
    """
    return NamedLabelsTask(
        name=name,
        prompt="{question} Answer with Yes or No." if yes_no else "{question}\nAnswer with the letter alone.",
        protocol="yes_no" if yes_no else "option_letters",
        metric="binary_scores" if yes_no else "accuracy_by_category",
        origin="a table of VLMEvalKit: index, image (base64), question, A, B, ..., answer",
        labels=("Yes", "No") if yes_no else None,
        label_names={"yes": "Yes", "no": "No"} if yes_no else {},
        positive="Yes" if yes_no else None,
        split_column=category,
        aliases=aliases,
    )


VLMEVALKIT = vlmevalkit(
    "vlmevalkit",
    aliases=(
        *("MMBench_DEV_EN", "MMBench_DEV_EN_V11", "MMBench_DEV_CN", "CCBench", "SEEDBench_IMG", "SEEDBench2"),
        *("SEEDBench2_Plus", "ScienceQA_VAL", "ScienceQA_TEST", "MMT-Bench_VAL", "AesBench_VAL", "MMStar"),
        *("Q-Bench1_VAL", "A-Bench_VAL", "AI2D_TEST", "AI2D_TEST_NO_MASK", "RealWorldQA", "MMVP"),
        *("VStarBench", "MicroVQA", "SpatialEval"),
    ),
)

VLMEVALKIT_YES_NO = vlmevalkit("vlmevalkit_yes_no", yes_no=True, aliases=("AMBER", "VSR-zeroshot"))

MME = NamedLabelsTask(
    name="mme",
    prompt="{question}",
    protocol="yes_no",
    # Two questions about each image; MME's score of a category is 100 times accuracy plus pair accuracy.
    metric="pair_accuracy",
    origin="MME.tsv of VLMEvalKit; its questions end with: Please answer yes or no.",
    labels=("Yes", "No"),
    label_names={"yes": "Yes", "no": "No"},
    positive="Yes",
    split_column="category",
    pair_column="image_path",
    aliases=("MME",),
)
