"""Every Pillow mode and array type to 8-bit RGB, by one table.

============================  ==============================================================================
given                         becomes
============================  ==============================================================================
1, L, RGB, YCbCr, HSV, LAB    the same colours; grey repeated in three channels
CMYK                          ``(255 - ink) * (255 - black) / 255``, without a colour profile
P, PA, LA, RGBA, RGBa, La     palette looked up, composited on the background
``transparency`` in a file    composited on the background (palette entries, or one transparent colour)
RGBX                          the fourth channel is dropped
I;16 and uint16 arrays        ``round(value / 257)``
I                             up to 255 as 8-bit, up to 65535 as 16-bit, anything else refused
F                             rounded, if all values are finite and in 0..255 and they do not look like 0..1
bool arrays                   0 and 255
============================  ==============================================================================

Colour profiles (ICC) are not applied, as image processors of transformers do not apply them either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from savs.errors import MediaError

__all__ = ["array_to_image", "to_rgb"]

Colour = tuple[int, int, int]

_DIRECT_MODES = {"1", "L", "RGB", "YCbCr", "HSV", "LAB", "CMYK", "RGBX"}
_ALPHA_MODES = {"P", "PA", "LA", "La", "RGBA", "RGBa"}
_FULL_16_BIT = 65535


def to_rgb(image: Image.Image, background: Colour) -> Image.Image:
    """Return a new RGB image without metadata; `MediaError` (``image_mode``) if its values are unclear."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        rgb = _grey_to_rgb(image, background)
    elif image.mode in _ALPHA_MODES or image.info.get("transparency") is not None:
        rgb = _composite(image, background)
    elif image.mode in _DIRECT_MODES:
        rgb = image.convert("RGB")
    else:
        raise _mode_error(f"mode {image.mode} is not read; convert it to RGB first")
    # A new image: what follows must find neither an orientation to apply again nor a colour key.
    rgb.info = {}
    return rgb


def array_to_image(array: NDArray[Any]) -> Image.Image:
    """Return the image of a bool, uint8 or uint16 array of shape (height, width[, 3 or 4])."""
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in {3, 4}):
        raise _mode_error(
            f"an array of shape {array.shape} is no picture; (height, width[, 3 or 4]) is needed"
        )
    if array.size == 0:
        raise MediaError(f"an array of shape {array.shape} has no pixels", code="image_too_small")
    if array.dtype == np.bool_:
        return Image.fromarray(array.astype(np.uint8) * np.uint8(255))
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return Image.fromarray(_from_16_bit(array))
    raise _mode_error(f"an array of {array.dtype} is no picture; scale it to 0..255 and convert it to uint8")


def _from_16_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    # 65535 = 255 * 257. A plain conversion would cut everything above 255 to white.
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _composite(image: Image.Image, background: Colour) -> Image.Image:
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(_with_alpha(image))
    return canvas.convert("RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        return image.convert("LA").convert("RGBA")
    if image.mode in {"P", "PA", "LA", "RGBa", "RGBA", "1", "L", "RGB"}:
        return image.convert("RGBA")
    return image.convert("RGB").convert("RGBA")


def _grey_to_rgb(image: Image.Image, background: Colour) -> Image.Image:
    values = np.asarray(image)
    grey = _from_16_bit(values) if image.mode.startswith("I;16") else _scale_wide(values, image.mode)
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
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
    raise _mode_error(f"the picture holds {problem}; scale its values to 0..255")


def _looks_like_unit_range(values: NDArray[Any]) -> bool:
    # 0..1 read as 0..255 would turn a picture black without a word.
    return bool(values.max() <= 1 and (values != np.rint(values)).any())


def _mode_error(message: str) -> MediaError:
    return MediaError(message, code="image_mode")
