"""Every form of an image, video or audio to its part. Nothing is opened or decoded, except base64."""

from __future__ import annotations

import base64
import binascii
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import IOBase
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from savs.errors import ExampleError
from savs.media._arrays import is_tensor, pixels_of_array, pixels_of_tensor
from savs.media._bit_depth import check_bit_depth
from savs.media.parts import Audio, Image, Sampling, Video

# Media given by web address: noted where they stand, then fetched or refused, all in one place.

ADDRESS = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""How a web or file address begins; ``data:`` URLs are none."""

Fetch = Callable[[str, str], Path]
"""Gives the file of an address and a kind: ``"image"``, ``"video"`` or ``"audio"``."""

_Medium = TypeVar("_Medium", bound=Image | Audio)


@dataclass(frozen=True)
class Address:
    """An ``https`` address in the place of a source; it never leaves `savs.data`, and is never shown."""

    url: str = field(repr=False)

    @property
    def suffix(self) -> str:
        """The ending of the path in it, in lower case: ``".mp4"``."""
        try:
            return PurePosixPath(urlsplit(self.url).path).suffix.lower()
        except ValueError:
            return ""


def as_address(text: str, what: str) -> Address | None:
    """Return the address that a text is, or None.

    Parameters
    ----------
    text : str
    what : str
        Image, video or audio clip, for the message.

    Raises
    ------
    ExampleError
        ``url_refused`` for another scheme than https, allowed or not.
    """
    if not ADDRESS.match(text):
        return None
    if text[:8].lower() != "https://":
        raise _refused("only https:// addresses are opened, of hosts that are allowed", what)
    return Address(text)


def settled_part(part: _Medium, fetch: Fetch | None) -> _Medium:
    """Return an image, video or audio clip that is at hand: its address fetched, or refused without `fetch`.

    Raises
    ------
    ExampleError
        ``url_refused`` without `fetch`.
    MediaError
        As `fetch` raises it.
    """
    source: object = part.source
    if not isinstance(source, Address):
        return part
    kind = "audio" if isinstance(part, Audio) else "video" if isinstance(part, Video) else "image"
    if fetch is None:
        what = {"audio": "audio", "image": "image"}.get(kind, kind)
        raise _refused("web addresses are opened only of hosts that are allowed (--allow-host, fetch=)", what)
    return replace(part, source=Path(fetch(source.url, kind)))


def _refused(rule: str, what: str) -> ExampleError:
    advice = f"download the {what} and give its path (an address meant as text goes as {{'text': ...}})"
    return ExampleError(f"{rule}; {advice}", code="url_refused")


# Every form of an image to an `Image` part. Nothing is opened or decoded, except base64.

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Endings of the image files that need pillow-heif."""

IMAGE_SUFFIXES = HEIC_SUFFIXES | {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo", ".webp", ".gif", ".bmp"),
    *(".dib", ".tif", ".tiff", ".avif"),
}
"""Endings of the image files that `savs.media` reads."""

UNREAD_IMAGE_SUFFIXES = frozenset(
    {
        *(".svg", ".psd", ".eps", ".jp2", ".j2k", ".jpx", ".jxl", ".ico", ".cur", ".tga", ".pcx", ".xcf"),
        *(".exr", ".dcm"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
    }
)
"""Endings of image files that are refused with advice."""

VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".asf", ".flv", ".f4v"),
        *(".3gp", ".3g2", ".mts", ".m2ts", ".vob"),
    }
)
"""Endings of the video files that `savs.media.video` reads; those that end in .ts are often programs."""

UNREAD_VIDEO_SUFFIXES = frozenset({".ogv", ".rm", ".rmvb", ".mxf"})
"""Endings of video files that are refused with advice."""

AUDIO_SUFFIXES = frozenset(
    {
        *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au"),
        ".snd",
    }
)
"""Endings of the audio files that `savs.media.audio` reads."""

UNREAD_AUDIO_SUFFIXES = frozenset(
    {
        *(".m4a", ".m4b", ".aac", ".ac3", ".wma", ".amr", ".mid", ".midi", ".caf", ".w64", ".mka", ".weba"),
        *(".spx", ".ape"),
    }
)
"""Endings of audio files that are refused with advice."""

_AUDIOS = AUDIO_SUFFIXES | UNREAD_AUDIO_SUFFIXES
_IMAGE_DATA_URL = re.compile(r"data:(?P<kind>[a-z]+)/[^;,]*(?P<options>[^,]{0,200}),", re.IGNORECASE)
_MEDIA_URL = re.compile(r"data:(image|video|audio)/[^,\s]{0,200},", re.IGNORECASE)
# How the base64 of PNG, JPEG, GIF and WEBP begins.
_BARE_BASE64 = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")
_LONGEST_PATH = 4096
_MOST_FRAMES = 1024
MOST_TIMED_FRAMES = 64
"""Frames of a video at most, where a rate was asked for and no number."""
_ACCEPTED_IMAGES = (
    "an image is a path, encoded bytes, a data:image/...;base64, URL, a PIL image, an array or a tensor"
)


def is_image(value: Any) -> bool:
    """Return whether a value of this type can only mean an image (so not text)."""
    known = Image | Path | bytes | bytearray | memoryview | np.ndarray | IOBase
    return isinstance(value, known) or is_pil(value) or is_tensor(value)


def is_pil(value: Any) -> bool:
    """Return whether a value is a PIL image; PIL itself is not imported for it."""
    # Nobody can hold one before PIL is imported.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def looks_like_image(text: str, root: Path | None = None) -> bool:
    """Return whether a text standing alone means an image: a path of an image or video file, or an address.

    A path is one line that ends like an image file and either has no white space or names a file that
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
    if suffix not in _MEDIA_SUFFIXES:
        return False
    return not spaced or _exists(_under(root, Path(text)))


def ends_like_medium(text: str) -> bool:
    """Return whether a path or address ends like an image, video or audio file."""
    return _suffix(text) in _MEDIA_SUFFIXES


_SEPARATORS = re.compile(r"[/\\]")
_STARTS = re.compile(r"(?:\.{1,2}|~|[A-Za-z]:)[/\\]")
_SENTENCE = re.compile(r"[?!;:,.]\s|[?\"<>|*]")
_MOST_WORDS = 5
_MEDIA_SUFFIXES = IMAGE_SUFFIXES | UNREAD_IMAGE_SUFFIXES | VIDEO_SUFFIXES | UNREAD_VIDEO_SUFFIXES | _AUDIOS
_DATA_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"})


def looks_like_path(text: str) -> bool:
    r"""Return whether a text that names no file is still meant as a path and not as a text.

    It is one line, and either begins like a path (``./``, ``../``, ``~/``, ``C:\``) and has no blank, or ends
    like an image, video or audio file and does not read like a sentence: it has a separator or at most five
    words, and neither a mark that ends a clause before a blank nor one of ``? " < > | *``.
    """
    trimmed = text.strip()
    if not 0 < len(trimmed) <= _LONGEST_PATH or len(trimmed.splitlines()) != 1:
        return False
    words = trimmed.split()
    if len(words) == 1 and _STARTS.match(trimmed):
        return True
    rest = _STARTS.sub("", trimmed, count=1)
    if Path(trimmed).suffix.lower() not in _MEDIA_SUFFIXES or _SENTENCE.search(rest):
        return False
    return len(words) <= _MOST_WORDS or _SEPARATORS.search(trimmed) is not None


def kind_of_path(text: str, root: Path | None = None) -> str | None:
    """Return what a text is, if it is a path and not a text: ``"folder"``, ``"data file"`` or ``"medium"``.

    A folder or data file is one that exists, and has a separator if it is a folder: any word may be the name
    of a folder. Media are those by `looks_like_path` that are not there.
    """
    if _SEPARATORS.search(text) and names_folder(text, root):
        return "folder"
    ending = Path(text[-_LONGEST_PATH:].lower().removesuffix(".gz")).suffix
    if ending in _DATA_SUFFIXES and _is(text, root, Path.is_file):
        return "data file"
    return "medium" if looks_like_path(text) else None


def names_folder(text: str, root: Path | None = None) -> bool:
    """Return whether a text with letters or digits is the name of a folder that exists."""
    return any(map(str.isalnum, text[:_LONGEST_PATH])) and _is(text, root, Path.is_dir)


def _is(text: str, root: Path | None, kind: Callable[[Path], bool]) -> bool:
    trimmed = text.strip()
    if not 0 < len(trimmed) <= _LONGEST_PATH or "\n" in trimmed or "\0" in trimmed:
        return False
    try:
        return kind(_under(root, Path(trimmed)))
    except (OSError, ValueError):
        return False


def nearly_image(text: str) -> bool:
    r"""Return whether a text that is not an image by `looks_like_image` may have been meant as one.

    It ends like an image or audio file but for white space: ``"my photo.jpg"`` if there is no such file, or
    ``"cat.png\n"`` as lines are read from a list of files.
    """
    trimmed = text.strip()
    suffixes = IMAGE_SUFFIXES | AUDIO_SUFFIXES
    return 0 < len(trimmed) <= _LONGEST_PATH and Path(trimmed).suffix.lower() in suffixes


def as_image(value: Any, root: Path | None = None) -> Image:
    """Return the `Image` part of anything that stands where an image is expected.

    An ``https`` address stays one, until `savs.data.coercion.settled` fetches or refuses it.

    Raises
    ------
    ExampleError
        ``url_refused``, ``image_format``, ``image_path``, ``data_url``,
        ``image_array``, ``image_type`` or ``bit_depth``.
    """
    if isinstance(value, Video):
        return as_video(value)
    if isinstance(value, Image):
        # One made by hand may hold what only `as_image` understands, such as a text.
        check_pixel_limits(value.min_pixels, value.max_pixels)
        made = as_image(value.source, None)
        check_bit_depth(value.bit_depth)
        if made.source is value.source:
            return value
        if type(made) is type(value):
            return replace(value, source=made.source)
        return replace(made, min_pixels=value.min_pixels, max_pixels=value.max_pixels)
    if isinstance(value, str):
        return _image_from_text(str(value), root)
    if isinstance(value, Path):
        return _image_from_path(value, root)
    if isinstance(value, bytes | bytearray | memoryview):
        return Image(bytes(value))
    if isinstance(value, IOBase):
        return Image(file_content(value))
    if isinstance(value, np.ndarray):
        return Image(pixels_of_array(value))
    if is_tensor(value):
        return Image(pixels_of_tensor(value))
    if is_pil(value):
        return Image(value)
    if isinstance(value, Mapping) and {"bytes", "path"} & set(value):
        return as_image(value["bytes"] if value.get("bytes") is not None else value.get("path"), root)
    raise ExampleError(
        f"{a_type(value)} stands where an image is expected; {_ACCEPTED_IMAGES}", code="image_type"
    )


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
        check_pixel_limits(value.min_pixels, value.max_pixels)
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


def check_pixel_limits(low: Any, high: Any) -> None:
    """Check that pixels can be limited so; None is no limit.

    Raises
    ------
    ExampleError
        ``pixel_limits``.
    """
    for name, limit in (("min_pixels", low), ("max_pixels", high)):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ExampleError(f"{name} is a whole number of pixels, at least 1", code="pixel_limits")
    if low is not None and high is not None and low > high:
        raise ExampleError(f"min_pixels, {low}, is more than max_pixels, {high}", code="pixel_limits")


def audio_error(what: str) -> ExampleError:
    """Return the error for an audio clip in the place of an image or video."""
    return ExampleError(f"{what} is an audio clip, where an image or video is expected", code="image_type")


def _image_from_text(text: str, root: Path | None) -> Image:
    if text[:5].lower() == "data:":
        return _decode_data_url(text)
    address = as_address(text, "image")
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
            f"a text of {len(text)} characters is not the path of an image; base64 goes as "
            f"data:image/png;base64,..."
        )
        raise ExampleError(message, code="image_path")
    return _image_from_path(Path(text), root)


def _image_from_path(path: Path, root: Path | None) -> Image:
    return _of_suffix(path.suffix.lower(), _under(root, path))


def _of_suffix(suffix: str, source: Path) -> Image:
    if suffix in _AUDIOS:
        raise audio_error(f"a {suffix} file")
    if suffix in VIDEO_SUFFIXES:
        return Video(source)
    if suffix in UNREAD_VIDEO_SUFFIXES:
        raise ExampleError(f"{suffix} files are not read; convert the video to MP4", code="video_type")
    if suffix in _DATA_SUFFIXES:
        message = f"a {suffix} file is no image; savs.read_examples reads data files"
        raise ExampleError(message, code="image_format")
    if suffix in UNREAD_IMAGE_SUFFIXES:
        raise ExampleError(f"{suffix} files are not read; save the image as PNG or JPEG", code="image_format")
    return Image(source)


def _decode_data_url(text: str) -> Image:
    match = _IMAGE_DATA_URL.match(text)
    kind = match["kind"].lower() if match else ""
    if kind == "audio":
        raise audio_error("a data:audio URL")
    if match is None or kind not in {"image", "video"} or not match["options"].lower().endswith(";base64"):
        raise ExampleError("a data URL must begin with data:image/...;base64,", code="data_url")
    data = decode_base64(text[match.end() :])
    return Video(data) if kind == "video" else Image(data)


def decode_base64(text: str, what: str = "image") -> bytes:
    """Return the bytes of a base64 text; `ExampleError` (``data_url``) if it is none."""
    try:
        data = base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise ExampleError(f"the {what}'s base64 is damaged; encode it again", code="data_url") from None
    if not data:
        raise ExampleError(f"the {what}'s base64 is empty", code="data_url")
    return data


def _under(root: Path | None, path: Path) -> Path:
    return path if root is None else root / path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


# Every form of an audio clip to an `Audio` part. Nothing is opened or decoded, except base64.

MOST_CHANNELS = 32
_AUDIO_DATA_URL = re.compile(r"data:[a-z]+/[^;,]{0,100}[^,]{0,200};base64,", re.IGNORECASE)
_SAMPLES = {"array", "sampling_rate", "path", "bytes"}
_ACCEPTED_AUDIO = (
    "audio is a path, encoded bytes, a data:audio/...;base64, URL, or an array with its sampling rate "
    "({'array': ..., 'sampling_rate': ...} or savs.Audio)"
)


def is_medium(value: Any) -> bool:
    """Return whether a mapping or part can only mean an audio clip, and not a row."""
    if isinstance(value, Mapping):
        return value.get("array") is not None and set(value) <= _SAMPLES
    return isinstance(value, Audio)


def as_medium(value: Any, root: Path | None = None) -> Image | Audio:
    """Return the part of an image, video or audio clip; what a path or address says decides which.

    Raises
    ------
    ExampleError
        As `as_audio` and `savs.media._coercion.as_image`.
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
    """Return the `Audio` part of anything that stands where audio is expected, whatever a path ends in.

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
        raise ExampleError(f"{a_type(source)} is not an array of samples", code="audio_array")
    if rate is not None:
        raise ExampleError(
            "a sampling rate comes with samples alone: a file says its own; leave it out", code="audio_rate"
        )
    if isinstance(source, str):
        return Audio(_audio_from_text(str(source), root))
    if isinstance(source, Path):
        return Audio(_audio_from_path(source, root))
    if isinstance(source, bytes | bytearray | memoryview):
        return Audio(source if isinstance(source, bytes) else bytes(source))
    if isinstance(source, IOBase):
        return Audio(file_content(source))
    hint = "; cast the column to Audio(decode=False)" if type(source).__name__ == "AudioDecoder" else ""
    message = f"{a_type(source)} stands where an audio clip is expected{hint}; {_ACCEPTED_AUDIO}"
    raise ExampleError(message, code="audio_type")


def _audio_from_text(text: str, root: Path | None) -> Path | bytes:
    if text[:5].lower() == "data:":
        match = _AUDIO_DATA_URL.match(text)
        if match is None or not text[:11].lower() == "data:audio/":
            raise ExampleError(
                "an audio clip's data URL must begin with data:audio/...;base64,", code="data_url"
            )
        return decode_base64(text[match.end() :], "audio")
    address = as_address(text, "audio")
    if address is not None:
        # Only until the example is `settled`.
        return cast(Path, address)
    if not text.strip() or "\0" in text or "\n" in text or len(text) > _LONGEST_PATH:
        advice = "base64 is data:audio/wav;base64,"
        message = f"a text of {len(text)} characters is not the path of an audio clip; {advice}"
        raise ExampleError(message, code="audio_path")
    return _audio_from_path(Path(text), root)


def _audio_from_path(path: Path, root: Path | None) -> Path:
    if _suffix(path) in UNREAD_AUDIO_SUFFIXES:
        message = f"{_suffix(path)} files are not read; convert the audio clip to WAV or FLAC"
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
    if is_tensor(source):
        source = source.detach().cpu()
        if str(source.dtype) == "torch.bfloat16":  # which NumPy has not
            source = source.float()
    try:
        samples = np.asarray(source)
    except (ValueError, TypeError, OverflowError, RuntimeError):
        message = "the audio clip's samples are not an array, as rows of different lengths"
        raise ExampleError(message, code="audio_array") from None
    if isinstance(source, np.ma.MaskedArray):
        raise _audio_array_error("is masked; use .filled(0)", samples)
    if samples.dtype.newbyteorder("=") not in (np.int16, np.float16, np.float32, np.float64):
        raise _audio_array_error(
            "is not an audio clip: samples are float32, float64 or float16 in -1..1, or int16", samples
        )
    if samples.ndim not in {1, 2}:
        raise _audio_array_error("is not an audio clip; (n_samples,) or (n_samples, n_channels) is", samples)
    if samples.ndim == 2 and samples.shape[0] <= MOST_CHANNELS < samples.shape[1]:
        raise _audio_array_error("has its channels first; use .T", samples)
    if samples.size == 0:
        raise _audio_array_error("has no samples", samples)
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


def _audio_array_error(message: str, samples: NDArray[Any]) -> ExampleError:
    return ExampleError(
        f"an array of {samples.dtype} and shape {samples.shape} {message}", code="audio_array"
    )
