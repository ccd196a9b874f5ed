"""`load_audio`: audio as samples of one channel at a wanted rate, with limits. Thread-safe.

In reading order: whether a file is whole, its samples in blocks, and `load_audio`. Files are checked here
because libsndfile reads what is left of a damaged file, and only the first of several in one, without an
error. The first bytes decide which of libsndfile's readers may see a file: its twenty others, some of them
for formats out of use, are never reached. A header is trusted only to refuse a file sooner.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from savs._optional import import_optional
from savs.errors import MediaError
from savs.media._coercion import as_audio, settled_part
from savs.media._paths import check_media_file, read_media_file
from savs.media.limits import MediaLimits
from savs.media.parts import Audio

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AudioLimits",
    "audio_hash",
    "check_audio_file",
    "decode_audio",
    "load_audio",
]


# Whether the pages of an OGG file are as they were written: decoders leave damaged ones out silently.

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_HEAD, _SUM = 27, 22  # bytes of a page's head, and where its checksum stands in it (RFC 3533, section 6)


def is_intact(data: bytes) -> bool:
    """Return whether every page of an OGG file has its checksum, and nothing stands between two pages.

    A last page that is cut short, and what stands behind the last page, are not looked at.
    """
    place = 0
    while place + _HEAD <= len(data):
        if data[place : place + 4] != b"OggS":
            return data.find(b"OggS", place) < 0
        body = place + _HEAD + data[place + _HEAD - 1]
        end = body + sum(data[place + _HEAD : body])
        if end > len(data):
            break
        if _checksum(data[place:end]) != int.from_bytes(data[place + _SUM : place + _SUM + 4], "little"):
            return False
        place = end
    return True


def _checksum(page: bytes) -> int:
    # zlib has the same polynomial for bits in the other order, and turns the number over before and after.
    blank = page[:_SUM] + bytes(4) + page[_SUM + 4 :]
    turned = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2)


# Whether an audio file has all the bytes that it says it has, and no second clip behind the first.

_UNKNOWN = 0x7FFFF000  # what programs write that do not know the length yet: this or more
_MOST_CHUNKS = 100_000


def is_whole(data: bytes) -> bool:
    """Return False if a WAV, RF64, AIFF, AU, OGG or MP3 file ends too soon, by its own lengths.

    True where a file does not say, and for FLAC, which its decoder checks.
    """
    if data[:4] == b"OggS":
        return _is_whole_ogg(data)
    if data[:3] == b"ID3" or data[:1] == b"\xff":
        return _is_whole_mp3(data)
    start, size = _samples(data)
    return size >= _UNKNOWN or start + size <= len(data)


def holds_several(data: bytes) -> bool:
    """Return whether OGG, FLAC or MP3 files stand one behind the other: chained streams, files put together.

    MP3 files are told apart where the first one says how long it is.
    """
    if data[:4] == b"OggS":
        # All streams that are played together begin before one of them goes on (RFC 3533, section 4).
        first = data.find(b"OggS", 4)
        while data[first + 4 : first + 6] == b"\0\x02":
            first = data.find(b"OggS", first + 4)
        return first >= 0 and data.find(b"OggS\0\x02", first) >= 0
    if data[:4] == b"fLaC":
        # The mark, and the head of the first block, which has always the same length (RFC 9639, section 8).
        return data.find(b"fLaC\0\0\0\x22", 4) >= 0 or data.find(b"fLaC\x80\0\0\x22", 4) >= 0
    if data[:3] == b"ID3" or data[:1] == b"\xff":
        start, size = _mp3_length(data)
        return size > 0 and _is_mpeg(data, start + size)
    return False


def says_its_length(data: bytes) -> bool:
    """Return whether an MP3 file has a header with its length: what is shorter has lost some frames."""
    return _mp3_length(data)[1] > 0


def _is_mpeg(data: bytes, place: int) -> bool:
    """Return whether the head of an MPEG frame stands there, or behind a tag there."""
    if data[place : place + 3] == b"ID3":
        place = _after_tag(data, place)
    return data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] >= b"\xe0"


def _samples(data: bytes) -> tuple[int, int]:
    """Return where the samples of a file begin and how many bytes it says there are; 0 if it does not."""
    if data[:4] == b".snd" and len(data) >= 12:
        start, size = struct.unpack_from(">II", data, 4)
        return start, size
    known = {b"RIFF": ("<", b"data"), b"RF64": ("<", b"data"), b"FORM": (">", b"SSND")}
    order, wanted = known.get(data[:4], ("", b""))
    place = 12
    for _ in range(_MOST_CHUNKS):
        if not order or place + 8 > len(data):
            break
        (size,) = struct.unpack_from(f"{order}I", data, place + 4)
        if data[place : place + 4] == wanted:
            return place + 8, (_long_size(data) if data[:4] == b"RF64" else size)
        place += 8 + size + size % 2
    return 0, 0


def _long_size(data: bytes) -> int:
    """Return the bytes of samples of an RF64 file, which its first chunk holds (EBU Tech 3306)."""
    if data[12:16] != b"ds64" or len(data) < 36:
        return 0
    size = int.from_bytes(data[28:36], "little")
    return 0 if size >= 2**63 else size


def _is_whole_ogg(data: bytes) -> bool:
    """Return whether the last page is whole (RFC 3533, section 6)."""
    place = data.rfind(b"OggS")
    if place + 27 > len(data):
        return False
    n_segments = data[place + 26]
    table = data[place + 27 : place + 27 + n_segments]
    return len(table) == n_segments and place + 27 + n_segments + sum(table) <= len(data)


def _is_whole_mp3(data: bytes) -> bool:
    """Return whether there are as many bytes as the Xing header in the first frame says, but for 1%."""
    start, size = _mp3_length(data)
    return start < len(data) and 99 * size <= 100 * (len(data) - start)


def _mp3_length(data: bytes) -> tuple[int, int]:
    """Return where an MP3 file's first frame begins, and its bytes from there; 0 if it does not say."""
    start = _after_tag(data, 0) if data[:3] == b"ID3" else 0
    frame = data[start : start + 64]
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or place + 16 > len(frame):
        return start, 0
    (flags,) = struct.unpack_from(">I", frame, place + 4)
    if not flags & 2:
        return start, 0
    (size,) = struct.unpack_from(">I", frame, place + (12 if flags & 1 else 8))
    return start, int(size)


def _after_tag(data: bytes, place: int) -> int:
    """Return where an ID3 tag ends (ID3v2.4, section 3.1)."""
    sizes = zip(data[place + 6 : place + 10], (21, 14, 7, 0), strict=False)
    return place + 10 + sum((byte & 0x7F) << shift for byte, shift in sizes)


# What kind of audio file some bytes are, and their samples in blocks, of one channel; knows limits.

_KINDS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU"})
_CODINGS = frozenset(
    {
        *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
        *("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
    }
)
_UNKNOWN_LENGTH = 2**62  # libsndfile's number of samples where the file does not say it: this or more
_FILE_BLOCK = 2**18  # numbers decoded at a time, all channels together
_ADVICE = "convert it to WAV or FLAC (ffmpeg -i FILE file.wav)"


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


def undecodable_audio() -> MediaError:
    """Return the error for bytes that are not an audio clip, or a damaged one."""
    return MediaError(
        "the audio clip cannot be decoded: it is damaged, cut short or no audio file; write it again",
        code="audio_undecodable",
    )


def blocks_of_file(data: bytes, limits: AudioLimits) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the sampling rate and the next samples of an encoded audio clip, the mean of its channels.

    Raises
    ------
    MediaError
        ``audio_format``, ``audio_undecodable``, ``audio_cut_short``, ``audio_several``, and the codes of
        `AudioLimits`.
    """
    _check_kind(data)
    if not is_whole(data):
        raise _cut_short()
    if data[:4] == b"OggS" and not is_intact(data):
        raise undecodable_audio()
    if holds_several(data):
        raise MediaError(
            "the file holds several recordings one behind the other, of which only the first would be heard; "
            "join them (ffmpeg -i FILE file.wav)",
            code="audio_several",
        )
    soundfile = import_optional("soundfile")
    try:
        with soundfile.SoundFile(_Reader(data)) as file:
            _check_header(file, limits)
            yield from _decoded(file, limits)
            # Elsewhere the length of an MP3 file is a guess; frames that are damaged are left out of it.
            if file.format == "MP3" and file.tell() < file.frames and says_its_length(data):
                raise undecodable_audio()
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        # libsndfile's own text may quote whatever is in the file.
        if isinstance(error, MediaError):
            raise
        raise undecodable_audio() from None


class _Reader(io.BytesIO):
    """Bytes whose place never leaves them: an exception in libsndfile's callback would go to the terminal."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, or stay if there is none such."""
        start = (0, self.tell(), self.getbuffer().nbytes)[whence]
        return super().seek(min(max(start + offset, 0), 2**62))


def _check_header(file: Any, limits: AudioLimits) -> None:
    if file.format not in _KINDS or file.subtype not in _CODINGS:
        raise _format_error(f"coded as {str(file.subtype)[:20]}")
    limits.check_shape(file.channels, file.samplerate)
    # soundfile seeks behind every block that it reads, which fails at the end of such a file.
    if file.frames >= _UNKNOWN_LENGTH:
        raise _format_error("a file that does not say how long it is (FLAC written to a pipe)")
    limits.check_not_longer(file.frames, file.samplerate, file.channels)


def _decoded(file: Any, limits: AudioLimits) -> Iterator[tuple[int, NDArray[np.float32]]]:
    rate, channels, n_read = int(file.samplerate), int(file.channels), 0
    while True:
        block = file.read(max(_FILE_BLOCK // channels, 1), dtype="float32", always_2d=True)
        if not len(block):
            break
        n_read += len(block)
        limits.check_not_longer(n_read, rate, channels)
        limits.check_values(block)
        yield rate, block.mean(axis=1, dtype=np.float64).astype(np.float32)
    if n_read < file.frames and file.format != "MP3":
        raise _cut_short()


def _check_kind(data: bytes) -> None:
    """Refuse what is not an audio clip file of a kind that is read, from its first bytes."""
    head = data[:12]
    if head[4:8] == b"ftyp":
        raise _format_error("in an MP4 file (M4A, AAC)")
    if head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        raise _format_error("in an AAC file")
    if head[:4] in (b"\x1aE\xdf\xa3", b"0&\xb2u", b"caff", b"riff", b"NIST", b"MThd", b"#!AM"):
        raise _format_error("in a file of another kind (WebM, WMA, CAF, W64, SPHERE, MIDI, AMR)")
    if not _is_known(head):
        raise undecodable_audio()


def _is_known(head: bytes) -> bool:
    if head[:4] in (b"RIFF", b"RF64"):
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0
    return mpeg or head[:3] == b"ID3" or head[:4] in (b"fLaC", b"OggS", b".snd")


def _cut_short() -> MediaError:
    return MediaError(
        "the audio clip's file ends before the audio clip does; fetch or write it again",
        code="audio_cut_short",
    )


def _format_error(kind: str) -> MediaError:
    return MediaError(f"the audio clip is {kind}, which is not read; {_ADVICE}", code="audio_format")


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
        ``audio_undecodable``, ``audio_cut_short``, ``audio_several``, ``audio_too_long``,
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
        blocks = blocks_of_file(_encoded(source, limits), limits)
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
        return hashlib.sha256(_encoded(source, limits)).hexdigest()
    kind = source.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"samples {kind.str} {source.shape} {int(audio.sampling_rate or 0)}\n".encode())
    digest.update(np.ascontiguousarray(source, kind).data)
    return digest.hexdigest()


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
    try:
        check_media_file(path, MediaLimits((limits or AudioLimits()).max_bytes))
    except MediaError as error:
        raise _of_audio(error, limits or AudioLimits()) from None


def _encoded(source: Path | bytes, limits: AudioLimits) -> bytes:
    try:
        data = source if isinstance(source, bytes) else read_media_file(source, MediaLimits(limits.max_bytes))
    except MediaError as error:
        raise _of_audio(error, limits) from None
    if len(data) > limits.max_bytes:
        raise _too_large(limits)
    if not data:
        raise undecodable_audio()
    return data


def _of_audio(error: MediaError, limits: AudioLimits) -> MediaError:
    """Return the error of a file with the words for an audio clip."""
    if error.code == "image_too_large":
        return _too_large(limits)
    code = "audio_undecodable" if error.code == "image_undecodable" else error.code
    return MediaError(error.message.replace("an image file", "an audio clip file"), code=code)


def _too_large(limits: AudioLimits) -> MediaError:
    message = (
        f"the audio clip's file is larger than the limit of {limits.max_bytes} bytes; cut or compress it"
    )
    return MediaError(message, code="audio_too_large")


def _blocks_of_array(
    samples: NDArray[Any], rate: int, limits: AudioLimits
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    n_channels = 1 if samples.ndim == 1 else samples.shape[1]
    limits.check_shape(n_channels, rate)
    limits.check_not_longer(len(samples), rate, n_channels)
    for start in range(0, len(samples), _HASH_BLOCK // n_channels):
        block = samples[start : start + _HASH_BLOCK // n_channels].reshape(-1, n_channels)
        scaled = block / np.float64(32768) if block.dtype.kind == "i" else block.astype(np.float64)
        limits.check_values(scaled)
        yield rate, scaled.mean(axis=1).astype(np.float32)


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
