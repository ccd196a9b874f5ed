from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from savs.errors import MediaError
from savs.media import load_image

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def encoded(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test__fault_02__cut_anywhere__refused_or_all_pixels_are_there(format, options):
    data = encoded(format, **options)
    whole, codes = load_image(data).tobytes(), []
    for length in [*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 40, len(data))]:
        try:
            assert load_image(data[:length]).tobytes() == whole, length
        except MediaError as error:
            codes.append(error.code)
    assert set(codes) == {"image_undecodable"}
    assert len(codes) > 120


def test__fault_02__half_a_jpeg_that_opens_and_verifies__refused():
    data = encoded("JPEG")
    half = data[: len(data) // 2]
    Image.open(io.BytesIO(half)).verify()
    with pytest.raises(MediaError) as caught:
        load_image(half)
    assert caught.value.code == "image_undecodable"
