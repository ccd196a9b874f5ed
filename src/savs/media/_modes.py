"""Every mode of Pillow and every type of array to 8-bit RGB, by one table.

============================  ==============================================================================
mode or array                 becomes
============================  ==============================================================================
1, L, RGB, YCbCr, HSV, LAB    the same colors; gray repeated in three channels
CMYK                          ``(255 - ink) * (255 - black) / 255``, without a color profile
P, PA, LA, RGBA, RGBa, La     palette looked up, composited on the background
``transparency`` in a file    composited on the background (palette entries, or one transparent color)
RGBX                          the fourth channel is dropped
I;16, 16-bit color, uint16    ``round(255 * value / white)``, white by the bit depth, the file, or 65535
I                             up to 255 as 8-bit, up to 65535 as 16-bit, anything else refused
F                             ``round(255 * value / white)``, white by the bit depth, the file, or 255
bool arrays                   0 and 255
============================  ==============================================================================

Color profiles (ICC) and gamma values of files are not applied, as image processors of transformers do not
apply them either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from savs.errors import MediaError
from savs.media._bit_depth import note_integers
from savs.media._hdr import to_standard_range
from savs.media._levels import (
    FULL_16_BIT,
    Levels,
    decimals_to_8_bit,
    mode_error,
    to_8_bit,
)

Color = tuple[int, int, int]

_DIRECT_MODES = {"1", "L", "RGB", "YCbCr", "HSV", "LAB", "CMYK", "RGBX"}
_ALPHA_MODES = {"P", "PA", "LA", "La", "RGBA", "RGBa"}


@dataclass
class Pixels:
    """Decoded pixels, upright, and what the file says of them.

    Attributes
    ----------
    image : PIL image
        Of any mode; of 16-bit color its upper 8 bits.
    low : PIL image, optional
        Of 16-bit color the lower 8 bits, in the mode of `image`.
    levels : Levels
    color_key : tuple of int, optional
        The one transparent color of 16-bit color.
    empty_alpha : bool
        Whether an alpha channel of zeros alone means that there is none, as in BMP files.
    uncovered : ndarray of bool, shape (height, width), optional
        Where the file holds no pixels: transparent.
    high_range : (str, bool), optional
        Of high dynamic range, ``"PQ"`` or ``"HLG"``, and whether the colors are those of BT.2020.
    remarks : list of str
        What the caller is warned of.
    """

    image: Image.Image
    low: Image.Image | None = None
    levels: Levels = field(default_factory=Levels)
    color_key: tuple[int, int, int] | None = None
    empty_alpha: bool = False
    uncovered: NDArray[np.bool_] | None = None
    high_range: tuple[str, bool] | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def values(self) -> NDArray[Any]:
        """The stored values, shape (height, width) or (height, width, channels), all their bits."""
        high = np.asarray(self.image)
        return high if self.low is None else high.astype(np.uint16) << 8 | np.asarray(self.low)

    @property
    def hides_all(self) -> bool:
        """Whether the alpha channel is all zeros, and means nothing."""
        if not self.empty_alpha or self.image.mode != "RGBA":
            return False
        return self.image.getchannel("A").getextrema() == (0, 0)


def to_rgb(pixels: Pixels, background: Color, bit_depth: int | None = None) -> Image.Image:
    """Return a new RGB image without metadata; `MediaError` (``image_mode``) if its range is ambiguous."""
    image = pixels.image if pixels.low is None else _from_16_bit_color(pixels, bit_depth)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        rgb = _in_standard_range(_gray_to_rgb(image, pixels.levels, background, bit_depth), pixels)
    elif image.mode in _ALPHA_MODES or _has_holes(image, pixels):
        rgb = _composite(image, pixels, background)
    elif image.mode in _DIRECT_MODES:
        rgb = _in_standard_range(image.convert("RGB"), pixels)
    else:
        raise mode_error(f"mode {image.mode} is not read; convert it to RGB first")
    # A new image: what follows must find neither an orientation to apply again nor a color key.
    rgb.info = {}
    return rgb


def _has_holes(image: Image.Image, pixels: Pixels) -> bool:
    return image.info.get("transparency") is not None or pixels.uncovered is not None


def array_to_pixels(array: NDArray[Any]) -> Pixels:
    """Return the pixels of a bool, uint8 or uint16 array of shape (height, width[, 3 or 4])."""
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in {3, 4}):
        raise mode_error(
            f"an array of shape {array.shape} is not an image; (height, width[, 3 or 4]) is needed"
        )
    if array.size == 0:
        raise MediaError(f"an array of shape {array.shape} has no pixels", code="image_too_small")
    if array.dtype == np.bool_:
        return Pixels(Image.fromarray(array.astype(np.uint8) * np.uint8(255)))
    if array.dtype == np.uint8:
        return Pixels(Image.fromarray(np.ascontiguousarray(array)))
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        high, low = (Image.fromarray((part & 255).astype(np.uint8)) for part in (array >> 8, array))
        if array.ndim == 3:
            return Pixels(high, low)
        return Pixels(Image.fromarray(array.astype(np.uint16)))
    raise mode_error(f"an array of {array.dtype} is not an image; scale it to 0..255 and convert it to uint8")


def _from_16_bit_color(pixels: Pixels, bit_depth: int | None) -> Image.Image:
    values = pixels.values
    with_alpha = pixels.image.mode in {"RGBA", "RGBa"}
    color, alpha = (values[..., :3], values[..., 3]) if with_alpha else (values, None)
    scaled = to_8_bit(color, pixels.levels, bit_depth)
    mode = pixels.image.mode
    if alpha is not None:
        # The alpha of 12-bit pixels has 12 bits too, if it does not fill 16.
        white = pixels.levels.white if bit_depth is None else 2**bit_depth - 1
        known = Levels(white if white and alpha.max() <= white else FULL_16_BIT)
        scaled = np.dstack([scaled, to_8_bit(alpha, known)])
    elif pixels.color_key is not None:
        opaque = (values != np.array(pixels.color_key, np.uint16)).any(axis=2)
        scaled, mode = np.dstack([scaled, opaque.astype(np.uint8) * np.uint8(255)]), "RGBA"
    height, width = scaled.shape[:2]
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(scaled).tobytes())


def _composite(image: Image.Image, pixels: Pixels, background: Color) -> Image.Image:
    layer = _with_alpha(image)
    if pixels.uncovered is not None:
        alpha = np.where(pixels.uncovered, np.uint8(0), np.asarray(layer.getchannel("A")))
        layer.putalpha(Image.fromarray(alpha))
    if layer.getchannel("A").getextrema()[1] == 0:
        if pixels.empty_alpha:
            return layer.convert("RGB")
        pixels.remarks.append(
            "an image without one visible pixel: all of it is transparent, so it is read as plain background"
        )
    if pixels.high_range is not None:
        colors = _in_standard_range(layer.convert("RGB"), pixels)
        colors.putalpha(layer.getchannel("A"))
        layer = colors
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(layer)
    return canvas.convert("RGB")


def _in_standard_range(rgb: Image.Image, pixels: Pixels) -> Image.Image:
    if pixels.high_range is None:
        return rgb
    transfer, wide = pixels.high_range
    coded = np.asarray(rgb).astype(np.uint16) * np.uint16(257)
    return Image.fromarray(to_standard_range(coded, transfer, wide=wide))


def _with_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        return image.convert("LA").convert("RGBA")
    if image.mode in {"P", "PA", "LA", "RGBa", "1", "L", "RGB"}:
        return image.convert("RGBA")
    return image.copy() if image.mode == "RGBA" else image.convert("RGB").convert("RGBA")


def _gray_to_rgb(image: Image.Image, levels: Levels, background: Color, bit_depth: int | None) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "F":
        gray = decimals_to_8_bit(values, levels, bit_depth)
    elif image.mode == "I":
        gray = to_8_bit(
            values, levels, bit_depth, container_bits=_bits_of_integers(values, levels, bit_depth)
        )
    else:
        gray = to_8_bit(values, levels, bit_depth)
    rgb = np.repeat(gray[:, :, None], 3, axis=2)
    key = image.info.get("transparency")
    if isinstance(key, int):
        rgb[values == key] = background
    return Image.fromarray(rgb)


def _bits_of_integers(values: NDArray[Any], levels: Levels, bit_depth: int | None) -> int:
    """Return for how many bits an image of mode I has room: its values decide, as nothing else can."""
    if levels.signed:
        return 15
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > FULL_16_BIT:
        raise mode_error("the image holds whole numbers outside 0..65535; scale its values to 0..255")
    bits = 16 if high > 255 else 8
    if bit_depth is None and levels.white is None:
        note_integers(bits)
    return bits
