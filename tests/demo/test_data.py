from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import savs.demo
from savs.demo.data import PHOTO_CLASSES, digit_image, photo_files, read_digits

DIGESTS = {
    "deer": "f2bbf80df11f8fc39909935b19347ecd48e34092437094323fbbfbd64cd02a34",
    "ship": "7e60a837dbfd273bc462d7ae3518f03b5e61e858108298ce9d0ab3a8fca499e2",
    "truck": "3ff797a74679aac3744f983e497ab50aeb2b50f521f1f0295bcbf3e8205d68b8",
}


@pytest.mark.parametrize("name", PHOTO_CLASSES)
def test__photo_files__every_class__holds_the_bytes_that_were_bundled(name: str) -> None:
    digest = hashlib.sha256()
    for file in photo_files(name):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    assert len(photo_files(name)) == 300
    assert digest.hexdigest() == DIGESTS[name]


def test__photo_files__all__are_small_colour_images_without_repeats() -> None:
    files = [file for name in PHOTO_CLASSES for file in photo_files(name)]
    assert len({file.read_bytes() for file in files}) == len(files)
    for file in files[::30]:
        with Image.open(file) as image:
            image.load()
            assert (image.size, image.mode) == ((32, 32), "RGB")


def test__bundled_data__in_all__at_most_one_megabyte_and_names_its_source() -> None:
    folder = Path(savs.demo.__file__).parent / "data"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 1_000_000
    text = (folder / "SOURCE.md").read_text(encoding="utf-8")
    assert "Krizhevsky" in text
    assert "license" in text


def test__read_digits__scans__are_the_1797_of_scikit_learn() -> None:
    scans, digits = read_digits()
    assert scans.shape == (1797, 8, 8)
    assert (scans.min(), scans.max()) == (0, 16)
    assert sorted(set(digits)) == list(range(10))
    assert all(type(digit) is int for digit in digits)


def test__digit_image__ink__is_dark_on_white_where_the_scan_has_it() -> None:
    scan = np.zeros((8, 8), dtype=np.uint8)
    scan[:4, :4] = 16
    image = digit_image(scan)
    pixels = np.asarray(image)
    assert (image.mode, pixels.shape) == ("RGB", (64, 64, 3))
    assert pixels[:24, :24].max() < 10
    assert pixels[40:, 40:].min() > 245
