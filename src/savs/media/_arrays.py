"""Arrays and tensors as images: which shapes and values are one, and which are refused as ambiguous.

| values | as |
|---|---|
| uint8 | they are |
| bool | black and white |
| uint16 | 0 to 65535, as a 16-bit image |
| floating point, all from 0 to 1, some of them between | 0 to 1 is black to white, rounded to 8 bits |
| floating point, all 0 | black |

Other floating-point values are refused: 0..255, -1..1 and values that were normalized with a mean cannot be
told apart, nor can a mask of 0 and 1 from a dark image of 0..255.

Arrays have their channels last: (height, width), (height, width, 1), (height, width, 3), (height, width, 4).
Tensors of torch have them first, as torch has it: (height, width), (1, height, width), (3, height, width),
(4, height, width).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.errors import ExampleError

CHANNELS = frozenset({1, 3, 4})


def is_tensor(value: Any) -> bool:
    """Return whether a value is a tensor of torch; torch itself is not imported for it."""
    # Nobody can hold one before torch is imported.
    module = sys.modules.get("torch")
    return module is not None and isinstance(value, module.Tensor)


def pixels_of_tensor(tensor: Any) -> NDArray[Any]:
    """Return the pixels of a tensor of torch, channels last.

    Parameters
    ----------
    tensor : torch.Tensor, shape (height, width) or (1, 3 or 4, height, width)
        On any device; it is not changed.

    Raises
    ------
    ExampleError
        ``image_array``.
    """
    shape = tuple(tensor.shape)
    if len(shape) == 3 and shape[0] in CHANNELS:
        tensor = tensor.permute(1, 2, 0)
    elif len(shape) == 3 and shape[2] in CHANNELS:
        raise _error("has its channels last; a tensor has them first: use .permute(2, 0, 1)", tensor)
    elif len(shape) != 2:
        hint = "; a batch is a list of images" if len(shape) == 4 else ""
        raise _error(f"is not an image; (height, width) or (1, 3 or 4, height, width) is{hint}", tensor)
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bfloat16
    return pixels_of_array(tensor.numpy())


def pixels_of_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of an array, without an axis of one channel.

    Parameters
    ----------
    array : ndarray, shape (height, width) or (height, width, 1, 3 or 4)
        See the table above.

    Returns
    -------
    ndarray of uint8, bool or uint16, shape (height, width) or (height, width, 3 or 4)

    Raises
    ------
    ExampleError
        ``image_array``.
    """
    if isinstance(array, np.ma.MaskedArray):  # what lies under its mask is no pixel
        raise _error("is masked; use .filled(0)", array)
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.bool_, np.uint16):
        raise _error("is not an image; scale it to 0..255 and use .astype(numpy.uint8)", array)
    if array.ndim == 3 and array.shape[0] in CHANNELS and array.shape[2] not in {3, 4}:
        raise _error("has its channels first; use .transpose(1, 2, 0)", array)
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in CHANNELS) or array.size == 0:
        shapes = "(height, width), or (height, width, channels) with 1, 3 or 4 channels, is"
        raise _error(f"is not an image; {shapes}", array)
    if array.dtype.kind == "f":
        array = _from_unit_range(array)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _from_unit_range(array: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise _error(
            f"has values from {low:g} to {high:g}: decimals are read as an image if all are from 0 to 1; "
            "undo a normalization, or scale to 0..255 and use .astype(numpy.uint8)",
            array,
        )
    if high == 1 and bool(np.isin(array, (0, 1)).all()):
        raise _error(
            "holds only 0 and 1, which may be a mask or a dark image of 0..255; use .astype(bool) for the "
            "first, .astype(numpy.uint8) for the second",
            array,
        )
    # Half to even as float64: what ToTensor of torchvision made of 8 bits comes back the same.
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)


def _error(message: str, array: Any) -> ExampleError:
    kind = "a tensor" if is_tensor(array) else "an array"
    dtype = str(array.dtype).removeprefix("torch.")
    return ExampleError(f"{kind} of {dtype} and shape {tuple(array.shape)} {message}", code="image_array")
