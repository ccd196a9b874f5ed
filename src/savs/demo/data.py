"""The real images of the demo: scikit-learn's handwritten digits and bundled photographs.

Neither was ever in the training of the bundled model; `data/SOURCE.md` says where they come from.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["PHOTO_CLASSES", "PHOTO_FOLDER", "digit_image", "photo_files", "read_digits"]

PHOTO_CLASSES = ("deer", "ship", "truck")
"""Classes of photographs that are held out of training; 300 images each."""

PHOTO_FOLDER = Path(__file__).parent / "data" / "photos"
"""Photographs of classes that the bundled model never saw, one folder per class."""

_INK_LEVELS = 16
_SIDE = 64


@lru_cache(maxsize=1)
def read_digits() -> tuple[NDArray[np.uint8], list[int]]:
    """Return scikit-learn's scans, shape (1797, 8, 8), ink from 0 to 16, and the digit each one shows."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8), [int(digit) for digit in digits.target]


def digit_image(scan: NDArray[np.uint8]) -> PILImage.Image:
    """Return a scan, shape (8, 8), as dark ink on white paper, 64 x 64 RGB, enlarged smoothly."""
    from PIL import Image

    paper = 255 - np.rint(scan * (255 / _INK_LEVELS)).astype(np.uint8)
    return Image.fromarray(paper).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).convert("RGB")


def photo_files(name: str) -> list[Path]:
    """Return the bundled photographs of one class, by file name."""
    return sorted((PHOTO_FOLDER / name).glob("*.jpg"))
