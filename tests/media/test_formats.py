"""What files of each format hold, written byte by byte, against what the standards say."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.media.image_files import bmp, oriented, png, png_of, tiff

from savs.errors import MediaError
from savs.media import MediaLimits, MediaWarning, content_hash, load_image
from savs.media._hdr import to_standard_range

RAMP = np.tile(np.linspace(0, 1, 16), (4, 1))


def gray(data: object) -> list[int]:
    return np.asarray(load_image(data))[0, :, 0].tolist()


def eighths(values: np.ndarray, white: float) -> list[int]:
    """Each value over white, as 8 bits, by exact fractions."""
    return [int(np.floor(255 * float(value) / white + 0.5)) for value in values[0]]


def refused(data: bytes | Image.Image) -> MediaError:
    with pytest.raises(MediaError) as caught:
        load_image(data)
    return caught.value


# Orientations.


def landscape() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def exif(orientation: int) -> bytes:
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation]) + bytes(6)


def encoded(pixels: np.ndarray, format: str, orientation: int) -> bytes:
    buffer = io.BytesIO()
    options = {"WEBP": {"lossless": True, "exact": True}}.get(format, {})
    Image.fromarray(pixels).save(buffer, format, exif=exif(orientation), **options)
    return buffer.getvalue()


def xmp(orientation: int) -> bytes:
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


@pytest.mark.parametrize("orientation", range(1, 9))
def test__fault_07__eight_orientations__each_applied_once_in_every_format(orientation):
    pixels = landscape()
    expected = oriented(pixels, orientation)
    of_tiff = {274: (3, [orientation])}
    sources = {
        "PNG": encoded(pixels, "PNG", orientation),
        "WebP": encoded(pixels, "WEBP", orientation),
        "TIFF": tiff(pixels.tobytes(), (9, 6), 8, 2, samples=3, tags=of_tiff),
        "TIFF, deflated": tiff(
            zlib.compress(pixels.tobytes()), (9, 6), 8, 2, samples=3, tags={**of_tiff, 259: (3, [8])}
        ),
        "TIFF, also said in XMP": tiff(
            pixels.tobytes(), (9, 6), 8, 2, samples=3, tags={**of_tiff, 700: (1, list(xmp(orientation)))}
        ),
        "TIFF, 16 bits": tiff((pixels.astype("<u2") * 257).tobytes(), (9, 6), 16, 2, samples=3, tags=of_tiff),
        "PNG, eXIf behind the pixels": png(
            [row.tobytes() for row in pixels], 9, 8, 2, late_chunks=[(b"eXIf", exif(orientation)[6:])]
        ),
        "PNG, 16 bits": png_of(pixels.astype(int) * 257, chunks=[(b"eXIf", exif(orientation)[6:])]),
    }
    for name, data in sources.items():
        for source in (data, Image.open(io.BytesIO(data))):
            loaded = load_image(source)
            assert np.array_equal(np.asarray(loaded), expected), name
            assert np.array_equal(np.asarray(load_image(loaded)), expected), name


@pytest.mark.parametrize("orientation", range(1, 9))
def test__fault_07__eight_orientations_of_jpeg_and_gray_of_many_bits(orientation):
    corners = np.zeros((32, 48, 3), np.uint8)
    corners[:16, :24], corners[:16, 24:], corners[16:, :24] = 255, (255, 0, 0), (0, 255, 0)
    loaded = np.asarray(load_image(encoded(corners, "JPEG", orientation))).astype(int)
    expected = oriented(corners, orientation)
    inner = np.s_[4:-4:8, 4:-4:8]
    assert loaded.shape == expected.shape
    assert abs(loaded[inner] - expected[inner]).max() < 90
    values = np.arange(4 * 16).reshape(4, 16) * 1000
    wanted = np.floor(oriented(values, orientation) / 257 + 0.5)
    tags = {274: (3, [orientation])}
    for order in "<>":
        data = tiff(values.astype(order + "u2").tobytes(), (16, 4), 16, 1, order=order, tags=tags)
        assert np.array_equal(np.asarray(load_image(data))[..., 0], wanted)
        floats = (values / 257).astype(order + "f4").tobytes()
        data = tiff(floats, (16, 4), 32, 1, sample_format=3, order=order, tags=tags)
        assert np.array_equal(np.asarray(load_image(data))[..., 0], wanted)


# Levels: white is zero.


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bits", "type", "white"), [(16, "u2", 65535), (32, "f4", 255), (8, "u1", 255)])
def test__fault_05__white_is_zero__inverted_once(order, bits, type, white):
    values = (RAMP * white).astype(order + type)
    kind = 3 if type == "f4" else 1
    for packed in (False, True):
        raw = zlib.compress(values.tobytes()) if packed else values.tobytes()
        tags = {259: (3, [8])} if packed else {}
        black_is_zero, white_is_zero = (
            gray(tiff(raw, (16, 4), bits, photometric, sample_format=kind, order=order, tags=tags))
            for photometric in (1, 0)
        )
        assert black_is_zero == [round(float(value) * 255 / white) for value in values[0]]
        assert [255 - value for value in white_is_zero] == black_is_zero


def test__fault_05__white_is_zero_in_integers_of_32_and_in_12_bits__inverted_once():
    values = (RAMP * 65535).astype("<u4")
    assert gray(tiff(values.tobytes(), (16, 4), 32, 0)) == eighths(65535 - values.astype(int), 65535)
    packed = pack_12((RAMP * 4095).astype(int))
    assert gray(tiff(packed, (16, 4), 12, 0)) == eighths(4095 - (RAMP * 4095).astype(int), 4095)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test__fault_05__white_is_zero_of_few_bits__inverted_once(bits):
    top = 2**bits - 1
    values = np.tile(np.arange(16) % (top + 1), (4, 1))
    packed = np.packbits(
        ((values[..., None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).reshape(4, -1), axis=1
    ).tobytes()
    wanted = [value * 255 // top for value in values[0].tolist()]
    assert gray(tiff(packed, (16, 4), bits, 1)) == wanted
    assert gray(tiff(packed, (16, 4), bits, 0)) == [255 - value for value in wanted]


def test__fault_05__white_is_zero_in_an_opened_image__inverted_and_told_apart():
    values = (RAMP * 65535).astype("<u2").tobytes()
    black, white = (Image.open(io.BytesIO(tiff(values, (16, 4), 16, zero))) for zero in (1, 0))
    assert gray(white) == [255 - value for value in gray(black)]
    assert content_hash(white) != content_hash(black)


def test__fault_05__gray_tiff_without_a_word_on_zero__zero_is_black():
    values = (RAMP * 255).astype("u1")
    assert gray(tiff(values.tobytes(), (16, 4), 8, None)) == values[0].tolist()


def pack_12(values: np.ndarray) -> bytes:
    pairs = values.reshape(-1, 2)
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs.tolist())


# Levels: what files say of their depth.


@pytest.mark.parametrize("bits", [10, 12, 14])
def test__fault_05__png_says_its_significant_bits__scaled_by_them(bits):
    white = 2**bits - 1
    values = (RAMP * white).astype(int)
    as_they_are = png_of(values, chunks=[(b"sBIT", bytes([bits]))])
    assert gray(as_they_are) == eighths(values, white)
    color = np.stack([values, values[:, ::-1], values * 0], axis=2)
    loaded = np.asarray(load_image(png_of(color, chunks=[(b"sBIT", bytes([bits] * 3))])))
    assert loaded[0, :, 0].tolist() == eighths(values, white)
    assert loaded[0, :, 1].tolist() == eighths(values, white)[::-1]


@pytest.mark.parametrize("spread", [lambda v: v << 4, lambda v: v << 4 | v >> 8])
def test__fault_05__png_spread_its_significant_bits__scaled_as_16(spread):
    values = spread((RAMP * 4095).astype(int))
    assert gray(png_of(values, chunks=[(b"sBIT", b"\x0c")])) == eighths(values, 65535)
    dark = spread((RAMP * 200).astype(int))  # all below 4096
    assert gray(png_of(dark, chunks=[(b"sBIT", b"\x0c")])) == eighths(dark, 65535)


def test__fault_05__png_lies_about_its_bits__16():
    values = (RAMP * 60001).astype(int)
    assert gray(png_of(values, chunks=[(b"sBIT", b"\x0a")])) == eighths(values, 65535)


@pytest.mark.parametrize(
    "tags", [{281: (3, [4095])}, {341: (3, [4095])}, {280: (3, [0]), 281: (3, [4095])}], ids=str
)
@pytest.mark.parametrize("order", ["<", ">"])
def test__fault_05__tiff_says_its_largest_value__scaled_by_it(tags, order):
    values = (RAMP * 4000).astype(int)
    data = tiff(values.astype(order + "u2").tobytes(), (16, 4), 16, 1, order=order, tags=tags)
    assert gray(data) == eighths(values, 4095)
    color = np.stack([values, values // 2, values // 4], axis=2).astype(order + "u2")
    data = tiff(color.tobytes(), (16, 4), 16, 2, samples=3, order=order, tags=tags)
    loaded = np.asarray(load_image(data))
    assert [loaded[0, :, c].tolist() for c in range(3)] == [
        eighths(values, 4095),
        eighths(values // 2, 4095),
        eighths(values // 4, 4095),
    ]


def test__fault_05__tiff_names_the_largest_value_of_one_image__not_a_scale():
    values = (RAMP * 31_270).astype("<u2")
    assert gray(tiff(values.tobytes(), (16, 4), 16, 1, tags={281: (3, [31_270])})) == eighths(values, 65535)


def test__fault_05__tiff_of_12_bits_a_sample__scaled_by_them():
    values = (RAMP * 4095).astype(int)
    assert gray(tiff(pack_12(values), (16, 4), 12, 1)) == eighths(values, 4095)


def test__fault_05__tiff_of_decimals_says_its_range__scaled_by_it():
    values = RAMP.astype("<f4")
    data = tiff(values.tobytes(), (16, 4), 32, 1, sample_format=3, tags={340: (11, [0.0]), 341: (11, [1.0])})
    assert gray(data) == [round(float(value) * 255) for value in values[0]]
    assert refused(tiff(values.tobytes(), (16, 4), 32, 1, sample_format=3)).code == "image_mode"


def test__fault_05__signed_16_bits__white_is_32767():
    values = (RAMP * 32_767).astype("<i2")
    assert gray(tiff(values.tobytes(), (16, 4), 16, 1, sample_format=2)) == eighths(values, 32_767)
    below = tiff((values - 5).tobytes(), (16, 4), 16, 1, sample_format=2)
    assert refused(below).code == "image_mode"


@pytest.mark.parametrize(("bits", "white"), [(16, 32_767), (32, 65_535)])
@pytest.mark.parametrize("order", ["<", ">"])
def test__fault_05__signed_values_compressed__same_as_not(bits, white, order):
    values = (RAMP * white).astype(f"{order}i{bits // 8}").tobytes()
    plain = tiff(values, (16, 4), bits, 1, sample_format=2, order=order)
    packed = tiff(zlib.compress(values), (16, 4), bits, 1, sample_format=2, order=order, tags={259: (3, [8])})
    assert gray(plain) == gray(packed) == eighths((RAMP * white).astype(int), white)


def test__fault_05__signed_8_bits__refused():
    data = tiff((RAMP * 100 - 50).astype("i1").tobytes(), (16, 4), 8, 1, sample_format=2)
    assert refused(data).code == "image_mode"


# 16-bit color: all its bits.


@pytest.mark.parametrize("order", ["<", ">"])
def test__fault_05__color_of_16_bits__rounded_alike_in_every_container(order):
    values = np.random.default_rng(1).integers(0, 65536, (4, 16, 3))
    values[0, 0] = 65535
    expected = np.floor(values / 257 + 0.5).astype(np.uint8)
    stored = values.astype(order + "u2")
    planes = [plane.tobytes() for plane in stored.transpose(2, 0, 1)]
    files = {
        "array": values.astype(np.uint16),
        "PNG": png_of(values),
        "TIFF": tiff(stored.tobytes(), (16, 4), 16, 2, samples=3, order=order),
        "TIFF, deflated": tiff(
            zlib.compress(stored.tobytes()), (16, 4), 16, 2, samples=3, order=order, tags={259: (3, [8])}
        ),
        "TIFF, planes": tiff(planes, (16, 4), 16, 2, samples=3, order=order, tags={284: (3, [2])}),
        "TIFF, fourth channel unused": tiff(
            np.dstack([stored, stored[..., :1]]).astype(order + "u2").tobytes(),
            (16, 4),
            16,
            2,
            samples=4,
            order=order,
            tags={338: (3, [0])},
        ),
    }
    for name, data in files.items():
        assert np.array_equal(np.asarray(load_image(data)), expected), name
        if isinstance(data, bytes):
            opened = Image.open(io.BytesIO(data))
            for _ in range(2):  # it is not decoded, and stands where it stood
                assert np.array_equal(np.asarray(load_image(opened)), expected), name
                assert content_hash(opened) == content_hash(Image.open(io.BytesIO(data)))
            assert np.array_equal(np.asarray(opened.convert("RGB")), values >> 8) or "planes" in name


def test__opened_image__decoded_or_its_file_closed__read_from_its_pixels(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_of(np.full((8, 8, 3), 0x1234)))
    decoded = Image.open(path)
    decoded.load()
    assert load_image(decoded).getpixel((0, 0)) == (18, 18, 18)
    with Image.open(path) as closed:
        pass
    assert refused(closed).code == "image_undecodable"


def test__fault_05__compressed_planes_of_16_bits__refused_by_name():
    planes = [zlib.compress(bytes(128))] * 3
    data = tiff(planes, (16, 4), 16, 2, samples=3, tags={284: (3, [2]), 259: (3, [8])})
    error = refused(data)
    assert error.code == "image_mode"
    assert "planes" in error.message


def test__fault_06__alpha_of_16_bits__composited():
    values = np.zeros((4, 16, 4), int)
    values[..., 0], values[..., 3] = 65535, 32768
    values[0, 0, 3] = 65535
    wanted = [(255, 0, 0), (255, 127, 127)]
    for data in (
        png_of(values),
        tiff(values.astype("<u2").tobytes(), (16, 4), 16, 2, samples=4, tags={338: (3, [2])}),
    ):
        assert [load_image(data).getpixel((x, 0)) for x in (0, 1)] == wanted
    multiplied = values.copy()
    multiplied[..., 0] = multiplied[..., 3]
    data = tiff(multiplied.astype("<u2").tobytes(), (16, 4), 16, 2, samples=4, tags={338: (3, [1])})
    assert [load_image(data).getpixel((x, 0)) for x in (0, 1)] == wanted
    gray_alpha = np.dstack([np.full((4, 16), 25_700), np.full((4, 16), 65535)])
    gray_alpha[0, 1, 1] = 0
    loaded = load_image(png_of(gray_alpha))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(100, 100, 100), (255, 255, 255)]


# Transparent colors of PNG files.


@pytest.mark.parametrize(("bits", "row"), [(2, 0b00011011), (4, 0x01)])
def test__fault_06__transparent_gray_of_few_bits__that_value_alone(bits, row):
    data = png([bytes([row] * 4)] * 4, 32 // bits, bits, 0, [(b"tRNS", struct.pack(">H", 1))])
    loaded = load_image(data)
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]


def test__fault_06__transparent_color_of_16_bits__that_color_alone():
    values = np.full((4, 16, 3), 0x1234)
    values[0, 1] = (0x1234, 0x1234, 0x1235)  # equal but for the lowest bit
    data = png_of(values, chunks=[(b"tRNS", struct.pack(">3H", *[0x1234] * 3))])
    loaded = load_image(data)
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (18, 18, 18)]


def test__fault_06__palette_with_an_alpha_for_each_color__composited():
    palette = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255])
    row = bytes([0, 1, 2, 2])
    data = png([row] * 4, 4, 8, 3, [(b"PLTE", palette), (b"tRNS", bytes([255, 51, 0]))])
    loaded = load_image(data)
    assert [loaded.getpixel((x, 0)) for x in range(3)] == [(255, 0, 0), (204, 255, 204), (255, 255, 255)]


# Nothing visible.


ALPHA_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@pytest.mark.parametrize("header", [56, 108, 124])
def test__fault_06__bmp_whose_alpha_is_all_zero__opaque_as_viewers_show_it(header):
    row = bytes([30, 20, 10, 0]) * 8
    data = bmp([row] * 4, 8, 32, masks=ALPHA_MASKS, header=header)
    for source in (data, Image.open(io.BytesIO(data))):
        assert load_image(source).getpixel((3, 3)) == (10, 20, 30)


def test__fault_06__bmp_with_some_alpha__composited():
    row = bytes([30, 20, 10, 0]) * 4 + bytes([30, 20, 10, 255]) * 4
    loaded = load_image(bmp([row] * 4, 8, 32, masks=ALPHA_MASKS, header=124))
    assert [loaded.getpixel((x, 0)) for x in (0, 7)] == [(255, 255, 255), (10, 20, 30)]


def test__fault_06__bmp_and_png_of_the_same_pixels__other_hashes_where_read_otherwise():
    row = bytes([30, 20, 10, 0]) * 8
    opaque = Image.open(io.BytesIO(bmp([row] * 4, 8, 32, masks=ALPHA_MASKS, header=124)))
    assert content_hash(opaque) != content_hash(opaque.copy())


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test__fault_06__no_visible_pixel__background_and_one_warning(format):
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (1, 2, 3, 0)).save(buffer, format)
    with pytest.warns(MediaWarning, match="without one visible pixel") as caught:
        loaded = load_image(buffer.getvalue(), MediaLimits(background=(9, 9, 9)))
    assert len(caught) == 1
    assert loaded.getpixel((0, 0)) == (9, 9, 9)


# BMP.


@pytest.mark.parametrize("bits", [4, 8])
def test__fault_07__bmp_of_black_and_white_in_more_bits_than_one__each_pixel(bits):
    indices = [0, 1, 1, 0, 1, 0, 0, 1]
    row = (
        bytes(indices)
        if bits == 8
        else bytes(a << 4 | b for a, b in zip(indices[::2], indices[1::2], strict=True))
    )
    data = bmp([row] * 4, 8, bits, palette=bytes([0, 0, 0, 0, 255, 255, 255, 0]), n_colors=2)
    assert gray(data) == [255 * index for index in indices]
    body = b"".join(bytes([1, index]) for index in indices) + b"\0\0"
    if bits == 8:
        data = bmp(
            [row] * 4, 8, 8, palette=bytes(4) + b"\xff\xff\xff\0", n_colors=2, compression=1, body=body * 4
        )
        assert gray(data) == [255 * index for index in indices]


def test__fault_07__bmp_of_4_bits_with_a_palette_of_dark_grays__each_pixel():
    palette = b"".join(bytes([level, level, level, 0]) for level in range(16))
    data = bmp([bytes([0x01, 0x23, 0xEF, 0x80])] * 4, 8, 4, palette=palette, n_colors=16)
    assert gray(data) == [0, 1, 2, 3, 14, 15, 8, 0]


def test__fault_07__bmp_of_16_bits__each_channel_spread_over_8():
    pixels = [
        (0, 0, 0),
        (31, 63, 31),
        (31, 0, 0),
        (0, 63, 0),
        (0, 0, 31),
        (16, 32, 8),
        (1, 1, 1),
        (30, 62, 30),
    ]
    row565 = struct.pack("<8H", *(r << 11 | g << 5 | b for r, g, b in pixels))
    row555 = struct.pack("<8H", *(r << 10 | (g >> 1) << 5 | b for r, g, b in pixels))
    loaded = np.asarray(load_image(bmp([row565] * 4, 8, 16, masks=(0xF800, 0x7E0, 0x1F)))).astype(int)
    exact = np.array([[255 * r / 31, 255 * g / 63, 255 * b / 31] for r, g, b in pixels])
    assert abs(loaded[0] - exact).max() <= 1
    loaded = np.asarray(load_image(bmp([row555] * 4, 8, 16))).astype(int)
    exact = np.array([[255 * r / 31, 255 * (g >> 1) / 31, 255 * b / 31] for r, g, b in pixels])
    assert abs(loaded[0] - exact).max() <= 1


def test__fault_07__bmp_from_the_top_and_from_the_bottom__same_image():
    rows = [bytes([y, 2 * y, 3 * y]) * 8 for y in range(4)]
    up, down = (np.asarray(load_image(bmp(rows, 8, 24, top_down=top))) for top in (False, True))
    assert np.array_equal(up, down)
    assert up[3, 0].tolist() == [9, 6, 3]


def test__fault_07__bmp_of_runs__unpacked():
    palette = b"".join(bytes([0, 0, 10 * i, 0]) for i in range(4))
    body = (
        bytes([8, 1, 0, 0])
        + bytes([4, 2, 0, 4, 1, 2, 3, 1, 0, 0])
        + bytes([8, 0, 0, 0])
        + bytes([2, 3, 6, 1, 0, 1])
    )
    data = bmp([b""] * 4, 8, 8, palette=palette, n_colors=4, compression=1, body=body)
    red = np.asarray(load_image(data))[..., 0] // 10
    assert red.tolist() == [
        [3, 3, 1, 1, 1, 1, 1, 1],
        [0] * 8,
        [2, 2, 2, 2, 1, 2, 3, 1],
        [1] * 8,
    ]


# Palettes and frames.


def test__fault_07__tiff_palette_of_8_bit_numbers__not_black():
    colors = [10, 200, 30] + [0] * 253 + [40, 50, 60] + [0] * 253 + [70, 80, 90] + [0] * 253
    row = bytes([0, 1, 2, 0])
    wide = tiff(row * 4, (4, 4), 8, 3, tags={320: (3, [color * 257 for color in colors])})
    narrow = tiff(row * 4, (4, 4), 8, 3, tags={320: (3, colors)})
    for data in (wide, narrow):
        assert [load_image(data).getpixel((x, 0)) for x in range(3)] == [
            (10, 40, 70),
            (200, 50, 80),
            (30, 60, 90),
        ]


def test__fault_08__gif_whose_first_frame_leaves_a_margin__margin_is_background():
    frame = Image.new("P", (8, 8), 0)
    frame.putpalette([0, 200, 0])
    buffer = io.BytesIO()
    frame.save(buffer, "GIF")
    data = bytearray(buffer.getvalue())
    data[6:10] = struct.pack("<HH", 12, 10)  # the canvas; the frame begins at its upper left corner
    loaded = load_image(bytes(data))
    assert loaded.size == (12, 10)
    assert [loaded.getpixel(place) for place in ((0, 0), (7, 7), (8, 0), (11, 9))] == [
        (0, 200, 0),
        (0, 200, 0),
        (255, 255, 255),
        (255, 255, 255),
    ]


# Pixels that are not square.


def test__fault_07__pixels_that_are_not_square__as_stored_with_one_warning():
    pixels = landscape()
    physical = [(b"pHYs", struct.pack(">IIB", 2000, 1000, 1))]
    aspect = [(b"pHYs", struct.pack(">IIB", 2, 1, 0))]
    sources = [
        png_of(pixels, 8, chunks=physical),
        png_of(pixels, 8, chunks=aspect),
        fax(pixels, 204, 98),
    ]
    for source in sources:
        with pytest.warns(MediaWarning, match="not square") as caught:
            loaded = load_image(source)
        assert len(caught) == 1
        assert np.array_equal(np.asarray(loaded), pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_image(fax(pixels, 204, 200))


def fax(pixels: np.ndarray, x: int, y: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", dpi=(x, y))
    return buffer.getvalue()


def test__fault_08__tiff_of_a_kind_that_is_not_read__said_so():
    for bits, samples in ((10, 1), (64, 1), (8, 5)):
        error = refused(tiff(bytes(16 * 4 * 8 * samples), (16, 4), bits, 1, samples=samples))
        assert error.code == "image_undecodable"
        assert "bits, channels or a compression that are not read" in error.message


# JPEG files that end early although they have an end marker.


def jpeg(mode: str, size: tuple[int, int], **options: object) -> bytes:
    """A noisy image whose lower half is the middle gray that decoders put in place of what is missing."""
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    pixels = np.random.default_rng(0).integers(60, 200, shape, np.uint8)
    pixels[size[1] // 2 :] = 128
    buffer = io.BytesIO()
    Image.frombytes(mode, size, pixels.tobytes()).save(buffer, "JPEG", **options)
    return buffer.getvalue()


KINDS = [
    ("RGB", {}),
    ("RGB", {"subsampling": 0, "optimize": True}),
    ("RGB", {"progressive": True}),
    ("RGB", {"restart_marker_rows": 1}),
    ("L", {}),
    ("L", {"progressive": True, "restart_marker_blocks": 3}),
    ("CMYK", {}),
]


@pytest.mark.parametrize(("mode", "options"), KINDS)
@pytest.mark.parametrize("size", [(64, 64), (61, 47)])
def test__fault_02__whole_jpeg_with_a_gray_end__read(mode, options, size):
    data = jpeg(mode, size, **options)
    assert load_image(data).size == size
    assert load_image(data + b"what some programs append").size == size


@pytest.mark.parametrize(("mode", "options"), KINDS)
@pytest.mark.parametrize("kept", [0.15, 0.4, 0.6])
def test__fault_02__jpeg_that_ends_early_with_an_end_marker__undecodable(mode, options, kept):
    data = jpeg(mode, (96, 96), **options)
    begin = data.index(b"\xff\xda") + 16
    cut = begin + int((len(data) - begin) * kept)
    while data[cut - 1] == 0xFF:
        cut -= 1
    early = data[:cut] + b"\xff\xd9"
    assert refused(early).code == "image_undecodable"
    opened = Image.open(io.BytesIO(early))
    for read in (load_image, content_hash, load_image):
        with pytest.raises(MediaError) as caught:
            read(opened)
        assert caught.value.code == "image_undecodable"


def test__fault_02__opened_jpeg__read_as_it_is_asked_for():
    data = jpeg("RGB", (96, 96))
    whole, smaller = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data))
    smaller.draft("RGB", (48, 48))
    assert (load_image(whole).size, load_image(smaller).size) == ((96, 96), (48, 48))
    assert content_hash(whole) == content_hash(Image.open(io.BytesIO(data)))


def test__fault_07__tiff_of_colors_that_share_their_hue__said_to_be_not_read():
    # Y of 2x2 pixels, Cb, Cr, uncompressed: Pillow knows YCbCr, and not that pixels share it.
    data = tiff(bytes(range(6)) * 24, (16, 6), 8, 6, samples=3, tags={530: (3, [2, 2])})
    assert "compression that are not read" in str(refused(data))


# High dynamic range.


@pytest.mark.parametrize(("number", "transfer"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize(("primaries", "wide"), [(9, True), (1, False)])
def test__fault_07__high_dynamic_range__shown_as_videos_are(number, transfer, primaries, wide):
    pixels = landscape()
    said = [(b"cICP", bytes([primaries, number, 0, 1]))]
    expected = to_standard_range(pixels.astype(np.uint16) * 257, transfer, wide=wide)
    assert not np.array_equal(expected, pixels)
    assert np.array_equal(np.asarray(load_image(png_of(pixels, 8, said))), expected)
    assert np.array_equal(np.asarray(load_image(png_of(pixels.astype(int) * 257, 16, said))), expected)
    alpha = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    alpha[0, 0, 3] = 0
    loaded = np.asarray(load_image(png_of(alpha, 8, said)))
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(loaded[1:], expected[1:])


def test__fault_07__usual_transfer__as_it_is():
    pixels = landscape()
    assert np.array_equal(
        np.asarray(load_image(png_of(pixels, 8, [(b"cICP", bytes([1, 13, 0, 1]))]))), pixels
    )


# Previews.


@pytest.mark.parametrize("tags", [{254: (4, [1])}, {254: (4, [5])}, {255: (3, [2])}])
def test__tiff__first_image_is_a_preview__warning(tags: dict) -> None:
    data = tiff(bytes(range(64)), (16, 4), 8, 1, tags=tags)
    with pytest.warns(MediaWarning, match="is a preview of another one in it"):
        assert load_image(data).size == (16, 4)
    with pytest.warns(MediaWarning, match="is a preview of another one in it"):
        assert load_image(Image.open(io.BytesIO(data))).size == (16, 4)


@pytest.mark.parametrize("tags", [{254: (4, [0])}, {254: (4, [2])}, {255: (3, [1])}, {}])
def test__tiff__full_image_or_page__no_warning(tags: dict) -> None:
    assert gray(tiff(bytes(range(64)), (16, 4), 8, 1, tags=tags)) == list(range(16))
