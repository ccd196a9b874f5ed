"""torchvision where it works, and what replaces it where it does not.

torchvision is optional: a model that has a PIL image processor reads images without it. Here are:

- `set_aside_broken_torchvision`: an installed torchvision that cannot be imported counts as not installed.
- `without_torchvision`: classes of transformers whose modules import torchvision without needing it.
- `open_video_processor`: transformers' video processors cut, arrange and count frames by themselves;
  torchvision gives them four functions of tensors (resize, normalize, crop, gray to color). Those four are
  here, on torch.

No stand-in for torchvision is ever put into ``sys.modules``.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import re
import sys
import threading
import warnings
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

from savs.errors import BackboneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec

    from savs.backbones._model_files import Place

_LOCK = threading.RLock()


class TorchvisionWarning(UserWarning):
    """torchvision is installed but does not work; images are prepared by PIL."""


_set_aside: str | None = None  # what is wrong with it, once it is


def set_aside_broken_torchvision() -> None:
    """Make transformers go on without a torchvision that cannot be imported, such as another torch's.

    transformers takes an installed torchvision for a working one, and then it cannot import any model, not
    even one of text. A torchvision that works, or that is imported already, is left alone.

    Warns
    -----
    TorchvisionWarning
        Once per process, with the build that would work.
    """
    global _set_aside
    with _LOCK:
        if _set_aside or "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
            return
        try:
            importlib.import_module("torchvision.transforms.v2")  # what image processors use
            return
        except Exception as error:  # a native library fails at import in many ways
            reason = type(error).__name__
        _forget_failed_import()
        _count_as_missing()
        _set_aside = (
            f"{_pairing()} ({reason} at import), so images are prepared by PIL; {torchvision_remedy()}"
        )
    warnings.warn(_set_aside, TorchvisionWarning, stacklevel=3)


def torchvision_in_use() -> tuple[bool, str]:
    """Return whether an installed torchvision works here, and in one line what prepares images."""
    if _set_aside:
        return False, _set_aside
    if importlib.util.find_spec("torchvision") is None:
        return True, "not installed; images are prepared by PIL"
    return True, f"torchvision {_version('torchvision')} with torch {_version('torch')}"


def _pairing() -> str:
    return f"torchvision {_version('torchvision')} does not work with torch {_version('torch')}"


def broken_pairing(error: BaseException) -> str | None:
    """Return which two packages do not fit and what to install, if that is behind an import error.

    transformers says "Could not import module" of nearly everything then, and hides the cause.
    """
    cause: BaseException | None = error
    while cause is not None and "torchvision::" not in str(cause):
        cause = cause.__cause__ or cause.__context__
    return None if cause is None else f"{_pairing()}; install {torchvision_remedy()}"


def _forget_failed_import() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def _count_as_missing() -> None:
    """Let transformers find no torchvision; it keeps its first answer for the life of the process."""
    from transformers.utils import import_utils

    questions: tuple[Any, ...] = (
        import_utils.is_torchvision_available,
        import_utils.is_torchvision_v2_available,
    )
    for question in (*questions, import_utils.is_torchvision_greater_or_equal):
        question.cache_clear()  # wrong if it was asked before
    # Python's own way to hide a package. transformers asks `find_spec`, which has no other switch that would
    # not reach further. The entry is there for as long as two questions take.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    try:
        for question in questions:
            question()
    finally:
        del sys.modules["torchvision"]


def torchvision_remedy() -> str:
    """Return how to install the torchvision that was built for the installed torch."""
    torch_version = _version("torch")
    public, _, build = torch_version.partition("+")
    major, minor = public.split(".")[:2] if public.count(".") else ("", "")
    if major != "2" or not minor.isdigit():
        return f"install the torchvision that was built for torch {torch_version}"
    # torchvision 0.15 was built for torch 2.0; both minor versions have risen together since.
    command = f'pip install "torchvision==0.{int(minor) + 15}.*"'
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"a matching build of the package torchvision: {command}{index}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def without_torchvision(placeholder: Any) -> Any:
    """Return the real class behind transformers' placeholder; None if it needs more than torchvision's name.

    Pixtral's processor, for one, takes a function of plain arithmetic from the module of its torchvision
    image processor. The class comes from a private copy of its module, executed with an ``__import__`` of its
    own: neither torchvision nor the copy stays in ``sys.modules``, and transformers goes on to report
    torchvision as missing. Where torchvision works there are no placeholders, and the class is returned as
    it is.

    Parameters
    ----------
    placeholder : type
        What transformers offers under the name of the class.
    """
    if not getattr(placeholder, "is_dummy", False):
        return placeholder
    try:
        with _LOCK:
            module = _private_copy(placeholder.__module__)
    except Exception:  # it needs more than the name: the placeholder's own error says what
        return None
    return getattr(module, placeholder.__name__, None)


_COPIES: dict[str, ModuleType] = {}
_IMPORTS_TORCHVISION = re.compile(r"^(from|import) torchvision\b", re.MULTILINE)
_STAND_INS = (
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.v2",
    "torchvision.transforms.v2.functional",
)


def _private_copy(name: str) -> ModuleType:
    """Execute a module of transformers with `_Importer`; the same copy at every call.

    While it executes it is in ``sys.modules`` under its own name, because transformers' class decorators look
    for the source file there.
    """
    if name in _COPIES:
        return _COPIES[name]
    spec = _spec(name)
    module = importlib.util.module_from_spec(spec)
    importer = _Importer()
    # The import statement calls the `__import__` of the builtins that the module's globals name.
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": importer}
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(_source(spec), str(spec.origin), "exec", dont_inherit=True), module.__dict__)
    finally:
        importer.active = False
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
    _COPIES[name] = module
    return module


class _Importer:
    """An ``__import__`` that gives empty modules for torchvision, and copies of modules that import it.

    Attributes
    ----------
    active : bool
        False once the module is executed: imports inside its functions are then Python's own.
    """

    def __init__(self) -> None:
        self.active = True
        self._stand_ins = {name: ModuleType(name) for name in _STAND_INS}
        for name, module in self._stand_ins.items():
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(self._stand_ins[parent], own, module)

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if self.active:
            package = (globals or {}).get("__package__")
            absolute = importlib.util.resolve_name("." * level + name, package) if level else name
            if absolute in self._stand_ins:
                return self._stand_ins[absolute if fromlist else "torchvision"]
            if fromlist and absolute.rpartition(".")[0] == package and _needs_copy(absolute):
                return _private_copy(absolute)
        return builtins.__import__(name, globals, locals, fromlist, level)


def _needs_copy(name: str) -> bool:
    """Return whether a module that is not imported yet imports torchvision unconditionally."""
    return name not in sys.modules and _IMPORTS_TORCHVISION.search(_source(_spec(name))) is not None


def _spec(name: str) -> ModuleSpec:
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return spec


def _source(spec: ModuleSpec) -> str:
    loader: Any = spec.loader  # the protocol does not say that a loader of files has sources
    return str(loader.get_source(spec.name))


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
    from transformers.video_processing_utils import BaseVideoProcessor

    family = without_torchvision(getattr(transformers, name, None))
    if not isinstance(family, type) or not issubclass(family, BaseVideoProcessor):
        return None
    return type(name, (family, _tensor_functions()), {})


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
        after = get_size_with_aspect_ratio(before, size.shortest_edge, size.longest_edge)
    elif size.shortest_edge:
        after = get_resize_output_image_size(
            image.reshape(-1, *image.shape[-3:])[0],
            size=size.shortest_edge,
            default_to_square=False,
            input_data_format=ChannelDimension.FIRST,
        )
    else:
        raise ValueError(f"the video processor's size {size} is not understood")
    return int(after[0]), int(after[1])


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
    frames_after = torch.nn.functional.interpolate(
        flat, size=size, mode=mode, align_corners=False, antialias=True
    )
    return frames_after.reshape(*frames.shape[:-2], *size)


def cropped(frames: Any, height: int, width: int) -> Any:
    """Return the middle of frames, black where they are too small, shape (..., channels, height, width).

    Parameters
    ----------
    frames : Tensor, shape (..., channels, before_height, before_width)
        Pixels.
    height, width : int
        Of the result, in pixels.
    """
    import torch

    rows, columns = max(0, height - frames.shape[-2]), max(0, width - frames.shape[-1])
    around = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    wide = torch.nn.functional.pad(frames, around) if rows or columns else frames
    top, left = (wide.shape[-2] - height) // 2, (wide.shape[-1] - width) // 2
    return wide[..., top : top + height, left : left + width]
