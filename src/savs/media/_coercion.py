"""Every form of a picture to an `Image` part. Nothing is opened or decoded, except base64."""

from __future__ import annotations

import base64
import binascii
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from io import IOBase
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from savs.errors import ExampleError
from savs.examples.addresses import ADDRESS, Address, as_address
from savs.examples.content import Image, Sampling, Video

__all__ = [
    "AUDIO_SUFFIXES",
    "IMAGE_SUFFIXES",
    "UNREAD_AUDIO_SUFFIXES",
    "VIDEO_SUFFIXES",
    "a_type",
    "as_video",
    "as_image",
    "check_sampling",
    "is_picture",
    "looks_like_image",
    "nearly_image",
    "type_name",
    "audio_error",
    "file_content",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""Endings of the picture files that `savs.media` reads."""

_UNREAD_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".svg", ".psd", ".eps", ".jp2", ".jxl"})
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"})
"""Endings of the video files that `savs.media.video` reads."""

AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"}
)
"""Endings of the sound files that `savs.media.audio` reads."""

UNREAD_AUDIO_SUFFIXES = frozenset({".m4a", ".aac", ".wma", ".amr", ".mid", ".midi", ".ogv", ".caf"})
"""Endings of sound files that are refused with advice."""

_SOUNDS = AUDIO_SUFFIXES | UNREAD_AUDIO_SUFFIXES
_DATA_URL = re.compile(r"data:(?P<kind>[a-z]+)/[^;,]*(?P<options>[^,]{0,200}),", re.IGNORECASE)
_MEDIA_URL = re.compile(r"data:(image|video|audio)/[^,\s]{0,200},", re.IGNORECASE)
# How the base64 of PNG, JPEG, GIF and WEBP begins.
_BARE_BASE64 = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")
_LONGEST_PATH = 4096
_MOST_FRAMES = 1024
_ACCEPTED = "a picture is a path, encoded bytes, a data:image/...;base64, URL, a PIL image or a uint8 array"


def is_picture(value: Any) -> bool:
    """Return whether a value of this type can only mean a picture (so not text)."""
    known = Image | Path | bytes | bytearray | memoryview | np.ndarray | IOBase
    return isinstance(value, known) or is_pil(value)


def is_pil(value: Any) -> bool:
    """Return whether a value is a PIL image; PIL itself is not imported for it."""
    # Nobody can hold one before PIL is imported.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def looks_like_image(text: str, root: Path | None = None) -> bool:
    """Return whether a text standing alone means a picture: a path of a picture or video file, or an address.

    A path is one line that ends like a picture file and either has no white space or names a file that
    exists.
    """
    if not text or len(text.splitlines()) != 1 or text != text.strip():
        return _MEDIA_URL.match(text) is not None
    if _MEDIA_URL.match(text):
        return True
    spaced = any(char.isspace() for char in text)
    if ADDRESS.match(text):
        return not spaced
    suffix = Path(text).suffix.lower() if len(text) <= _LONGEST_PATH else ""
    if suffix not in IMAGE_SUFFIXES | _UNREAD_SUFFIXES | VIDEO_SUFFIXES | _SOUNDS:
        return False
    return not spaced or _exists(_under(root, Path(text)))


def nearly_image(text: str) -> bool:
    r"""Return whether a text that is no picture by `looks_like_image` may have been meant as one.

    It ends like a picture or sound file but for white space: ``"my photo.jpg"`` if there is no such file, or
    ``"cat.png\n"`` as lines are read from a list of files.
    """
    trimmed = text.strip()
    suffixes = IMAGE_SUFFIXES | AUDIO_SUFFIXES
    return 0 < len(trimmed) <= _LONGEST_PATH and Path(trimmed).suffix.lower() in suffixes


def as_image(value: Any, root: Path | None = None) -> Image:
    """Return the `Image` part of anything that stands where a picture is expected.

    An ``https`` address stays one, until `savs.examples.addresses.settled` fetches or refuses it.

    Raises
    ------
    ExampleError
        ``url_refused``, ``image_format``, ``image_path``, ``data_url``,
        ``image_array`` or ``image_type``.
    """
    if isinstance(value, Video):
        return as_video(value)
    if isinstance(value, Image):
        # One made by hand may hold what only `as_image` understands, such as a text.
        made = as_image(value.source, None)
        return value if made.source is value.source else made
    if isinstance(value, str):
        return _from_text(str(value), root)
    if isinstance(value, Path):
        return _from_path(value, root)
    if isinstance(value, bytes | bytearray | memoryview):
        return Image(bytes(value))
    if isinstance(value, IOBase):
        return Image(file_content(value))
    if isinstance(value, np.ndarray):
        return Image(_checked_array(value))
    if is_pil(value):
        return Image(value)
    if isinstance(value, Mapping) and {"bytes", "path"} & set(value):
        return as_image(value["bytes"] if value.get("bytes") is not None else value.get("path"), root)
    raise ExampleError(f"{a_type(value)} stands where a picture is expected; {_ACCEPTED}", code="image_type")


def file_content(file: IOBase) -> bytes:
    """Return what is left in an open file; it stands afterwards where it stood, if it can go back."""
    try:
        place = file.tell() if file.seekable() else None
        content = file.read()
        if place is not None:
            file.seek(place)
    except (OSError, ValueError, AttributeError) as error:
        raise ExampleError("the open file cannot be read; hand in its path", code="image_path") from error
    if not isinstance(content, bytes):
        raise ExampleError("the file is open as text; open it with mode 'rb'", code="image_type")
    return content


def type_name(value: Any) -> str:
    """Return the name of a value's type, with its package if that is not built in."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"


def a_type(value: Any) -> str:
    """Return `type_name` with its article: ``"an int"``, ``"a dict"``."""
    name = type_name(value)
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def as_video(value: Any, root: Path | None = None) -> Video:
    """Return the `Video` part of a path, encoded bytes or a data URL, whatever the path ends in.

    Raises
    ------
    ExampleError
        ``video_type``, ``url_refused``, ``image_path``, ``image_format`` or
        ``data_url``.
    """
    if isinstance(value, Video):
        made = as_video(value.source)
        check_sampling(value.sampling)
        return value if made.source is value.source else replace(value, source=made.source)
    if isinstance(value, Mapping) and {"bytes", "path"} & set(value):
        value = value["bytes"] if value.get("bytes") is not None else value.get("path")
    if not isinstance(value, str | Path | bytes | bytearray | memoryview):
        message = f"{a_type(value)} stands where a video is expected; a path or encoded bytes is one"
        raise ExampleError(f"{message}; frames go as several images", code="video_type")
    source = as_image(value, root).source
    if not isinstance(source, Path | bytes | Address):
        raise ExampleError("a video is a path or encoded bytes", code="video_type")
    return Video(source)


def check_sampling(sampling: Sampling) -> None:
    """Check that frames of a video can be read so.

    Raises
    ------
    ExampleError
        ``video_type``.
    """
    n_frames, fps = sampling.n_frames, sampling.fps
    if type(n_frames) is not int or not 1 <= n_frames <= _MOST_FRAMES:
        message = f"a video's n_frames is a whole number from 1 to {_MOST_FRAMES}"
        raise ExampleError(message, code="video_type")
    known = fps is None or (isinstance(fps, int | float) and not isinstance(fps, bool))
    if not known or (fps is not None and not 0 < fps < _MOST_FRAMES):
        message = f"a video's fps is a number above 0 and below {_MOST_FRAMES}"
        raise ExampleError(message, code="video_type")


def audio_error(what: str) -> ExampleError:
    """Return the error for a sound in the place of a picture or video."""
    return ExampleError(f"{what} is a sound, where a picture or video is expected", code="image_type")


def _from_text(text: str, root: Path | None) -> Image:
    if text[:5].lower() == "data:":
        return _decode_data_url(text)
    address = as_address(text, "picture")
    if address is not None:
        # Only until the example is `settled`.
        return _of_suffix(address.suffix, cast(Path, address))
    if (
        not text.strip()
        or "\0" in text
        or "\n" in text
        or len(text) > _LONGEST_PATH
        or text.startswith(_BARE_BASE64)
    ):
        message = (
            f"a text of {len(text)} characters is no path of a picture; base64 goes as "
            f"data:image/png;base64,..."
        )
        raise ExampleError(message, code="image_path")
    return _from_path(Path(text), root)


def _from_path(path: Path, root: Path | None) -> Image:
    return _of_suffix(path.suffix.lower(), _under(root, path))


def _of_suffix(suffix: str, source: Path) -> Image:
    if suffix in _SOUNDS:
        raise audio_error(f"a {suffix} file")
    if suffix in VIDEO_SUFFIXES:
        return Video(source)
    if suffix in _UNREAD_SUFFIXES:
        raise ExampleError(
            f"{suffix} files are not read; save the picture as PNG or JPEG", code="image_format"
        )
    return Image(source)


def _decode_data_url(text: str) -> Image:
    match = _DATA_URL.match(text)
    kind = match["kind"].lower() if match else ""
    if kind == "audio":
        raise audio_error("a data:audio URL")
    if match is None or kind not in {"image", "video"} or not match["options"].lower().endswith(";base64"):
        raise ExampleError("a data URL must begin with data:image/...;base64,", code="data_url")
    data = decode_base64(text[match.end() :])
    return Video(data) if kind == "video" else Image(data)


def decode_base64(text: str, what: str = "picture") -> bytes:
    """Return the bytes of a base64 text; `ExampleError` (``data_url``) if it is none."""
    try:
        data = base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise ExampleError(f"the {what}'s base64 is damaged; encode it again", code="data_url") from None
    if not data:
        raise ExampleError(f"the {what}'s base64 is empty", code="data_url")
    return data


def _checked_array(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f":
        raise _array_error(
            "is no picture: decimals may mean 0..1 or 0..255; scale to 0..255 and use .astype(numpy.uint8)",
            array,
        )
    if array.dtype not in (np.uint8, np.bool_, np.uint16):
        raise _array_error("is no picture; scale it to 0..255 and use .astype(numpy.uint8)", array)
    if array.ndim == 3 and array.shape[0] in {1, 3, 4} and array.shape[2] not in {3, 4}:
        raise _array_error("has its channels first; use .transpose(1, 2, 0)", array)
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in {3, 4}) or array.size == 0:
        raise _array_error(
            "is no picture; (height, width), (height, width, 3) or (height, width, 4) is", array
        )
    return array


def _array_error(message: str, array: NDArray[Any]) -> ExampleError:
    return ExampleError(f"an array of {array.dtype} and shape {array.shape} {message}", code="image_array")


def _under(root: Path | None, path: Path) -> Path:
    return path if root is None else root / path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
