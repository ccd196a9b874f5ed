"""`load_image` and `content_hash`: the one guarded loader of pictures, whatever form they come in.

Safe to call from several threads, also with the same source.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from savs.errors import MediaError
from savs.examples.pictures import a_type
from savs.media.conversion import array_to_image, to_rgb
from savs.media.decoding import ALLOWED_FORMATS, decode, pillow_at_work, size_in_header, undecodable
from savs.media.limits import DEFAULT_LIMITS, MediaLimits
from savs.media.paths import read_media_file

__all__ = ["Source", "content_hash", "image_area", "load_image"]

_HEADER_BYTES = 65536

Source = Path | bytes | Image.Image | NDArray[Any]
"""What a picture can be given as; see `savs.examples.Image`."""

# Pillow decodes an opened image on first use, in place: two threads must not do that to the same one.
_CALLERS_IMAGE = threading.Lock()


def load_image(source: Source, limits: MediaLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return a picture as 8-bit RGB: oriented by EXIF once, composited on the background, without metadata.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        File, encoded bytes, or pixels as `savs.examples.Image` takes them; never changed.
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
    """
    image = _pixels(source, limits)
    with pillow_at_work():
        return to_rgb(ImageOps.exif_transpose(image), limits.background)


def content_hash(source: Source, limits: MediaLimits = DEFAULT_LIMITS) -> str:
    """Return the sha256 of a picture's content, as 64 hexadecimal digits.

    Of the encoded bytes for a path or bytes; of mode, size, palette, orientation and pixels for a PIL image;
    of type, shape and values for an array. Nothing is decoded for a path or bytes.

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
    """Return a picture's number of pixels as its header has it; 0 if that cannot be told from its beginning.

    For planning only: nothing is decoded, and a bad picture is no error yet.
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
    if isinstance(source, Path):
        return decode(read_media_file(source, limits), limits)
    if isinstance(source, bytes):
        if not source:
            raise undecodable()
        limits.check_bytes(len(source))
        return decode(source, limits)
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:
            limits.check_size(source.shape[1], source.shape[0])
        return array_to_image(source)
    return _own_copy(source, limits)


def _own_copy(image: Image.Image, limits: MediaLimits) -> Image.Image:
    if not isinstance(image, Image.Image):
        raise MediaError(f"a picture cannot be read from {a_type(image)}", code="image_source")
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
