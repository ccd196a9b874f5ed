"""torchvision where it works, and what stands in for it where it does not.

Knows no models. torchvision is optional: a model that has a PIL image processor reads images without it.

transformers' video processors cut, arrange and count frames by themselves; torchvision gives them four
functions of tensors (resize, normalize, crop, gray to color), and without it none of them can be opened.
Those four stand here on torch alone, under the family's class.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

from savs.errors import BackboneError

if TYPE_CHECKING:
    from savs.backbones._model_files import Place


# What prepares pixels, PIL or torchvision: does the installed torchvision work, and which build would.


class TorchvisionWarning(UserWarning):
    """torchvision is installed but does not work; images are prepared by PIL."""


def set_aside_broken_torchvision() -> None:
    """Make this process go on without a torchvision that cannot be imported, such as another torch's.

    transformers takes an installed torchvision for a working one, and then no model can be imported, not
    even of text. Called before transformers is needed. A torchvision that works, or that somebody else has
    imported already, is left alone.

    Warns
    -----
    TorchvisionWarning
        Once per process, with the build that would work.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision.transforms.v2")  # what image processors use
    except Exception as error:  # a native library fails at import in many ways
        _block()
        warnings.warn(
            f"torchvision {_version('torchvision')} does not work beside torch {_version('torch')} "
            f"({type(error).__name__} at import), so images are prepared by PIL; {torchvision_remedy()}",
            TorchvisionWarning,
            stacklevel=3,
        )


def _block() -> None:
    """Turn torchvision into a module that is not installed, for everybody in this process."""
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]  # what the failed import left behind
    # Python's own way to block an import: `find_spec` gives None, importing raises ModuleNotFoundError.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    remembered = sys.modules.get("transformers.utils.import_utils")
    for name in (
        "is_torchvision_available",
        "is_torchvision_v2_available",
        "is_torchvision_greater_or_equal",
    ):
        # All of them keep their first answer, which was wrong if transformers is already imported.
        forget = getattr(getattr(remembered, name, None), "cache_clear", None)
        if forget is not None:
            forget()


def torchvision_remedy() -> str:
    """Return how to install the torchvision that was built for the installed torch."""
    torch_version = _version("torch")
    public, _, build = torch_version.partition("+")
    major, minor = public.split(".")[:2] if public.count(".") else ("", "")
    if major != "2" or not minor.isdigit():
        return f"install the torchvision that was built for torch {torch_version}"
    # torchvision 0.15 was made for torch 2.0; both have counted on together since.
    wanted = f'pip install "torchvision==0.{int(minor) + 15}.*"'
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"a matching build of the package torchvision: {wanted}{index}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"


# Modules of transformers that name torchvision in an import, opened without it.


@contextmanager
def torchvision_in_name() -> Iterator[None]:
    """Let modules be imported that name torchvision and use it only in what is not used here.

    Pixtral's processor takes one function of plain arithmetic from the module of its torchvision image
    processor.
    """
    names = ["torchvision", "torchvision.transforms", "torchvision.transforms.v2"]
    names.append("torchvision.transforms.v2.functional")
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(modules[parent], own, module)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


# A family's own video processor, without torchvision.

_BILINEAR, _BICUBIC = 2, 3  # PIL.Image.Resampling
_SETTINGS = "video_preprocessor_config.json"
_MODES = {None: "bilinear", _BILINEAR: "bilinear", _BICUBIC: "bicubic"}


# Without torchvision, transformers' own table is empty.
_FAMILIES = {
    "internvl": "InternVLVideoProcessor",
    "llava_onevision": "LlavaOnevisionVideoProcessor",
    "qwen2_vl": "Qwen2VLVideoProcessor",
    "qwen2_5_vl": "Qwen2VLVideoProcessor",
    "qwen3_vl": "Qwen3VLVideoProcessor",
    "qwen3_vl_moe": "Qwen3VLVideoProcessor",
    "qwen3_5": "Qwen3VLVideoProcessor",
    "qwen3_5_moe": "Qwen3VLVideoProcessor",
}


def open_video_processor(place: Place, model_type: str) -> Any:
    """Return the video processor of a model folder or hub name; None if videos are to be read as images.

    None for families that are not known to work so, and for folders without such settings.

    Parameters
    ----------
    place : Place
    model_type : str
        The name of the model's family.

    Raises
    ------
    BackboneError
        If there are settings for videos that cannot be read.
    """
    if model_type not in _FAMILIES:
        return None
    try:
        processor = on_torch(_FAMILIES[model_type]).from_pretrained(place.name, **place.options)
    except OSError as error:
        if (place.folder / _SETTINGS).exists():
            raise BackboneError(f"{place.source}: {_SETTINGS} cannot be read") from error
        return None
    return processor if processor.resample in _MODES else None


def on_torch(name: str) -> Any:
    """Return the video processor class of that name with torchvision's functions replaced, or None.

    None for classes that are not derived from transformers' base, and those that need more of torchvision.
    """
    import transformers

    family = _real_class(getattr(transformers, name, None))
    if family is None:
        return None
    return type(name, (family, _tensor_functions()), {})


def _real_class(placeholder: Any) -> Any:
    from transformers.video_processing_utils import BaseVideoProcessor

    if placeholder is None:
        return None
    try:
        with torchvision_in_name():
            module = importlib.import_module(placeholder.__module__)
    except Exception:  # it needs more than the name
        return None
    found = getattr(module, placeholder.__name__, None)
    return found if isinstance(found, type) and issubclass(found, BaseVideoProcessor) else None


def _tensor_functions() -> Any:
    """Return the class that stands between a family's video processor and transformers' base."""
    from transformers.video_processing_utils import BaseVideoProcessor

    base: Any = BaseVideoProcessor  # partly untyped

    class TensorFunctions(base):  # type: ignore[misc]
        @property
        def backend(self) -> str:
            return "torch"

        def convert_to_rgb(self, video: Any, *_: Any, **_options: Any) -> Any:
            return video  # savs hands in RGB

        def resize(self, image: Any, size: Any, resample: Any = None, **_options: Any) -> Any:
            return resized(image, _new_size(image, size), _MODES[resample])

        def normalize(self, image: Any, mean: Any, std: Any, **_options: Any) -> Any:
            return (image - _per_channel(mean, image)) / _per_channel(std, image)

        def center_crop(self, image: Any, size: Any, **_options: Any) -> Any:
            return cropped(image, int(size.height), int(size.width))

    return TensorFunctions


def _per_channel(values: Any, image: Any) -> Any:
    import torch

    return torch.as_tensor(values, dtype=image.dtype, device=image.device)[..., None, None]


def _new_size(image: Any, size: Any) -> tuple[int, int]:
    from transformers.image_transforms import get_resize_output_image_size, get_size_with_aspect_ratio
    from transformers.image_utils import ChannelDimension

    before = tuple(image.shape[-2:])
    if size.height and size.width:
        return size.height, size.width
    if size.shortest_edge and size.longest_edge:
        found = get_size_with_aspect_ratio(before, size.shortest_edge, size.longest_edge)
    elif size.shortest_edge:
        found = get_resize_output_image_size(
            image.reshape(-1, *image.shape[-3:])[0],
            size=size.shortest_edge,
            default_to_square=False,
            input_data_format=ChannelDimension.FIRST,
        )
    else:
        raise ValueError(f"the video processor's size {size} is not understood")
    return int(found[0]), int(found[1])


def resized(frames: Any, size: tuple[int, int], mode: str) -> Any:
    """Return frames of another size, smoothed where they become smaller, as torchvision does.

    8-bit pixels are reckoned in whole numbers, as there.

    Parameters
    ----------
    frames : Tensor of uint8 or float32, shape (..., channels, height, width)
    size : tuple of int
        Height and width.
    mode : {"bilinear", "bicubic"}
    """
    import torch

    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    flat = frames.reshape(-1, *frames.shape[-3:])
    found = torch.nn.functional.interpolate(flat, size=size, mode=mode, align_corners=False, antialias=True)
    return found.reshape(*frames.shape[:-2], *size)


def cropped(frames: Any, height: int, width: int) -> Any:
    """Return the middle of frames, black where they are too small, shape (..., channels, height, width)."""
    import torch

    rows, columns = max(0, height - frames.shape[-2]), max(0, width - frames.shape[-1])
    around = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    wide = torch.nn.functional.pad(frames, around) if rows or columns else frames
    top, left = (wide.shape[-2] - height) // 2, (wide.shape[-1] - width) // 2
    return wide[..., top : top + height, left : left + width]
