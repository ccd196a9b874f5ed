from __future__ import annotations

import ast
import base64
import hashlib
import io
import os
import re
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from savs.data import as_example
from savs.errors import ExampleError, MediaError
from savs.media import DEFAULT_LIMITS, MediaLimits, MediaWarning, content_hash, image_area, load_image
from savs.media.image import decode, decode_image, pillow_at_work
from savs.media.parts import Image as ImagePart

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def photo(width: int = 40, height: int = 24, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def png() -> bytes:
    return encode(photo())


def refused(source: object, limits: MediaLimits = DEFAULT_LIMITS) -> MediaError:
    with pytest.raises(MediaError) as caught:
        load_image(source, limits)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    assert " at 0x" not in caught.value.message
    assert caught.value.__cause__ is None
    return caught.value


def bomb_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", FORMATS)
def test__load_image__every_allowed_format__gives_rgb_of_the_same_size(format: str) -> None:
    image = load_image(encode(photo(), format))
    assert (image.mode, image.size, image.info) == ("RGB", (40, 24), {})


def test__load_image__path_bytes_pil_array__same_pixels(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png)
    sources = [tmp_path / "a.png", png, Image.open(io.BytesIO(png)), np.asarray(photo())]
    assert {load_image(source).tobytes() for source in sources} == {photo().tobytes()}


@pytest.mark.parametrize(
    "data", [b"", b"garbage" * 50, b"<!DOCTYPE html><html></html>", b"\xff\xd8\xff", b"GIF89a"]
)
def test__fault_01__empty_garbage_or_html__undecodable(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert refused(tmp_path / "a.jpg").code == "image_undecodable"
    assert refused(data).code == "image_undecodable"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test__fault_02__truncated_file__undecodable(format: str, kept: float) -> None:
    data = encode(photo(200, 150), format)
    assert refused(data[: int(len(data) * kept)]).code == "image_undecodable"


def test__fault_02__truncated_animation__error_without_a_warning() -> None:
    frames = [photo(60, 60, seed) for seed in range(2)]
    data = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refused(data[: len(data) // 4]).code == "image_undecodable"
    with pytest.raises(MediaError):
        decode(encode(photo(200, 150), "JPEG")[:5000], DEFAULT_LIMITS)


def test__fault_03__small_file_with_81_megapixels__refused_before_decode() -> None:
    data = bomb_png(9000, 9000)
    assert len(data) < 12_000
    error = refused(data)
    assert error.code == "image_too_many_pixels"
    assert "9000x9000" in error.message
    assert str(DEFAULT_LIMITS.max_pixels) in error.message


def test__fault_03__header_without_pixels__refused_for_its_size_before_any_is_decoded() -> None:
    data = bomb_png(9000, 9000)
    assert refused(data[: data.index(b"IDAT") + 50]).code == "image_too_many_pixels"


def test__fault_03__beyond_pillows_own_limits__no_warning_and_same_code() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refused(bomb_png(10_000, 10_000)).code == "image_too_many_pixels"
        assert refused(bomb_png(20_000, 10_000)).code == "image_too_many_pixels"


def test__fault_03__limits__apply_to_bytes_files_pil_and_arrays(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png)
    short = MediaLimits(max_bytes=len(png) - 1)
    assert {refused(source, short).code for source in (png, tmp_path / "a.png")} == {"image_too_large"}
    few = MediaLimits(max_pixels=40 * 24 - 1)
    codes = {refused(source, few).code for source in (png, photo(), np.asarray(photo()))}
    assert codes == {"image_too_many_pixels"}
    assert load_image(png, MediaLimits(max_bytes=len(png), max_pixels=40 * 24)).size == (40, 24)


def test__fault_03__pillow_globals__unchanged(png: bytes) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    load_image(png)
    refused(bomb_png(9000, 9000))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ((1, 1), "image_too_small"),
        ((1, 5000), "image_too_small"),
        ((3, 3), "image_too_small"),
        ((4, 401), "image_aspect"),
        ((401, 4), "image_aspect"),
    ],
)
def test__fault_04__tiny_or_extreme__refused_with_the_limits(size: tuple[int, int], code: str) -> None:
    for source in (Image.new("RGB", size), encode(Image.new("RGB", size))):
        error = refused(source)
        assert error.code == code
        assert f"{size[0]}x{size[1]}" in error.message
        assert "100" in error.message


@pytest.mark.parametrize("size", [(8, 8), (4, 400), (400, 4)])
def test__fault_04__at_the_limits__accepted(size: tuple[int, int]) -> None:
    assert load_image(Image.new("L", size)).size == size


def test__fault_05__16_bit_gradient__rescaled_not_cut() -> None:
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    expected = np.rint(values / 257).astype(np.uint8)
    for format in ("PNG", "TIFF"):
        got = np.asarray(load_image(encode(Image.fromarray(values), format)))
        assert np.array_equal(got, np.repeat(expected[:, :, None], 3, axis=2))
    wide = Image.fromarray(values.astype(np.int32))
    assert wide.mode == "I"
    assert np.array_equal(np.asarray(load_image(wide))[:, :, 0], expected)
    assert np.array_equal(np.asarray(load_image(values))[:, :, 0], expected)
    colour = np.repeat(values[:, :, None], 3, axis=2)
    assert np.array_equal(np.asarray(load_image(colour))[:, :, 1], expected)


def test__fault_06__alpha_and_palette_transparency__composited_on_the_background() -> None:
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert load_image(half).getpixel((0, 0)) == (255, 127, 127)
    assert load_image(half, MediaLimits(background=(0, 0, 0))).getpixel((0, 0)) == (128, 0, 0)
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for format in ("PNG", "GIF"):
        loaded = load_image(encode(palette, format, transparency=0))
        assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test__fault_06__one_transparent_colour__composited() -> None:
    grey = Image.new("L", (8, 8), 7)
    grey.putpixel((1, 0), 9)
    loaded = load_image(encode(grey, transparency=7))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (9, 9, 9)]
    rgb = Image.new("RGB", (8, 8), (1, 2, 3))
    rgb.putpixel((1, 0), (1, 2, 4))
    assert load_image(encode(rgb, transparency=(1, 2, 3))).getpixel((0, 0)) == (255, 255, 255)
    values = np.full((8, 8), 514, np.uint16)
    values[0, 1] = 65535
    wide = Image.fromarray(values)
    wide.info["transparency"] = 514
    assert load_image(wide).getpixel((0, 0)) == (255, 255, 255)


DOCUMENTED = re.findall(
    r"^\| `([^`]+)` \| [^|]+ \| `([^`]+)` \| `(\([^`]+\))` \|$",
    (Path(__file__).parents[2] / "docs" / "media.md").read_text(),
    re.MULTILINE,
)


def test__fault_07__table_in_the_documentation__has_every_mode_of_pillow() -> None:
    assert set(Image.MODES) <= {mode for mode, _, _ in DOCUMENTED}


@pytest.mark.parametrize(("mode", "value", "expected"), DOCUMENTED)
def test__fault_07__every_mode__golden_pixel_of_the_documentation(
    mode: str, value: str, expected: str
) -> None:
    image = Image.new(mode, (8, 8))
    if mode in {"P", "PA"}:
        image.putpalette([0, 0, 0, 1, 1, 1, 70, 80, 90, 4, 5, 6])
    if mode == "P":
        image.info["transparency"] = 3
        image.putpixel((0, 0), 2)
    for x in range(1, 8):
        for y in range(8):
            image.putpixel((x, y), ast.literal_eval(value))
    assert load_image(image).getpixel((3, 3)) == ast.literal_eval(expected)


@pytest.mark.parametrize(
    ("mode", "value"), [("I", -1), ("I", 70000), ("F", 0.5), ("F", 300.0), ("F", float("nan"))]
)
def test__fault_07__values_without_a_clear_scale__refused(mode: str, value: float) -> None:
    assert refused(Image.new(mode, (8, 8), value)).code == "image_mode"


def test__load_image__decimals_from_zero_to_one__says_so() -> None:
    ramp = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    assert "decimals from 0 to 1, and nothing says that 1 is white" in refused(ramp).message
    below = Image.fromarray(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8))
    assert "not in 0..255" in refused(below).message


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test__fault_07__exif_orientation__applied_once(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (48, 32), (0, 0, 255))
    stored.paste((255, 0, 0), (0, 0, 24, 16))
    data = encode(stored, format, exif=exif, **({"quality": 95} if format == "JPEG" else {}))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    for source in (data, Image.open(io.BytesIO(data))):
        once = load_image(source)
        assert once.size == ((32, 48) if orientation >= 5 else (48, 32))
        assert once.tobytes() == expected.tobytes()
        assert load_image(once).tobytes() == once.tobytes()
        assert ImageOps.exif_transpose(once).tobytes() == once.tobytes()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test__fault_08__animated__first_frame_and_one_warning(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
    with pytest.warns(MediaWarning, match="first frame") as caught:
        image = load_image(data)
    assert len(caught) == 1
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test__fault_08__many_frames__not_counted() -> None:
    frames = [Image.new("L", (8, 8), number % 256) for number in range(3000)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    cut_after_second = data[: len(data) // 10]
    with pytest.warns(MediaWarning):
        assert load_image(data).size == (8, 8)
    with pytest.warns(MediaWarning):
        assert load_image(cut_after_second).size == (8, 8)


@pytest.mark.parametrize("format", ["PPM", "ICO", "PCX", "TGA", "JPEG2000"])
def test__fault_08__format_not_allowed__refused(format: str) -> None:
    assert refused(encode(photo(), format)).code in {"image_format", "image_undecodable"}


@pytest.mark.parametrize(
    ("magic", "name"),
    [
        (b"8BPS\0\1", "PSD"),
        (b"%!PS-Adobe-3.0 EPSF", "EPS"),
        (b"SIMPLE  =   T", "FITS"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"<svg xmlns=", "SVG"),
    ],
)
def test__fault_08__known_other_format__named_with_the_remedy(magic: bytes, name: str) -> None:
    error = refused(magic + bytes(600))
    assert error.code == "image_format"
    assert name in error.message
    assert "PNG" in error.message


def test__fault_08__pil_image_opened_past_the_allow_list__refused() -> None:
    assert refused(Image.open(io.BytesIO(encode(photo(), "PPM")))).code == "image_format"


def test__load_image__pil_image_and_array__not_changed() -> None:
    image = Image.new("RGBA", (8, 8), (1, 2, 3, 4))
    image.info["note"] = "kept"
    array = np.full((8, 8, 4), 9, np.uint8)
    array.setflags(write=False)
    load_image(image)
    load_image(array)
    assert (image.mode, image.info, image.getpixel((0, 0))) == ("RGBA", {"note": "kept"}, (1, 2, 3, 4))


@pytest.mark.parametrize("source", [None, "a.png", 3, [1]])
def test__load_image__no_image_source__media_error(source: object) -> None:
    assert refused(source).code == "image_source"


@pytest.mark.parametrize(
    "array",
    [np.full((8, 8), 2.5), np.zeros((3, 8, 8), np.uint8), np.zeros(8, np.uint8), np.zeros((8, 8), np.int64)],
)
def test__load_image__array_of_wrong_shape_or_type__refused(array: np.ndarray) -> None:
    with pytest.raises(ExampleError) as caught:
        load_image(array)
    assert caught.value.code == "image_array"
    with pytest.raises(MediaError):
        decode_image(array)


@pytest.mark.parametrize(
    "pixels",
    [
        np.linspace(0, 1, 64).reshape(8, 8),
        np.arange(64, dtype=np.uint8).reshape(8, 8, 1),
        torch.linspace(0, 1, 192).reshape(3, 8, 8),
    ],
    ids=["decimals", "one channel", "tensor"],
)
def test__load_image__array_or_tensor__as_in_an_example(pixels: object) -> None:
    expected = load_image(as_example(pixels).images[0])
    assert load_image(pixels).tobytes() == expected.tobytes()


def test__load_image__bool_array__black_and_white() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = True
    loaded = load_image(mask)
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 0)]


def test__load_image__many_threads_and_one_lazy_image__same_pixels_and_filters() -> None:
    data = encode(photo(300, 200), "JPEG")
    expected, before = load_image(data).tobytes(), list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            # A fresh one that is not decoded yet, so that the threads meet while it is.
            shared, gate = Image.open(io.BytesIO(data)), threading.Barrier(8)

            def work(_: int, shared: Image.Image = shared, gate: threading.Barrier = gate) -> bool:
                gate.wait()
                return load_image(shared).tobytes() == load_image(data).tobytes() == expected

            assert all(pool.map(work, range(8)))
    assert list(warnings.filters) == before


def test__pillow_at_work__overlapping_users__silent_until_the_last_one_ends() -> None:
    before, first, second = list(warnings.filters), pillow_at_work(), pillow_at_work()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    silent = list(warnings.filters)
    second.__exit__(None, None, None)
    assert silent != before
    assert list(warnings.filters) == before


@pytest.mark.parametrize("format", FORMATS)
@settings(deadline=None, max_examples=60)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.integers(0, 200),
)
def test__load_image__mutated_real_file__image_or_media_error(
    format: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(encode(photo(16, 12), format))
    for position, value in changes:
        data[position % min(len(data), 400)] = value
    check_harmless(bytes(data[: len(data) - cut % len(data)]))


@settings(deadline=None, max_examples=200)
@given(
    st.builds(
        bytes.__add__,
        st.sampled_from(
            [
                b"",
                b"\x89PNG\r\n\x1a\n",
                b"\xff\xd8\xff",
                b"GIF89a",
                b"BM",
                b"II*\0",
                b"MM\0*",
                b"RIFF\0\0\0\0WEBP",
            ]
        ),
        st.binary(max_size=300),
    )
)
def test__load_image__random_bytes__image_or_media_error(data: bytes) -> None:
    check_harmless(data)


def check_harmless(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MediaWarning)
        with suppress(MediaError):
            assert load_image(data, MediaLimits(max_pixels=10**6)).mode == "RGB"


def test__content_hash__path_and_bytes__sha256_of_the_file(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png)
    expected = hashlib.sha256(png).hexdigest()
    assert content_hash(png) == content_hash(tmp_path / "a.png") == expected


def test__fault_28__pixels__mode_size_palette_and_type_are_in_the_hash() -> None:
    palettes = [Image.new("P", (8, 8)), Image.new("P", (8, 8))]
    palettes[0].putpalette([255, 0, 0])
    palettes[1].putpalette([0, 255, 0])
    sources = [
        Image.new("L", (8, 16)),
        Image.new("L", (16, 8)),
        Image.new("1", (64, 16)),
        *palettes,
        np.zeros((8, 16), np.uint8),
        np.zeros((16, 8), np.uint8),
        np.zeros((8, 8), np.uint16),
        np.zeros((8, 16), bool),
    ]
    assert len({content_hash(source) for source in sources}) == len(sources)
    assert content_hash(photo()) == content_hash(photo().copy())
    assert content_hash(np.asarray(photo())) == content_hash(np.asfortranarray(np.asarray(photo())))


def test__image_area__of_every_form__from_the_header_alone(tmp_path) -> None:
    pixels = np.zeros((30, 50, 3), np.uint8)
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 700, 3), np.uint8)).save(buffer, "png")
    path = tmp_path / "a.png"
    path.write_bytes(buffer.getvalue())
    assert len(buffer.getvalue()) > 65536
    assert [image_area(source) for source in (pixels, image, buffer.getvalue(), path)] == [
        1500,
        1500,
        420000,
        420000,
    ]


def test__image_area__what_is_no_image__nothing_and_no_error(tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sources = [b"", b"no picture", tmp_path / "gone.png", tmp_path, pipe, np.zeros(3, np.uint8)]
    assert [image_area(source) for source in sources] == [0] * len(sources)


def test__load_image__image_part__the_same_pixels(png: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png)
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    for form in (path, ImagePart(path), ImagePart(png), ImagePart(str(path)), ImagePart(url)):  # type: ignore[arg-type]
        assert load_image(form).tobytes() == load_image(png).tobytes()
    with pytest.raises(ExampleError, match="web addresses are opened only of hosts that are allowed"):
        load_image(ImagePart("https://x.org/a.png"))  # type: ignore[arg-type]


def test__content_hash__orientation_set_on_an_image__as_it_is_read() -> None:
    pixels = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)
    turned, buffer = Image.fromarray(pixels), io.BytesIO()
    turned.getexif()[0x0112] = 6
    turned.save(buffer, "PNG", exif=turned.getexif())
    reset = Image.open(buffer)
    reset.getexif()[0x0112] = 1
    assert [load_image(image).size for image in (turned, reset)] == [(12, 8), (8, 12)]
    as_stored = content_hash(Image.fromarray(pixels))
    assert content_hash(turned) == content_hash(Image.open(buffer)) != as_stored
    assert content_hash(reset) == as_stored


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test__content_hash__opened_jpeg__decoded_once_and_the_image_stays_undecoded(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(photo(300, 200).convert(mode), "JPEG")
    expected = content_hash(Image.open(io.BytesIO(data)).copy())
    decoded: list[bool] = []
    real = ImageFile.ImageFile.load

    def counting(image: ImageFile.ImageFile) -> object:
        decoded.extend([True] * bool(image.tile))
        return real(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting)
    opened = Image.open(io.BytesIO(data))
    assert content_hash(opened) == expected
    assert len(decoded) == (2 if mode == "CMYK" else 1)  # for the end of one with black, twice
    assert opened.tile
    assert load_image(opened).tobytes() == load_image(data).tobytes()
