"""Arrays and tensors as images: shapes, values, and what is refused because it may be two things."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from savs.errors import ExampleError
from savs.media import load_image
from savs.media._coercion import as_image

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """What ToTensor of torchvision computes."""
    channels = torch.from_numpy(array if array.ndim == 3 else array[..., None])
    return channels.permute(2, 0, 1).to(torch.float32).div(255)


def pixels(value) -> np.ndarray:
    return np.asarray(load_image(as_image(value).source))


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(torch.from_numpy(COLOR).permute(2, 0, 1), id="uint8 tensor, channels first"),
        pytest.param(to_tensor(COLOR), id="ToTensor"),
        pytest.param(to_tensor(COLOR).double(), id="float64 tensor"),
        pytest.param(to_tensor(COLOR).requires_grad_(), id="with gradients"),
        pytest.param(to_tensor(COLOR).numpy().transpose(1, 2, 0), id="float32 array"),
        pytest.param(COLOR / 255, id="float64 array"),
        pytest.param(np.asfortranarray(COLOR), id="other order in memory"),
    ],
)
def test__image__array_or_tensor__same_pixels_as_uint8(same):
    np.testing.assert_array_equal(pixels(same), COLOR)


@pytest.mark.parametrize(
    "gray",
    [
        pytest.param(GRAY[..., None], id="(height, width, 1)"),
        pytest.param(torch.from_numpy(GRAY)[None], id="(1, height, width)"),
        pytest.param(torch.from_numpy(GRAY), id="(height, width)"),
        pytest.param(GRAY[..., None] / 255, id="floats"),
    ],
)
def test__image__one_channel__gray(gray):
    np.testing.assert_array_equal(pixels(gray), pixels(GRAY))


def test__image__every_level__comes_back_from_floats_of_any_width():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for dtype in (np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(as_image((levels / 255).astype(dtype)).source, levels)
    np.testing.assert_array_equal(as_image(to_tensor(levels)).source, levels)


def test__image__tensor_of_four_channels__alpha_last():
    rgba = RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    np.testing.assert_array_equal(pixels(torch.from_numpy(rgba).permute(2, 0, 1)), pixels(rgba))


def test__image__all_zero_floats__black_and_masks_of_bool__white():
    assert pixels(np.zeros((4, 4, 3), np.float32)).max() == 0
    assert pixels(np.ones((4, 4), bool)).min() == 255


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (COLOR.astype(np.float32), "decimals are read as an image if all are from 0 to 1"),
        (torch.from_numpy(COLOR).permute(2, 0, 1).float(), "from 0 to 1"),
        (to_tensor(COLOR).sub(0.5).div(0.5), "undo a normalization"),
        (np.full((4, 4), np.nan, np.float32), "from 0 to 1"),
        (np.eye(4, dtype=np.float32), "mask"),
        (torch.eye(4), "mask"),
        (np.ones((4, 4, 3)), "mask"),
        (COLOR.astype(np.int64), "astype"),
        (np.ma.masked_equal(COLOR, COLOR[0, 0, 0]), r"masked; use \.filled\(0\)"),
        (torch.from_numpy(COLOR).permute(2, 0, 1).long(), "astype"),
        (COLOR.transpose(2, 0, 1), "channels first"),
        (torch.from_numpy(COLOR), "channels last"),
        (torch.zeros(2, 3, 5, 7, dtype=torch.uint8), "a batch is a list of images"),
        (torch.zeros(2, 5, 7, dtype=torch.uint8), "is not an image"),
        (np.zeros((5, 7, 2), np.uint8), "is not an image"),
        (np.zeros((0, 7, 1), np.uint8), "is not an image"),
        (torch.zeros(4, 4, dtype=torch.complex64), "astype"),
    ],
)
def test__image__what_may_be_two_things__refused_with_what_to_do(value, reason):
    with pytest.raises(ExampleError, match=reason) as caught:
        as_image(value)
    assert caught.value.code == "image_array"


def test__image__tensor__is_not_changed():
    tensor = to_tensor(COLOR).requires_grad_()
    before = tensor.detach().clone()
    as_image(tensor)
    assert tensor.requires_grad
    assert torch.equal(tensor, before)
