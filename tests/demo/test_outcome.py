from __future__ import annotations

import json

import numpy as np

from savs.demo.results import METHODS, Accuracy, Outcome
from savs.layout import Head, HeadLayout


def outcome_with(means: dict[str, float]) -> Outcome:
    accuracy = {method: Accuracy(mean, (mean, mean), (mean,)) for method, mean in means.items()}
    layout = HeadLayout.uniform(2, 3, 4)
    return Outcome(
        name="t",
        title="a task",
        about="",
        prompt="",
        zero_shot_prompt="",
        classes=["a", "b"],
        shots=5,
        n_test=40,
        accuracy=accuracy,
        controls={"image alone": Accuracy(0.5, (0.4, 0.6), (0.5,))},
        n_zero_shot=10,
        unparsed=3,
        said={"what": 3},
        layout=layout,
        heads=[Head(1, 2), Head(0, 0)],
        head_scores=np.array([7, 1, 2, 3, 4, 9]),
        confusion=np.array([[15, 5], [3, 17]]),
    )


def test__best__shared_first_place__goes_to_savs() -> None:
    assert outcome_with({"sav": 0.8, "pixels": 0.8}).best == "sav"
    assert outcome_with({"sav": 0.8, "pixels": 0.81}).best == "pixels"


def test__record__head_scores__are_shares_of_the_shots_best_first() -> None:
    record = outcome_with(dict.fromkeys(METHODS, 0.123456)).record()
    assert record["heads"] == [[1, 2, 0.9], [0, 0, 0.7]]
    assert record["accuracy"]["sav"] == 0.1235
    assert json.loads(json.dumps(record)) == record
