"""`load_backbone`: a name, a folder or a model object to a `TransformersBackbone`. Remote code never runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from savs.backbones.checkpoints import load_config, load_model
from savs.backbones.places import resolve
from savs.backbones.processors import load_processor
from savs.errors import BackboneError

if TYPE_CHECKING:
    import torch

    from savs.backbones.transformers_backbone import TransformersBackbone

__all__ = ["load_backbone"]


def load_backbone(
    name_or_model: Any,
    *,
    processor: Any = None,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: str | dict[str, Any] | None = None,
    attn_implementation: str | None = None,
    batch_size: int = 8,
) -> TransformersBackbone:
    """Load a frozen model with its processor.

    Parameters
    ----------
    name_or_model : str, Path or transformers.PreTrainedModel
        ``"tiny"`` for the model installed with savs, a folder in hub layout (nothing is downloaded then), a
        hub id, or a model object, which is used as it is and never changed.
    processor : transformers processor or tokenizer, optional
        Needed with a model object; otherwise replaces the folder's own.
    revision : str, optional
        Branch, tag or commit on the hub; a folder has none.
    dtype : str or torch.dtype, optional
        By default float32 on a CPU and the checkpoint's own on an accelerator.
    device : str or torch.device, optional
        By default the first accelerator (CUDA), else the CPU.
    device_map : str or dict, optional
        Spreads the model over devices, such as ``"auto"``; instead of `device`.
    attn_implementation : str, optional
        Attention kernel, such as ``"sdpa"`` or ``"eager"``; by default the model's own choice.
    batch_size : int, default=8
        Examples per forward pass.

    Raises
    ------
    BackboneError
        In one line: what is missing, unsupported or broken, and what to do.
    """
    from savs.backbones.transformers_backbone import TransformersBackbone

    if not isinstance(name_or_model, (str, os.PathLike)):
        _check_model_object(name_or_model, processor)
        return TransformersBackbone(name_or_model, processor, batch_size=batch_size)
    if device is not None and device_map is not None:
        raise BackboneError("give either device or device_map, not both")
    place = resolve(name_or_model, revision)
    with quiet():
        config = load_config(place)
        where = _device(device) if device_map is None else None
        options = _model_options(dtype, where, device_map)
        found = processor if processor is not None else load_processor(place, config)
        model = load_model(place, config, options, attn_implementation)
    if where is not None:
        model = model.to(where)
    return TransformersBackbone(
        model,
        found,
        source=place.source,
        revision=place.options.get("revision"),
        commit=getattr(config, "_commit_hash", None) or place.commit,
        batch_size=batch_size,
    )


def _check_model_object(model: Any, processor: Any) -> None:
    from transformers import PreTrainedModel

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(inner, PreTrainedModel):
        raise BackboneError(
            f"a backbone is a name, a folder or a transformers model, not {type(model).__name__}"
        )
    if processor is None:
        raise BackboneError("a model object needs its processor: load_backbone(model, processor=...)")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' own loading bars, and leave its settings as they were."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # partly untyped

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _device(device: str | torch.device | None) -> torch.device:
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise BackboneError(f"there is no device {device!s} on this machine") from error
    return found


def _model_options(
    dtype: str | torch.dtype | None,
    device: torch.device | None,
    device_map: str | dict[str, Any] | None,
) -> dict[str, Any]:
    import torch

    if dtype is None:
        on_cpu = device.type == "cpu" if device is not None else not torch.cuda.is_available()
        dtype = torch.float32 if on_cpu else "auto"
    if isinstance(dtype, str) and dtype != "auto":
        resolved = getattr(torch, dtype.removeprefix("torch."), None)
        if not isinstance(resolved, torch.dtype) or not resolved.is_floating_point:
            raise BackboneError(f"{dtype!r} is not a floating-point dtype; use float32, bfloat16 or float16")
        dtype = resolved
    options: dict[str, Any] = {"dtype": dtype}
    if device_map is not None:
        options["device_map"] = device_map
    return options
