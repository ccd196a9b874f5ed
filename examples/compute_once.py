"""Keep head vectors in a feature store: other labels, methods or numbers of heads cost no forward pass.

python examples/compute_once.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from savs import SAVModel, draw_shots, read_examples
from savs.demo.data import PHOTO_FOLDER


def main() -> None:
    """Fit three methods on the same shots; only the first one runs the model."""
    shots, rest = draw_shots(read_examples(PHOTO_FOLDER), shots=10, seed=0)
    with tempfile.TemporaryDirectory() as parent:
        store = Path(parent) / "store"
        for method in ("sav", "hec_v", "kernel_ridge"):
            started = time.perf_counter()
            model = SAVModel.from_backbone(
                "tiny", prompt="What is in this picture?", method=method, store=store
            )
            accuracy = model.fit(shots).score(rest[::14])
            print(f"{method:12} {accuracy:.1%} in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
