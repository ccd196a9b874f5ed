from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from savs.media import load_image


@pytest.mark.parametrize(
    "ink", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255), (64, 32, 0, 100)]
)
def test__fault_07__cmyk_jpeg__not_inverted(ink):
    """JPEG files hold CMYK inverted, as Adobe writes it: read without that, white would be black."""
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), ink).save(buffer, "JPEG", quality=98)
    expected = [(255 - colour) * (255 - ink[3]) / 255 for colour in ink[:3]]
    np.testing.assert_allclose(load_image(buffer.getvalue()).getpixel((8, 8)), expected, atol=4)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test__fault_07__turned_image_given_as_opened_image__turned_once_in_every_form(format):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.new("RGB", (40, 20), (0, 0, 255))
    stored.paste((255, 0, 0), (0, 0, 20, 20))
    buffer = io.BytesIO()
    stored.save(buffer, format, exif=exif)
    data = buffer.getvalue()
    opened = Image.open(io.BytesIO(data))
    once = load_image(data)
    assert once.size == (20, 40)
    assert load_image(opened).tobytes() == once.tobytes()
    assert load_image(once).tobytes() == once.tobytes()
    red, _, blue = once.getpixel((10, 5))
    assert red > 200 > 60 > blue


def test__fault_07__cmyk_jpeg_without_adobes_marker__inverted_as_browsers_do():
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(buffer, "JPEG", quality=98)
    data = buffer.getvalue()
    start = data.index(b"\xff\xee")
    plain = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    assert b"Adobe" in data
    assert b"Adobe" not in plain
    np.testing.assert_allclose(load_image(plain).getpixel((8, 8)), (255, 0, 0), atol=4)
