"""Do flipped and cropped copies of the shots help? `python -m training.augmented_shots --tasks DIR NAME ...`.

Reads tasks that `training.task_files` wrote. Five shots per class, five draws, mean accuracy on the test
items: shots as they are, with a mirrored copy or two crops as further shots, and with each shot's row
averaged over such copies.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from savs.backbones import load_backbone
from savs.cache import with_store
from savs.classifiers import make_method
from savs.data import as_examples, read_examples
from savs.evaluation import draw_rows
from savs.media import load_image

METHODS = ("sav", "auto")
N_SHOTS, N_DRAWS, CUT = 5, 5, 0.1
Rows = npt.NDArray[np.float32]


def mirrored(image: Image.Image) -> Image.Image:
    """Return the image, left and right exchanged."""
    return ImageOps.mirror(image)


def cropped(image: Image.Image, corner: str) -> Image.Image:
    """Return the image without a tenth of its width and height, at its old size."""
    width, height = image.size
    x, y = round(CUT * width), round(CUT * height)
    box = (0, 0, width - x, height - y) if corner == "upper" else (x, y, width, height)
    return image.crop(box).resize(image.size)


def read(backbone: Any, examples: Any) -> Rows:
    """Return head vectors and final states side by side."""
    found = backbone.extract(examples, states=True)
    return np.hstack([found.features, found.states])


def variants(backbone: Any, shots: list[Any], labels: Rows) -> Iterator[tuple[str, Rows, Rows]]:
    """Yield name, rows and labels of each way to use copies of the shots."""
    images = [[load_image(image.source) for image in shot.images] for shot in shots]

    def copies(change: Callable[[Image.Image], Image.Image]) -> Rows:
        changed = [([change(one) for one in row], shot.text) for row, shot in zip(images, shots, strict=True)]
        return read(backbone, as_examples(changed))

    plain, flipped = read(backbone, shots), copies(mirrored)
    crops = [copies(lambda image, corner=corner: cropped(image, corner)) for corner in ("upper", "lower")]
    yield "as they are", plain, labels
    yield "mirrored copies added", np.vstack([plain, flipped]), np.tile(labels, 2)
    yield "two crops added", np.vstack([plain, *crops]), np.tile(labels, 3)
    yield "mean with the mirrored", (plain + flipped) / 2, labels
    yield "mean of all four", np.mean([plain, flipped, *crops], axis=0), labels


def measure(folder: Path, backbone: Any) -> dict[tuple[str, str], list[float]]:
    """Return accuracies by variant and method, one per draw."""
    train, test = (read_examples(folder / f"{split}.jsonl") for split in ("train", "test"))
    queries, truth = read(backbone, test), np.array([example.label for example in test])
    layout = backbone.layout.with_state(queries.shape[1] - backbone.layout.width)
    found: dict[tuple[str, str], list[float]] = {}
    for draw in range(N_DRAWS):
        rows, _ = draw_rows([example.label for example in train], N_SHOTS, (0, draw), leave=0)
        shots = [train[row] for row in rows.tolist()]
        labels = np.array([shot.label for shot in shots])
        for name, features, of_features in variants(backbone, shots, labels):
            for method in METHODS:
                answers = make_method(method, layout).fit(features, of_features).predict(queries)
                found.setdefault((name, method), []).append(float((answers == truth).mean()))
    return found


def main() -> None:
    """Measure the tasks that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=Path, required=True, help="what training.task_files wrote")
    parser.add_argument("names", nargs="+", help="folders in it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        backbone = with_store(load_backbone("tiny"), Path(store) / "store")
        for name in options.names:
            for (variant, method), values in measure(options.tasks / name, backbone).items():
                print(f"{name}: {variant}, {method}: {100 * np.mean(values):.1f}", flush=True)


if __name__ == "__main__":
    main()
