"""`load_backbone`: a name, a folder or a model object to a `Backbone`. Code from a repository never runs."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from savs.backbones._by_reference import remembering
from savs.backbones._checkpoints import load_config, load_model
from savs.backbones._gguf import load_options
from savs.backbones._model_files import Place, local_place
from savs.backbones._processors import load_processor
from savs.backbones._quantization import check_quantized, quantization_config
from savs.backbones._registered import load_registered, split_name
from savs.backbones._template_options import with_template_options
from savs.backbones._tokenizers import TokenizerWarning, prompt_faults
from savs.backbones._torchvision import set_aside_broken_torchvision
from savs.errors import BackboneError

if TYPE_CHECKING:
    import torch

    from savs.backbones._processors import ImageBackend
    from savs.backbones._tokenizers import TokenizerChoice
    from savs.backbones.base import Backbone
    from savs.backbones.transformers_backbone import TransformersBackbone

__all__ = ["load_backbone", "pick_device", "quiet", "saved_options"]

_LARGE = 2**30  # bytes of weights, which take a second or two


@remembering
def load_backbone(
    name_or_model: Any,
    *,
    processor: Any = None,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: str | dict[str, Any] | None = None,
    max_memory: dict[int | str, int | str] | None = None,
    offload_folder: str | os.PathLike[str] | None = None,
    quantization: Any = None,
    attn_implementation: str | None = None,
    image_backend: ImageBackend | None = None,
    tokenizer: TokenizerChoice | None = None,
    template_options: Mapping[str, Any] | None = None,
    batch_size: int | Literal["auto"] | None = None,
    prefix_reuse: bool | None = None,
    sites: Sequence[str] | None = None,
    accept_faults: bool | None = None,
    progress: bool = True,
    **options: Any,
) -> Backbone:
    """Load a frozen model with its processor, or a backbone that was registered.

    Parameters
    ----------
    name_or_model : str, Path, transformers.PreTrainedModel or peft.PeftModel
        ``"tiny"`` for the model installed with savs, a folder in hub layout (nothing is downloaded then), a
        hub id, a GGUF file, a folder or hub id with one, or a model object, which is used as it is and never
        changed. A folder or hub id may be a PEFT adapter's: its base model is loaded, then the adapter. A
        compiled model is read uncompiled. ``"name:anything"`` for a backbone of
        `savs.backbones.register_backbone`.
    processor : transformers processor or tokenizer, optional
        Needed with a model object; otherwise replaces the folder's own.
    revision : str, optional
        Branch, tag or commit on the hub; a folder has none.
    dtype : str or torch.dtype, optional
        By default float32 on a CPU and the checkpoint's own on an accelerator; float16 with ``"bnb-8bit"``.
    device : str or torch.device, optional
        By default the first accelerator (CUDA), else the CPU.
    device_map : str or dict, optional
        Spreads the model over devices, main memory and disk, such as ``"auto"``; instead of `device`.
    max_memory : dict, optional
        With `device_map`: how much each device may take, such as ``{0: "20GiB", "cpu": "60GiB"}``.
    offload_folder : str or Path, optional
        With `device_map`: where weights that fit nowhere else are kept; those of safetensors files are
        read from there.
    quantization : str, mapping or transformers configuration object, optional
        ``"bnb-4bit"``, ``"bnb-8bit"`` (bitsandbytes), ``"torchao-int8"`` (torchao, weights only), or other
        settings.
        A folder whose weights are quantized already says so itself.
    attn_implementation : str, optional
        Attention kernel, such as ``"sdpa"`` or ``"eager"``; by default the model's own choice.
    image_backend : {"pil", "torchvision"}, optional
        What prepares the pixels; by default torchvision where it works and the model has it, else PIL.
    tokenizer : {"file", "transformers"}, optional
        Whose token ids are taken where the folder's tokenizer.json and the tokenizer that transformers builds
        from it disagree; by default the file's, with a warning. A given `processor` stays as it is.
    template_options : mapping of str to JSON value, optional
        For the chat template, such as ``{"enable_thinking": False}``; names that it does not use are refused.
    batch_size : int or "auto", optional
        Examples per forward pass; by default what ``savs doctor`` found for this model, else ``"auto"``.
    prefix_reuse : bool, optional
        Read what prompts on the same images share only once; by default what ``savs doctor`` found, else
        yes.
    sites : sequence of str, optional
        Paths of the output projections, where they cannot be found; see `find_sites` in
        `savs.backbones._attention_sites`.
    accept_faults : bool, optional
        Read inputs that the installed release of transformers is known to read wrongly (docs/backbones.md),
        to go on with a classifier that was fitted on such vectors; by default they are refused.
    progress : bool, default=True
        Show downloads, and the loading of more than a GiB of weights, on a terminal.
    **options
        For a registered backbone alone. Its loader gets all options that are set, except `progress`.

    Returns
    -------
    Backbone
        A `savs.backbones.TransformersBackbone`, unless the name is a registered one.

    Raises
    ------
    BackboneError
        In one line: what is missing, unsupported or broken, and what to do.
    TypeError
        For an option that does not exist.
    """
    registered = split_name(name_or_model) if isinstance(name_or_model, str) else None
    if registered is not None:
        shared = {
            "processor": processor,
            "revision": revision,
            "dtype": dtype,
            "device": device,
            "device_map": device_map,
            "max_memory": max_memory,
            "offload_folder": offload_folder,
            "quantization": quantization,
            "attn_implementation": attn_implementation,
            "image_backend": image_backend,
            "tokenizer": tokenizer,
            "template_options": template_options,
            "batch_size": batch_size,
            "prefix_reuse": prefix_reuse,
            "sites": sites,
            "accept_faults": accept_faults,
        }
        return load_registered(*registered, shared | options)
    if options:
        raise TypeError(f"load_backbone() got an unexpected keyword argument {next(iter(options))!r}")
    set_aside_broken_torchvision()
    if not isinstance(name_or_model, (str, os.PathLike)):
        model = _model_object(name_or_model, processor)
        own, place = False, None
        files: dict[str, str | None] = {}
    else:
        place = _place(name_or_model, revision, progress)
        request = _Request(
            dtype,
            device,
            device_map,
            max_memory,
            offload_folder,
            quantization,
            attn_implementation,
            image_backend,
            tokenizer,
        )
        with quiet(bars=progress and _takes_long(place)):
            model, processor, files = _load(place, request, processor, progress)
        own = attn_implementation is None
    processor = _ready(processor, "the backbone" if place is None else place.source, template_options)
    mode = _mode(model, processor, batch_size, prefix_reuse, own)
    return _backbone(model, processor, place, mode, sites, files, accept_faults=bool(accept_faults))


def _ready(processor: Any, source: str, template_options: Mapping[str, Any] | None) -> Any:
    """Return the processor with the options of its chat template, after a look at how prompts begin and end.

    Warns
    -----
    TokenizerWarning
        For each fault that prompts have.
    """
    try:
        processor = with_template_options(processor, template_options)
    except BackboneError as error:
        raise BackboneError(f"{source}: {error}") from error
    for fault in prompt_faults(processor):
        warnings.warn(f"{source}: {fault}", TokenizerWarning, stacklevel=3)
    return processor


def saved_options(fingerprint: Mapping[str, Any], place: Any = None) -> dict[str, Any]:
    """Return the options that load the backbone of a fingerprint again; none for a registered backbone.

    Parameters
    ----------
    fingerprint : mapping
        As recorded with a saved classifier.
    place : str or Path, optional
        Where the backbone is now; by default the recorded source, at the recorded revision.
    """
    source = fingerprint.get("source") if place is None else place
    if isinstance(source, str) and split_name(source) is not None:
        return {}
    options = {name: fingerprint.get(name) for name in ("dtype", "attn_implementation", "sites")}
    quantization = fingerprint.get("quantization")
    if isinstance(quantization, dict) and quantization.get("method") not in (None, "gguf"):
        options["quantization"] = quantization
    if fingerprint.get("processor_backend") in {"pil", "torchvision"}:
        options["image_backend"] = fingerprint["processor_backend"]
    # Classifiers from before there was a choice were fitted on the ids of transformers.
    options["tokenizer"] = fingerprint.get("tokenizer") or "transformers"
    options["template_options"] = fingerprint.get("template_options")
    if place is None:
        options["revision"] = fingerprint.get("commit") or fingerprint.get("revision")
    return options


def _backbone(
    model: Any,
    processor: Any,
    place: Place | None,
    mode: tuple[int | Literal["auto"], bool],
    sites: Sequence[str] | None,
    files: Mapping[str, str | None],
    *,
    accept_faults: bool,
) -> TransformersBackbone:
    from savs.backbones.transformers_backbone import TransformersBackbone

    return TransformersBackbone(
        model,
        processor,
        source=None if place is None else place.source,
        revision=None if place is None else place.revision,
        commit=None if place is None else place.commit,
        batch_size=mode[0],
        prefix_reuse=mode[1],
        sites=sites,
        files=files,
        accept_faults=accept_faults,
    )


def _mode(
    model: Any,
    processor: Any,
    batch_size: int | Literal["auto"] | None,
    prefix_reuse: bool | None,
    set_kernel: bool,
) -> tuple[int | Literal["auto"], bool]:
    from savs.backbones._modes import apply_mode

    return apply_mode(model, processor, batch_size, prefix_reuse, set_kernel=set_kernel)


def _place(name: str | os.PathLike[str], revision: str | None, progress: bool) -> Place:
    place = local_place(name)
    if place is None:
        from savs.backbones._model_files import hub_place

        place = hub_place(os.fspath(name), revision, progress=progress)
    return place


_Files = dict[str, str | None]


def _load(place: Place, request: _Request, processor: Any, progress: bool) -> tuple[Any, Any, _Files]:
    """Return the model, on its devices, the processor, and the digests of the files that they are from."""
    from savs.backbones._checkpoint_files import config_file_digest, processor_files_digest

    if place.is_adapter:
        return _load_adapted(place, request, processor, progress)
    config = load_config(place)
    options = request.gguf_options(place) if place.gguf is not None else {}
    options |= request.options(place.source, config)
    files: _Files = {"config_file_digest": None, "processor_files_digest": None}
    if place.gguf is None:
        files["config_file_digest"] = config_file_digest(place.folder)
    if processor is None:
        processor = load_processor(place, config, request.image_backend, request.tokenizer)
        if place.gguf is None:
            files["processor_files_digest"] = processor_files_digest(place.folder)
    model = load_model(place, config, options, request.attn_implementation)
    return request.placed(model, place.source), processor, files


def _load_adapted(place: Place, request: _Request, processor: Any, progress: bool) -> tuple[Any, Any, _Files]:
    from savs.backbones._checkpoint_files import processor_files_digest
    from savs.backbones._checkpoints import add_adapter, base_of, own_processor

    name, revision = base_of(place)
    try:
        base = _place(name, revision, progress)
        if base.is_adapter:
            raise BackboneError(f"{base.source} is an adapter itself")
        model, loaded_processor, files = _load(base, request, processor, progress)
    except BackboneError as error:
        raise BackboneError(f"{place.source}: its base model cannot be used: {error}") from error
    if processor is None and own_processor(place, base):
        loaded_processor = load_processor(place, model.config, request.image_backend, request.tokenizer)
        files["processor_files_digest"] = processor_files_digest(place.folder)
    return add_adapter(model, place), loaded_processor, files


def _model_object(model: Any, processor: Any) -> Any:
    from transformers import PreTrainedModel

    from savs.backbones._checkpoints import unwrapped

    inner = unwrapped(model)
    if not isinstance(inner, PreTrainedModel):
        raise BackboneError(
            f"a backbone is a name, a folder or a transformers model, not {type(model).__name__}"
        )
    if processor is None:
        raise BackboneError("a model object needs its processor: load_backbone(model, processor=...)")
    return inner


def _takes_long(place: Place) -> bool:
    """Return whether there is somebody to look at a bar, and enough to wait for."""
    return sys.stderr.isatty() and place.weight_bytes > _LARGE


@dataclass(frozen=True)
class _Request:
    """How to load a model and its processor: number format, devices, quantization; as in `load_backbone`.

    Raises
    ------
    BackboneError
        If two of them exclude each other.
    """

    dtype: str | torch.dtype | None = None
    device: str | torch.device | None = None
    device_map: str | dict[str, Any] | None = None
    max_memory: dict[int | str, int | str] | None = None
    offload_folder: str | os.PathLike[str] | None = None
    quantization: Any = None
    attn_implementation: str | None = None
    image_backend: ImageBackend | None = None
    tokenizer: TokenizerChoice | None = None

    def __post_init__(self) -> None:
        if self.device is not None and self.device_map is not None:
            raise BackboneError("give either device or device_map, not both")
        for name in ("max_memory", "offload_folder"):
            if getattr(self, name) is not None and self.device_map is None:
                raise BackboneError(f"{name} needs a device_map, such as device_map='auto'")

    def options(self, source: str, config: Any) -> dict[str, Any]:
        """Return what ``from_pretrained`` is asked for.

        Raises
        ------
        BackboneError
            If there is no such dtype or device, or a package for the quantization is missing.
        """
        device = None if self.device_map is not None else pick_device(self.device)
        options: dict[str, Any] = {"dtype": self._dtype(device)}
        if self.device_map is not None:
            options |= {
                "device_map": self.device_map,
                "max_memory": self.max_memory,
                "offload_folder": _offload_folder(self.offload_folder),
            }
        quantization = quantization_config(self.quantization, source, config)
        if quantization is not None:
            options["quantization_config"] = quantization
        if self.device_map is None and (quantization is not None or _is_quantized(config)):
            options["device_map"] = {"": device}  # quantized weights are created where they stay
        return {name: value for name, value in options.items() if value is not None}

    def gguf_options(self, place: Place) -> dict[str, Any]:
        """Return what ``from_pretrained`` is asked for, beside `options`, of a GGUF file.

        Raises
        ------
        BackboneError
            If another quantization is asked for.
        """
        if self.quantization is not None:
            raise BackboneError(
                f"{place.source}: its weights are quantized already (gguf), so they cannot be quantized as "
                "asked for; leave quantization out"
            )
        return load_options()

    def placed(self, model: Any, source: str) -> Any:
        """Return the loaded model on its device.

        Raises
        ------
        BackboneError
            If it was to be quantized and is not.
        """
        if self.quantization is not None:
            check_quantized(model, source)
        if self.device_map is not None or _is_quantized(model.config):
            return model
        return model.to(pick_device(self.device))

    def _dtype(self, device: torch.device | None) -> Any:
        import torch

        if self.dtype is None:
            if self.quantization == "bnb-8bit":
                return torch.float16  # what its kernels compute in; any other is converted at every layer
            on_cpu = device.type == "cpu" if device is not None else not torch.cuda.is_available()
            return torch.float32 if on_cpu else "auto"
        if isinstance(self.dtype, str) and self.dtype != "auto":
            resolved = getattr(torch, self.dtype.removeprefix("torch."), None)
            if not isinstance(resolved, torch.dtype) or not resolved.is_floating_point:
                raise BackboneError(
                    f"{self.dtype!r} is not a floating-point dtype; use float32, bfloat16 or float16"
                )
            return resolved
        return self.dtype


def _offload_folder(folder: str | os.PathLike[str] | None) -> str | None:
    if folder is None:
        return None
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackboneError(f"the offload folder {folder} cannot be created: {error.strerror}") from error
    return os.fspath(folder)


def _is_quantized(config: Any) -> bool:
    return getattr(config, "quantization_config", None) is not None


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return the device of a name, by default the first accelerator (CUDA), else the CPU.

    Raises
    ------
    BackboneError
        If this machine does not have it.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise BackboneError(f"this machine has no device {device!s}") from error
    return resolved


@contextmanager
def quiet(*, bars: bool = False) -> Iterator[None]:
    """Silence transformers, its loading bars too unless wanted, and leave its settings as they were."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # partly untyped

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    if not bars:
        logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
