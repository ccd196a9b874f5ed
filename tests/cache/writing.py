"""A run that computes rows into a store, batch by batch; as a program it can be killed at a named point.

python writing.py STORE LOG [POINT OCCURRENCE [ACTION]]
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from savs.cache import FeatureStore
from savs.cache import _files as files
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 2, 3), (1, 3, 2), (4, 1, 5)])
FINGERPRINT = {"weights_digest": "ab" * 32, "dtype": "float32", "commit": None}
N_ROWS, BATCH, PART_ROWS, STATES_WIDTH = 48, 4, 8, 6


def key(index: int) -> bytes:
    return hashlib.sha256(f"row {index}".encode()).digest()


def row(index: int, width: int = LAYOUT.width) -> np.ndarray:
    return np.random.default_rng([index, width]).standard_normal(width, dtype=np.float32)


def rows(indices, width: int = LAYOUT.width) -> np.ndarray:
    return np.stack([row(index, width) for index in indices])


def open_store(folder: Path, **options) -> FeatureStore:
    options = {"part_rows": PART_ROWS, "on_full": "raise", "states_width": STATES_WIDTH, **options}
    return FeatureStore.open(folder, FINGERPRINT, LAYOUT, **options)


def run(folder: Path, log: Path, pause: float = 0.0) -> None:
    """Compute what is missing, note each computed row, and prune at the end."""
    with open_store(folder) as store:
        for start in range(0, N_ROWS, BATCH):
            wanted = range(start, start + BATCH)
            found = store.get([key(index) for index in wanted]).found
            new = [index for index, known in zip(wanted, found, strict=True) if not known]
            if new:
                with log.open("a") as file:
                    file.write("".join(f"{index}\n" for index in new))
                store.append([key(index) for index in new], rows(new))
                time.sleep(pause)
    open_store(folder).prune()


def act_at(point: str, occurrence: int, action: str) -> None:
    """Kill this process, or wait for a file named `action`, when a point is reached for the n-th time."""
    left = [occurrence]

    def crash(name: str) -> None:
        if name != point:
            return
        left[0] -= 1
        if left[0] == 0 and action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif left[0] == 0:
            Path(action + ".reached").touch()
            deadline = time.monotonic() + 60
            while not Path(action).exists() and time.monotonic() < deadline:
                time.sleep(0.005)

    files._crash_point = crash


if __name__ == "__main__":
    if len(sys.argv) > 4:
        act_at(sys.argv[3], int(sys.argv[4]), (sys.argv[5:] or ["kill"])[0])
    run(Path(sys.argv[1]), Path(sys.argv[2]), float(os.environ.get("PAUSE", "0")))
