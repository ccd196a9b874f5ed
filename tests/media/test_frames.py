from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from PIL import Image as PILImage

from savs.errors import MediaError
from savs.media import MediaLimits, MediaWarning, load_video
from savs.media._frames import orientation
from savs.media.video import VideoLimits

ONE, UNIT = 1 << 16, 1 << 30
WIDTH, HEIGHT = 64, 48
SCENE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
SCENE[:24, :32], SCENE[:24, 32:], SCENE[24:, :32], SCENE[24:, 32:] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    255,
)
# Where the axes of the picture go: x to (a, b), y to (c, d).
EIGHT = [
    (1, 0, 0, 1),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (-1, 0, 0, -1),
    (0, 1, -1, 0),
    (0, -1, 1, 0),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


def matrix_of(axes: tuple[float, ...], scale: float = ONE) -> tuple[int, ...]:
    a, b, c, d = (round(scale * value) for value in axes)
    return (a, b, 0, c, d, 0, 0, 0, UNIT)


def shown(pixels: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Move every pixel to where the matrix puts it, one by one."""
    a, b, c, d = axes
    height, width = pixels.shape[:2]
    moved = {(a * x + c * y, b * x + d * y): pixels[y, x] for y in range(height) for x in range(width)}
    left, top = (min(place[axis] for place in moved) for axis in (0, 1))
    right, bottom = (max(place[axis] for place in moved) for axis in (0, 1))
    result = np.empty((bottom - top + 1, right - left + 1, pixels.shape[2]), pixels.dtype)
    for (x, y), value in moved.items():
        result[y - top, x - left] = value
    return result


def video(
    pixels: np.ndarray = SCENE,
    kind: str = "mp4",
    codec: str = "libx264",
    form: str = "yuv420p",
    *,
    matrix: tuple[int, ...] | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    n_frames: int = 4,
    **color: int,
) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], form
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in color.items():
            setattr(stream.codec_context, name, value)
        for _ in range(n_frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[2] == 4 else "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def jpegs(kind: str, orientation_tag: int) -> bytes:
    """Motion JPEG whose frames say by Exif how they lie."""
    exif = PILImage.Exif()
    exif[0x0112] = orientation_tag
    image = io.BytesIO()
    PILImage.fromarray(SCENE).save(image, "JPEG", exif=exif, subsampling=0, quality=95)
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream: Any = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj444p"
        for index in range(3):
            packet = av.Packet(image.getvalue())
            packet.pts = packet.dts = index
            packet.duration, packet.time_base, packet.stream = 1, Fraction(1, 10), stream
            packet.is_keyframe = True
            container.mux(packet)
    return file.getvalue()


def first(data: bytes, limits: VideoLimits | None = None) -> np.ndarray:
    return np.asarray(load_video(data, 1, limits)[0]).astype(int)


def code_of(data: bytes, limits: VideoLimits | None = None) -> str:
    with pytest.raises(MediaError) as caught:
        load_video(data, 1, limits)
    assert str(caught.value).isprintable()
    return caught.value.code


def assert_near(found: np.ndarray, expected: np.ndarray, mean: float = 6) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected.astype(int)).mean() < mean


@pytest.mark.parametrize("axes", EIGHT)
@pytest.mark.parametrize(
    ("kind", "codec"),
    [("mp4", "libx264"), ("mov", "mpeg4"), ("matroska", "libx264"), ("webm", "libvpx-vp9")],
)
def test__load_video__display_matrix__all_eight_as_shown(
    kind: str, codec: str, axes: tuple[int, ...]
) -> None:
    assert_near(first(video(kind=kind, codec=codec, matrix=matrix_of(axes))), shown(SCENE, axes))


@pytest.mark.parametrize("kind", ["avi", "mpegts"])
def test__load_video__container_without_display_matrix__as_stored(kind: str) -> None:
    assert_near(first(video(kind=kind, codec="mpeg4", matrix=matrix_of((-1, 0, 0, 1)))), SCENE)


@pytest.mark.parametrize("axes", EIGHT)
def test__load_video__matrix_of_another_size_or_rounded__the_same(axes: tuple[int, ...]) -> None:
    assert orientation(matrix_of(axes, 3 * ONE)) == orientation(matrix_of(axes))
    turned = np.array(axes, float).reshape(2, 2) @ [[0.99999, 0.004], [-0.004, 0.99999]]
    assert orientation(matrix_of(tuple(turned.ravel()))) == orientation(matrix_of(axes))


@pytest.mark.parametrize("axes", EIGHT)
@pytest.mark.parametrize("angle", [-40, -10, 3, 44])
def test__orientation__odd_angle__the_nearest_and_a_warning(axes: tuple[int, ...], angle: float) -> None:
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    turned = np.array(axes, float).reshape(2, 2) @ [[cosine, sine], [-sine, cosine]]
    with pytest.warns(MediaWarning, match="nearest quarter turn"):
        assert orientation(matrix_of(tuple(turned.ravel()))) == orientation(matrix_of(axes))


@pytest.mark.parametrize(
    "matrix", [(0,) * 9, matrix_of((1, 0, 0.4, 1)), (ONE, 0, UNIT // 2, 0, ONE, 0, 0, 0, UNIT)]
)
def test__orientation__no_picture_sheared_or_in_perspective__as_stored_and_a_warning(
    matrix: tuple[int, ...],
) -> None:
    with pytest.warns(MediaWarning, match="distorts"):
        assert orientation(matrix) is None


@pytest.mark.parametrize(
    ("change", "axes"),
    [
        ("rotate=90", (0, -1, 1, 0)),
        ("flip=horizontal", (-1, 0, 0, 1)),
        ("rotate=90:flip=vertical", (0, -1, -1, 0)),
    ],
)
def test__load_video__orientation_inside_the_stream__until_the_next_sequence(
    change: str, axes: tuple[int, ...]
) -> None:
    plain = video(options={"g": "100", "bf": "2"}, n_frames=8)
    file = io.BytesIO()
    with av.open(io.BytesIO(plain)) as source, av.open(file, "w", format="mp4") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        edit = BitStreamFilterContext(f"h264_metadata=display_orientation=insert:{change}", stream)
        for packet in source.demux(stream):
            for edited in edit.filter(packet if packet.size else None):
                edited.stream = copy
                target.mux(edited)
    # The decoder gives it to the first frame alone.
    for image in load_video(file.getvalue(), 8):
        assert_near(np.asarray(image).astype(int), shown(SCENE, axes))


@pytest.mark.parametrize("kind", ["mov", "avi"])
@pytest.mark.parametrize("tag", range(1, 9))
def test__load_video__jpeg_frames_with_exif__turned_as_the_image_alone(kind: str, tag: int) -> None:
    axes = [EIGHT[i] for i in (0, 1, 3, 2, 6, 4, 7, 5)][tag - 1]  # the eight in the order of Exif
    assert_near(first(jpegs(kind, tag)), shown(SCENE, axes))


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(64, 45), (91, 48)),
        (Fraction(4, 3), (85, 48)),
        (Fraction(1, 2), (64, 96)),
        (Fraction(1), (64, 48)),
        (Fraction(201, 200), (64, 48)),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "matroska", "mpegts"])
def test__load_video__pixels_not_square__stretched_as_shown(
    kind: str, aspect: Fraction, size: tuple[int, int]
) -> None:
    found = first(video(kind=kind, aspect=aspect))
    assert (found.shape[1], found.shape[0]) == size
    columns = np.arange(size[0]) * WIDTH // size[0]
    rows = np.arange(size[1]) * HEIGHT // size[1]
    assert_near(found, SCENE[rows][:, columns], 12)


def test__load_video__pixels_not_square_and_turned__the_stored_width_is_stretched() -> None:
    found = first(video(aspect=Fraction(2), matrix=matrix_of((0, 1, -1, 0))))
    assert_near(found, shown(SCENE, (0, 1, -1, 0)).repeat(2, axis=0), 12)


def test__load_video__scaled_by_its_display_matrix__stretched() -> None:
    assert_near(first(video(matrix=matrix_of((2, 0, 0, 1)))), SCENE.repeat(2, axis=1), 12)


def test__limits__stretched_beyond_them__item_error() -> None:
    assert code_of(video(matrix=matrix_of((90, 0, 0, 1)))) == "image_aspect"
    wide = video(aspect=Fraction(2))
    frame = MediaLimits(max_pixels=WIDTH * HEIGHT)
    assert code_of(wide, VideoLimits(frame=frame)) == "image_too_many_pixels"
    assert code_of(wide, VideoLimits(max_kept_pixels=2 * WIDTH * HEIGHT - 1)) == "video_too_large"


TRANSPARENT = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
TRANSPARENT[:, :, :3] = 200, 30, 0
TRANSPARENT[:, :32, 3], TRANSPARENT[:24, 32:, 3] = 255, 128


@pytest.mark.parametrize(
    ("kind", "codec", "form"),
    [
        ("mov", "qtrle", "argb"),
        ("mov", "png", "rgba"),
        ("mov", "prores_ks", "yuva444p10le"),
        ("matroska", "ffv1", "yuva420p"),
        ("avi", "rawvideo", "bgra"),
        ("webm", "libvpx", "yuva420p"),
        ("webm", "libvpx-vp9", "yuva420p"),
        ("matroska", "libvpx-vp9", "yuva420p"),
    ],
)
@pytest.mark.parametrize("background", [(255, 255, 255), (0, 90, 255)])
def test__load_video__transparent_areas__on_the_background_of_images(
    kind: str, codec: str, form: str, background: tuple[int, int, int]
) -> None:
    options = {"auto-alt-ref": "0"} if codec.startswith("libvpx") else None
    data = video(TRANSPARENT, kind, codec, form, options=options)
    found = first(data, VideoLimits(frame=MediaLimits(background=background)))
    alpha = TRANSPARENT[:, :, 3:] / 255
    assert_near(found, (alpha * TRANSPARENT[:, :, :3] + (1 - alpha) * np.array(background)).round())


def test__load_video__transparent_from_frame_to_frame__as_from_the_start() -> None:
    data = video(
        TRANSPARENT, "webm", "libvpx-vp9", "yuva420p", options={"auto-alt-ref": "0", "g": "4"}, n_frames=16
    )
    for image in load_video(data, 5):
        assert np.abs(np.asarray(image)[40, 50].astype(int) - 255).max() <= 2


def test__load_video__fourth_byte_of_raw_pixels_all_0__opaque() -> None:
    invisible = TRANSPARENT.copy()
    invisible[:, :, 3] = 0
    assert_near(first(video(invisible, "avi", "rawvideo", "bgra")), invisible[:, :, :3], 2)
    assert first(video(invisible, "mov", "qtrle", "argb")).min() == 255


# Luma weights of red and blue (ITU-T H.273, table 4), by number.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}


def plain_rgb(
    values: tuple[int, int, int], weights: tuple[float, float], full: bool, bits: int
) -> list[float]:
    """Y'CbCr to R'G'B' by the equations of H.273, 0 to 255."""
    red_weight, blue_weight = weights
    step, largest = 2 ** (bits - 8), 2**bits - 1
    luma, blue, red = values
    if full:
        y, cb, cr = luma / largest, (blue - 128 * step) / largest, (red - 128 * step) / largest
    else:
        y = (luma - 16 * step) / (219 * step)
        cb, cr = (blue - 128 * step) / (224 * step), (red - 128 * step) / (224 * step)
    r = y + 2 * (1 - red_weight) * cr
    b = y + 2 * (1 - blue_weight) * cb
    g = (y - red_weight * r - blue_weight * b) / (1 - red_weight - blue_weight)
    return [min(max(255 * value, 0.0), 255.0) for value in (r, g, b)]


def flat(values: tuple[int, ...], form: str, size: tuple[int, int] = (64, 48), **color: int) -> bytes:
    """A lossless video of one color, given as it is coded."""
    deep = form.endswith("le")
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream: Any = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, form
        for name, value in color.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(*size, form)
        for plane, value in zip(frame.planes, values, strict=True):
            count = plane.buffer_size // (2 if deep else 1)
            plane.update(np.full(count, value, "<u2" if deep else "u1").tobytes())
        for name, value in color.items():
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(("form", "bits"), [("yuv420p", 8), ("yuv422p10le", 10), ("yuv444p", 8)])
def test__load_video__matrix_range_and_depth__the_equations(
    form: str, bits: int, full: bool, matrix: int
) -> None:
    step = 2 ** (bits - 8)
    for luma, blue, red in [(235, 128, 128), (120, 90, 200), (60, 170, 110), (16, 128, 128), (180, 60, 90)]:
        coded = (luma * step, blue * step, red * step)
        found = first(flat(coded, form, colorspace=matrix, color_range=2 if full else 1))
        np.testing.assert_allclose(found[20, 20], plain_rgb(coded, WEIGHTS[matrix], full, bits), atol=1.5)


@pytest.mark.parametrize(
    ("size", "matrix"), [((64, 48), 6), ((720, 576), 6), ((1280, 720), 1), ((96, 600), 1)]
)
def test__load_video__matrix_not_said__by_size_as_players_do(size: tuple[int, int], matrix: int) -> None:
    coded = (120, 90, 200)
    found = first(flat(coded, "yuv420p", size, color_range=1))
    np.testing.assert_allclose(found[20, 20], plain_rgb(coded, WEIGHTS[matrix], False, 8), atol=1)


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test__load_video__matrix_that_is_not_converted__item_error(matrix: int) -> None:
    assert code_of(flat((120, 90, 200), "yuv444p", colorspace=matrix)) == "video_color"


@pytest.mark.parametrize(("form", "step"), [("gray", 1), ("gray10le", 4)])
def test__load_video__gray_of_limited_range__black_to_white(form: str, step: int) -> None:
    for luma, limited, full in ((16, 0, 16), (235, 255, 235), (126, 128, 126)):
        assert first(flat((luma * step,), form, color_range=1))[20, 20] == pytest.approx([limited] * 3, abs=1)
        assert first(flat((luma * step,), form, color_range=2))[20, 20] == pytest.approx([full] * 3, abs=1)


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test__load_video__high_dynamic_range__light_as_it_would_be_shown(transfer: int) -> None:
    # 75 % of HLG and 58 % of PQ are the white of a page (BT.2408): bright, and not clipped.
    code = {16: 0.58, 18: 0.75}[transfer]
    coded = (round((16 + 219 * code) * 4), 512, 512)
    found = first(
        flat(coded, "yuv420p10le", colorspace=9, color_range=1, color_trc=transfer, color_primaries=9)
    )
    assert 220 <= found.min() <= found.max() <= 240


def test__load_video__interlaced__a_warning() -> None:
    data = video(kind="mpegts", codec="mpeg2video", options={"flags": "+ildct+ilme"})
    with pytest.warns(MediaWarning, match="interlaced"):
        assert_near(first(data), SCENE)
