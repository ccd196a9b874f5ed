"""Which backbone a classifier belongs to, and refusing any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from savs.artifact.content import Artifact
from savs.errors import BackboneMismatchError
from savs.features import HeadLayout

__all__ = ["IDENTITY", "check_backbone"]

IDENTITY = (
    "model_class",
    "config_digest",
    "weights_digest",
    "commit",
    "processor_class",
    "processor_digest",
    "processor_backend",
    "dtype",
    "quantization",
    "adapters",
    "sites",
)
"""The entries of a fingerprint that must agree; the others (source, kernel, versions) are only recorded."""


def check_backbone(
    artifact: Artifact, fingerprint: Mapping[str, Any], layout: HeadLayout, allow_mismatch: Sequence[str] = ()
) -> None:
    """Refuse a backbone that is not the one the classifier was fitted on.

    Raises
    ------
    BackboneMismatchError
        Naming every entry of the fingerprint that differs and is not listed in `allow_mismatch`, and the
        layout if that differs; they are its `entries`.
    ValueError
        If `allow_mismatch` holds a name that is no entry of a fingerprint's identity.
    """
    unknown = set(allow_mismatch) - set(IDENTITY)
    if unknown:
        raise ValueError(f"allow_mismatch takes {', '.join(IDENTITY)}; got {', '.join(sorted(unknown))}")
    saved = artifact.fingerprint
    differing = [name for name in IDENTITY if _differs(name, saved.get(name), fingerprint.get(name))]
    refused = [name for name in differing if name not in allow_mismatch]
    details = [f"{name}: {_short(saved.get(name))} -> {_short(fingerprint.get(name))}" for name in refused]
    own = artifact.layout.without_state()
    if layout != own:
        refused, details = ["layout", *refused], [f"layout: {_spelled(own, layout)}", *details]
    if refused:
        advice = (
            "load that one or fit again"
            if "layout" in refused
            else f"load that one, fit again, or accept the difference with allow_mismatch={refused!r}"
        )
        raise BackboneMismatchError(
            f"the classifier was fitted on another backbone ({'; '.join(details)}); {advice}", refused
        )


def _spelled(saved: HeadLayout, current: HeadLayout) -> str:
    saved_text, current_text = (
        f"{layout.n_heads} heads in {layout.n_layers} layers and {layout.width} columns"
        for layout in (saved, current)
    )
    return f"{saved_text} -> {current_text}"


def _differs(name: str, saved: object, current: object) -> bool:
    # A copied folder has no commit: its weights, configuration and processor are compared by digest.
    if name == "commit" and (saved is None or current is None):
        return False
    return saved != current


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "..."
