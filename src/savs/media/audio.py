"""What kind of sound file some bytes are, and their samples in blocks, of one channel; knows limits.

The first bytes decide which of libsndfile's readers may see a file: the others (twenty, some older than the
formats in use) are no way in. Nothing is believed that a header says but to refuse a file sooner.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from savs.errors import MediaError
from savs.media.ogg_pages import is_intact
from savs.media.sound_lengths import holds_several, is_whole, says_its_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AudioLimits", "blocks_of_file", "undecodable_sound"]

_KINDS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU"})
_CODINGS = frozenset(
    {
        *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
        *("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
    }
)
_UNKNOWN_LENGTH = 2**62  # libsndfile's number of samples where the file does not say it: this or more
_BLOCK = 2**18  # numbers decoded at a time, all channels together
_ADVICE = "convert it to WAV or FLAC (ffmpeg -i FILE file.wav)"


@dataclass(frozen=True)
class AudioLimits:
    """Limits of one sound, checked in its header and again while it is decoded.

    Parameters
    ----------
    max_bytes : int
        Longest encoded file.
    max_seconds : float
        Longest sound.
    min_seconds : float
        Shortest sound; one without any sample is always refused.
    max_channels : int
        Most channels.
    min_sampling_rate, max_sampling_rate : int
        Fewest and most samples a second of a file or array.
    max_level : float
        Largest absolute sample; full scale is 1, and decoders of lossy files overshoot it a little.
    max_values : int
        Most samples of all channels together, which is what decoding takes time for: silence packs well.
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
        """Raise `MediaError` (``audio_channels``, ``audio_rate``) for channels or a rate out of bounds."""
        if not 1 <= n_channels <= self.max_channels:
            message = f"the sound has {n_channels} channels; 1 to {self.max_channels} are read"
            raise MediaError(message, code="audio_channels")
        if not self.min_sampling_rate <= sampling_rate <= self.max_sampling_rate:
            raise MediaError(
                f"the sound has {sampling_rate} samples a second; {self.min_sampling_rate} to "
                f"{self.max_sampling_rate} are read",
                code="audio_rate",
            )

    def check_not_longer(self, n_samples: int, sampling_rate: int, n_channels: int = 1) -> None:
        """Raise `MediaError` (``audio_too_long``) for a sound, or what is known of it, that is too long."""
        if n_samples > self.max_seconds * sampling_rate or n_samples * n_channels > self.max_values:
            raise MediaError(
                f"the sound is longer than the limit of {self.max_seconds:g} seconds, or has more than "
                f"{self.max_values} samples in its channels together; cut it",
                code="audio_too_long",
            )

    def check_length(self, n_samples: int, sampling_rate: int) -> None:
        """Raise `MediaError` (``audio_too_long``, ``audio_too_short``) for a length out of bounds."""
        self.check_not_longer(n_samples, sampling_rate)
        if n_samples == 0:
            raise MediaError("the sound has no samples; record or fetch it again", code="audio_too_short")
        if n_samples < self.min_seconds * sampling_rate:
            raise MediaError(
                f"the sound has {n_samples / sampling_rate:.4f} seconds, less than the limit of "
                f"{self.min_seconds:g}",
                code="audio_too_short",
            )

    def check_values(self, block: NDArray[Any]) -> None:
        """Raise `MediaError` (``audio_not_finite``, ``audio_level``) for samples that are no sound."""
        if not np.isfinite(block).all():
            raise MediaError(
                "the sound has samples that are NaN or infinite; write it again", code="audio_not_finite"
            )
        if block.size and max(float(block.max()), -float(block.min())) > self.max_level:
            raise MediaError(
                f"the sound has samples beyond {self.max_level:g} where full scale is 1; divide those of 16 "
                "bits by 32768",
                code="audio_level",
            )


def undecodable_sound() -> MediaError:
    """Return the error for bytes that are no sound, or a damaged one."""
    return MediaError(
        "the sound cannot be decoded: it is damaged, cut short or no sound file; write it again",
        code="audio_undecodable",
    )


def blocks_of_file(data: bytes, limits: AudioLimits) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the sampling rate and the next samples of an encoded sound, the mean of its channels.

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
        raise undecodable_sound()
    if holds_several(data):
        raise MediaError(
            "the file holds several sounds one behind the other, of which only the first would be heard; "
            "join them (ffmpeg -i FILE file.wav)",
            code="audio_several",
        )
    import soundfile

    try:
        with soundfile.SoundFile(_Reader(data)) as file:
            _check_header(file, limits)
            yield from _decoded(file, limits)
            # Elsewhere the length of an MP3 file is a guess; frames that are damaged are left out of it.
            if file.format == "MP3" and file.tell() < file.frames and says_its_length(data):
                raise undecodable_sound()
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        # libsndfile's own text may quote whatever is in the file.
        if isinstance(error, MediaError):
            raise
        raise undecodable_sound() from None


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
        block = file.read(max(_BLOCK // channels, 1), dtype="float32", always_2d=True)
        if not len(block):
            break
        n_read += len(block)
        limits.check_not_longer(n_read, rate, channels)
        limits.check_values(block)
        yield rate, block.mean(axis=1, dtype=np.float64).astype(np.float32)
    if n_read < file.frames and file.format != "MP3":
        raise _cut_short()


def _check_kind(data: bytes) -> None:
    """Refuse what is not a sound file of a kind that is read, from its first bytes."""
    head = data[:12]
    if head[4:8] == b"ftyp":
        raise _format_error("in an MP4 file (M4A, AAC)")
    if head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        raise _format_error("in an AAC file")
    if head[:4] in (b"\x1aE\xdf\xa3", b"0&\xb2u", b"caff", b"riff", b"NIST", b"MThd", b"#!AM"):
        raise _format_error("in a file of another kind (WebM, WMA, CAF, W64, SPHERE, MIDI, AMR)")
    if not _is_known(head):
        raise undecodable_sound()


def _is_known(head: bytes) -> bool:
    if head[:4] in (b"RIFF", b"RF64"):
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0
    return mpeg or head[:3] == b"ID3" or head[:4] in (b"fLaC", b"OggS", b".snd")


def _cut_short() -> MediaError:
    return MediaError(
        "the sound's file ends before the sound does; fetch or write it again", code="audio_cut_short"
    )


def _format_error(kind: str) -> MediaError:
    return MediaError(f"the sound is {kind}, which is not read; {_ADVICE}", code="audio_format")
