"""`load_audio`: audio as samples of one channel at a wanted rate, with limits. Thread-safe.

In reading order: its samples in blocks, and `load_audio`. Files are checked before they are decoded
because libsndfile reads what is left of a damaged file, and only the first of several in one, without an
error. The first bytes decide which of libsndfile's readers may see a file: its twenty others, some of them
for formats out of use, are never reached. A header is trusted only to refuse a file sooner.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from savs._optional import import_optional
from savs.errors import MediaError
from savs.media._audio_files import (
    conversion_of,
    cut_short,
    format_error,
    has_later_end,
    n_samples_of_layers_1_and_2,
    readable,
    undecodable_audio,
    whole,
)
from savs.media._coercion import as_audio, settled_part
from savs.media._paths import check_media_file, encoded
from savs.media.limits import MediaWarning
from savs.media.parts import Audio

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AudioLimits",
    "audio_conversion",
    "audio_hash",
    "check_audio_file",
    "decode_audio",
    "load_audio",
]


# What kind of audio file some bytes are, and their samples in blocks, of one channel; knows limits.

_KINDS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU"})
_CODINGS = frozenset(
    {
        *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
        *("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
    }
)
_UNKNOWN_LENGTH = 2**62  # libsndfile's number of samples where the file does not say it: this or more
_CANCELLED = 0.01  # of the channels' energy; 32 channels that have nothing in common leave 0.03
_FEW_SAMPLES = 256  # so few may cancel by chance
_FILE_BLOCK = 2**18  # numbers decoded at a time, all channels together


@dataclass(frozen=True)
class AudioLimits:
    """Limits of one audio clip, checked in its header and again while it is decoded.

    Parameters
    ----------
    max_bytes : int
        Largest encoded file, in bytes.
    max_seconds : float
        Longest audio clip, in seconds.
    min_seconds : float
        Shortest audio clip, in seconds. A clip without samples is always refused.
    max_channels : int
        Most channels.
    min_sampling_rate, max_sampling_rate : int
        Lowest and highest sampling rate of a file or array, in hertz.
    max_level : float
        Largest absolute value of a sample. Full scale is 1; decoders of lossy files overshoot it a little.
    max_values : int
        Most samples of all channels together. It bounds decoding time, which the file size does not:
        silence compresses well.
    """

    max_bytes: int = 256 * 2**20
    max_seconds: float = 3600.0
    min_seconds: float = 0.0
    max_channels: int = 32
    min_sampling_rate: int = 1000
    max_sampling_rate: int = 768_000
    max_level: float = 8.0
    max_values: int = 1_500_000_000

    def check_shape(self, n_channels: int, sampling_rate: int) -> None:
        """Check the number of channels and the sampling rate.

        Parameters
        ----------
        n_channels : int
        sampling_rate : int
            In hertz.

        Raises
        ------
        MediaError
            ``audio_channels`` or ``audio_rate`` if the value is out of bounds.
        """
        if not 1 <= n_channels <= self.max_channels:
            message = f"the audio clip has {n_channels} channels; 1 to {self.max_channels} are read"
            raise MediaError(message, code="audio_channels")
        if not self.min_sampling_rate <= sampling_rate <= self.max_sampling_rate:
            raise MediaError(
                f"the audio clip has {sampling_rate} samples a second; {self.min_sampling_rate} to "
                f"{self.max_sampling_rate} are read",
                code="audio_rate",
            )

    def check_not_longer(self, n_samples: int, sampling_rate: int, n_channels: int = 1) -> None:
        """Check that an audio clip, or the part decoded so far, is not too long.

        Parameters
        ----------
        n_samples : int
            Samples of one channel.
        sampling_rate : int
            In hertz.
        n_channels : int, default=1

        Raises
        ------
        MediaError
            ``audio_too_long`` if there are more than `max_seconds` seconds or `max_values` samples.
        """
        if n_samples > self.max_seconds * sampling_rate or n_samples * n_channels > self.max_values:
            raise MediaError(
                f"the audio clip is longer than the limit of {self.max_seconds:g} seconds, or has more than "
                f"{self.max_values} samples in its channels together; cut it",
                code="audio_too_long",
            )

    def check_length(self, n_samples: int, sampling_rate: int) -> None:
        """Check the length of a whole audio clip.

        Parameters
        ----------
        n_samples : int
            Samples of one channel.
        sampling_rate : int
            In hertz.

        Raises
        ------
        MediaError
            ``audio_too_long`` or ``audio_too_short`` if the length is out of bounds. A clip without samples
            is always too short.
        """
        self.check_not_longer(n_samples, sampling_rate)
        if n_samples == 0:
            raise MediaError(
                "the audio clip has no samples; record or fetch it again", code="audio_too_short"
            )
        if n_samples < self.min_seconds * sampling_rate:
            raise MediaError(
                f"the audio clip has {n_samples / sampling_rate:.4f} seconds, less than the limit of "
                f"{self.min_seconds:g}",
                code="audio_too_short",
            )

    def check_values(self, block: NDArray[Any]) -> None:
        """Raise `MediaError` (``audio_not_finite``, ``audio_level``) for samples that cannot be used."""
        if not np.isfinite(block).all():
            raise MediaError(
                "the audio clip has samples that are NaN or infinite; write it again", code="audio_not_finite"
            )
        if block.size and max(float(block.max()), -float(block.min())) > self.max_level:
            raise MediaError(
                f"the audio has samples beyond {self.max_level:g} where full scale is 1; divide those of 16 "
                "bits by 32768",
                code="audio_level",
            )


def blocks_of_file(data: bytes, limits: AudioLimits) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the sampling rate and the next samples of an encoded audio clip, the mean of its channels.

    Raises
    ------
    MediaError
        ``audio_format``, ``audio_undecodable``, ``audio_cut_short``, ``audio_length``, ``audio_several``, and
        the codes of `AudioLimits`.

    Warns
    -----
    MediaWarning
        If an OGG file has no end mark, or the channels cancel each other.
    """
    data = whole(data)
    soundfile = import_optional("soundfile")
    try:
        with soundfile.SoundFile(_Reader(readable(data))) as file:
            _check_header(file, limits)
            yield from _decoded(file, limits)
            # Damaged frames of MP3 files are left out.
            if file.tell() < (n_samples_of_layers_1_and_2(data) or file.frames):
                raise undecodable_audio() if file.format == "MP3" else cut_short()
        if data[:4] == b"fLaC" and _goes_on(data, soundfile):
            raise has_later_end()
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        # libsndfile's own text may quote whatever is in the file.
        if isinstance(error, MediaError):
            raise
        raise _of_other_bits(data) or undecodable_audio() from None


def _of_other_bits(data: bytes) -> MediaError | None:
    """Return the error for a FLAC file with bits that libsndfile does not read (RFC 9639, section 8.2)."""
    if data[:4] != b"fLaC" or len(data) < 22:
        return None
    bits = ((data[20] & 1) << 4 | data[21] >> 4) + 1
    return None if bits in (8, 16, 24) or bits < 4 else format_error(f"a FLAC file of {bits} bits a sample")


class _Reader(io.BytesIO):
    """Bytes whose place never leaves them: an exception in libsndfile's callback would go to the terminal."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, or stay if there is none such."""
        start = (0, self.tell(), self.getbuffer().nbytes)[whence]
        return super().seek(min(max(start + offset, 0), 2**62))


def _check_header(file: Any, limits: AudioLimits) -> None:
    if file.format not in _KINDS or file.subtype not in _CODINGS:
        raise format_error(f"coded as {str(file.subtype)[:20]}")
    limits.check_shape(file.channels, file.samplerate)
    # soundfile seeks behind every block that it reads, which fails at the end of such a file.
    if file.frames >= _UNKNOWN_LENGTH:
        raise format_error("a file that does not say how long it is (FLAC written to a pipe)")
    limits.check_not_longer(file.frames, file.samplerate, file.channels)


def _decoded(file: Any, limits: AudioLimits) -> Iterator[tuple[int, NDArray[np.float32]]]:
    rate, channels, n_read = int(file.samplerate), int(file.channels), 0
    mix = _Mix()
    file.seek(0)  # libsndfile begins Opus whose clock does not start at zero with what is to be skipped
    while True:
        block = file.read(max(_FILE_BLOCK // channels, 1), dtype="float32", always_2d=True)
        if not len(block):
            break
        n_read += len(block)
        limits.check_not_longer(n_read, rate, channels)
        limits.check_values(block)
        yield rate, mix.mean(block)
    mix.warn()


class _Mix:
    """Takes the mean of the channels, block by block, and knows whether they cancelled each other."""

    def __init__(self) -> None:
        self._n_samples = 0
        self._before = self._after = 0.0  # sums of squares

    def mean(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Return the mean of the channels; `block` has the shape (n_samples, n_channels)."""
        mean: NDArray[np.float64] = block.mean(axis=1, dtype=np.float64)
        if block.shape[1] > 1:
            self._n_samples += len(block)
            self._before += float(np.square(block).mean(axis=1, dtype=np.float64).sum())
            self._after += float(np.square(mean).sum())
        return mean.astype(np.float32)

    def warn(self) -> None:
        """Warn if hardly anything is left, as where a microphone's wires were swapped in one channel."""
        if self._n_samples > _FEW_SAMPLES and self._after < _CANCELLED * self._before:
            warnings.warn(
                "the channels of an audio clip cancel each other, as where one is the other inverted: their "
                "mean, which is read, is nearly silent; give one of them "
                "(ffmpeg -i FILE -af 'pan=mono|c0=c0' file.wav)",
                MediaWarning,
                stacklevel=4,
            )


def _goes_on(data: bytes, soundfile: Any) -> bool:
    """Return whether a FLAC file has a sample behind the last one by its header, where its decoder stops."""
    head = bytearray(data[:26])
    n_samples = int.from_bytes(head[21:26], "big") % 2**36  # RFC 9639, section 8.2
    if n_samples == 2**36 - 1:
        return False
    head[21:26] = (int.from_bytes(head[21:26], "big") + 1).to_bytes(5, "big")
    try:
        with soundfile.SoundFile(_Reader(bytes(head) + data[26:])) as file:
            file.seek(n_samples)
            return len(file.read(1)) > 0
    except (soundfile.SoundFileError, RuntimeError):
        return False


# `load_audio`: an audio clip as samples of one channel at a wanted rate, with limits. Thread-safe.

_HASH_BLOCK = 2**18


def load_audio(audio: Any, sampling_rate: int, limits: AudioLimits | None = None) -> NDArray[np.float32]:
    """Return an audio clip's samples: the mean of its channels, resampled by soxr (quality HQ).

    Parameters
    ----------
    audio : Audio, path, bytes, file or mapping
        A WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF or AU file, its bytes, or an array of samples with its
        rate, in every form that an example takes.
    sampling_rate : int
        Samples per second of the result.
    limits : AudioLimits, optional

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Full scale is 1; contiguous.

    Raises
    ------
    MediaError
        ``media_missing``, ``media_not_a_file``, ``media_unreadable``, ``audio_too_large``, ``audio_format``,
        ``audio_undecodable``, ``audio_cut_short``, ``audio_length``, ``audio_several``, ``audio_too_long``,
        ``audio_too_short``, ``audio_channels``, ``audio_rate``, ``audio_not_finite`` or ``audio_level``.
    ExampleError
        ``audio_array`` or ``audio_rate``, for an array that cannot be an audio clip.
    """
    return decode_audio(settled_part(as_audio(audio), None), sampling_rate, limits)


def decode_audio(audio: Audio, sampling_rate: int, limits: AudioLimits | None = None) -> NDArray[np.float32]:
    """Return the samples of an audio clip that is already part of an example, as `load_audio` does.

    Parameters
    ----------
    audio : Audio
        Its source is a path, encoded bytes or an array; web addresses were replaced before.
    sampling_rate : int
        Samples per second (hertz) of the result.
    limits : AudioLimits, optional
        Largest file size, length, rate and number of channels; the defaults of `AudioLimits` if None.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        One channel, the mean of all; full scale is 1.

    Raises
    ------
    MediaError
        With the codes of `load_audio`.
    ValueError
        If `sampling_rate` is not a positive integer.
    """
    if type(sampling_rate) is not int or sampling_rate < 1:
        raise ValueError(f"a sampling rate is a whole number above 0, not {sampling_rate!r}")
    limits, source = limits or AudioLimits(), audio.source
    if isinstance(source, np.ndarray):
        blocks = _blocks_of_array(source, int(audio.sampling_rate or 0), limits)
    else:
        blocks = blocks_of_file(encoded(source, limits, "audio"), limits)
    return _resampled(blocks, sampling_rate, limits)


def audio_hash(audio: Audio, limits: AudioLimits | None = None) -> str:
    """Return the SHA-256 hash of an audio clip; nothing is decoded.

    Parameters
    ----------
    audio : Audio
        A path or encoded bytes are hashed as bytes; an array by its dtype, shape, sampling rate and values.
    limits : AudioLimits, optional
        Only the largest file size (bytes) is used; the default of `AudioLimits` if None.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    MediaError
        If a file cannot be read, or the encoded clip is empty or larger than the limit.
    """
    limits, source = limits or AudioLimits(), audio.source
    if not isinstance(source, np.ndarray):
        return hashlib.sha256(encoded(source, limits, "audio")).hexdigest()
    kind = source.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"samples {kind.str} {source.shape} {int(audio.sampling_rate or 0)}\n".encode())
    digest.update(np.ascontiguousarray(source, kind).data)
    return digest.hexdigest()


def audio_conversion(audio: Audio, limits: AudioLimits | None = None) -> int:
    """Return the version of the rules by which an audio clip becomes samples.

    It is 1 for all that every version of savs has read alike, so that their features in a store stay valid.

    Parameters
    ----------
    audio : Audio
    limits : AudioLimits, optional
        Only the largest file size (bytes) is used; the default of `AudioLimits` if None.

    Raises
    ------
    MediaError
        As `audio_hash`.
    """
    if isinstance(audio.source, np.ndarray):
        return 1
    return conversion_of(encoded(audio.source, limits or AudioLimits(), "audio"))


def check_audio_file(path: Path, limits: AudioLimits | None = None) -> None:
    """Check without opening it that a file exists, is readable, and has an acceptable size.

    Parameters
    ----------
    path : Path
        An audio file.
    limits : AudioLimits, optional
        Only the largest file size (bytes) is used; the default of `AudioLimits` if None.

    Raises
    ------
    MediaError
        ``media_missing``, ``media_not_a_file``, ``media_unreadable``, ``audio_undecodable`` (an empty file)
        or ``audio_too_large``.
    """
    check_media_file(path, limits or AudioLimits(), "audio")


def _blocks_of_array(
    samples: NDArray[Any], rate: int, limits: AudioLimits
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    n_channels = 1 if samples.ndim == 1 else samples.shape[1]
    limits.check_shape(n_channels, rate)
    limits.check_not_longer(len(samples), rate, n_channels)
    mix = _Mix()
    for start in range(0, len(samples), _HASH_BLOCK // n_channels):
        block = samples[start : start + _HASH_BLOCK // n_channels].reshape(-1, n_channels)
        scaled = block / np.float64(32768) if block.dtype.kind == "i" else block.astype(np.float64)
        limits.check_values(scaled)
        yield rate, mix.mean(scaled)
    mix.warn()


def _resampler(rate: int, wanted: int) -> Any:
    soxr = import_optional("soxr")
    return soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")


def _resampled(
    blocks: Iterator[tuple[int, NDArray[np.float32]]], wanted: int, limits: AudioLimits
) -> NDArray[np.float32]:
    pieces: list[NDArray[np.float32]] = []
    stream, n_read, rate = None, 0, wanted
    for rate, block in blocks:
        n_read += len(block)
        if rate != wanted:
            stream = stream or _resampler(rate, wanted)
            pieces.append(stream.resample_chunk(block))
        else:
            pieces.append(block)
    limits.check_length(n_read, rate)
    if stream is not None:
        pieces.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    samples = np.ascontiguousarray(np.concatenate(pieces), np.float32)
    limits.check_length(len(samples), wanted)
    return samples
