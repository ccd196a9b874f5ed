"""HEIC by pillow-heif and AVIF by Pillow: the same rules as for every other format."""

from __future__ import annotations

import io
import struct
import warnings

import av
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from tests.media.image_files import oriented

from savs.errors import MediaError
from savs.media import MediaLimits, MediaWarning, content_hash, image_area, load_image
from savs.media._hdr import to_standard_range
from savs.media._main_image import coded_colors
from savs.media.image import conversion

CORNERS = np.zeros((64, 96, 3), np.uint8)
CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, :48] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def heic(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    mode = {3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    size = pixels.shape[1], pixels.shape[0]
    file = pillow_heif.from_bytes(mode, size, pixels.tobytes())
    file.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def avif(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "AVIF", quality=95, subsampling="4:4:4", **options)
    return buffer.getvalue()


FORMATS = [heic, avif]


def close(image: Image.Image, pixels: np.ndarray, atol: int = 6) -> bool:
    """Whether colors agree away from edges, which no codec keeps."""
    got, inner = np.asarray(image).astype(int), np.s_[8:-8:16, 8:-8:16]
    return got.shape == pixels.shape and bool((abs(got[inner] - pixels[inner]) <= atol).all())


@pytest.mark.parametrize("encode", FORMATS)
def test__heic_and_avif__pixels_from_bytes_files_and_opened_images(encode, tmp_path):
    data = encode(CORNERS)
    (tmp_path / "photo").write_bytes(data)
    opened = pillow_heif.HeifImageFile if encode is heic else Image.open
    for source in (data, tmp_path / "photo", opened(io.BytesIO(data))):
        assert close(load_image(source), CORNERS)
    assert image_area(data) == 96 * 64


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("encode", FORMATS)
def test__fault_07__eight_orientations__applied_once(encode, orientation):
    data = encode(CORNERS, exif=exif(orientation))
    expected = turned_by_boxes(CORNERS, data)
    assert np.array_equal(expected, oriented(CORNERS, orientation))
    loaded = load_image(data)
    assert close(loaded, expected)
    assert close(load_image(loaded), expected)


def turned_by_boxes(pixels: np.ndarray, data: bytes) -> np.ndarray:
    """What the container says: quarter turns against the clock (irot), then a mirror (imir)."""
    if b"irot" in data:
        pixels = np.rot90(pixels, data[data.index(b"irot") + 4])
    if b"imir" in data:
        pixels = pixels[:, ::-1] if data[data.index(b"imir") + 4] else pixels[::-1]
    return pixels


@pytest.mark.parametrize("encode", FORMATS)
def test__fault_07__orientation_in_exif_alone__not_applied_as_the_standard_says(encode):
    data = encode(CORNERS, exif=exif(6))
    # The same file without the box that turns it: its EXIF orientation is then for information only.
    plain = data.replace(b"irot\x03", b"irot\x00")
    assert plain != data
    assert close(load_image(plain), CORNERS)


@pytest.mark.parametrize("encode", FORMATS)
def test__fault_06__alpha__composited(encode):
    pixels = np.dstack([CORNERS, np.full((64, 96), 255, np.uint8)])
    pixels[:32, :48, 3] = 0
    loaded = load_image(encode(pixels), MediaLimits(background=(9, 9, 9)))
    assert close(loaded, np.where(pixels[..., 3:] == 0, 9, CORNERS))
    pixels[..., 3] = 0
    with pytest.warns(MediaWarning, match="without one visible pixel"):
        load_image(encode(pixels))


def test__fault_05__heic_of_10_bits__rescaled():
    values = np.repeat((np.linspace(0, 1, 96) * 65535).astype("<u2")[None, :, None], 64, axis=0)
    buffer = io.BytesIO()
    color = np.repeat(values, 3, axis=2)
    pillow_heif.from_bytes("RGB;16", (96, 64), color.tobytes()).save(buffer, quality=-1, chroma=444)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = np.asarray(load_image(buffer.getvalue())).astype(int)
    assert abs(loaded[32, :, 0] - color[32, :, 0] / 257).max() <= 3
    gray = io.BytesIO()
    pillow_heif.from_bytes("L;16", (96, 64), values.tobytes()).save(gray, quality=-1)
    loaded = np.asarray(load_image(gray.getvalue())).astype(int)
    assert abs(loaded[32, :, 0] - values[32, :, 0] / 257).max() <= 3


@pytest.mark.parametrize("encode", FORMATS)
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test__fault_02__cut_short__undecodable(encode, kept):
    data = encode(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    with pytest.raises(MediaError) as caught:
        load_image(data[: int(len(data) * kept)])
    assert caught.value.code == "image_undecodable"


@pytest.mark.parametrize("encode", FORMATS)
def test__fault_03__limits__checked_in_the_header(encode):
    data = encode(CORNERS)
    for limits, code in (
        (MediaLimits(max_pixels=96 * 64 - 1), "image_too_many_pixels"),
        (MediaLimits(max_bytes=len(data) - 1), "image_too_large"),
        (MediaLimits(max_aspect=1.2), "image_aspect"),
        (MediaLimits(min_side=65), "image_too_small"),
    ):
        with pytest.raises(MediaError) as caught:
            load_image(data, limits)
        assert caught.value.code == code
    # The header alone decides: what it points to is not there.
    huge = stated(data, 20_000, 10_000)
    with pytest.raises(MediaError) as caught:
        load_image(huge)
    assert caught.value.code in {"image_too_many_pixels", "image_undecodable"}


def stated(data: bytes, width: int, height: int) -> bytes:
    place = data.index(b"ispe") + 8
    return data[:place] + struct.pack(">II", width, height) + data[place + 8 :]


@pytest.mark.parametrize("encode", FORMATS)
def test__fault_08__several_images__one_and_one_warning(encode):
    buffer = io.BytesIO()
    if encode is heic:
        file = pillow_heif.from_bytes("RGB", (96, 64), CORNERS.tobytes())
        file.add_frombytes("RGB", (96, 64), bytes(96 * 64 * 3))
        file.save(buffer, quality=-1, chroma=444)
    else:
        Image.fromarray(CORNERS).save(
            buffer, "AVIF", quality=95, save_all=True, append_images=[Image.new("RGB", (96, 64))]
        )
    with pytest.warns(MediaWarning, match="only its (main image|first frame)") as caught:
        loaded = load_image(buffer.getvalue())
    assert len(caught) == 1
    assert close(loaded, CORNERS, 12)


def test__heic_and_avif__pillows_registry_and_options__unchanged():
    before = dict(Image.OPEN), dict(Image.EXTENSION), dict(Image.MIME), dict(Image.SAVE), list(Image.ID)
    options = dict(vars(pillow_heif.options))
    load_image(heic(CORNERS))
    load_image(avif(CORNERS))
    assert "HEIF" not in Image.OPEN
    after = dict(Image.OPEN), dict(Image.EXTENSION), dict(Image.MIME), dict(Image.SAVE), list(Image.ID)
    assert after == before
    assert dict(vars(pillow_heif.options)) == options


def test__fault_08__video_as_an_image__named():
    with pytest.raises(MediaError, match="MP4 or another video is not read") as caught:
        load_image(b"\0\0\0\x18ftypisom" + bytes(600))
    assert caught.value.code == "image_format"


@pytest.mark.parametrize("encode", FORMATS)
def test__fault_07__high_dynamic_range__shown_as_videos_are(encode):
    data = encode(CORNERS // 2)
    place = data.index(b"colrnclx") + 8
    pq = data[:place] + struct.pack(">HH", 9, 16) + data[place + 4 :]
    same = np.asarray(load_image(data)).astype(np.uint16) * 257
    expected = to_standard_range(same, "PQ", wide=True)
    assert abs(expected.astype(int) - same // 257).max() > 20
    opened = pillow_heif.HeifImageFile if encode is heic else Image.open
    for source in (pq, opened(io.BytesIO(pq))):
        assert close(load_image(source), expected)
    assert len({content_hash(opened(io.BytesIO(one))) for one in (pq, data)}) == 2
    assert (conversion(pq), conversion(data)) == (2, 1)


def with_another_image(data: bytes) -> bytes:
    """The same file with the colors of another image, PQ, in front of those of its only one."""
    box = struct.pack(">I8sHHHB", 19, b"colrnclx", 9, 16, 9, 128)
    at = data.index(b"ipco") + 4
    new = bytearray(data[:at] + box + data[at:])
    for kind in (b"meta", b"iprp", b"ipco"):
        place = new.index(kind) - 4
        struct.pack_into(">I", new, place, struct.unpack_from(">I", new, place)[0] + len(box))
    place = new.index(b"iloc") + 4
    place += 12 if new[place + 5] else 14  # of the pixels in the file
    struct.pack_into(">I", new, place, struct.unpack_from(">I", new, place)[0] + len(box))
    place = new.index(b"ipma") + 4 + 8 + 2
    for index in range(place + 1, place + 1 + new[place]):
        new[index] += 1  # the numbers of its properties
    return bytes(new)


def hdr_avif(transfer: int, *, pixel_format: str = "yuv420p10le") -> bytes:
    """A file of FFmpeg: its sequence header is that of a video, not a reduced one."""
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV cannot write AV1")
    file = io.BytesIO()
    with av.open(file, "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 150, np.uint8), format="rgb24")
        container.mux(stream.encode(frame.reformat(format=pixel_format)))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("transfer", "pixel_format"), [(16, "yuv420p10le"), (18, "yuv420p10le"), (16, "yuv420p")]
)
def test__fault_07__high_dynamic_range_that_the_stream_alone_states__as_by_the_container(
    transfer, pixel_format
):
    data = hdr_avif(transfer, pixel_format=pixel_format)
    alone = data.replace(b"colrnclx", b"freenclx")
    assert data.count(b"colrnclx") == 1
    assert coded_colors(alone) == coded_colors(data) == (9, transfer)
    expected = np.asarray(load_image(data))
    assert close(load_image(alone), expected, 0)
    assert abs(int(expected[32, 32, 0]) - 150) > 10
    # With a profile of colors (ICC) in its place, that one counts; it is not applied.
    assert coded_colors(data.replace(b"colrnclx", b"colrprof")) is None
    for end in range(len(data)):
        coded_colors(alone[:end])


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4", "4:0:0"])
def test__sequence_header_of_pillow__reduced__states_the_colors_of_its_container(subsampling):
    file = io.BytesIO()
    Image.fromarray(CORNERS).save(file, "AVIF", subsampling=subsampling)
    data = file.getvalue()
    assert coded_colors(data.replace(b"colrnclx", b"freenclx")) == coded_colors(data)


@pytest.mark.parametrize("encode", FORMATS)
def test__fault_07__high_dynamic_range_of_another_image_in_the_file__not_that_of_the_main_one(encode):
    data = encode(CORNERS // 2)
    changed = with_another_image(data)
    assert (coded_colors(data), coded_colors(changed)) == ((1, 13), (1, 13))
    assert np.array_equal(np.asarray(load_image(changed)), np.asarray(load_image(data)))
    assert conversion(changed) == 1
    for end in range(0, 600, 7):  # damaged files are for the decoder to refuse
        coded_colors(changed[:end])
