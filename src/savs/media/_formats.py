"""Encoded bytes of an allowed format to decoded pixels, within limits, and what Pillow gets wrong of them.

Each correction stands beside its format, with what is read otherwise. Pillow's globals stay as they are:
limits are our own, and its warnings are silenced only while it works.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Plugins are imported by name so that `Image.open` finds the allowed formats without loading all it has.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    ImageOps,
    ImagePalette,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
    features,
)

from savs._optional import import_optional
from savs.errors import MediaError, MissingDependencyError
from savs.media._jpeg import looks_unfinished, with_more_data
from savs.media._levels import FULL_16_BIT, Levels, mode_error
from savs.media._main_image import coded_colors
from savs.media._modes import Pixels
from savs.media.limits import DEFAULT_LIMITS, MediaLimits, too_many_pixels

_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_HEIF = "HEIF"
ALLOWED_FORMATS = (*_PILLOW_FORMATS, _HEIF)
"""Pillow's names of the formats that are read; MPO, a JPEG with extra images behind it, counts as JPEG."""

_OTHER_FORMATS = {
    "PSD": (0, b"8BPS"),
    "EPS": (0, b"%!PS"),
    "PDF": (0, b"%PDF"),
    "FITS": (0, b"SIMPLE  ="),
    "MP4 or another video": (4, b"ftyp"),
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


def decode(data: bytes, limits: MediaLimits) -> Pixels:
    """Return the first frame of an encoded image, all of it decoded and upright, in the file's own mode.

    Raises
    ------
    MediaError
        ``image_format``, ``image_mode``, ``image_too_many_pixels``, ``image_too_small``, ``image_aspect`` or
        ``image_undecodable``.
    """
    with pillow_at_work():
        data, was_inverted = _as_black_is_zero(data)
        image = _open(data, limits)
        limits.check_size(*image.size)
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        if image.format == "BMP":
            _correct_bmp(image, data)
        elif image.format == "PNG":
            _correct_png(image, data)
        elif image.format == "TIFF":
            _correct_byte_order(image)
        frame = image.tile[0].extents if image.format == "GIF" and image.tile else None
        if _is_16_bit_color(image):
            pixels = _load_16_bit_color(image, data, limits)
        else:
            _load(image)
            _check_jpeg_end(image, data, limits)
            pixels = described(image)
        limits.check_size(*image.size)
        if was_inverted:
            pixels.levels = replace(pixels.levels, inverted=True)
        if image.format == "PNG" and data[24] == 16:
            pixels.levels = _png_levels(data, pixels.values)
        pixels.uncovered = _outside(frame, image.size)
        pixels.high_range = _high_range(data)
    if animated:
        # Nothing after the second frame's header is looked at.
        which = "main image" if image.format == _HEIF else "first frame"
        pixels.remarks.append(f"an animated or multi-page image: only its {which} is used")
    return pixels


def _load(image: ImageFile.ImageFile) -> None:
    if image.format != "TIFF":
        image.load()
        return
    try:
        image.load()
    except Exception:  # also where Pillow knows the kind of file, but not how its pixels are packed
        raise _no_tiff() from None


def read_header(data: bytes) -> tuple[int, int, str]:
    """Return width, height and format from the first bytes of an encoded image.

    Raises
    ------
    MediaError
        If they are not the header of a format that is read.
    """
    with pillow_at_work():
        image = _open(_as_black_is_zero(data)[0], DEFAULT_LIMITS)
    return (*image.size, image.format or "")


def conversion_of(data: bytes) -> int:
    """Return 2 for files that savs converted differently once, before levels and palettes were right."""
    if data[:2] in (b"II", b"MM", b"BM"):
        return 2
    if data[:4] == b"\x89PNG" and len(data) > 25:
        changed = data[24] == 16 or (data[24] in (2, 4) and data[25] == 0) or b"cICP" in data[:1024]
        return 2 if changed else 1
    if _brands(data):
        return 1 if _high_range(data) is None else 2
    if data[:4] == b"GIF8":
        with pillow_at_work():
            image = _open(data, DEFAULT_LIMITS)
            return 1 if image.tile and image.tile[0].extents == (0, 0, *image.size) else 2
    return 1


def described(image: Image.Image) -> Pixels:
    """Return an image upright with what its file says of it; the image itself is not changed.

    Parameters
    ----------
    image : PIL image
        Decoded; as its plugin opened it, if the tags of a TIFF file are to be known.
    """
    levels = _tiff_levels(image) if isinstance(image, TiffImagePlugin.TiffImageFile) else Levels()
    upright = ImageOps.exif_transpose(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        upright = _corrected_tiff(image, upright)
    if image.format == _HEIF:
        levels = Levels(FULL_16_BIT)  # more than 8 bits are spread over 16 while they are decoded
    remarks = [] if _has_square_pixels(image) else [_NOT_SQUARE]
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_preview(image):
        remarks.append(_PREVIEW)
    return Pixels(upright, levels=levels, empty_alpha=image.format == "BMP", remarks=remarks)


def _open(data: bytes, limits: MediaLimits) -> ImageFile.ImageFile:
    brands = _brands(data)
    if brands & _HEIC_BRANDS or (brands & _SHARED_BRANDS and not brands & _AVIF_BRANDS):
        return _open_heif(data)
    if brands & _AVIF_BRANDS and not features.check("avif"):
        raise MediaError("AVIF images need a Pillow that was built with AVIF support", code="image_format")
    try:
        return Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
    except Image.DecompressionBombError:
        raise too_many_pixels(limits, "far too many pixels") from None
    except UnidentifiedImageError:
        raise _not_allowed(data) from None


def _not_allowed(data: bytes) -> MediaError:
    if _brands(data) & (_HEIC_BRANDS | _AVIF_BRANDS | _SHARED_BRANDS):
        return undecodable()
    if _PHOTOMETRIC in (_tiff_entries(data) or {}):
        return _no_tiff()
    for name, (start, magic) in _OTHER_FORMATS.items():
        if data[start : start + len(magic)] == magic:
            message = f"{name} is not read; save the image as one of {', '.join(_PILLOW_FORMATS)}"
            return MediaError(message, code="image_format")
    return undecodable()


def _no_tiff() -> MediaError:
    message = (
        "the bytes are no whole TIFF image, or have bits, channels or a compression that are not read; "
        "fetch it again, or save it as PNG"
    )
    return MediaError(message, code="image_undecodable")


# JPEG.


def is_as_opened(data: bytes, opened: Image.Image, limits: MediaLimits) -> bool:
    """Return whether an opened image is that of its file: not made smaller by `Image.draft`, nor turned."""
    with pillow_at_work():
        image = _open(data, limits)
        orientations = [one.getexif().get(_ORIENTATION, 1) for one in (image, opened)]
        return (image.size, image.mode) == (opened.size, opened.mode) and len(set(orientations)) == 1


def whole_jpeg(data: bytes, limits: MediaLimits) -> Image.Image:
    """Return the image of a JPEG file, decoded as it is stored; `MediaError` if the file ends early."""
    with pillow_at_work():
        image = _open(data, limits)
        image.load()
        _check_jpeg_end(image, data, limits)
    return image


_ORIENTATION = 0x0112


def _check_jpeg_end(image: Image.Image, data: bytes, limits: MediaLimits) -> None:
    if image.format not in {"JPEG", "MPO"} or not looks_unfinished(image):
        return
    again = _open(with_more_data(data), limits)
    again.load()
    if again.tobytes() != image.tobytes():
        raise undecodable()


# HEIC and AVIF, which both begin like a video.

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_SHARED_BRANDS = frozenset({b"mif1", b"msf1"})


def _brands(data: bytes) -> set[bytes]:
    """Return what a file of the ISO container says that it can be read as."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 1024)
    return {data[8:12], *(data[place : place + 4] for place in range(16, end - 3, 4))}


def _open_heif(data: bytes) -> ImageFile.ImageFile:
    """Open a HEIC file; it is decoded when it is loaded, turned and mirrored as its container says.

    The class is used as it is: Pillow's registry of formats stays without it. libheif refuses to decode more
    pixels than the header states.
    """
    try:
        heif = import_optional("pillow_heif")
    except MissingDependencyError as error:
        # Of this image alone: its file may be called .jpg, and stand among ten thousand that are read.
        raise MediaError(str(error), code="image_format") from None
    image: ImageFile.ImageFile = heif.HeifImageFile(io.BytesIO(data))
    return image


# 16-bit color: Pillow keeps the upper 8 bits. The lower ones are decoded as if the bytes were swapped.

_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_GRAY_ALPHA = "LA;16B"


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how the bytes of a pixel lie in the file, in Pillow's words; empty if it is decoded already."""
    if not image.tile:
        return ""
    args = image.tile[0].args
    return str(args if isinstance(args, str) else args[0])  # type: ignore[index]


def _is_16_bit_color(image: ImageFile.ImageFile) -> bool:
    if image.mode not in {"RGB", "RGBA", "CMYK"}:
        return False
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.format == "PNG" and ";16" in _raw_mode(image)
    if 16 not in _numbers(image, TiffImagePlugin.BITSPERSAMPLE):
        return False
    in_planes = 2 in _numbers(image, TiffImagePlugin.PLANAR_CONFIGURATION)
    if in_planes and (image.mode == "CMYK" or _raw_mode(image) not in tuple("RGBA")):
        raise mode_error(
            "TIFF files of 16 bits in compressed color planes are not read; save it in one plane"
        )
    return True


def _set_raw_modes(image: ImageFile.ImageFile, *, swapped: bool) -> None:
    """Set how 16-bit color is decoded: its upper 8 bits, or its lower ones."""
    little = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.prefix == b"II"
    order = "L" if little else "B"
    image.tile = [_with_raw_mode(tile, order, swapped) for tile in image.tile]


def _with_raw_mode(tile: Any, order: str, swapped: bool) -> Any:
    whole = isinstance(tile.args, str)
    raw = tile.args if whole else tile.args[0]
    if raw == _GRAY_ALPHA:  # all four bytes at once
        raw = "RGBA"
    elif len(raw) == 1:  # planes of 16 bits, which Pillow takes for planes of 8
        raw = f"{raw};16{order}"
    elif raw.startswith("RGBa"):  # still multiplied by alpha
        raw = "RGBA" + raw[4:]
    if swapped and ";16" in raw:
        raw = raw[:-1] + _SWAPPED[raw[-1]]
    return tile._replace(args=raw if whole else (raw, *tile.args[1:]))


def _load_16_bit_color(image: ImageFile.ImageFile, data: bytes, limits: MediaLimits) -> Pixels:
    raw = _raw_mode(image)
    _set_raw_modes(image, swapped=False)
    image.load()
    pixels = described(image)
    if raw == _GRAY_ALPHA:
        gray, low_gray, alpha, low_alpha = pixels.image.split()
        high = Image.merge("RGBA", (gray, gray, gray, alpha))
        low = Image.merge("RGBA", (low_gray, low_gray, low_gray, low_alpha))
    else:
        again = _open(data, limits)
        _set_raw_modes(again, swapped=True)
        again.load()
        high, low = pixels.image, ImageOps.exif_transpose(again)
    if raw.startswith("RGBa"):
        high = Image.frombytes("RGBa", high.size, high.tobytes())
    key = image.info.get("transparency")
    pixels.color_key = key if isinstance(key, tuple) else None
    pixels.image, pixels.low = high, low
    return pixels


# PNG.


def _correct_png(image: ImageFile.ImageFile, data: bytes) -> None:
    # Gray of 2 and 4 bits is spread over 0..255; its one transparent value is not.
    depth, kind = data[24], data[25]
    key = image.info.get("transparency")
    if kind == 0 and depth in (2, 4) and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**depth - 1)


def _png_chunk(data: bytes, wanted: bytes) -> bytes | None:
    """Return the content of a chunk before the pixels of a PNG file; None without one."""
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == wanted:
            return data[place + 8 : place + 8 + length]
        if kind == b"IDAT":
            return None
        place += length + 12
    return None


def _png_levels(data: bytes, values: NDArray[Any]) -> Levels:
    """Return the levels of a PNG file of 16 bits.

    By the standard, values of fewer bits are spread over all 16, and sBIT tells how many there were. Many
    programs write them as they are.
    """
    bits = max(_png_chunk(data, b"sBIT") or b"\0")
    if not 8 <= bits <= 16:
        return Levels()
    left = 16 - bits
    upper = values >> left
    spread = (values == upper << left) | (
        np.abs(values - upper * (FULL_16_BIT / (2**bits - 1))) <= 1  # zeros or copies of the upper bits below
    )
    if bool(spread.all()):
        return Levels(FULL_16_BIT)
    return Levels(2**bits - 1) if int(values.max()) < 2**bits else Levels()


# BMP.


def _correct_bmp(image: ImageFile.ImageFile, data: bytes) -> None:
    """Undo a shortcut: where a palette is gray, Pillow takes indices of 4 and 8 bits for pixels of 1 or 8."""
    (header,) = struct.unpack_from("<I", data, 14)
    short = header == 12
    (bits,) = struct.unpack_from("<H", data, 24 if short else 28)
    if (image.mode, bits) not in {("1", 4), ("1", 8), ("L", 4)}:
        return
    size = 3 if short else 4
    (n_colors,) = (0,) if short else struct.unpack_from("<I", data, 46)
    colors = data[14 + header : 14 + header + size * (n_colors or 2**bits)]
    image._mode = "P"
    image.palette = ImagePalette.raw("BGR" if short else "BGRX", colors)
    raw = "P" if bits == 8 else "P;4"
    image.tile = [
        tile if tile.codec_name == "bmp_rle" else tile._replace(args=(raw, *tile.args[1:]))  # type: ignore[index]
        for tile in image.tile
    ]


# GIF.


def _outside(frame: tuple[int, int, int, int] | None, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return where the first frame of a GIF file leaves the canvas empty; None if nowhere."""
    if frame is None or frame == (0, 0, *size):
        return None
    empty = np.ones((size[1], size[0]), np.bool_)
    left, top, right, bottom = frame
    empty[top:bottom, left:right] = False
    return empty


# TIFF.

_PHOTOMETRIC, _BITS, _SAMPLES = 262, 258, 277
_MIN_SAMPLE, _MAX_SAMPLE, _SMALLEST_SAMPLE, _LARGEST_SAMPLE = 280, 281, 340, 341
_SIGNED = 2
_MOST_ENTRIES = 4096
_BILEVEL = ("tiff_ccitt", "group3", "group4")


def _numbers(image: TiffImagePlugin.TiffImageFile, tag: int) -> tuple[float, ...]:
    value = image.tag_v2.get(tag)
    values = value if isinstance(value, tuple) else (value,)
    return tuple(float(one) for one in values if isinstance(one, int | float))


def _as_black_is_zero(data: bytes) -> tuple[bytes, bool]:
    """Return a TIFF file of gray values of more than 8 bits as if 0 were black, and whether it was white.

    Pillow inverts up to 8 bits, does not invert 16 and decimals, and cannot read the rest.
    """
    entries = _tiff_entries(data)
    if entries is None:
        return data, False
    photometric, bits, samples = (entries.get(tag) for tag in (_PHOTOMETRIC, _BITS, _SAMPLES))
    if photometric is None or bits is None or photometric[1] != 0 or bits[1] <= 8:
        return data, False
    if samples is not None and samples[1] != 1:
        return data, False
    place = photometric[0]
    order = "little" if data[:2] == b"II" else "big"
    return data[:place] + (1).to_bytes(2, order) + data[place + 2 :], True  # type: ignore[arg-type]


def _tiff_entries(data: bytes) -> dict[int, tuple[int, int]] | None:
    """Return place and value of the short numbers that stand alone in a TIFF file's first directory."""
    if data[:2] not in (b"II", b"MM") or len(data) < 16:
        return None
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version not in (42, 43):
        return None
    big = version == 43
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    count_format, entry_size, value_place = ("Q", 20, 12) if big else ("H", 12, 8)
    if start + 8 > len(data):
        return None
    (count,) = struct.unpack_from(order + count_format, data, start)
    first = start + struct.calcsize(order + count_format)
    entries: dict[int, tuple[int, int]] = {}
    last = min(first + min(count, _MOST_ENTRIES) * entry_size, len(data) - entry_size + 1)
    for place in range(first, last, entry_size):
        tag, kind, n = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, place)
        if kind == 3 and n == 1 and tag not in entries:
            (value,) = struct.unpack_from(order + "H", data, place + value_place)
            entries[tag] = place + value_place, value
    return entries


# TIFF 6.0, section 8: what an image is to the others of its file.
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _OLD_PREVIEW = 254, 255, 2
_PREVIEW = (
    "the first image of a TIFF file is a preview of another one in it (a raw photo, or a scan with a "
    "thumbnail), and is what is read; save the full image alone"
)

_NATIVE = {"F;32BF": "F;32NF", "I;16BS": "I;16NS", "I;32BS": "I;32NS"}


def _correct_byte_order(image: ImageFile.ImageFile) -> None:
    # Compressed values come in this machine's order, which Pillow forgets if they are signed or decimals.
    native = _NATIVE.get(_raw_mode(image))
    if native is not None and image.tile[0].codec_name == "libtiff":
        image.tile = [tile._replace(args=(native, *tile.args[1:])) for tile in image.tile]  # type: ignore[index]


def _tiff_levels(image: TiffImagePlugin.TiffImageFile) -> Levels:
    wide = image.mode in {"I", "F"} or image.mode.startswith("I;16")
    photometric = _numbers(image, _PHOTOMETRIC)
    signed = image.mode == "I" and _SIGNED in _numbers(image, TiffImagePlugin.SAMPLEFORMAT)
    bits = max(_numbers(image, _BITS), default=1)
    said = _numbers(image, _MAX_SAMPLE) + _numbers(image, _LARGEST_SAMPLE)
    white = 2**bits - 1 if bits in (10, 12, 14) else max(said, default=0)
    if image.mode == "F" and any(_numbers(image, _SMALLEST_SAMPLE)):
        white = 0
    # Other numbers are the largest value of this one image, and say nothing of its scale.
    is_scale = white in {2**n - 1 for n in range(8, 17)} or (image.mode == "F" and white == 1)
    return Levels(
        white if is_scale else None, inverted=wide and photometric == (0,), signed=signed and bits == 16
    )


def _is_preview(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Return whether the image is a smaller version of another one in its file, as in raw photos (DNG)."""
    kinds, old_kinds = (_numbers(image, tag) for tag in (_NEW_SUBFILE_TYPE, _SUBFILE_TYPE))
    return any(int(kind) & 1 for kind in kinds) or (not kinds and _OLD_PREVIEW in old_kinds)


def _corrected_tiff(file: TiffImagePlugin.TiffImageFile, image: Image.Image) -> Image.Image:
    """Return a TIFF file's image without what Pillow takes for granted where tags are missing or odd."""
    bits = _numbers(file, _BITS)
    if bits == (8,) and _SIGNED in _numbers(file, TiffImagePlugin.SAMPLEFORMAT):
        raise mode_error("TIFF files of signed 8-bit values are not read; save it with values from 0 to 255")
    # Gray without a word on what 0 is: black, but for faxes.
    compression = file.info.get("compression")
    if not _numbers(file, _PHOTOMETRIC) and image.mode in {"1", "L"} and compression not in _BILEVEL:
        return image.point(lambda value: 255 - value)
    if image.mode in {"P", "PA"}:
        colors = [int(value) for value in _numbers(file, TiffImagePlugin.COLORMAP)]
        if colors and max(colors) < 256:  # of 8 bits, where 16 are the rule
            n_colors = len(colors) // 3
            image.putpalette(
                [colors[n_colors * channel + i] for i in range(n_colors) for channel in range(3)]
            )
    return image


# High dynamic range, by the numbers of ITU-T H.273.

_HIGH_RANGE = {16: "PQ", 18: "HLG"}
_BT2020_PRIMARIES = {2, 9}  # also where the file does not say: PQ and HLG are of BT.2100


def _high_range(data: bytes) -> tuple[str, bool] | None:
    """Return ``"PQ"`` or ``"HLG"``, and whether colors are those of BT.2020, as the file says."""
    numbers: tuple[int, ...] = ()
    if data[:4] == b"\x89PNG":
        numbers = tuple((_png_chunk(data, b"cICP") or b"")[:2])
    elif _brands(data):
        numbers = coded_colors(data) or ()
    transfer = _HIGH_RANGE.get(numbers[1]) if len(numbers) == 2 else None
    return None if transfer is None else (transfer, numbers[0] in _BT2020_PRIMARIES)


# Pixels that are not square.

_NOT_SQUARE = "an image whose pixels are not square: it is read as it is stored, not stretched"
_MOST_STRETCH = 1.05


def _has_square_pixels(image: Image.Image) -> bool:
    info = image.info
    pair = info.get("dpi") or info.get("resolution") or info.get("aspect") or info.get("pixel_aspect_ratio")
    if pair is None and info.get("jfif_unit") == 0:
        pair = info.get("jfif_density")
    try:
        x, y = (float(value) for value in pair or ())
    except (TypeError, ValueError, ZeroDivisionError):
        return True
    usable = min(x, y) > 0 and math.isfinite(x) and math.isfinite(y)
    return not usable or max(x, y) <= _MOST_STRETCH * min(x, y)
