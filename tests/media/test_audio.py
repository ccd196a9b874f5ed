from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.errors import ItemError, MediaError
from savs.media import Audio, MediaWarning
from savs.media.audio import AudioLimits, audio_hash, blocks_of_file, check_audio_file, load_audio

LOSSLESS = [
    ("WAV", "PCM_16", 2**-15),
    ("WAV", "PCM_24", 2**-23),
    ("WAV", "PCM_U8", 2**-7),
    ("WAV", "FLOAT", 1e-7),
    ("WAV", "DOUBLE", 1e-7),
    ("WAVEX", "PCM_16", 2**-15),
    ("RF64", "PCM_16", 2**-15),
    ("FLAC", "PCM_16", 2**-15),
    ("FLAC", "PCM_24", 2**-23),
    ("AIFF", "PCM_16", 2**-15),
    ("AU", "PCM_16", 2**-15),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


def sine(hertz: float = 440.0, rate: int = 8000, seconds: float = 0.5, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def encoded(samples: np.ndarray, rate: int = 8000, kind: str = "WAV", coding: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=coding)
    return buffer.getvalue()


def wav(samples: bytes, size: int | None = None, *, channels: int = 1, rate: int = 8000) -> bytes:
    width = 2 * channels
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * width % 2**32, width % 2**16, 16)
    data = b"data" + struct.pack("<I", len(samples) if size is None else size) + samples
    return b"RIFF" + struct.pack("<I", 28 + len(samples)) + b"WAVEfmt " + struct.pack("<I", 16) + form + data


def code_of(source: Any, rate: int = 8000, **options: Any) -> str:
    audio = source if isinstance(source, Audio) else Audio(source)
    with pytest.raises(ItemError) as caught:
        load_audio(audio, rate, **options)
    assert str(caught.value).isprintable()
    assert " at 0x" not in str(caught.value)
    return caught.value.code


def mono(samples: np.ndarray) -> np.ndarray:
    """Return the mean over channels, by a plain loop in 64 bits."""
    means = []
    for frame in samples:
        total = 0.0
        for value in frame:
            total += float(value)
        means.append(total / len(frame))
    return np.array(means)


@pytest.mark.parametrize(("kind", "coding", "step"), LOSSLESS)
@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test__load_audio__lossless_files__mean_of_the_channels(
    kind: str, coding: str, step: float, n_channels: int
) -> None:
    samples = np.stack([sine(200.0 * (i + 1), level=0.8 / (i + 1)) for i in range(n_channels)], 1)
    loaded = load_audio(Audio(encoded(samples, 8000, kind, coding)), 8000)
    assert loaded.dtype == np.float32
    assert loaded.flags.c_contiguous
    np.testing.assert_allclose(loaded, mono(samples), atol=step)


@pytest.mark.parametrize(("kind", "coding"), LOSSY)
def test__load_audio__lossy_files__the_same_audio(kind: str, coding: str) -> None:
    rate = 48_000
    loaded = load_audio(Audio(encoded(sine(440, rate, 1.0), rate, kind, coding)), 16_000)
    assert len(loaded) == 16_000
    assert strongest(loaded[4000:12000], 16_000) == pytest.approx(440, abs=2)
    assert power(loaded[4000:12000]) == pytest.approx(0.125, rel=0.05)


def strongest(samples: np.ndarray, rate: int) -> float:
    """Return the frequency of the largest peak, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 16 * len(samples)))
    return float(spectrum.argmax() * rate / (16 * len(samples)))


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("wanted", [8000, 16_000, 24_000])
def test__load_audio__resampled__length_frequency_and_energy_stay(rate: int, wanted: int) -> None:
    loaded = load_audio(Audio(sine(440, rate, 1.0), rate), wanted)
    assert abs(len(loaded) - wanted) <= 1
    middle = slice(wanted // 4, 3 * wanted // 4)
    assert strongest(loaded[middle], wanted) == pytest.approx(440, abs=0.5)
    assert power(loaded[middle]) == pytest.approx(0.125, rel=1e-3)
    expected = sine(440, wanted, 1.0)[middle]
    np.testing.assert_allclose(loaded[middle], expected, atol=2e-3)


def test__load_audio__above_half_the_new_rate__filtered_and_not_folded() -> None:
    loaded = load_audio(Audio(sine(7000, 48_000, 1.0), 48_000), 8000)
    assert power(loaded[1000:-1000]) < 1e-8


def test__load_audio__long_audio__in_blocks_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    samples = np.clip(rng.normal(0, 0.1, (30_000, 3)), -0.9, 0.9)
    data = encoded(samples, 44_100, "FLAC", "PCM_24")
    whole = load_audio(Audio(data), 16_000)
    monkeypatch.setattr("savs.media.audio._FILE_BLOCK", 1000)
    np.testing.assert_array_equal(load_audio(Audio(data), 16_000), whole)
    monkeypatch.setattr("savs.media.audio._HASH_BLOCK", 1000)
    np.testing.assert_allclose(load_audio(Audio(samples, 44_100), 16_000), whole, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, ">f4", ">i2"])
def test__load_audio__arrays__scaled_by_their_type(dtype: Any) -> None:
    samples = np.stack([sine(), sine(300)], 1)
    given_ = (samples * 32768).round().astype(dtype) if np.dtype(dtype).kind == "i" else samples.astype(dtype)
    loaded = load_audio(Audio(given_, 8000), 8000)
    np.testing.assert_allclose(loaded, mono(samples), atol=1e-3)
    np.testing.assert_array_equal(load_audio(Audio(given_[:, 0], 8000), 8000).shape, (4000,))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test__load_audio__any_length__what_was_written(n_samples: int, n_channels: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-32768, 32768, (n_samples, n_channels)).astype(np.int16)
    loaded = load_audio(Audio(encoded(samples)), 8000)
    np.testing.assert_array_equal(loaded, load_audio(Audio(samples, 8000), 8000))
    np.testing.assert_array_equal(loaded, mono(samples / 32768.0).astype(np.float32))


def test__load_audio__array_and_file__the_same_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(sine(rate=44_100), 44_100, "WAV", "DOUBLE"))
    from_file = load_audio(Audio(path), 16_000)
    np.testing.assert_array_equal(from_file, load_audio(Audio(path.read_bytes()), 16_000))
    # 64 bits are read as 32.
    np.testing.assert_allclose(from_file, load_audio(Audio(sine(rate=44_100), 44_100), 16_000), atol=1e-6)


def test__load_audio__several_threads__as_one_after_the_other() -> None:
    files = [encoded(sine(100.0 * i + 100, 44_100), 44_100, *LOSSY[i % 3]) for i in (0, 2, 3, 5)]
    files += [encoded(sine(100.0 * i + 100, 44_100), 44_100, "FLAC") for i in range(4)]
    alone = [load_audio(Audio(data), 16_000) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: load_audio(Audio(data), 16_000), files * 4))
    for one, other in zip(together, alone * 4, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rate", [0, -1, 16_000.0, True])
def test__load_audio__no_rate_to_resample_to__value_error(rate: Any) -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        load_audio(Audio(sine(), 8000), rate)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 5000, b"<!DOCTYPE html><html></html>", b"fLaC" + bytes(500), b"RIFF\x04\0\0\0WAVE"]
)
def test__fault_01__no_audio__item_error(data: bytes, tmp_path: Path) -> None:
    assert code_of(data) == "audio_undecodable"
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    assert code_of(path) == "audio_undecodable"


@pytest.mark.parametrize("kind", [*[(kind, coding) for kind, coding, _ in LOSSLESS], *LOSSY])
@pytest.mark.parametrize("part", [0.97, 0.5, 0.1])
def test__fault_02__cut_short__item_error(kind: tuple[str, str], part: float) -> None:
    data = encoded(sine(rate=48_000), 48_000, *kind)
    load_audio(Audio(data), 16_000)
    assert code_of(data[: int(len(data) * part)]) in {"audio_cut_short", "audio_undecodable"}


def test__fault_02__length_of_a_stream_unknown__what_is_there() -> None:
    samples = (sine() * 32768).astype("<i2").tobytes()
    for size in (2**32 - 1, 0x7FFFF000):
        np.testing.assert_allclose(load_audio(Audio(wav(samples, size)), 8000), sine(), atol=1e-4)


@pytest.mark.parametrize(("kind", "coding"), [*LOSSY, ("FLAC", "PCM_16")])
def test__fault_02__damaged_in_the_middle__not_shortened_without_a_word(kind: str, coding: str) -> None:
    rng = np.random.default_rng(0)
    data = encoded(rng.normal(0, 0.1, 8 * 16_000), 16_000, kind, coding)
    for place in rng.integers(len(data) // 8, len(data) * 7 // 8, 8):
        zeroed = data[:place] + bytes(200) + data[place + 200 :]
        assert code_of(zeroed, 16_000) in {"audio_undecodable", "audio_cut_short"}
        flipped = data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
        if kind != "MP3":  # which has no checksums: a bit is another audio clip, of the same length
            assert code_of(flipped, 16_000) in {"audio_undecodable", "audio_cut_short"}


@pytest.mark.parametrize(
    ("kind", "coding"), [*LOSSY, ("FLAC", "PCM_16")], ids=["vorbis", "opus", "mp3", "flac"]
)
def test__fault_02__audios_one_behind_the_other__not_cut_without_a_word(kind: str, coding: str) -> None:
    first, second = (encoded(sine(hertz, 48_000), 48_000, kind, coding) for hertz in (440.0, 880.0))
    assert code_of(first + second) == "audio_several"
    if kind == "MP3":
        tag = b"ID3\4\0\0\0\0\1\0" + bytes(128)
        assert code_of(tag + first + tag + second) == "audio_several"
        assert len(load_audio(Audio(tag + first + b"TAG" + bytes(125)), 8000)) == 4000


def test__fault_02__flac_of_unknown_length__item_error_that_says_so() -> None:
    data = bytearray(encoded(sine(), kind="FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # number of samples, 36 bits
    assert code_of(bytes(data)) == "audio_format"


def test__fault_02__length_that_lies__refused_without_memory() -> None:
    flac = encoded(sine(), kind="FLAC")
    longest = flac[:21] + bytes([flac[21] | 15]) + b"\xff" * 4 + flac[26:]
    assert code_of(longest) == "audio_too_long"
    assert code_of(longest, limits=AudioLimits(max_seconds=1e12, max_values=2**40)) in {
        "audio_cut_short",
        "audio_undecodable",
    }
    assert code_of(wav(bytes(100), 2**30)) == "audio_cut_short"


def test__limits__longer_than_its_header_says__stopped_while_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("savs.media.audio._FILE_BLOCK", 1000)
    monkeypatch.setattr("savs.media.audio._check_header", lambda *_: None)
    blocks = blocks_of_file(encoded(sine(seconds=3)), AudioLimits(max_seconds=1))
    assert sum(len(next(blocks)[1]) for _ in range(8)) == 8000
    with pytest.raises(MediaError) as caught:
        next(blocks)
    assert caught.value.code == "audio_too_long"


def test__limits__each__its_own_code() -> None:
    data = encoded(np.stack([sine()] * 2, 1))
    assert code_of(data, limits=AudioLimits(max_bytes=100)) == "audio_too_large"
    assert code_of(data, limits=AudioLimits(max_seconds=0.4)) == "audio_too_long"
    assert code_of(data, limits=AudioLimits(max_values=7999)) == "audio_too_long"
    assert code_of(data, limits=AudioLimits(min_seconds=0.6)) == "audio_too_short"
    assert code_of(data, limits=AudioLimits(max_channels=1)) == "audio_channels"
    assert code_of(data, limits=AudioLimits(max_sampling_rate=7999)) == "audio_rate"
    assert code_of(data, limits=AudioLimits(min_sampling_rate=8001)) == "audio_rate"
    assert code_of(data, limits=AudioLimits(max_level=0.4)) == "audio_level"
    array = Audio(np.stack([sine()] * 2, 1), 8000)
    assert code_of(array, limits=AudioLimits(max_seconds=0.4)) == "audio_too_long"
    assert code_of(array, limits=AudioLimits(max_values=7999)) == "audio_too_long"
    assert code_of(array, limits=AudioLimits(max_channels=1)) == "audio_channels"
    assert code_of(array, limits=AudioLimits(max_sampling_rate=7999)) == "audio_rate"
    whole = AudioLimits(10_000_000, 0.5, 0.5, 2, 8000, 8000, 0.51, 8000)
    assert len(load_audio(Audio(data), 8000, whole)) == 4000


def test__no_samples__too_short() -> None:
    assert code_of(encoded(np.empty(0))) == "audio_too_short"
    # One sample of 44 100 a second is less than one of 8 000.
    assert code_of(encoded(np.array([0.5]), 44_100)) == "audio_too_short"
    np.testing.assert_array_equal(load_audio(Audio(encoded(np.array([0.5]))), 8000), [0.5])
    np.testing.assert_array_equal(load_audio(Audio(encoded(np.zeros(100))), 8000), np.zeros(100))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test__not_finite__item_error(value: float) -> None:
    samples = sine()
    samples[-1] = value
    assert code_of(encoded(samples, coding="FLOAT")) == "audio_not_finite"
    assert code_of(Audio(samples, 8000)) == "audio_not_finite"
    assert code_of(Audio(samples.astype(np.float16), 8000)) == "audio_not_finite"


def test__decimals_of_16_bits__item_error_that_says_so() -> None:
    assert code_of(Audio(sine() * 32768, 8000)) == "audio_level"
    with pytest.raises(MediaError, match="divide those of 16 bits by 32768"):
        load_audio(Audio(encoded(sine() * 32768, coding="FLOAT")), 8000)
    assert load_audio(Audio(sine() * 4, 8000), 8000).max() > 1.9  # above full scale, and no mistake


@pytest.mark.parametrize("kind", ["W64", "CAF", "SVX", "PAF", "VOC", "NIST", "IRCAM", "MAT5"])
def test__other_formats_of_libsndfile__never_handed_to_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(sine(), kind=kind)
    monkeypatch.setattr(soundfile, "SoundFile", None)
    assert code_of(data) in {"audio_format", "audio_undecodable"}


@pytest.mark.parametrize(
    "data",
    [b"\0\0\0\x20ftypM4A " + bytes(99), b"\xff\xf1\x50\x80" + bytes(99), encoded(sine(), coding="IMA_ADPCM")],
)
def test__codings_that_are_not_read__advice(data: bytes) -> None:
    with pytest.raises(MediaError, match="convert it to WAV or FLAC") as caught:
        load_audio(Audio(data), 8000)
    assert caught.value.code == "audio_format"


def test__fault_09__files_that_are_none__codes(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(tmp_path / "nowhere.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty.wav").touch()
    codes = {
        "nowhere.wav": "media_missing",
        "link.wav": "media_missing",
        "pipe.wav": "media_not_a_file",
        "folder.wav": "media_not_a_file",
        "empty.wav": "audio_undecodable",
    }
    for name, code in codes.items():
        assert code_of(tmp_path / name) == code
        with pytest.raises(MediaError) as caught:
            check_audio_file(tmp_path / name)
        assert caught.value.code == code
        assert "image" not in caught.value.message
    (tmp_path / "long.wav").write_bytes(bytes(200))
    with pytest.raises(MediaError) as caught:
        check_audio_file(tmp_path / "long.wav", AudioLimits(max_bytes=100))
    assert caught.value.code == "audio_too_large"


def test__audio_hash__encoded__their_bytes_and_nothing_decoded(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.wav"
    path.write_bytes(b"anything")
    expected = hashlib.sha256(b"anything").hexdigest()
    assert audio_hash(Audio(path)) == audio_hash(Audio(b"anything")) == expected
    with pytest.raises(MediaError) as caught:
        audio_hash(Audio(b"anything"), AudioLimits(max_bytes=7))
    assert caught.value.code == "audio_too_large"


def test__audio_hash__arrays__type_shape_rate_and_values() -> None:
    samples = sine().reshape(-1, 2)
    changed = samples.copy()
    changed[-1, -1] += 1e-9
    different = [
        Audio(samples, 8000),
        Audio(samples, 16_000),
        Audio(samples.ravel(), 8000),
        Audio(samples.astype(np.float32), 8000),
        Audio((samples * 9).astype(np.int16), 8000),
        Audio(changed, 8000),
    ]
    assert len({audio_hash(audio) for audio in different}) == len(different)
    same = [samples.copy(), np.asfortranarray(samples), samples.astype(">f8"), samples[::-1][::-1]]
    assert {audio_hash(Audio(array, 8000)) for array in same} == {audio_hash(different[0])}


def test__import__neither_soundfile_nor_soxr() -> None:
    code = "import sys, savs, savs.media.audio; sys.exit({'soundfile', 'soxr'} & set(sys.modules) != set())"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("left", [1.0, 0.9])
@pytest.mark.parametrize("form", ["file", "floats", "int16"])
def test__load_audio__channels_that_cancel__warning(left: float, form: str) -> None:
    samples = np.stack([left * sine(), -sine()], 1)
    source = {
        "file": lambda: Audio(encoded(samples)),
        "floats": lambda: Audio(samples, sampling_rate=8000),
        "int16": lambda: Audio((samples * 32767).astype(np.int16), sampling_rate=8000),
    }[form]()
    with pytest.warns(MediaWarning, match="channels of an audio clip cancel each other"):
        heard = load_audio(source, 8000)
    np.testing.assert_allclose(heard, samples.mean(axis=1), atol=1e-4)


def test__load_audio__channels_that_differ__no_warning() -> None:
    random = np.random.default_rng(0).normal(scale=0.1, size=(4000, 32))
    silent = np.stack([sine(), 0 * sine()], 1)
    for samples in (random, silent, 0 * silent, np.array([[0.5, -0.5]])):
        assert len(load_audio(Audio(samples, sampling_rate=8000), 8000)) == len(samples)
