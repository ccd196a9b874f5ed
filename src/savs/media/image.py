"""`load_image` and `content_hash`: the one guarded loader of images, whatever form they come in.

What becomes of each mode stands in `savs.media._modes`, of each format in `savs.media._formats`. Safe to call
from several threads, also with the same source.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from savs.errors import MediaError
from savs.media._arrays import is_tensor
from savs.media._bit_depth import levels_checked
from savs.media._coercion import a_type, as_image, settled_part
from savs.media._formats import (
    ALLOWED_FORMATS,
    conversion_of,
    decode,
    described,
    is_as_opened,
    pillow_at_work,
    read_header,
    whole_jpeg,
)
from savs.media._levels import Levels
from savs.media._modes import Pixels, array_to_pixels, to_rgb
from savs.media._paths import check_media_file, encoded, read_media_file
from savs.media.limits import DEFAULT_LIMITS, MediaLimits, MediaWarning
from savs.media.parts import Image as ImagePart

__all__ = [
    "ALLOWED_FORMATS",
    "ImageHeader",
    "decode_image",
    "Source",
    "content_hash",
    "conversion",
    "image_area",
    "image_header",
    "load_image",
]


_HEADER_BYTES = 65536

Source = Path | bytes | Image.Image | NDArray[Any]
"""What an image can be given as; see `savs.media.Image`."""

# Pillow decodes an opened image on first use, in place: two threads must not do that to the same one.
_CALLERS_IMAGE = threading.Lock()


def load_image(image: Any, limits: MediaLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return an image as 8-bit RGB: oriented by EXIF once, composited on the background, without metadata.

    Parameters
    ----------
    image : Path, bytes, PIL image, ndarray, tensor or savs.Image
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
        ``image_array`` for an array or tensor that is none, by the rules of examples; ``url_refused``,
        ``image_path`` or ``data_url``, for a `savs.Image` of a text that cannot be one.

    Warns
    -----
    MediaWarning
        If frames or pages behind the first are left out, no pixel is visible, pixels are not square, or a
        file of 16 bits seems to use fewer.
    """
    if not (isinstance(image, ImagePart | np.ndarray) or is_tensor(image)):
        return decode_image(image, limits)
    part = settled_part(as_image(image), None)
    return decode_image(part.source, limits, part.bit_depth)


def decode_image(
    source: Source, limits: MediaLimits = DEFAULT_LIMITS, bit_depth: int | None = None
) -> Image.Image:
    """Return the pixels of an image that is already part of an example, as `load_image` does.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        An array has shape (height, width), (height, width, 3) or (height, width, 4).
    limits : MediaLimits, optional
        Largest file and image sizes, and the color behind transparent parts.
    bit_depth : int, optional
        Bits that values of more than 8 bits have, as in `savs.media.Image`.

    Returns
    -------
    PIL.Image.Image
        A new image of mode RGB, 8 bits per channel.

    Raises
    ------
    MediaError
        With the codes of `load_image`.

    Warns
    -----
    MediaWarning
        As `load_image`.
    """
    pixels = _pixels(source, limits)
    with levels_checked(), pillow_at_work():
        rgb = to_rgb(pixels, limits.background, bit_depth)
    for remark in pixels.remarks:
        warnings.warn(remark, MediaWarning, stacklevel=2)
    return rgb


def content_hash(source: Source, limits: MediaLimits = DEFAULT_LIMITS) -> str:
    """Return the SHA-256 hash of an image's content.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        A path or encoded bytes are hashed as bytes, without decoding; a PIL image by its mode, size, palette,
        orientation and pixels, or by its file if it is opened, not decoded, and PIL would lose some of it; an
        array by its dtype, shape and values.
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
    _check_pil(source, limits)
    file = _file_behind(source, limits)
    # Not the hash of the bytes alone: older stores have it for what they read from the file in another way.
    if file is not None:
        return hashlib.sha256(b"opened " + file).hexdigest()
    jpeg = _opened_jpeg(source, limits)
    # The caller's image stays undecoded, so that its pixels come from the file, too.
    return _hash_pil(source if jpeg is None else whole_jpeg(jpeg, limits))


def conversion(source: Source) -> int:
    """Return the version of the rules by which an encoded image becomes RGB.

    It is 1 for all that every version of savs has read alike, so that their features in a store stay valid.
    """
    if not isinstance(source, Path | bytes):
        return 1  # the hash says it all
    try:
        return conversion_of(_beginning(source))
    except (MediaError, OSError):
        return 1


def image_area(source: Source) -> int:
    """Return an image's number of pixels by its header; 0 if its beginning does not show it.

    For planning only: nothing is decoded, and a bad image is not an error yet.
    """
    if isinstance(source, np.ndarray):
        return int(source.shape[0] * source.shape[1]) if source.ndim >= 2 else 0
    if isinstance(source, Image.Image):
        return int(source.size[0] * source.size[1])
    try:
        width, height, _ = read_header(_beginning(source))
    except (MediaError, OSError):
        return 0
    return width * height


class ImageHeader(NamedTuple):
    """What is known of an image without decoding it.

    Attributes
    ----------
    width, height : int
        Pixels, before any turn that EXIF asks for.
    format : str
        ``"PNG"``, ``"JPEG"``, ...; ``""`` for pixels at hand.
    n_bytes : int
        Length of the file; 0 for pixels at hand.
    """

    width: int
    height: int
    format: str
    n_bytes: int


def image_header(source: Source) -> ImageHeader:
    """Return an image's size and format by its header, and the length of its file.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        As for `savs.media.Image`. A file whose beginning does not show its size is decoded.

    Raises
    ------
    MediaError
        If it is no image, or its file cannot be read.
    """
    if not isinstance(source, Path | bytes):
        if not isinstance(source, np.ndarray):
            _check_pil(source, DEFAULT_LIMITS)
            return ImageHeader(*source.size, source.format or "", 0)
        return ImageHeader(*decode_image(source).size, "", 0)
    if isinstance(source, Path):
        check_media_file(source, DEFAULT_LIMITS)
    n_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
    try:
        return ImageHeader(*read_header(_beginning(source)), n_bytes)
    except (MediaError, OSError):
        return ImageHeader(*decode_image(source).size, "", n_bytes)


def _beginning(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEADER_BYTES]
    if not source.is_file():  # a pipe would block
        return b""
    with source.open("rb") as file:
        return file.read(_HEADER_BYTES)


def _pixels(source: Source, limits: MediaLimits) -> Pixels:
    if isinstance(source, Path | bytes):
        return decode(encoded(source, limits, "image"), limits)
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:
            limits.check_size(source.shape[1], source.shape[0])
        return array_to_pixels(source)
    _check_pil(source, limits)
    file = _file_behind(source, limits)
    if file is not None:
        return decode(file, limits)
    jpeg = _opened_jpeg(source, limits)
    if jpeg is not None:
        return decode(jpeg, limits)
    with _CALLERS_IMAGE, pillow_at_work():
        return described(source)


def _file_behind(image: Image.Image, limits: MediaLimits) -> bytes | None:
    """Return the file of a PIL image that is opened but not decoded, if PIL would lose some of it or err."""
    data = _opened_bytes(image, limits, lambda head: conversion_of(head) > 1)
    return None if data is None else encoded(data, limits, "image")


def _opened_jpeg(image: Image.Image, limits: MediaLimits) -> bytes | None:
    """Return the JPEG file of a PIL image that is opened as it is in it, and not decoded."""
    data = _opened_bytes(image, limits, lambda head: head[:2] == b"\xff\xd8")
    if data is None or len(data) > limits.max_bytes:
        return None
    with _CALLERS_IMAGE:
        return data if is_as_opened(data, image, limits) else None


def _opened_bytes(
    image: Image.Image, limits: MediaLimits, is_wanted: Callable[[bytes], bool]
) -> bytes | None:
    """Return the file of a PIL image that is opened but not decoded, if its beginning is wanted.

    It stays as it is: neither decoded nor read on.
    """
    file = getattr(image, "fp", None)
    if not isinstance(image, ImageFile.ImageFile) or file is None or not _is_first_and_undecoded(image):
        return None
    try:
        with _CALLERS_IMAGE:
            place = file.tell()
            file.seek(0)
            data = bytes(file.read(_HEADER_BYTES))
            wanted = is_wanted(data)
            if wanted:
                data += file.read(limits.max_bytes + 1)
            file.seek(place)
    except (MediaError, OSError, ValueError):  # closed by now, or it cannot go back
        return None
    return data if wanted else None


def _is_first_and_undecoded(image: ImageFile.ImageFile) -> bool:
    if image.format == "HEIF":  # pillow-heif has no tiles, and lets go of the file when it decodes
        return not getattr(image, "is_animated", False)
    return bool(image.tile) and image.tell() == 0


def _check_pil(image: Image.Image, limits: MediaLimits) -> None:
    if not isinstance(image, Image.Image):
        raise MediaError(f"an image cannot be read from {a_type(image)}", code="image_source")
    # An image that was opened but not decoded yet would run its plugin's decoder here, past the allow-list.
    if image.format not in {None, "MPO", *ALLOWED_FORMATS}:
        message = f"the {image.format} format is not read; convert the image to RGB first"
        raise MediaError(message, code="image_format")
    limits.check_size(*image.size)


def _hash_pil(image: Image.Image) -> str:
    with _CALLERS_IMAGE, pillow_at_work():
        pixels = described(image)
        copy = image.copy()
        palette = copy.getpalette("RGBA") if copy.mode in {"P", "PA"} else None
        orientation = image.getexif().get(0x0112, 1)  # a copy has not what was set on the image
        header: tuple[object, ...]
        header = ("pil", copy.mode, copy.size, palette, copy.info.get("transparency"), orientation)
        # Where the same pixels are read in another way; hashes of all others are those of earlier versions.
        if pixels.levels != Levels() or pixels.hides_all:
            header += (pixels.levels, pixels.hides_all)
        return hashlib.sha256(repr(header).encode() + b"\0" + copy.tobytes()).hexdigest()
