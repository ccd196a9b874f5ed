"""Encoded bytes to a fully decoded Pillow image of an allowed format, within limits.

Pillow's globals stay as they are: limits are our own, and its warnings are silenced only while it works.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# Imported by name so that `Image.open` finds the allowed formats without loading every plugin it has.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from savs.errors import MediaError
from savs.media.limits import DEFAULT_LIMITS, MediaLimits, MediaWarning, too_many_pixels

__all__ = ["ALLOWED_FORMATS", "decode", "pillow_at_work", "size_in_header", "undecodable"]

ALLOWED_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow's names of the formats that are read. MPO, a JPEG with extra pictures behind it, counts as JPEG."""

_OTHER_FORMATS = {
    "PSD": (0, b"8BPS"),
    "EPS": (0, b"%!PS"),
    "PDF": (0, b"%PDF"),
    "FITS": (0, b"SIMPLE  ="),
    "HEIC or AVIF or video": (4, b"ftyp"),
    "SVG": (0, b"<svg"),
    "ICO": (0, b"\0\0\1\0"),
    "JPEG 2000": (0, b"\0\0\0\x0cjP  "),
    "WebM or Matroska video": (0, b"\x1aE\xdf\xa3"),
}


class _Quiet:
    """Silences Pillow's warnings from the first thread that starts to decode to the last that ends.

    `warnings.catch_warnings` alone is not enough: threads that overlap would restore each other's filters.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._users = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._stack.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stack.close()


_QUIET = _Quiet()


@contextmanager
def pillow_at_work() -> Iterator[None]:
    """Let Pillow work: silence its warnings, turn whatever it raises into `MediaError` without its text."""
    try:
        with _QUIET:
            yield
    except MediaError:
        raise
    # Broken files make decoders raise almost anything (OSError, SyntaxError, struct.error, TypeError, ...).
    except Exception:
        raise undecodable() from None


def undecodable() -> MediaError:
    """Return the error for bytes that are no whole picture."""
    message = "the bytes are no complete picture (damaged, cut short or another kind of file); fetch it again"
    return MediaError(message, code="image_undecodable")


def decode(data: bytes, limits: MediaLimits) -> Image.Image:
    """Return the first frame of an encoded picture, all of it decoded, in the file's own mode.

    Raises
    ------
    MediaError
        ``image_format``, ``image_too_many_pixels``, ``image_too_small``, ``image_aspect`` or
        ``image_undecodable``.

    Warns
    -----
    MediaWarning
        If the picture has more frames: nothing after the second frame's header is looked at.
    """
    with pillow_at_work():
        image = _open(data, limits)
        limits.check_size(*image.size)
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        image.load()
        limits.check_size(*image.size)
    if animated:
        warnings.warn(
            "an animated or multi-page picture: only its first frame is used", MediaWarning, stacklevel=3
        )
    return image


def size_in_header(data: bytes) -> tuple[int, int]:
    """Return width and height from the first bytes of an encoded picture.

    Raises
    ------
    MediaError
        If they are no header of a format that is read.
    """
    with pillow_at_work():
        return _open(data, DEFAULT_LIMITS).size


def _open(data: bytes, limits: MediaLimits) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS)
    except Image.DecompressionBombError:
        raise too_many_pixels(limits, "far too many pixels") from None
    except UnidentifiedImageError:
        raise _not_allowed(data) from None


def _not_allowed(data: bytes) -> MediaError:
    for name, (start, magic) in _OTHER_FORMATS.items():
        if data[start : start + len(magic)] == magic:
            message = f"{name} is not read; save the picture as one of {', '.join(ALLOWED_FORMATS)}"
            return MediaError(message, code="image_format")
    return undecodable()
