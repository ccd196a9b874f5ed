"""Fit a classifier on a folder of images, check it, save it and load it again.

python examples/fit_and_save.py [FOLDER_WITH_ONE_FOLDER_PER_CLASS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from savs import SAVModel, draw_shots, read_examples
from savs.demo.data import PHOTO_FOLDER


def main(folder: Path) -> None:
    """Fit on 10 examples per class and evaluate on the others."""
    shots, rest = draw_shots(read_examples(folder), shots=10, seed=0)
    model = SAVModel.from_backbone("tiny", prompt="What is in this picture?", method="auto")
    model.fit(shots, progress=True)

    estimate = model.estimate_
    if estimate is not None:
        low, high = estimate.interval
        print(f"expected accuracy {estimate.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})")
    others = rest[::4]  # rest is in file order, class by class
    print(f"accuracy on {len(others)} other examples {model.score(others):.1%}")

    with tempfile.TemporaryDirectory() as parent:
        saved = Path(parent) / "classifier"
        model.save_pretrained(saved)
        print("saved:", ", ".join(sorted(path.name for path in saved.iterdir())))
        again = SAVModel.from_pretrained(saved)
        assert (again.predict(rest[:5]) == model.predict(rest[:5])).all()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTO_FOLDER)
