"""A folder with a PEFT adapter: its base model is loaded first, then the adapter, complete."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from savs.backbones.loading.places import Place
from savs.backbones.loading.wrapping import unwrapped
from savs.errors import BackboneError

__all__ = ["add_adapter", "base_of", "own_processor"]


def base_of(place: Place) -> tuple[str, str | None]:
    """Return the name or folder of an adapter's base model, and its revision.

    Raises
    ------
    BackboneError
        If the adapter does not say, or peft is not installed.
    """
    if find_spec("peft") is None:
        raise BackboneError(f"{place.source}: an adapter needs the package peft: pip install peft")
    try:
        data = json.loads((place.folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{place.source}: adapter_config.json cannot be read as JSON") from error
    name = data.get("base_model_name_or_path") if isinstance(data, Mapping) else None
    if not isinstance(name, str) or not name:
        raise BackboneError(
            f"{place.source}: adapter_config.json names no base model; load that one and hand it in with its "
            "adapter: load_backbone(PeftModel.from_pretrained(model, folder), processor=...)"
        )
    revision = data.get("revision")
    return name, revision if isinstance(revision, str) else None


def own_processor(place: Place, base: Place) -> bool:
    """Return whether an adapter's folder has a processor that replaces the base model's."""
    pictures = ("processor_config.json", "preprocessor_config.json")
    if any((place.folder / name).is_file() for name in pictures):
        return True
    text_alone = not any((base.folder / name).is_file() for name in pictures)
    return text_alone and (place.folder / "tokenizer.json").is_file()


def add_adapter(model: Any, place: Place) -> Any:
    """Return the model with the adapter in its layers.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The base; it is changed.
    place : Place
        Of the adapter.

    Raises
    ------
    BackboneError
        If a part of the adapter has no place in the model or is not in the folder: peft only warns then, and
        the model would answer as if it had no adapter.
    """
    if {"cpu", "disk"} & set(map(str, (getattr(model, "hf_device_map", None) or {}).values())):
        raise BackboneError(
            f"{place.source}: an adapter cannot be put on a model with offloaded weights; merge it first "
            "(peft's merge_and_unload) and load the merged model"
        )
    try:
        inner, report = _add(model, place)
    except BackboneError as error:
        raise BackboneError(f"{place.source}: {error}") from error
    except Exception as error:  # peft, safetensors and torch each have their own ways to fail
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{place.source}: the adapter cannot be loaded ({type(error).__name__}: {reason})"
        ) from error
    _check(place, report)
    return inner


def _add(model: Any, place: Place) -> tuple[Any, Any]:
    peft = import_module("peft")
    config = peft.PeftConfig.from_pretrained(place.name)
    config.inference_mode = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what peft asks of a newer transformers
        wrapped = peft.PeftModel(model, config)
        inner = unwrapped(wrapped)
        return inner, wrapped.load_adapter(place.name, "default")


def _check(place: Place, report: Any) -> None:
    for what, keys in (("are missing from", report.missing_keys), ("do not fit", report.unexpected_keys)):
        if keys:
            where = "the adapter's file" if what.startswith("are") else "the base model"
            raise BackboneError(
                f"{place.source}: {len(keys)} weights of the adapter {what} {where}, first {sorted(keys)[0]}"
            )
