from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import Interpolation
from PIL import Image as PILImage

from savs.errors import MediaError
from savs.media import MediaLimits
from savs.media.video import VideoLimits, count_frames, decode_video, even_frames, load_video

# FFmpeg's fast conversion to RGB is up to 3 levels too dark.
EXACT = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
EXACT |= Interpolation.BITEXACT


def clip(
    n_frames: int = 24,
    *,
    codec: str = "mpeg4",
    kind: str = "mp4",
    times: list[int] | None = None,
    gop: int = 6,
    size: tuple[int, int] = (48, 32),
) -> bytes:
    """Frames that get brighter from one to the next, at 10 a second or at the given hundredths."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", gop
        stream.codec_context.time_base = Fraction(1, 100)
        for index in range(n_frames):
            pixels = np.full((size[1], size[0], 3), 10 + index * 220 // max(n_frames, 1), np.uint8)
            pixels[:, : size[0] // 3] = 255 - pixels[0, 0, 0]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (times[index] if times else index * 10), Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def waveform() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def code_of(data: bytes | Path, **options: Any) -> str:
    with pytest.raises(MediaError) as caught:
        decode_video(data, **options)
    assert "\n" not in str(caught.value)
    return caught.value.code


def brightness(images: list[Any]) -> list[float]:
    return [float(np.asarray(image)[:, 40:].mean()) for image in images]


def test__even_frames__plain_loop_in_fractions__same() -> None:
    times = [0, 3, 4, 10, 30, 31]
    for n_frames in range(1, 12):
        expected = []
        for i in range(n_frames):
            middle = Fraction(2 * i + 1, 2 * n_frames) * 40
            expected.append(max(k for k, time in enumerate(times) if time <= middle))
        assert even_frames(times, 40, n_frames) == expected


def test__load_video__more_frames_than_wanted__spread_in_order() -> None:
    levels = brightness(load_video(clip(24), 4))
    expected = [10 + index * 220 // 24 for index in (3, 9, 15, 21)]
    np.testing.assert_allclose(levels, expected, atol=4)


@pytest.mark.parametrize(("codec", "kind"), [("mpeg4", "mp4"), ("libx264", "mp4"), ("libx264", "matroska")])
@pytest.mark.parametrize("n_frames", [1, 3, 7])
def test__decode_video__seeking__bit_exactly_the_full_decode(codec: str, kind: str, n_frames: int) -> None:
    data = clip(60, codec=codec, kind=kind)
    jumped = decode_video(data, n_frames)
    whole = decode_video(data, n_frames, seeking=False)
    for one, other in zip(jumped.images, whole.images, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert jumped.n_decoded <= whole.n_decoded


def test__decode_video__long_file__few_frames_decoded() -> None:
    data = clip(600, gop=10)
    assert decode_video(data, 4).n_decoded <= 4 * 11
    assert decode_video(data, 4, seeking=False).n_decoded > 500


def test__decode_video__fps__one_frame_per_span() -> None:
    assert len(decode_video(clip(30), 100, fps=2.0).images) == 6
    assert len(decode_video(clip(30), 5, fps=2.0).images) == 5
    assert [count_frames(clip(30), most, 2.0) for most in (100, 5)] == [6, 5]
    assert code_of(clip(30), fps=0.0) == "video_sampling"


def test__decode_video__times__those_of_the_frames_and_the_whole() -> None:
    found = decode_video(clip(30), 3)
    assert found.duration == pytest.approx(3.0, abs=0.01)
    assert found.seconds == pytest.approx([0.5, 1.5, 2.5], abs=0.06)


def test__fault_11__one_frame__repeated() -> None:
    images = load_video(clip(1), 3)
    assert len({image.tobytes() for image in images}) == 1
    assert len(images) == 3


def test__fault_11__no_frames__item_error() -> None:
    assert code_of(clip(0)) in {"video_no_frames", "video_undecodable"}


def test__fault_11__variable_rate__frames_by_time() -> None:
    # Ten frames within the first second, then one that stands for nine: most spans show the last ones.
    times = [*range(0, 100, 10), 100, 1000]
    levels = brightness(load_video(clip(12, times=times), 10))
    expected = [10 + (5 if i == 0 else 10) * 220 // 12 for i in range(10)]
    np.testing.assert_allclose(levels, expected, atol=6)


def test__fault_11__variable_rate_and_a_time_given_twice__still_by_time() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream: Any = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
        for index, time in enumerate([0, 100, 200, 200, *range(1000, 9000, 1000)]):
            image = io.BytesIO()
            PILImage.new("L", (48, 32), 20 * index).convert("RGB").save(image, "JPEG")
            packet = av.Packet(image.getvalue())
            packet.pts = packet.dts = time
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 1000), stream, True
            container.mux(packet)
    found = decode_video(file.getvalue(), 3)
    assert found.seconds == [1.0, 4.0, 7.0]
    assert [round(level / 20) for level in brightness(found.images)] == [4, 7, 10]


def test__fault_11__audio_only__item_error() -> None:
    assert code_of(waveform()) == "video_no_frames"


@pytest.mark.parametrize("data", [b"", b"\0" * 1000, b"#EXTM3U\nhttp://localhost/x.ts\n", b"GIF89a" * 50])
def test__fault_11__broken_container_or_playlist__item_error(data: bytes) -> None:
    assert code_of(data) == "video_undecodable"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "JPEG"])
def test__fault_11__image_as_a_video__said(kind: str) -> None:
    file = io.BytesIO()
    frames = [PILImage.new("RGB", (32, 32), (level, 0, 0)) for level in (0, 200)]
    frames[0].save(file, kind, **({} if kind == "JPEG" else {"save_all": True, "append_images": frames[1:]}))
    with pytest.raises(MediaError, match=f"a {kind} file is an image and no video"):
        decode_video(file.getvalue())


def test__fault_11__index_at_the_end_missing__not_called_a_audio() -> None:
    data = clip(6)
    assert code_of(data[: data.index(b"moov") - 4]) == "video_undecodable"


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test__fault_11__cut_short__item_error(kind: str) -> None:
    data = clip(120, kind=kind)
    assert code_of(data[: len(data) // 3]) in {"video_undecodable", "video_cut_short"}


@pytest.mark.parametrize(
    ("codec", "kind", "options"),
    [
        ("mpeg4", "avi", {}),
        ("libx264", "avi", {}),
        ("libx264", "mpegts", {}),
        ("mpeg2video", "mpegts", {}),
        ("mpeg2video", "mpeg", {}),
        ("libx264", "flv", {}),
        ("msmpeg4", "asf", {"bf": "0"}),
        ("libx264", "mp4", {"x264-params": "intra-refresh=1:keyint=20:scenecut=0:log-level=-1"}),
        ("libx264", "matroska", {"x264-params": "open-gop=1:keyint=20:scenecut=0:log-level=-1"}),
        ("libvpx", "webm", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ],
    ids=lambda value: str(value)[:16],
)
def test__decode_video__every_container__the_frames_of_a_plain_decode(
    codec: str, kind: str, options: dict[str, str]
) -> None:
    file = io.BytesIO()
    texture = np.random.default_rng(5).integers(0, 40, (48, 64, 3))
    with av.open(file, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=25, options={"bf": "2", "g": "12"} | options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(100):
            frame = av.VideoFrame.from_ndarray((texture + 2 * index).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(file.getvalue())) as container:
        decoded = container.decode(video=0)
        shown = [frame.to_ndarray(format="rgb24", interpolation=EXACT) for frame in decoded]
    assert len(shown) == 100
    found = decode_video(file.getvalue(), 7).images
    for index, image in zip([7, 21, 35, 50, 64, 78, 92], found, strict=True):
        np.testing.assert_array_equal(np.asarray(image), shown[index])


def test__decode_video__beginning_cut_off_by_an_editor__what_is_left() -> None:
    whole = clip(40, codec="libx264", gop=40)
    file = io.BytesIO()
    with av.open(io.BytesIO(whole)) as source, av.open(file, "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                start = round(Fraction(3, 2) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
                target.mux(packet)
    found = decode_video(file.getvalue(), 5)
    expected = load_video(whole, 40)[17::5]
    assert brightness(found.images) == brightness(expected)
    assert [found.duration, *found.seconds] == pytest.approx([2.5, 0.2, 0.7, 1.2, 1.7, 2.2])


def edited(data: bytes, *spans: tuple[int, float]) -> bytes:
    """An MP4 file with an edit list instead of its own: milliseconds to show, and seconds from where on."""
    with av.open(io.BytesIO(data)) as container:
        units = container.streams.video[0].time_base.denominator
    place = data.index(b"edts") - 4
    old, first = (struct.unpack_from(">I", data, place + n)[0] for n in (0, 28))  # its start is zero here
    starts = [-1 if start < 0 else first + round(units * start) for _, start in spans]
    rows = [
        struct.pack(">iiI", shown, start, 0x10000) for (shown, _), start in zip(spans, starts, strict=True)
    ]
    content = struct.pack(">II", 0, len(spans)) + b"".join(rows)
    edits = struct.pack(">I4sI4s", 16 + len(content), b"edts", 8 + len(content), b"elst") + content
    new = bytearray(data[:place] + edits + data[place + old :])
    for kind in (b"moov", b"trak"):  # behind the frames, whose places stay as they are
        at = new.index(kind) - 4
        struct.pack_into(">I", new, at, struct.unpack_from(">I", new, at)[0] + len(new) - len(data))
    return bytes(new)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(1000, 0)], range(10)),  # the end cut off
        ([(1000, 1.3)], range(13, 23)),  # both ends, between two key frames
        ([(500, 0), (500, 2.4)], [*range(5), *range(24, 29)]),  # the middle
        ([(500, 2.4), (500, 0)], [*range(24, 29), *range(5)]),  # two parts the other way round
        ([(8000, -1), (4000, 0)], range(40)),  # nothing for 8 seconds
    ],
    ids=["end", "both", "middle", "swapped", "late"],
)
def test__decode_video__cut_by_an_editor__what_a_player_shows(
    spans: list[tuple[int, float]], expected: Sequence[int]
) -> None:
    whole = clip(40, codec="libx264", gop=6)
    data, all_frames = edited(whole, *spans), load_video(whole, 40)
    for seeking in (True, False):
        found = decode_video(data, len(expected), seeking=seeking)
        assert brightness(found.images) == brightness([all_frames[index] for index in expected])
        assert found.duration == pytest.approx(len(expected) / 10)


@pytest.mark.parametrize("part", [0.99, 0.9, 0.6])
def test__fault_02__edited_or_fragmented_file_cut_inside_its_frames__item_error(part: float) -> None:
    whole = clip(40, codec="libx264", gop=6)
    at, end = whole.index(b"mdat") - 4, whole.index(b"moov") - 4
    index = bytearray(edited(whole, (3000, 0))[end:])  # in front of the frames, as for streaming
    places = index.index(b"stco") + 12
    (first,) = struct.unpack_from(">I", index, places)
    struct.pack_into(">I", index, places, first + len(index))
    data = whole[:at] + bytes(index) + whole[at:end]
    assert len(load_video(data, 3)) == 3
    assert code_of(data[: at + len(index) + int(part * 0.75 * (end - at))]) == "video_cut_short"


@pytest.mark.parametrize(
    ("kind", "codec"), [("matroska", "libx264"), ("webm", "libvpx"), ("mpegts", "libx264")]
)
def test__decode_video__recording_whose_clock_does_not_start_at_zero__read(kind: str, codec: str) -> None:
    late = [9000 + 10 * index for index in range(30)]  # 90 seconds, as the later parts of a long recording
    found = decode_video(clip(30, codec=codec, kind=kind, times=late), 6)
    expected = decode_video(clip(30, codec=codec, kind=kind), 6)
    assert brightness(found.images) == brightness(expected.images)
    assert [found.duration, *found.seconds] == pytest.approx([3, 0.2, 0.7, 1.2, 1.7, 2.2, 2.7])


@pytest.mark.parametrize("starts", [(0, 0), (0, 4000), (4000, 0), (150, 0)])
def test__decode_video__streams_one_behind_the_other__in_their_order(starts: tuple[int, int]) -> None:
    times = [[start + 10 * index for index in range(30)] for start in starts]
    parts = [clip(30, codec="libx264", kind="mpegts", times=part) for part in times]
    found = decode_video(b"".join(parts), 6)
    assert code_of(b"".join(parts), limits=VideoLimits(max_seconds=5)) == "video_too_long"
    assert brightness(found.images) == brightness(
        [load_video(part, 3)[i] for part in parts for i in range(3)]
    )
    assert [found.duration, *found.seconds] == pytest.approx([6, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5])


def test__decode_video__avi_with_frames_that_repeat_the_one_before__by_time() -> None:
    times = [0, 10, 20, 30, 40, 50, 60, 70, 80, 280]
    found = decode_video(clip(10, kind="avi", times=times), 3)
    images = load_video(clip(10, kind="avi"), 10)
    assert brightness(found.images) == brightness([images[index] for index in (4, 8, 8)])
    assert found.duration == pytest.approx(2.9)


@pytest.mark.parametrize(("codec", "n_dropped"), [("libx264", 5), ("mpeg2video", 5), ("mpeg2video", 14)])
def test__decode_video__recording_that_begins_between_key_frames__from_the_first_one(
    codec: str, n_dropped: int
) -> None:
    whole, file = clip(60, codec=codec, kind="mpegts", gop=12), io.BytesIO()
    with av.open(io.BytesIO(whole)) as source, av.open(file, "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and number >= n_dropped:
                packet.stream = stream
                target.mux(packet)
    with av.open(io.BytesIO(file.getvalue())) as container:
        decoded = container.decode(video=0)
        shown = [frame.to_ndarray(format="rgb24", interpolation=EXACT) for frame in decoded]
    assert len(shown) < 60 - n_dropped
    for n_frames in (1, 2, 30):
        found, expected = (
            decode_video(file.getvalue(), n_frames),
            even_frames(range(len(shown)), len(shown), n_frames),
        )
        for image, index in zip(found.images, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(image), shown[index])
        assert [found.duration, *found.seconds] == pytest.approx(
            [index / 10 for index in (len(shown), *expected)]
        )
    assert count_frames(file.getvalue(), 100, 5.0) == len(decode_video(file.getvalue(), 100, fps=5.0).images)


def test__pixels__frames_of_several_sizes__item_error_that_says_so() -> None:
    first, second = (clip(10, kind="mpegts", codec="libx264", size=size) for size in ((48, 32), (96, 64)))
    found = decode_video(first + second, 4)
    with pytest.raises(MediaError, match="48x32 and 96x64") as caught:
        _ = found.pixels
    assert caught.value.code == "video_sizes"


def test__limits__pixels_on_the_way_and_kept__stopped_while_decoding() -> None:
    data, frame = clip(20, codec="libx264", gop=20), 48 * 32
    assert code_of(data, n_frames=1, limits=VideoLimits(max_pixels=10 * frame)) == "video_too_long"
    assert len(load_video(data, 1, VideoLimits(max_pixels=11 * frame))) == 1
    assert code_of(data, n_frames=5, limits=VideoLimits(max_kept_pixels=4 * frame)) == "video_too_large"
    assert len(load_video(data, 5, VideoLimits(max_kept_pixels=5 * frame))) == 5


def test__limits__checked_before_decoding() -> None:
    data = clip(20)
    assert code_of(data, limits=VideoLimits(max_bytes=100)) == "video_too_large"
    assert code_of(data, limits=VideoLimits(max_seconds=1.0)) == "video_too_long"
    assert code_of(data, limits=VideoLimits(max_frames=19)) == "video_too_long"
    assert code_of(data, limits=VideoLimits(frame=MediaLimits(max_pixels=100))) == "image_too_many_pixels"


def test__path__missing_folder_empty_and_good(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "a.mp4").write_bytes(clip(5))
    assert code_of(tmp_path / "none.mp4") == "media_missing"
    assert code_of(tmp_path) == "media_not_a_file"
    assert code_of(tmp_path / "empty.mp4") == "video_undecodable"
    assert len(load_video(tmp_path / "a.mp4", 2)) == 2


def with_audio(kind: str, codec: str, audio_codec: str, seconds: int = 10) -> bytes:
    texture = np.random.default_rng(5).integers(0, 200, (48, 64, 3)).astype(np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 10
        audio: Any = container.add_stream(audio_codec, rate=48_000, layout="mono")
        step, place = (960 if audio_codec == "libopus" else 1024), 0
        kind_of_samples = np.float32 if audio.format.name.startswith("flt") else np.int16
        for index in range(10 * seconds):
            frame = av.VideoFrame.from_ndarray(np.roll(texture, index, 0), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
            while place < 4800 * (index + 1):
                samples = np.zeros((1, step), kind_of_samples)
                part = av.AudioFrame.from_ndarray(samples, format=audio.format.name, layout="mono")
                part.sample_rate, part.pts, part.time_base = 48_000, place, Fraction(1, 48_000)
                container.mux(audio.encode(part))
                place += step
        container.mux(stream.encode(None))
        container.mux(audio.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "codec", "audio_codec"), [("matroska", "libx264", "aac"), ("webm", "libvpx", "libopus")]
)
def test__fault_02__matroska_with_audio_cut_anywhere__item_error(
    kind: str, codec: str, audio_codec: str
) -> None:
    whole = with_audio(kind, codec, audio_codec)
    assert decode_video(whole, 4).duration == pytest.approx(10, abs=0.2)
    assert decode_video(whole + b"junk" * 9, 4).duration == pytest.approx(10, abs=0.2)
    for part in (0.99, 0.8, 0.5, 0.1):
        assert code_of(whole[: int(part * len(whole))]) == "video_cut_short"


def test__fault_02__flv_with_audio_cut__item_error_by_its_duration() -> None:
    whole = with_audio("flv", "libx264", "aac")
    assert decode_video(whole, 4).duration == pytest.approx(10, abs=0.2)
    for part in (0.8, 0.5, 0.2):
        assert code_of(whole[: int(part * len(whole))]) in {"video_cut_short", "video_undecodable"}


def test__decode_video__matroska_of_unknown_size__read() -> None:
    data = bytearray(clip(10, kind="matroska"))
    place = data.index(b"\x18S\x80g") + 4
    data[place : place + 8] = b"\x01" + b"\xff" * 7
    assert len(load_video(bytes(data), 3)) == 3


def test__fault_11__cover_image_alone__no_video() -> None:
    file = io.BytesIO()
    cover = io.BytesIO()
    PILImage.new("RGB", (48, 48), "red").save(cover, "JPEG")
    with av.open(file, "w", format="mp4") as container:
        audio: Any = container.add_stream("aac", rate=16000, layout="mono")
        image: Any = container.add_stream("mjpeg", rate=1)
        image.width, image.height, image.pix_fmt = 48, 48, "yuvj420p"
        image.disposition = Disposition.attached_pic
        packet = av.Packet(cover.getvalue())
        packet.pts = packet.dts = 0
        packet.stream, packet.time_base = image, Fraction(1, 1)
        container.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    assert code_of(file.getvalue()) == "video_no_frames"


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test__decode_video__several_streams__the_one_that_players_show(kind: str) -> None:
    def two(default: int) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=kind) as container:
            streams: list[Any] = [container.add_stream("mpeg4", rate=10) for _ in range(2)]
            for number, stream in enumerate(streams):
                stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
                stream.disposition = Disposition.default if number == default else Disposition(0)
            for index in range(4):
                for stream, level in zip(streams, (60, 180), strict=True):
                    pixels = np.full((32, 48, 3), level, np.uint8)
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                    frame.pts, frame.time_base = index, Fraction(1, 10)
                    container.mux(stream.encode(frame))
            for stream in streams:
                container.mux(stream.encode(None))
        return file.getvalue()

    for default, level in ((0, 60), (1, 180)):
        assert brightness(load_video(two(default), 2)) == pytest.approx([level] * 2, abs=3)
