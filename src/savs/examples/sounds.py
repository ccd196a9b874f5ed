"""Every form of a sound to an `Audio` part. Nothing is opened or decoded, except base64."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import IOBase
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from savs.errors import ExampleError
from savs.examples.addresses import ADDRESS, Address, as_address
from savs.examples.content import Audio, Image
from savs.examples.pictures import (
    AUDIO_SUFFIXES,
    UNREAD_AUDIO_SUFFIXES,
    a_type,
    as_image,
    decode_base64,
    file_content,
    type_name,
)

__all__ = ["as_audio", "as_medium", "is_medium"]

MOST_CHANNELS = 32
_DATA_URL = re.compile(r"data:[a-z]+/[^;,]{0,100}[^,]{0,200};base64,", re.IGNORECASE)
_LONGEST_PATH = 4096
_SAMPLES = {"array", "sampling_rate", "path", "bytes"}
_ACCEPTED = (
    "a sound is a path, encoded bytes, a data:audio/...;base64, URL, or an array with its sampling rate "
    "({'array': ..., 'sampling_rate': ...} or savs.Audio)"
)


def is_medium(value: Any) -> bool:
    """Return whether a mapping or part can only mean a sound, and not a row."""
    if isinstance(value, Mapping):
        return value.get("array") is not None and set(value) <= _SAMPLES
    return isinstance(value, Audio)


def as_medium(value: Any, root: Path | None = None) -> Image | Audio:
    """Return the part of a picture, video or sound: a sound if a path or address says so, as for videos.

    Raises
    ------
    ExampleError
        As `as_audio` and `savs.examples.pictures.as_image`.
    """
    if is_medium(value):
        return as_audio(value, root)
    named = value
    if isinstance(value, Mapping):
        named = value.get("path")
    elif isinstance(value, IOBase):
        named = getattr(value, "name", None)
    if isinstance(named, str) and named[:11].lower() == "data:audio/":
        return as_audio(value, root)
    if isinstance(named, str | Path) and _suffix(named) in AUDIO_SUFFIXES | UNREAD_AUDIO_SUFFIXES:
        return as_audio(value, root)
    return as_image(value, root)


def as_audio(value: Any, root: Path | None = None) -> Audio:
    """Return the `Audio` part of anything that stands where a sound is expected, whatever a path ends in.

    Parameters
    ----------
    value : object
        An `Audio`; a path; encoded bytes; a file open for reading; a ``data:audio/...;base64,`` URL; a
        mapping with ``bytes`` and ``path`` or with ``array`` and ``sampling_rate``, as the ``datasets``
        library gives them.
    root : Path, optional
        What a relative path is relative to.

    Raises
    ------
    ExampleError
        ``audio_type``, ``audio_array``, ``audio_rate``, ``audio_format``, ``audio_path``, ``image_path`` (an
        open file that cannot be read), ``url_refused`` or ``data_url``.
    """
    if isinstance(value, Audio):
        made = _made(value.source, value.sampling_rate, None)
        same = made.source is value.source and made.sampling_rate is value.sampling_rate
        return value if same else made
    if isinstance(value, Mapping) and value.get("array") is not None:
        return _made(value["array"], value.get("sampling_rate"), root)
    if isinstance(value, Mapping) and {"bytes", "path"} & set(value):
        return _made(value["bytes"] if value.get("bytes") is not None else value.get("path"), None, root)
    return _made(value, None, root)


def _made(source: Any, rate: Any, root: Path | None) -> Audio:
    if _holds_samples(source):
        return Audio(_checked_samples(source), _checked_rate(rate))
    if rate is not None and not isinstance(source, str | Path | bytes | bytearray | memoryview | IOBase):
        raise ExampleError(f"{a_type(source)} is no array of samples", code="audio_array")
    if rate is not None:
        raise ExampleError(
            "a sampling rate comes with samples alone: a file says its own; leave it out", code="audio_rate"
        )
    if isinstance(source, str):
        return Audio(_from_text(str(source), root))
    if isinstance(source, Path):
        return Audio(_from_path(source, root))
    if isinstance(source, bytes | bytearray | memoryview):
        return Audio(source if isinstance(source, bytes) else bytes(source))
    if isinstance(source, IOBase):
        return Audio(file_content(source))
    hint = "; cast the column to Audio(decode=False)" if type(source).__name__ == "AudioDecoder" else ""
    message = f"{a_type(source)} stands where a sound is expected{hint}; {_ACCEPTED}"
    raise ExampleError(message, code="audio_type")


def _from_text(text: str, root: Path | None) -> Path | bytes:
    if text[:5].lower() == "data:":
        match = _DATA_URL.match(text)
        if match is None or not text[:11].lower() == "data:audio/":
            raise ExampleError("a sound's data URL must begin with data:audio/...;base64,", code="data_url")
        return decode_base64(text[match.end() :], "sound")
    address = as_address(text, "sound")
    if address is not None:
        # Only until the example is `settled`.
        return cast(Path, address)
    if not text.strip() or "\0" in text or "\n" in text or len(text) > _LONGEST_PATH:
        message = f"a text of {len(text)} characters is no path of a sound; base64 is data:audio/wav;base64,"
        raise ExampleError(message, code="audio_path")
    return _from_path(Path(text), root)


def _from_path(path: Path, root: Path | None) -> Path:
    if _suffix(path) in UNREAD_AUDIO_SUFFIXES:
        message = f"{_suffix(path)} files are not read; convert the sound to WAV or FLAC"
        raise ExampleError(message, code="audio_format")
    return path if root is None else root / path


def _suffix(path: Path | str) -> str:
    if isinstance(path, str) and ADDRESS.match(path):
        return Address(path).suffix
    # Names are short: a text that is long is none, and slow to take apart.
    return Path(path).suffix.lower() if len(str(path)) <= _LONGEST_PATH else ""


def _holds_samples(source: Any) -> bool:
    # Tensors of other libraries say how they become arrays.
    return isinstance(source, list | tuple) or (hasattr(source, "__array__") and not isinstance(source, type))


def _checked_samples(source: Any) -> NDArray[Any]:
    try:
        samples = np.asarray(source)
    except (ValueError, TypeError, OverflowError, RuntimeError):
        message = "the sound's samples are no array, as rows of different lengths or a tensor with gradients"
        raise ExampleError(message, code="audio_array") from None
    if isinstance(source, np.ma.MaskedArray):
        raise _array_error("is masked; use .filled(0)", samples)
    if samples.dtype.newbyteorder("=") not in (np.int16, np.float16, np.float32, np.float64):
        raise _array_error("is no sound: samples are float32, float64 or float16 in -1..1, or int16", samples)
    if samples.ndim not in {1, 2}:
        raise _array_error("is no sound; (n_samples,) or (n_samples, n_channels) is", samples)
    if samples.ndim == 2 and samples.shape[0] <= MOST_CHANNELS < samples.shape[1]:
        raise _array_error("has its channels first; use .T", samples)
    if samples.size == 0:
        raise _array_error("has no samples", samples)
    return samples


def _checked_rate(rate: Any) -> int:
    if isinstance(rate, float | np.floating) and float(rate).is_integer():
        rate = int(rate)
    if not isinstance(rate, int | np.integer) or isinstance(rate, bool) or rate < 1:
        shown = rate if isinstance(rate, int) else type_name(rate)
        given = "there is none" if rate is None else f"not {shown}"
        message = f"samples come with their sampling rate, a whole number of samples a second; {given}"
        raise ExampleError(message, code="audio_rate")
    return rate if type(rate) is int else int(rate)


def _array_error(message: str, samples: NDArray[Any]) -> ExampleError:
    return ExampleError(
        f"an array of {samples.dtype} and shape {samples.shape} {message}", code="audio_array"
    )
