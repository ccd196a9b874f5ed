"""Whether a model gives the same vectors in another dtype; on a copy, never on the caller's model."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from savs.backbones.passes.offloading import input_device
from savs.doctor.comparing import tolerance
from savs.doctor.reading import read
from savs.doctor.report import Check
from savs.doctor.subject import Subject

__all__ = ["DTYPES", "LARGEST_COPY", "check_dtype"]

DTYPES = ("float32", "bfloat16", "float16")
LARGEST_COPY = 4 * 2**30
"""Bytes that a second copy of a model may take."""


def check_dtype(subject: Subject, dtype: str) -> Check:
    """Read the probes, each alone, with the same weights in another dtype; "differs" beyond rounding."""
    name, model = f"dtype {dtype}", subject.model
    device = input_device(model).type
    limit = max(tolerance(dtype, device), subject.tolerance)
    if str(model.dtype) == f"torch.{dtype}":
        return Check(name, "ok", 0.0, 1.0, 0, limit, "in use: all other checks ran in it")
    reason = _no_copy(model, dtype)
    if reason:
        return Check(name, "skipped", note=reason)
    try:
        other = _converted(model, getattr(torch, dtype))
    except Exception as error:  # a module may hold anything, such as a handle that cannot be copied
        return Check(name, "skipped", note=f"the model cannot be copied: {' '.join(str(error).split())[:80]}")
    sites = [replace(site, projection=other.get_submodule(site.path)) for site in subject.sites]
    return subject.judge(
        name,
        lambda: read(other, subject.processor, sites, subject.examples),
        wrong="differs",
        limit=limit,
    )


def _no_copy(model: Any, dtype: str) -> str | None:
    """Say why a second copy cannot be made, or None."""
    if getattr(model, "hf_device_map", None) or getattr(model, "is_quantized", False):
        return f"the model is spread over devices or quantised; load it with dtype {dtype} to examine it"
    parameters = list(model.parameters())
    if any(parameter.is_meta for parameter in parameters):
        return "parts of the model are offloaded"
    size = torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    n_bytes = sum(p.numel() * max(p.element_size(), size) for p in parameters)
    if n_bytes > LARGEST_COPY:
        gib = n_bytes / 2**30
        return f"a second copy takes {gib:.1f} GiB; load it with dtype {dtype} to examine it"
    return None


def _converted(model: Any, dtype: torch.dtype) -> Any:
    """Return a copy whose saved tensors are of a dtype, as `from_pretrained` loads them.

    Tensors that are not saved, such as rotary frequencies, keep theirs: rounded, they would turn far
    positions by whole radians.
    """
    other = copy.deepcopy(model)
    kept = _kept_in_float32(model)
    for name, tensor in _saved_tensors(other):
        if tensor.is_floating_point() and not any(part in name for part in kept):
            tensor.data = tensor.data.to(dtype)
    return other


def _saved_tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    for prefix, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                yield f"{prefix}.{name}", buffer


def _kept_in_float32(model: Any) -> set[str]:
    names: set[str] = set()
    for attribute in ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict"):
        names |= set(getattr(model, attribute, None) or ())
    return names
