"""Sounds that are cut, empty, something else, lie in their headers or hold what is no number."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

__all__ = ["attacks"]

_RATE = 8000
_TAG = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)


def attacks() -> dict[str, bytes]:
    """Return the files by name."""
    wav, flac, ogg = _made("WAV", "PCM_16"), _made("FLAC", "PCM_16"), _made("OGG", "VORBIS")
    mp3, aiff, au = _made("MP3", "MPEG_LAYER_III", rate=16000), _made("AIFF", "PCM_16"), _made("AU", "PCM_16")
    return {
        "valid.wav": wav,
        "valid-of-64-bits.wav": _made("WAV", "DOUBLE"),
        "valid-of-3-channels.wav": _made("WAVEX", "PCM_24", n_channels=3),
        "valid-long.wav": _made("RF64", "PCM_U8"),
        "valid.flac": flac,
        "valid.ogg": ogg,
        "valid-opus.ogg": _made("OGG", "OPUS"),
        "valid.mp3": mp3,
        "valid.aiff": aiff,
        "valid.au": au,
        "accepted-sample-alone.wav": _wav(_format(), np.array([5], "<i2").tobytes()),
        "accepted-of-a-stream.wav": _wav(_format(), bytes(64), 2**32 - 1),
        "accepted-chunks-of-nothing.wav": _wav(_format(), bytes(64), before=b"JUNK\0\0\0\0" * 100),
        "accepted-with-the-tag-of-an-mp3.flac": _TAG + flac,
        "accepted-with-the-tag-of-an-mp3.wav": _TAG + wav,
        **_damaged(wav, flac, ogg, mp3, aiff, au),
        **_lies(wav, flac, au),
        **_others(),
    }


def _damaged(wav: bytes, flac: bytes, ogg: bytes, mp3: bytes, aiff: bytes, au: bytes) -> dict[str, bytes]:
    return {
        "empty.wav": b"",
        "first-bytes.wav": wav[:3],
        "header-alone.wav": wav[:44],
        "half.wav": wav[: len(wav) // 2],
        "half.flac": flac[: len(flac) // 2],
        "half.ogg": ogg[: len(ogg) // 2],
        "half.mp3": mp3[: len(mp3) // 2],
        "half.aiff": aiff[: len(aiff) // 2],
        "half.au": au[: len(au) // 2],
        "half-behind-a-tag.wav": _TAG + wav[: len(wav) // 2],
        "half-behind-a-tag.aiff": _TAG + aiff[: len(aiff) // 2],
        "header-alone.flac": flac[:42],
        "header-alone.ogg": ogg[:58],
        "no-samples.wav": _wav(_format(), b""),
        "garbage.flac": b"fLaC" + bytes(range(256)) * 8,
        "garbage.mp3": b"\xff\xfb" + bytes(range(256)) * 8,
        "damaged-inside.flac": flac[: len(flac) // 2] + bytes(64) + flac[len(flac) // 2 + 64 :],
        "nan.wav": _wav(_format(kind=3, bits=32), np.array([0, np.nan], "<f4").tobytes()),
        "infinite.wav": _wav(_format(kind=3, bits=32), np.array([0, -np.inf], "<f4").tobytes()),
        "too-large-for-32-bits.wav": _wav(_format(kind=3, bits=64), np.array([0, 1e300], "<f8").tobytes()),
        "of-16-bits-as-decimals.wav": _wav(_format(kind=3, bits=32), np.array([0, 9000], "<f4").tobytes()),
    }


def _lies(wav: bytes, flac: bytes, au: bytes) -> dict[str, bytes]:
    return {
        "samples-of-2-gigabytes.wav": _wav(_format(), bytes(64), 2**31 - 2**16),
        "header-of-2-bytes.wav": _wav(_format(), b"\x99" * 1100, 2),
        "two-sizes-of-a-sample.wav": _wav(_format(bits=32)[:-2] + b"\x18\0", bytes(64)),
        "65535-channels.wav": _wav(_format(n_channels=65535), bytes(2 * 65535)),
        "no-channels.wav": _wav(_format(n_channels=0), bytes(64)),
        "rate-of-nothing.wav": _wav(_format(rate=0), bytes(64)),
        "rate-of-1.wav": _wav(_format(rate=1), bytes(64)),
        "rate-of-4-billion.wav": _wav(_format(rate=2**32 - 1), bytes(64)),
        "bits-of-nothing.wav": _wav(_format(bits=0), bytes(64)),
        "bits-255.wav": _wav(_format(bits=255), bytes(64)),
        "without-format.wav": b"RIFF\x14\0\0\0WAVEdata\x08\0\0\0" + bytes(8),
        "format-of-4-gigabytes.wav": wav[:16] + b"\xff\xff\xff\xff" + wav[20:],
        "coding-unknown.wav": _wav(_format(kind=0x7777), bytes(64)),
        "coding-gsm.wav": _wav(_format(kind=0x31), bytes(130)),
        "samples-of-2-to-the-36.flac": flac[:21] + bytes([flac[21] | 15]) + b"\xff" * 4 + flac[26:],
        "samples-too-many.flac": flac[:22] + (24_000).to_bytes(4, "big") + flac[26:],
        "metadata-of-16-megabytes.flac": flac[:42] + b"\x04\xff\xff\xff" + flac[42:],
        "samples-of-4-gigabytes.au": au[:8] + (2**31 - 2**20).to_bytes(4, "big") + au[12:],
        "header-of-4-gigabytes.au": au[:4] + b"\xff\xff\xff\xff" + au[8:],
        "tag-of-256-megabytes.mp3": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(64),
        "pages-without-end.ogg": (b"OggS\0\2" + bytes(20) + b"\xff" + b"\xff" * 255) * 8,
    }


def _others() -> dict[str, bytes]:
    return {
        "html.wav": b"<!DOCTYPE html><html></html>",
        "text.mp3": b"not a sound at all\n" * 20,
        "mp4.wav": b"\0\0\0\x20ftypM4A " + bytes(64),
        "aac.mp3": b"\xff\xf1\x50\x80" + bytes(64),
        "midi.wav": b"MThd\0\0\0\6" + bytes(64),
        "caf.aiff": b"caff\0\1\0\0desc" + bytes(64),
        "amiga.aiff": b"FORM\0\0\0\x40" + b"8SVXVHDR" + bytes(64),
        "picture.wav": b"RIFF\x40\0\0\0WEBPVP8 " + bytes(64),
        "video.wav": b"RIFF\x40\0\0\0AVI LIST" + bytes(64),
        "pickle.wav": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "zip.ogg": b"PK\x03\x04" + bytes(64),
    }


def _made(kind: str, coding: str, n_channels: int = 1, rate: int = _RATE) -> bytes:
    seconds = np.arange(int(0.06 * rate)) / rate
    sound = 0.4 * np.sin(2 * np.pi * 440 * seconds)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([sound] * n_channels, 1), rate, format=kind, subtype=coding)
    return buffer.getvalue()


def _format(kind: int = 1, n_channels: int = 1, rate: int = _RATE, bits: int = 16) -> bytes:
    width = n_channels * bits // 8
    return struct.pack("<HHIIHH", kind, n_channels, rate, rate * width % 2**32, width % 2**16, bits)


def _wav(form: bytes, samples: bytes, size: int | None = None, before: bytes = b"") -> bytes:
    content = b"WAVEfmt " + struct.pack("<I", len(form)) + form + before
    content += b"data" + struct.pack("<I", len(samples) if size is None else size) + samples
    return b"RIFF" + struct.pack("<I", len(content)) + content
