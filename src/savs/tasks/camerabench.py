"""CameraBench (Lin et al., 2025): whether a video has a kind of camera motion, and pairs of questions."""

from savs.tasks._rows import Row, value_of
from savs.tasks.task import Groups, HubSource, Task

__all__ = ["CAMERABENCH", "CAMERABENCH_VQA"]

MOTIONS = (
    *("fixed_camera", "has_backward_wrt_camera", "has_downward_wrt_camera", "has_forward_wrt_camera"),
    *("has_leftward", "has_pan_left", "has_pan_right", "has_rightward", "has_roll_clockwise"),
    *("has_roll_counterclockwise", "has_tilt_down", "has_tilt_up", "has_upward_wrt_camera"),
    *("has_zoom_in", "has_zoom_out"),
)

CAMERABENCH = Task(
    name="camerabench",
    prompt="{question} Please answer with Yes or No.",
    protocol="yes_no",
    metric="accuracy_and_average_precision",
    origin="JSONL files of the SAVs authors, one for each of 15 motions (image: the video, question, label)",
    labels=("Yes", "No"),
    positive="Yes",
    split_column="split",
    parts=dict.fromkeys(MOTIONS),
    read_options={"video_column": "image"},
)


def _row(row: Row) -> Row:
    """Return a row of the hub: the number of a question counts through groups of four."""
    label = str(value_of(row, "answer", "label")).strip().capitalize()
    return {"question": value_of(row, "question"), "question_id": int(value_of(row, "index")), "label": label}


CAMERABENCH_VQA = Task(
    name="camerabench_vqa",
    prompt="{question} Please answer Yes or No.",
    protocol="yes_no",
    metric="group_accuracies",
    origin="the hub (Index, Video, Question, Answer): two questions on two videos each; get its videos",
    labels=("Yes", "No"),
    positive="Yes",
    groups=Groups("question_id", size=4),
    read_options={"video_column": "Video"},
    hub=HubSource(id="chancharikm/camerabench_vqa_lmms_eval", read_options={"video_column": "Video"}),
    row=_row,
)
