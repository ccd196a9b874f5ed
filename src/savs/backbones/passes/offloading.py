"""Models that are larger than their devices: accelerate loads a module's weights just for its own forward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["input_device", "put_away", "weights"]


def input_device(model: Any) -> torch.device:
    """Return where a model wants its inputs; its own `device` is no place while its weights are put away."""
    if model.device.type != "meta":
        return torch.device(model.device)
    for _, _, hook in _hooks(model):
        device = getattr(hook, "execution_device", None)
        if device is not None and torch.device(device).type != "meta":
            return torch.device(device)
    return torch.device("cpu")


def put_away(model: nn.Module) -> None:
    """Put the weights away that a forward pass has left loaded because it was cut short.

    accelerate does so at the end of each module's forward, which an exception skips. What stays takes memory,
    and its address, by which accelerate finds shared weights, may become another weight's.
    """
    for _, module, hook in _hooks(model):
        if getattr(hook, "offload", False) and any(not tensor.is_meta for _, tensor in _held(module, hook)):
            hook.post_forward(module, None)


def weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights and saved buffers by name, sorted, those that are put away one at a time.

    A weight that nobody holds is on the meta device.
    """
    kept = _kept(model)
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        if tensor.is_meta and name in kept:
            values, key = kept[name]
            tensor = values[key]
        yield name, tensor


def _kept(model: nn.Module) -> dict[str, tuple[Mapping[str, torch.Tensor], str]]:
    """Return, by a weight's name in the model, what holds it while it is put away and its name there."""
    found: dict[str, tuple[Mapping[str, torch.Tensor], str]] = {}
    for path, module, hook in _hooks(model):
        values = getattr(hook, "weights_map", None)
        if getattr(hook, "offload", False) and values is not None:
            for name, _ in _held(module, hook):
                found[f"{path}.{name}" if path else name] = (values, name)
    return found


def _held(module: nn.Module, hook: Any) -> Iterator[tuple[str, torch.Tensor]]:
    from accelerate.utils.modeling import named_module_tensors

    yield from named_module_tensors(
        module,
        include_buffers=hook.offload_buffers,
        recurse=hook.place_submodules,
        remove_non_persistent=True,
    )


def _hooks(model: nn.Module) -> Iterator[tuple[str, nn.Module, Any]]:
    for path, module in model.named_modules(remove_duplicate=False):
        hook = getattr(module, "_hf_hook", None)
        if hook is not None:
            yield from ((path, module, part) for part in getattr(hook, "hooks", (hook,)))
