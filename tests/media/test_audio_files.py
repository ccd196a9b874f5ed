"""Audio files that are longer or shorter than they say, and independent decodes of those that are right."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr

from savs.errors import ItemError
from savs.media import Audio, MediaWarning, load_audio
from savs.media._audio_files import _checksum
from savs.media.audio import audio_conversion

RATE = 8000
CODINGS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def noise(n_samples: int = 8000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).clip(-0.9, 0.9)


def encoded(samples: np.ndarray, kind: str = "WAV", coding: str = "PCM_16", rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=coding)
    return file.getvalue()


def read(data: bytes, rate: int = RATE) -> np.ndarray:
    return load_audio(Audio(data), rate)


def code_of(data: bytes, rate: int = RATE) -> str:
    with pytest.raises(ItemError) as caught:
        read(data, rate)
    assert str(caught.value).isprintable()
    return caught.value.code


def patched(data: bytes, place: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


def id3(size: int, *, footer: bool = False) -> bytes:
    sizes = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    head = bytes([4, 0, 0x10 if footer else 0]) + sizes
    return b"ID3" + head + b"TIT2" + bytes(size - 4) + (b"3DI" + head if footer else b"")


def ape(size: int = 200) -> bytes:
    def end(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII8x", 2000, size, 1, flags)

    return end(0xA0000000) + b"\1" * (size - 32) + end(0x80000000)


@pytest.mark.parametrize(("kind", "coding"), CODINGS)
@pytest.mark.parametrize(
    "tag",
    [
        id3(300),
        id3(9000),
        id3(300, footer=True),
        id3(50) + id3(70),
        id3(50) + bytes(333),
        ape(),
        ape() + id3(9),
    ],
    ids=["id3", "long", "footer", "two", "padded", "ape", "both"],
)
def test__tag_in_front__the_whole_clip_or_an_error(kind: str, coding: str, tag: bytes) -> None:
    data = encoded(noise(), kind, coding)
    np.testing.assert_array_equal(read(tag + data), read(data))
    for part in (0.5, 0.97):
        assert code_of(tag + data[: int(len(data) * part)]) in {"audio_cut_short", "audio_undecodable"}


@pytest.mark.parametrize(("kind", "coding"), CODINGS)
@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), ape(3000), id3(3000)], ids=["id3v1", "ape", "id3"])
def test__tag_behind__the_same_clip(kind: str, coding: str, behind: bytes) -> None:
    data = encoded(noise(), kind, coding)
    np.testing.assert_array_equal(read(data + behind), read(data))


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "AIFF"])
def test__chunks_and_zeros_behind_the_samples__the_same_clip(kind: str) -> None:
    for n_samples in (7999, 8000):
        data = encoded(noise(n_samples), kind, "PCM_24")
        order = ">" if kind == "AIFF" else "<"
        for behind in (
            chunk(b"LIST", b"INFO" * 500, order) + chunk(b"id3 ", id3(1001), order),
            chunk(b"bext", bytes(2001), order)[:-1],
            bytes(5000),
            b"\xfe" * 100,
        ):
            np.testing.assert_array_equal(read(data + behind), read(data))


def size_place(data: bytes) -> tuple[int, str]:
    """Where a file says how many bytes of samples it has."""
    if data[:4] == b".snd":
        return 8, ">I"
    if data[:4] == b"RF64":
        return data.index(b"ds64") + 16, "<Q"
    return (data.index(b"SSND") + 4, ">I") if data[:4] == b"FORM" else (data.index(b"data") + 4, "<I")


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "AU"])
@pytest.mark.parametrize("size", [0, 2, 8000, 14_000])
def test__header_with_fewer_bytes_than_there_are__item_error(kind: str, size: int) -> None:
    data = encoded(noise(), kind)
    assert code_of(patched(data, *size_place(data), size)) == "audio_length"


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "AIFF", "AU"])
def test__header_with_more_bytes_than_there_are__item_error(kind: str) -> None:
    data = encoded(noise(), kind)
    for size in (16_020, 30_000):
        assert code_of(patched(data, *size_place(data), size)) == "audio_cut_short"


def test__aiff__number_of_samples_that_its_chunk_does_not_hold__item_error() -> None:
    data = encoded(noise(), "AIFF")
    place = data.index(b"COMM") + 10
    assert code_of(patched(data, place, ">I", 8001)) == "audio_cut_short"
    assert code_of(patched(data, *size_place(data), 8008)) == "audio_cut_short"
    np.testing.assert_array_equal(read(patched(data, place, ">I", 0)), read(data))


def test__aiff__fewer_samples_stated_than_there_are__item_error_unless_few_or_zeros() -> None:
    data = encoded(noise(), "AIFF")
    place = data.index(b"COMM") + 10
    assert code_of(patched(data, place, ">I", 6000)) == "audio_length"
    np.testing.assert_array_equal(read(patched(data, place, ">I", 7800)), read(data))
    filled = encoded(np.concatenate([noise(6000), np.zeros(2000)]), "AIFF")
    np.testing.assert_array_equal(read(patched(filled, place, ">I", 6000)), read(filled))


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "AU", "FLAC"])
def test__files_one_behind_the_other__item_error(kind: str) -> None:
    for n_samples in (7999, 8000):
        data = encoded(noise(n_samples), kind, "PCM_24")
        assert code_of(data + data) == "audio_several"


def test__wav__second_chunk_of_samples__item_error() -> None:
    data = encoded(noise())
    assert code_of(data + data[data.index(b"data") :]) == "audio_several"


@pytest.mark.parametrize("n_samples", [1, 4000, 4096, 7999])
def test__flac__header_with_fewer_samples_than_there_are__item_error(n_samples: int) -> None:
    data = encoded(noise(), "FLAC")
    lying = patched(data, 22, ">I", n_samples)
    assert code_of(lying) == code_of(lying + b"TAG" + bytes(125)) == "audio_length"


def test__wav__two_sizes_of_a_sample__refused() -> None:
    data = encoded(noise(), coding="PCM_32")
    assert code_of(patched(data, 34, "<H", 24)) == "audio_format"
    assert code_of(patched(data, 32, "<H", 2)) == "audio_format"


def pages_of(data: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(data):
        table = data[place + 27 : place + 27 + data[place + 26]]
        end = place + 27 + len(table) + sum(table)
        found.append(data[place:end])
        place = end
    return found


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
def test__ogg__pages_missing_doubled_or_swapped__item_error(coding: str) -> None:
    pages = pages_of(encoded(noise(480_000), "OGG", coding, 48_000))
    assert len(pages) > 8
    for order in (
        [*pages[:5], *pages[6:]],
        [*pages[:5], *pages[4:]],
        [*pages[:5], pages[6], pages[5], *pages[7:]],
    ):
        assert code_of(b"".join(order), 48_000) == "audio_undecodable"


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
def test__ogg__ends_behind_a_whole_page__a_warning(coding: str) -> None:
    pages = pages_of(encoded(noise(480_000), "OGG", coding, 48_000))
    with pytest.warns(MediaWarning, match="no end mark"):
        assert len(read(b"".join(pages[:-3]), 48_000)) < 480_000


def mp3(samples: np.ndarray, rate: int = 44_100, mode: str = "VARIABLE") -> bytes:
    file = io.BytesIO()
    options: dict[str, Any] = {"bitrate_mode": mode, "compression_level": 0.5}
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(
        file, "w", rate, channels, format="MP3", subtype="MPEG_LAYER_III", **options
    ) as target:
        target.write(samples)
    return file.getvalue()


def decoded_by_ffmpeg(data: bytes) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        change = av.AudioResampler(format="fltp", layout=stream.layout)
        frames = [part for frame in container.decode(stream) for part in change.resample(frame)]
        frames += change.resample(None)
        return np.concatenate([frame.to_ndarray() for frame in frames], 1).mean(0), stream.rate


def mp3_frames(data: bytes) -> list[bytes]:
    """Frames of layer III, by the tables of ISO/IEC 11172-3 and 13818-3."""
    kbits_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    kbits_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    found, place = [], 0
    while place + 4 <= len(data):
        version = data[place + 1] >> 3 & 3  # 3: 1, 2: 2, 0: 2.5
        rate = (44_100, 48_000, 32_000)[data[place + 2] >> 2 & 3] // {3: 1, 2: 2, 0: 4}[version]
        kbits = (kbits_1 if version == 3 else kbits_2)[data[place + 2] >> 4]
        length = (144_000 if version == 3 else 72_000) * kbits // rate + (data[place + 2] >> 1 & 1)
        found.append(data[place : place + length])
        place += length
    return found


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 48_000])
@pytest.mark.parametrize("n_channels", [1, 2])
def test__mp3_without_its_length__of_every_rate(rate: int, n_channels: int) -> None:
    samples = noise(20_000 * n_channels).reshape(-1, n_channels)
    frames = mp3_frames(mp3(samples, rate))
    found, (expected, _) = read(b"".join(frames[1:]), rate), decoded_by_ffmpeg(b"".join(frames[1:]))
    assert len(found) == (len(frames) - 1) * (1152 if rate >= 32_000 else 576) - 529
    np.testing.assert_allclose(found[2000:], expected[len(expected) - len(found) :][2000:], atol=2e-4)


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT", "AVERAGE"])
@pytest.mark.parametrize("n_channels", [1, 2])
def test__mp3_without_its_length__all_of_it(mode: str, n_channels: int) -> None:
    loud = noise(200_000 * n_channels).reshape(-1, n_channels)
    loud[:50_000] *= 0.01  # from the quiet beginning, the length would be guessed too long or short
    frames = mp3_frames(mp3(loud, mode=mode))
    data = b"".join(frames[1:])
    found, (expected, _) = read(data, 44_100), decoded_by_ffmpeg(data)
    # 529 samples are the delay of every decoder.
    assert len(found) == (len(frames) - 1) * 1152 - 529
    start = len(expected) - len(found)
    np.testing.assert_allclose(found[2000:], expected[start:][2000:], atol=2e-4)
    assert code_of(data[: len(data) // 2 + 37], 44_100) == "audio_cut_short"
    damaged = b"".join([*frames[1:20], bytes(len(frames[20])), *frames[21:]])
    assert code_of(damaged, 44_100) == "audio_undecodable"
    tagged = id3(99) + data + b"TAG" + bytes(125)
    np.testing.assert_array_equal(read(tagged, 44_100), found)
    assert code_of(data + id3(99) + data, 44_100) == "audio_several"


@pytest.mark.parametrize(
    ("change", "code"), [(-200, "audio_length"), (-1, "audio_length"), (5, "audio_cut_short")]
)
def test__mp3__header_with_another_number_of_frames__item_error(change: int, code: str) -> None:
    data = mp3(noise(300_000))
    place = data.index(b"Xing") + 8
    (number,) = struct.unpack_from(">I", data, place)
    assert code_of(patched(data, place, ">I", number + change), 44_100) == code


def test__mp3__one_frame_missing__item_error() -> None:
    frames = mp3_frames(mp3(noise(300_000)))
    assert code_of(b"".join(frames[:-1]), 44_100) == "audio_cut_short"
    assert code_of(b"".join([*frames[:100], *frames[101:]]), 44_100) == "audio_cut_short"


def test__mp3_inside_wav__all_of_it() -> None:
    frames = mp3_frames(mp3(noise(200_000) * np.linspace(0.01, 1, 200_000)))
    for data in (b"".join(frames), b"".join(frames[1:])):
        form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 44_100, 16_000, 1, 0, 12, 1, 2, 417, 1, 1393)
        body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", data)
        wav = b"RIFF" + struct.pack("<I", len(body)) + body
        np.testing.assert_array_equal(read(wav, 44_100), read(data, 44_100))
        assert code_of(wav[:-1000], 44_100) == "audio_cut_short"
        nested = chunk(b"data", wav)
        body = b"WAVE" + chunk(b"fmt ", form) + nested
        assert code_of(b"RIFF" + struct.pack("<I", len(body)) + body) == "audio_undecodable"


@pytest.mark.parametrize("n_channels", [1, 2])
def test__mp3_with_a_header_of_fraunhofer__not_played(n_channels: int) -> None:
    frames = mp3_frames(mp3(noise(40_000 * n_channels).reshape(-1, n_channels), mode="CONSTANT"))[1:]
    numbers = struct.pack(">HHHIIHHHH", 1, 0, 75, 0, len(frames), 0, 1, 2, 1)
    head = (frames[0][:4] + bytes(32) + b"VBRI" + numbers).ljust(len(frames[0]), b"\0")[: len(frames[0])]
    data = b"".join(frames)
    np.testing.assert_array_equal(read(head + data, 44_100), read(data, 44_100))
    assert len(decoded_by_ffmpeg(head + data)[0]) == len(decoded_by_ffmpeg(data)[0])
    assert (audio_conversion(Audio(head + data)), audio_conversion(Audio(data))) == (3, 2)


def layer_2(samples: np.ndarray, rate: int = 44_100) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp2") as container:
        stream: Any = container.add_stream("mp2", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts = rate, 0
        change = av.AudioResampler(format="s16", layout="mono", rate=rate, frame_size=1152)
        for part in (*change.resample(frame), *change.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def test__mpeg_layer_2__every_frame() -> None:
    data = layer_2(0.3 * np.sin(np.arange(100_000) / 9))
    expected, _ = decoded_by_ffmpeg(data)
    found = read(data, 44_100)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert code_of(data[: len(data) // 2 + 7], 44_100) == "audio_cut_short"


RATES = [8000, 11_025, 22_050, 32_000, 44_100, 48_000]


@pytest.mark.parametrize(
    ("coding", "rate"),
    [
        *((coding, rate) for coding in CODINGS[6:] if coding[1] != "OPUS" for rate in RATES),
        *((("OGG", "OPUS"), rate) for rate in (8000, 48_000)),
    ],
)
def test__independent_decode__the_same(coding: tuple[str, str], rate: int) -> None:
    times = np.arange(round(1.37 * rate) + 13) / rate
    data = encoded(0.4 * np.sin(2 * np.pi * 300 * times) * np.minimum(times, 1), *coding, rate)
    expected, its_rate = decoded_by_ffmpeg(data)
    if its_rate != rate:
        expected = soxr.resample(expected, its_rate, rate)
    found = read(data, rate)
    assert len(found) == len(times)
    # FFmpeg ends Vorbis with a whole block.
    assert abs(len(expected) - len(found)) <= (256 if coding[1] == "VORBIS" else 1)
    shorter = min(len(found), len(expected))
    np.testing.assert_allclose(found[:shorter], expected[:shorter], atol=0.01)


def wav_of(values: bytes, coding: int, bits: int, rate: int = RATE) -> bytes:
    form = struct.pack("<HHIIHH", coding, 1, rate, rate * bits // 8, bits // 8, bits)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", values)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mu_law(code: int) -> float:
    """ITU-T G.711, table 2."""
    code = ~code & 0xFF
    size = (((code & 0x0F) << 1) + 33 << (code >> 4 & 7)) - 33
    return (-size if code & 0x80 else size) / 8192


def a_law(code: int) -> float:
    """ITU-T G.711, table 1."""
    code ^= 0x55
    step, segment = code & 0x0F, code >> 4 & 7
    size = (2 * step + 1) if segment == 0 else (2 * step + 33) << (segment - 1)
    return (size if code & 0x80 else -size) / 4096


def test__known_values__every_code() -> None:
    codes = bytes(range(256))
    np.testing.assert_array_equal(read(wav_of(codes, 1, 8)), [(code - 128) / 128 for code in range(256)])
    np.testing.assert_allclose(read(wav_of(codes, 7, 8)), [mu_law(code) for code in range(256)], atol=1e-7)
    np.testing.assert_allclose(read(wav_of(codes, 6, 8)), [a_law(code) for code in range(256)], atol=1e-7)
    for bits in (16, 24, 32):
        values = [0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 12345, -4321]
        packed = b"".join(value.to_bytes(bits // 8, "little", signed=True) for value in values)
        expected = np.array([value / 2 ** (bits - 1) for value in values], np.float32)
        np.testing.assert_array_equal(read(wav_of(packed, 1, bits)), expected)


def test__floats_beyond_full_scale__as_they_are() -> None:
    values = np.array([0.25, 1.5, -3.75, 7.9], np.float32)
    np.testing.assert_array_equal(read(wav_of(values.tobytes(), 3, 32)), values)
    np.testing.assert_array_equal(read(wav_of(values.astype("<f8").tobytes(), 3, 64)), values)


@pytest.mark.parametrize("rate", [7999, 11_025, 12_345, 37_800])
def test__odd_rates__kept_and_resampled(rate: int) -> None:
    samples = (noise(rate) * 32768).astype("<i2")
    data = wav_of(samples.tobytes(), 1, 16, rate)
    np.testing.assert_array_equal(read(data, rate), (samples / 32768).astype(np.float32))
    assert abs(len(read(data, 16_000)) - 16_000) <= 1


@pytest.mark.parametrize(("kind", "coding"), CODINGS)
def test__audio_conversion__another_only_where_the_end_was_lost(kind: str, coding: str) -> None:
    data = encoded(noise(), kind, coding)
    assert audio_conversion(Audio(data)) == audio_conversion(Audio(noise(), RATE)) == 1
    assert audio_conversion(Audio(data + b"TAG" + bytes(125))) == 1
    assert audio_conversion(Audio(id3(99) + data)) == 2
    if kind == "MP3":
        assert audio_conversion(Audio(b"".join(mp3_frames(data)[1:]))) == 2


@pytest.mark.parametrize("magic", [b"BW64", b"RIFX", b"caff", b"riff"])
def test__containers_that_are_not_read__advice(magic: bytes) -> None:
    assert code_of(magic + encoded(noise())[4:]) == "audio_format"


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
def test__ogg__recorded_from_a_stream_that_runs_already__the_same_clip(coding: str) -> None:
    data = encoded(noise(96_000), "OGG", coding, 48_000)
    late = bytearray()
    for page in map(bytearray, pages_of(data)):
        (position,) = struct.unpack_from("<q", page, 6)
        if position > 0:
            struct.pack_into("<q", page, 6, position + 480_000)
            page[22:26] = bytes(4)
            page[22:26] = _checksum(bytes(page))
        late += page
    np.testing.assert_array_equal(read(bytes(late), 48_000), read(data, 48_000))


@pytest.mark.parametrize("bits", [12, 20, 32])
def test__flac_of_bits_that_are_not_read__said(bits: int) -> None:
    data = encoded(noise(), "FLAC")
    rest = int.from_bytes(data[20:22], "big") & ~0x01F0
    changed = patched(data, 20, ">H", rest | (bits - 1) << 4)
    with pytest.raises(ItemError, match=f"a FLAC file of {bits} bits a sample") as caught:
        read(changed)
    assert caught.value.code == "audio_format"


def test__ogg_of_another_coding__said() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream: Any = container.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert code_of(file.getvalue()) == "audio_format"


def test__checksum__a_plain_loop() -> None:
    page = pages_of(encoded(noise(), "OGG", "VORBIS"))[0]
    total = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if total & 0x80000000 else total << 1
    assert total == int.from_bytes(page[22:26], "little")
    assert zlib.crc32(page) != total
