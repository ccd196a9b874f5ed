"""Saves a classifier over another one; killed at a write. python saving.py FOLDER SCALE CALL OCCURRENCE"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from savs.artifact import Artifact, Shot, save_artifact
from savs.classifiers import Method
from savs.layout import HeadLayout


def artifact(scale: float) -> Artifact:
    layout = HeadLayout.uniform(1, 2, 2)
    labels = np.array(["a", "b"] * 3)
    rows = scale * np.random.default_rng(0).normal(size=(6, 4)) + np.array([[0.0], [2.0]] * 3)
    method = Method("sav")
    classifier = method.make(layout, np.unique(labels)).fit(rows, labels)
    shots = [Shot(str(number), label, "0" * 64) for number, label in enumerate(labels.tolist())]
    return Artifact(method, f"{scale}", classifier, shots, np.full((6, 2), -0.5), None, None, None, {})


def kill_at(call: str, occurrence: int) -> None:
    """Kill this process before the n-th call of a function of `os`."""
    real, left = getattr(os, call), [occurrence]

    def killer(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(os, call, killer)


if __name__ == "__main__":
    made = artifact(float(sys.argv[2]))
    if len(sys.argv) > 3:
        kill_at(sys.argv[3], int(sys.argv[4]))
    save_artifact(made, Path(sys.argv[1]), card="card")
