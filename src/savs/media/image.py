"""`load_image` and `content_hash`: the one guarded loader of images, and the formats that it reads.

In reading order: every mode of Pillow to 8-bit RGB, encoded bytes to a decoded image, and the loader.

============================  ==============================================================================
mode or array                 becomes
============================  ==============================================================================
1, L, RGB, YCbCr, HSV, LAB    the same colors; gray repeated in three channels
CMYK                          ``(255 - ink) * (255 - black) / 255``, without a color profile
P, PA, LA, RGBA, RGBa, La     palette looked up, composited on the background
``transparency`` in a file    composited on the background (palette entries, or one transparent color)
RGBX                          the fourth channel is dropped
I;16 and uint16 arrays        ``round(value / 257)``
I                             up to 255 as 8-bit, up to 65535 as 16-bit, anything else refused
F                             rounded, if all values are finite and in 0..255 and they do not look like 0..1
bool arrays                   0 and 255
============================  ==============================================================================

Color profiles (ICC) are not applied, as image processors of transformers do not apply them either. Pillow's
globals stay as they are: limits are our own, and its warnings are silenced only while it works. Safe to call
from several threads, also with the same source.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Plugins are imported by name so that `Image.open` finds the allowed formats without loading all it has.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from savs.errors import MediaError
from savs.media._coercion import a_type, as_image, settled_part
from savs.media._paths import encoded, read_media_file
from savs.media.limits import DEFAULT_LIMITS, MediaLimits, MediaWarning, too_many_pixels
from savs.media.parts import Image as ImagePart

__all__ = [
    "ALLOWED_FORMATS",
    "decode_image",
    "Source",
    "content_hash",
    "image_area",
    "load_image",
]


# Every Pillow mode and array type to 8-bit RGB, by one table.

Color = tuple[int, int, int]

_DIRECT_MODES = {"1", "L", "RGB", "YCbCr", "HSV", "LAB", "CMYK", "RGBX"}
_ALPHA_MODES = {"P", "PA", "LA", "La", "RGBA", "RGBa"}
_FULL_16_BIT = 65535


def to_rgb(image: Image.Image, background: Color) -> Image.Image:
    """Return a new RGB image without metadata; `MediaError` (``image_mode``) if its range is ambiguous."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        rgb = _gray_to_rgb(image, background)
    elif image.mode in _ALPHA_MODES or image.info.get("transparency") is not None:
        rgb = _composite(image, background)
    elif image.mode in _DIRECT_MODES:
        rgb = image.convert("RGB")
    else:
        raise _mode_error(f"mode {image.mode} is not read; convert it to RGB first")
    # A new image: what follows must find neither an orientation to apply again nor a color key.
    rgb.info = {}
    return rgb


def array_to_image(array: NDArray[Any]) -> Image.Image:
    """Return the image of a bool, uint8 or uint16 array of shape (height, width[, 3 or 4])."""
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in {3, 4}):
        raise _mode_error(
            f"an array of shape {array.shape} is not an image; (height, width[, 3 or 4]) is needed"
        )
    if array.size == 0:
        raise MediaError(f"an array of shape {array.shape} has no pixels", code="image_too_small")
    if array.dtype == np.bool_:
        return Image.fromarray(array.astype(np.uint8) * np.uint8(255))
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return Image.fromarray(_from_16_bit(array))
    raise _mode_error(
        f"an array of {array.dtype} is not an image; scale it to 0..255 and convert it to uint8"
    )


def _from_16_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    # 65535 = 255 * 257. A plain conversion would cut everything above 255 to white.
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _composite(image: Image.Image, background: Color) -> Image.Image:
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(_with_alpha(image))
    return canvas.convert("RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        return image.convert("LA").convert("RGBA")
    if image.mode in {"P", "PA", "LA", "RGBa", "RGBA", "1", "L", "RGB"}:
        return image.convert("RGBA")
    return image.convert("RGB").convert("RGBA")


def _gray_to_rgb(image: Image.Image, background: Color) -> Image.Image:
    values = np.asarray(image)
    gray = _from_16_bit(values) if image.mode.startswith("I;16") else _scale_wide(values, image.mode)
    rgb = np.repeat(gray[:, :, None], 3, axis=2)
    key = image.info.get("transparency")
    if isinstance(key, int):
        rgb[values == key] = background
    return Image.fromarray(rgb)


def _scale_wide(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if mode == "I" and low >= 0 and high <= _FULL_16_BIT:
        return _from_16_bit(values) if high > 255 else values.astype(np.uint8)
    if mode == "F" and low >= 0 and high <= 255 and not _looks_like_unit_range(values):
        rounded: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
        return rounded
    problem = "whole numbers outside 0..65535" if mode == "I" else "decimals that are not in 0..255"
    raise _mode_error(f"the image holds {problem}; scale its values to 0..255")


def _looks_like_unit_range(values: NDArray[Any]) -> bool:
    # 0..1 read as 0..255 would turn an image black without a word.
    return bool(values.max() <= 1 and (values != np.rint(values)).any())


def _mode_error(message: str) -> MediaError:
    return MediaError(message, code="image_mode")


# Encoded bytes to a fully decoded Pillow image of an allowed format, within limits.

ALLOWED_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow's names of the formats that are read. MPO, a JPEG with extra images behind it, counts as JPEG."""

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
    """Return the error for bytes that are not a whole image."""
    message = (
        "the bytes are not a complete image (damaged, cut short or another kind of file); fetch it again"
    )
    return MediaError(message, code="image_undecodable")


def decode(data: bytes, limits: MediaLimits) -> Image.Image:
    """Return the first frame of an encoded image, all of it decoded, in the file's own mode.

    Raises
    ------
    MediaError
        ``image_format``, ``image_too_many_pixels``, ``image_too_small``, ``image_aspect`` or
        ``image_undecodable``.

    Warns
    -----
    MediaWarning
        If the image has more frames: nothing after the second frame's header is looked at.
    """
    with pillow_at_work():
        image = _open(data, limits)
        limits.check_size(*image.size)
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        image.load()
        limits.check_size(*image.size)
    if animated:
        warnings.warn(
            "an animated or multi-page image: only its first frame is used", MediaWarning, stacklevel=3
        )
    return image


def size_in_header(data: bytes) -> tuple[int, int]:
    """Return width and height from the first bytes of an encoded image.

    Raises
    ------
    MediaError
        If they are not the header of a format that is read.
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
            message = f"{name} is not read; save the image as one of {', '.join(ALLOWED_FORMATS)}"
            return MediaError(message, code="image_format")
    return undecodable()


# `load_image` and `content_hash`: the one guarded loader of images, whatever form they come in.

_HEADER_BYTES = 65536

Source = Path | bytes | Image.Image | NDArray[Any]
"""What an image can be given as; see `savs.media.Image`."""

# Pillow decodes an opened image on first use, in place: two threads must not do that to the same one.
_CALLERS_IMAGE = threading.Lock()


def load_image(image: Any, limits: MediaLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return an image as 8-bit RGB: oriented by EXIF once, composited on the background, without metadata.

    Parameters
    ----------
    image : Path, bytes, PIL image, ndarray or savs.Image
        File, encoded bytes or pixels; never changed.
    limits : MediaLimits
        Checked from the file's length and header before anything is decoded.

    Returns
    -------
    PIL.Image.Image
        A new image of mode RGB.

    Raises
    ------
    MediaError
        With one of the codes ``media_missing``, ``media_unreadable``, ``media_not_a_file``,
        ``image_too_large``, ``image_too_many_pixels``, ``image_too_small``, ``image_aspect``,
        ``image_format``, ``image_mode``, ``image_undecodable``, ``image_source``.
    ExampleError
        ``url_refused``, ``image_path`` or ``data_url``, for a `savs.Image` of a text that cannot be one.
    """
    if isinstance(image, ImagePart):
        image = settled_part(as_image(image), None).source
    return decode_image(image, limits)


def decode_image(source: Source, limits: MediaLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return the pixels of an image that is already part of an example, as `load_image` does.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        An array has shape (height, width), (height, width, 3) or (height, width, 4).
    limits : MediaLimits, optional
        Largest file and image sizes, and the color behind transparent parts.

    Returns
    -------
    PIL.Image.Image
        A new image of mode RGB, 8 bits per channel.

    Raises
    ------
    MediaError
        With the codes of `load_image`.
    """
    image = _pixels(source, limits)
    with pillow_at_work():
        return to_rgb(ImageOps.exif_transpose(image), limits.background)


def content_hash(source: Source, limits: MediaLimits = DEFAULT_LIMITS) -> str:
    """Return the SHA-256 hash of an image's content.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        A path or encoded bytes are hashed as bytes, without decoding; a PIL image by its mode, size, palette,
        orientation and pixels; an array by its dtype, shape and values.
    limits : MediaLimits, optional
        Largest file size (bytes) for a path, and image size (pixels) for a PIL image.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    MediaError
        If the file cannot be read or is too large, or the PIL image cannot be decoded.
    """
    if isinstance(source, Path):
        return hashlib.sha256(read_media_file(source, limits)).hexdigest()
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    if isinstance(source, np.ndarray):
        header = f"array {source.dtype.str} {source.shape} "
        return hashlib.sha256(header.encode() + source.tobytes()).hexdigest()
    return _hash_pil(_own_copy(source, limits))


def image_area(source: Source) -> int:
    """Return an image's number of pixels by its header; 0 if its beginning does not show it.

    For planning only: nothing is decoded, and a bad image is no error yet.
    """
    if isinstance(source, np.ndarray):
        return int(source.shape[0] * source.shape[1]) if source.ndim >= 2 else 0
    if isinstance(source, Image.Image):
        return int(source.size[0] * source.size[1])
    try:
        width, height = size_in_header(_beginning(source))
    except (MediaError, OSError):
        return 0
    return width * height


def _beginning(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEADER_BYTES]
    if not source.is_file():  # a pipe would block
        return b""
    with source.open("rb") as file:
        return file.read(_HEADER_BYTES)


def _pixels(source: Source, limits: MediaLimits) -> Image.Image:
    if isinstance(source, Path | bytes):
        return decode(encoded(source, limits, "image"), limits)
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:
            limits.check_size(source.shape[1], source.shape[0])
        return array_to_image(source)
    return _own_copy(source, limits)


def _own_copy(image: Image.Image, limits: MediaLimits) -> Image.Image:
    if not isinstance(image, Image.Image):
        raise MediaError(f"an image cannot be read from {a_type(image)}", code="image_source")
    # An image that was opened but not decoded yet would run its plugin's decoder here, past the allow-list.
    if image.format not in {None, "MPO", *ALLOWED_FORMATS}:
        message = f"the {image.format} format is not read; convert the image to RGB first"
        raise MediaError(message, code="image_format")
    limits.check_size(*image.size)
    with _CALLERS_IMAGE, pillow_at_work():
        return image.copy()


def _hash_pil(image: Image.Image) -> str:
    with pillow_at_work():
        palette = image.getpalette("RGBA") if image.mode in {"P", "PA"} else None
        orientation = image.getexif().get(0x0112, 1)
        header = ("pil", image.mode, image.size, palette, image.info.get("transparency"), orientation)
        return hashlib.sha256(repr(header).encode() + b"\0" + image.tobytes()).hexdigest()
