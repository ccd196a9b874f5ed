"""`load_audio`: a sound as samples of one channel at a wanted rate, with limits. Thread-safe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from savs.errors import MediaError
from savs.examples.addresses import settled_part
from savs.examples.content import Audio
from savs.examples.sounds import as_audio
from savs.media.limits import MediaLimits
from savs.media.paths import check_media_file, read_media_file
from savs.media.sound_files import AudioLimits, blocks_of_file, undecodable_sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AudioLimits", "audio_hash", "check_audio_file", "load_audio"]

_BLOCK = 2**18


def load_audio(audio: Audio, sampling_rate: int, limits: AudioLimits | None = None) -> NDArray[np.float32]:
    """Return a sound's samples: the mean of its channels, resampled by soxr (quality HQ).

    Parameters
    ----------
    audio : Audio
        A WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF or AU file, its bytes, or an array of samples.
    sampling_rate : int
        Samples a second that are wanted.
    limits : AudioLimits, optional

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Full scale is 1; contiguous.

    Raises
    ------
    MediaError
        ``media_missing``, ``media_not_a_file``, ``media_unreadable``, ``audio_too_large``, ``audio_format``,
        ``audio_undecodable``, ``audio_cut_short``, ``audio_several``, ``audio_too_long``,
        ``audio_too_short``, ``audio_channels``, ``audio_rate``, ``audio_not_finite`` or ``audio_level``.
    ExampleError
        ``audio_array`` or ``audio_rate``, for an array that is no sound.
    """
    if type(sampling_rate) is not int or sampling_rate < 1:
        raise ValueError(f"a sampling rate is a whole number above 0, not {sampling_rate!r}")
    limits = limits or AudioLimits()
    source = settled_part(as_audio(audio), None).source
    if isinstance(source, np.ndarray):
        blocks = _blocks_of_array(source, int(audio.sampling_rate or 0), limits)
    else:
        blocks = blocks_of_file(_encoded(source, limits), limits)
    return _resampled(blocks, sampling_rate, limits)


def audio_hash(audio: Audio, limits: AudioLimits | None = None) -> str:
    """Return the sha256 of a sound as 64 hexadecimal digits; nothing is decoded.

    Of encoded sounds that of their bytes; of arrays that of type, shape, rate and values.
    """
    limits = limits or AudioLimits()
    source = settled_part(as_audio(audio), None).source
    if not isinstance(source, np.ndarray):
        return hashlib.sha256(_encoded(source, limits)).hexdigest()
    kind = source.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"samples {kind.str} {source.shape} {int(audio.sampling_rate or 0)}\n".encode())
    digest.update(np.ascontiguousarray(source, kind).data)
    return digest.hexdigest()


def check_audio_file(path: Path, limits: AudioLimits | None = None) -> None:
    """Raise `MediaError` if a file cannot be a sound, from its directory entry alone: nothing is opened."""
    try:
        check_media_file(path, MediaLimits((limits or AudioLimits()).max_bytes))
    except MediaError as error:
        raise _of_sound(error, limits or AudioLimits()) from None


def _encoded(source: Path | bytes, limits: AudioLimits) -> bytes:
    try:
        data = source if isinstance(source, bytes) else read_media_file(source, MediaLimits(limits.max_bytes))
    except MediaError as error:
        raise _of_sound(error, limits) from None
    if len(data) > limits.max_bytes:
        raise _too_large(limits)
    if not data:
        raise undecodable_sound()
    return data


def _of_sound(error: MediaError, limits: AudioLimits) -> MediaError:
    """Return the error of a file with the words for a sound."""
    if error.code == "image_too_large":
        return _too_large(limits)
    code = "audio_undecodable" if error.code == "image_undecodable" else error.code
    return MediaError(error.message.replace("a picture file", "a sound file"), code=code)


def _too_large(limits: AudioLimits) -> MediaError:
    message = f"the sound's file is larger than the limit of {limits.max_bytes} bytes; cut or compress it"
    return MediaError(message, code="audio_too_large")


def _blocks_of_array(
    samples: NDArray[Any], rate: int, limits: AudioLimits
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    n_channels = 1 if samples.ndim == 1 else samples.shape[1]
    limits.check_shape(n_channels, rate)
    limits.check_not_longer(len(samples), rate, n_channels)
    for start in range(0, len(samples), _BLOCK // n_channels):
        block = samples[start : start + _BLOCK // n_channels].reshape(-1, n_channels)
        scaled = block / np.float64(32768) if block.dtype.kind == "i" else block.astype(np.float64)
        limits.check_values(scaled)
        yield rate, scaled.mean(axis=1).astype(np.float32)


def _resampled(
    blocks: Iterator[tuple[int, NDArray[np.float32]]], wanted: int, limits: AudioLimits
) -> NDArray[np.float32]:
    import soxr

    pieces: list[NDArray[np.float32]] = []
    stream, n_read, rate = None, 0, wanted
    for rate, block in blocks:
        n_read += len(block)
        if rate != wanted:
            stream = stream or soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
            pieces.append(stream.resample_chunk(block))
        else:
            pieces.append(block)
    limits.check_length(n_read, rate)
    if stream is not None:
        pieces.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    samples = np.ascontiguousarray(np.concatenate(pieces), np.float32)
    limits.check_length(len(samples), wanted)
    return samples
