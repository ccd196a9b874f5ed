"""Photographs: CIFAR-10 as JPEG files, from a folder or a tar archive, as one array of 64 x 64 images.

The three classes of `HELD_OUT` are never read from the training part, so nothing downstream can show them.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from savs.demo.scenes import SIDE

NAMED = ("airplane", "automobile", "bird", "cat", "dog", "frog", "horse")
HELD_OUT = ("deer", "ship", "truck")
SPOKEN = {
    "airplane": "airplane",
    "automobile": "car",
    "bird": "bird",
    "cat": "cat",
    "dog": "dog",
    "frog": "frog",
}
"""Class names as questions and answers say them; a class not listed is spoken as it is named."""


@dataclass(frozen=True)
class Photos:
    """Images `pixels` (n, 64, 64, 3) uint8 with `labels` (n,) that index `classes`."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


def read_photos(path: Path, part: str, classes: tuple[str, ...], per_class: int | None = None) -> Photos:
    """Read one part ("train" or "test") of the photographs.

    Parameters
    ----------
    path : Path
        A tar archive or a folder that holds `part/class/name.jpg`.
    part : str
        "train" or "test"; held-out classes are refused in "train".
    classes : tuple of str
        The classes wanted, in the order of the labels.
    per_class : int, optional
        At most so many images per class.
    """
    if part == "train" and set(classes) & set(HELD_OUT):
        raise ValueError(f"classes {HELD_OUT} are held out of training")
    pixels: list[npt.NDArray[np.uint8]] = []
    labels: list[int] = []
    taken = dict.fromkeys(classes, 0)
    for name, content in _files(path, part):
        label = name.split("/")[-2]
        if label not in taken or (per_class is not None and taken[label] >= per_class):
            continue
        taken[label] += 1
        pixels.append(to_array(Image.open(io.BytesIO(content))))
        labels.append(classes.index(label))
    if not pixels:
        raise FileNotFoundError(f"no photographs of {classes} under {path} ({part})")
    return Photos(np.stack(pixels), np.asarray(labels), classes)


def synthetic_photos(rng: np.random.Generator, per_class: int, classes: tuple[str, ...] = NAMED) -> Photos:
    """Smooth random blobs in place of photographs, so that the program can be tried without any."""
    labels = np.repeat(np.arange(len(classes)), per_class)
    coarse = rng.integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    coarse[:, 0, 0] = (labels * 30)[:, None]
    return Photos(np.stack([to_array(Image.fromarray(one)) for one in coarse]), labels, classes)


def to_array(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return an image as the image processor sees it: RGB, 64 x 64, bicubic."""
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def spoken(name: str) -> str:
    """Return the everyday word for a class name."""
    return SPOKEN.get(name, name)


def _files(path: Path, part: str) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.glob(f"{part}/*/*.jp*g")):
            yield file.as_posix(), file.read_bytes()
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and f"{part}/" in member.name:
                content = archive.extractfile(member)
                if content is not None:
                    yield member.name, content.read()
