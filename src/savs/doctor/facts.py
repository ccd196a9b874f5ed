"""What a backbone is, as facts for people and for ``--json``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from savs.backbones.base import JSONValue
from savs.backbones.modalities import tokenizer_of
from savs.backbones.rendering import chat_template
from savs.doctor.kernels import kernel_in_use
from savs.doctor.report import Check
from savs.doctor.subject import Subject

__all__ = ["facts", "usable"]


def facts(subject: Subject, checks: Sequence[Check]) -> dict[str, JSONValue]:
    """Return the facts; the checks tell which kernels and dtypes run."""
    backbone, processor, model = subject.backbone, subject.processor, subject.model
    images = getattr(processor, "image_processor", None)
    return {
        "source": backbone._origin["source"],
        "model_class": type(model).__name__,
        **_anatomy(subject),
        "modalities": [*sorted(backbone.modalities)],
        "refused_prompts": dict(subject.refused),
        "processor_class": type(processor).__name__,
        "image_processor_class": None if images is None else type(images).__name__,
        "image_backend": None if images is None else str(getattr(images, "backend", "unknown")),
        "chat_template": chat_template(processor)[0] is not None,
        "padding_side": str(getattr(tokenizer_of(processor), "padding_side", None)),
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attn_implementation": kernel_in_use(model),
        "kernels": usable(checks, "kernel "),
        "dtypes": usable(checks, "dtype "),
    }


def usable(checks: Sequence[Check], prefix: str) -> list[JSONValue]:
    """Return the kernels or dtypes that ran, right or wrong."""
    return [
        check.name.removeprefix(prefix)
        for check in checks
        if check.name.startswith(prefix) and check.verdict != "skipped"
    ]


def _anatomy(subject: Subject) -> dict[str, JSONValue]:
    anatomy = subject.backbone._anatomy
    described = anatomy.describe()
    return {
        "n_layers": anatomy.n_layers,
        "n_heads": subject.layout.n_heads,
        "heads_per_layer": _per_layer(subject),
        "gated_layers": [*sorted({site.layer for site in subject.sites if site.gated})],
        "skipped": described["skipped"],
        "sites_from": described["sites_from"],
    }


def _per_layer(subject: Subject) -> list[JSONValue]:
    """Return ``[first layer, last layer, heads, head_dim]`` of every run of alike layers."""
    runs: list[JSONValue] = []
    shapes = [(site.layer, site.n_heads, site.head_dim) for site in subject.sites]
    for (n_heads, head_dim), run in groupby(shapes, key=lambda shape: shape[1:]):
        layers = [layer for layer, _, _ in run]
        runs.append([layers[0], layers[-1], n_heads, head_dim])
    return runs
