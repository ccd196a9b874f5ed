"""How a model and its processor are asked for: number format, devices, quantisation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.backbones.loading.quantization import check_quantized, quantization_config
from savs.errors import BackboneError

if TYPE_CHECKING:
    import torch

    from savs.backbones.loading.processors import ImageBackend

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """The caller's wishes, as in `savs.backbones.load_backbone`.

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
            If there is no such dtype or device, or a package for the quantisation is missing.
        """
        device = None if self.device_map is not None else _device(self.device)
        options: dict[str, Any] = {"dtype": self._dtype(device)}
        if self.device_map is not None:
            options |= {
                "device_map": self.device_map,
                "max_memory": self.max_memory,
                "offload_folder": _made(self.offload_folder),
            }
        quantization = quantization_config(self.quantization, source, config)
        if quantization is not None:
            options["quantization_config"] = quantization
        if self.device_map is None and (quantization is not None or _is_quantized(config)):
            options["device_map"] = {"": device}  # quantised weights are made where they stay
        return {name: value for name, value in options.items() if value is not None}

    def placed(self, model: Any, source: str) -> Any:
        """Return the loaded model on its device.

        Raises
        ------
        BackboneError
            If it was to be quantised and is not.
        """
        if self.quantization is not None:
            check_quantized(model, source)
        if self.device_map is not None or _is_quantized(model.config):
            return model
        return model.to(_device(self.device))

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


def _made(folder: str | os.PathLike[str] | None) -> str | None:
    if folder is None:
        return None
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackboneError(f"the offload folder {folder} cannot be made: {error.strerror}") from error
    return os.fspath(folder)


def _is_quantized(config: Any) -> bool:
    return getattr(config, "quantization_config", None) is not None


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
