"""What others wrap around a model, and which model inside is run: torch.compile, PEFT, a voice."""

from __future__ import annotations

from typing import Any

from savs.errors import BackboneError

__all__ = ["adapter_state", "unwrapped"]

# They act outside the layers, in the wrapper's own forward: the model inside would run without them.
_OUTSIDE = frozenset({"POLY", "XLORA"})


def unwrapped(model: Any) -> Any:
    """Return the transformers model inside wrappers, adapters in its layers included.

    A compiled model is read uncompiled: compiled code would be compiled anew for every hook and length, and
    cannot end early.

    Raises
    ------
    BackboneError
        If an adapter is not in the layers (prompt tuning, prefix tuning and their like).
    """
    while True:
        if type(model).__name__ == "OptimizedModule" and hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif _is_peft(model):
            _check_adapters(model.peft_config)
            model = model.base_model.model
        elif hasattr(model, "thinker") and hasattr(model.thinker, "config"):
            model = model.thinker  # of a model that also speaks, the part that reads
        else:
            return model


def _is_peft(model: Any) -> bool:
    return any(base.__module__.startswith("peft.") for base in type(model).__mro__) and hasattr(
        model, "peft_config"
    )


def _check_adapters(configs: dict[str, Any]) -> None:
    for name, config in configs.items():
        kind = _kind(config)
        if (
            getattr(config, "is_prompt_learning", False)
            or kind in _OUTSIDE
            or getattr(config, "alora_invocation_tokens", None)
        ):
            raise BackboneError(
                f"the adapter {name} ({kind}) acts outside the model's layers, where savs does not "
                "read; adapters in the layers (LoRA and its like) work"
            )


def adapter_state(model: Any) -> list[dict[str, Any]] | None:
    """Return what PEFT adapters do to a model, JSON-able; None without any.

    Their weights are among the model's own.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        As `unwrapped` returns it.
    """
    configs = getattr(model, "peft_config", None)
    if not isinstance(configs, dict) or not configs:
        return None
    layers = _adapted_layers(model)
    return [
        {
            "name": name,
            "kind": _kind(config),
            "active": any(name in active for active, _ in layers),
            "layers": sum(name in scaling for _, scaling in layers),
            "scaling": sorted({float(scaling[name]) for _, scaling in layers if name in scaling}),
        }
        for name, config in sorted(configs.items())
    ]


def _adapted_layers(model: Any) -> list[tuple[list[str], dict[str, float]]]:
    """Return the active adapters and the strength of each adapter of every adapted layer."""
    return [
        ([] if module.disable_adapters else list(module.active_adapters), getattr(module, "scaling", {}))
        for module in model.modules()
        if hasattr(module, "base_layer") and hasattr(module, "active_adapters")
    ]


def _kind(config: Any) -> str:
    kind = getattr(config, "peft_type", None)
    return str(getattr(kind, "value", kind))
