"""Values of more than 8 bits: how they become 8, what the option says, and the one warning for a dataset."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image as PILImage
from tests.media.image_files import png_of

from savs.data import as_example
from savs.errors import ExampleError, MediaError
from savs.media import Image, MediaWarning, load_image
from savs.media._bit_depth import levels_checked
from savs.media._levels import Levels, decimals_to_8_bit, to_8_bit

RAMP_12 = np.tile(np.linspace(0, 4095, 32).astype(np.uint16), (8, 1))
RAMP_16 = (RAMP_12 * 16).astype(np.uint16)


def rounded(value: int, white: int) -> int:
    exact = Fraction(255 * value, white) + Fraction(1, 2)
    return exact.numerator // exact.denominator


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("inverted", [False, True])
def test__fault_05__every_value_of_every_depth__rounded_from_the_exact_fraction(bits, inverted):
    white = 2**bits - 1
    values = np.arange(white + 1, dtype=np.uint16)
    wanted = [rounded(white - value if inverted else value, white) for value in range(white + 1)]
    named = to_8_bit(values, Levels(inverted=inverted), bits)
    stated = to_8_bit(values, Levels(white, inverted))
    assert named.tolist() == stated.tolist() == wanted


def test__fault_05__nothing_said__the_container_decides():
    assert to_8_bit(np.array([0, 257, 65535], np.uint16), Levels()).tolist() == [0, 1, 255]
    assert decimals_to_8_bit(np.array([0.0, 99.6, 255.0]), Levels()).tolist() == [0, 100, 255]
    assert decimals_to_8_bit(np.array([0.0, 2047.5, 4095.0]), Levels(inverted=True), 12).tolist() == [
        255,
        128,
        0,
    ]


def test__fault_05__named_depth__wins_over_the_file():
    data = png_of(RAMP_12.astype(int) // 4, chunks=[(b"sBIT", b"\x0c")])
    assert np.asarray(load_image(data)).max() == 64
    assert np.asarray(load_image(Image(data, bit_depth=10))).max() == 255


@pytest.mark.parametrize("source", [RAMP_12, PILImage.fromarray(RAMP_12), png_of(RAMP_12)])
def test__fault_05__named_depth__of_arrays_images_and_files(source):
    got = np.asarray(load_image(Image(source, bit_depth=12)))[0, :, 0]
    assert got.tolist() == [rounded(int(value), 4095) for value in RAMP_12[0]]


def test__fault_05__named_depth__of_color_and_its_alpha():
    color = np.dstack([RAMP_12, RAMP_12, RAMP_12, np.full_like(RAMP_12, 4095)])
    for source in (color, png_of(color)):
        got = np.asarray(load_image(Image(source, bit_depth=12)))[0, :, 1]
        assert got.tolist() == [rounded(int(value), 4095) for value in RAMP_12[0]]


def test__fault_05__value_beyond_the_named_depth__refused():
    with pytest.raises(MediaError, match="65520, more than 12 bits have") as caught:
        load_image(Image(RAMP_16, bit_depth=12))
    assert caught.value.code == "image_mode"


def test__fault_05__8_bits__as_they_are_whatever_is_named():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(np.asarray(load_image(Image(pixels, bit_depth=12)))[..., 0], pixels)


@pytest.mark.parametrize("bit_depth", [7, 17, 12.0, "12", True])
def test__image__bit_depth_that_is_none__example_error(bit_depth):
    with pytest.raises(ExampleError, match="from 8 to 16") as caught:
        as_example([Image(RAMP_12, bit_depth=bit_depth), "what?"])
    assert caught.value.code == "bit_depth"


def test__image__path_as_text__keeps_its_depth(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of(RAMP_12))
    example = as_example([Image(str(tmp_path / "a.png"), bit_depth=12), "what?"])
    assert (example.images[0].source, example.images[0].bit_depth) == (tmp_path / "a.png", 12)


# One warning for all images together.


def told(*sources) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with levels_checked():
            for source in sources:
                load_image(source)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("sources", "bits"),
    [
        ([RAMP_12] * 5, 12),
        ([RAMP_12 // 4] * 2, 10),
        ([RAMP_12 // 16], 8),
        ([RAMP_12 // 4, png_of(RAMP_12)], 12),
        ([np.dstack([RAMP_12] * 3)], 12),
        ([png_of(np.dstack([RAMP_12] * 3))], 12),
    ],
)
def test__fault_05__no_value_above_12_bits__one_warning_that_names_the_option(sources, bits):
    (message,) = told(*sources)
    assert f"above {2**bits - 1}," in message
    assert f"bit_depth={bits} (--bit-depth {bits})" in message


@pytest.mark.parametrize(
    "sources",
    [
        [RAMP_12, RAMP_16],
        [RAMP_16],
        [Image(RAMP_12, bit_depth=12)] * 2,
        [Image(RAMP_12, bit_depth=16)],
        [png_of(RAMP_12, chunks=[(b"sBIT", b"\x0c")])],
        [np.zeros((8, 8), np.uint16)],
        [np.zeros((8, 8), np.uint8)],
        [],
    ],
    ids=range(8),
)
def test__fault_05__upper_bits_used_or_depth_known__no_warning(sources):
    assert told(*sources) == []


def test__fault_05__integers_of_32_bits_read_in_two_ways__warned():
    dark, bright = (PILImage.fromarray(np.full((8, 8), value, np.int32)) for value in (200, 60_000))
    assert told(dark) == told(bright) == []
    (message,) = told(dark, bright)
    assert "32-bit integers" in message
    assert told(Image(dark, bit_depth=16), Image(bright, bit_depth=16)) == []


def test__load_image__alone__judged_alone():
    with pytest.warns(MediaWarning, match="bit_depth=12") as caught:
        load_image(RAMP_12)
    assert len(caught) == 1
