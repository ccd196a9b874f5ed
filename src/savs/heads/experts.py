"""Single methods by name, as mixtures and the command line ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from savs.features import HeadLayout
from savs.heads.base import HeadClassifier
from savs.heads.kernel_classifiers import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.heads.last_state import LastStateClassifier
from savs.heads.voters import HeadVoteClassifier

__all__ = ["DEFAULT_EXPERTS", "EXPERTS", "STATE_EXPERTS", "default_experts", "make_expert", "uses_state"]


def _votes(**settings: Any) -> Callable[..., HeadClassifier]:
    return lambda **common: HeadVoteClassifier(**settings, **common)


def _ridge(**settings: Any) -> Callable[..., HeadClassifier]:
    return lambda **common: KernelRidgeClassifier(**settings, **common)


def _discriminant(**settings: Any) -> Callable[..., HeadClassifier]:
    return lambda **common: KernelDiscriminantClassifier(**settings, **common)


EXPERTS: dict[str, Callable[..., HeadClassifier]] = {
    "votes": _votes(rule="cosine", scoring="in_sample", voting="majority"),
    "votes_left_out": _votes(rule="cosine", voting="majority"),
    "soft": _votes(rule="cosine"),
    "soft_all": _votes(rule="cosine", n_heads="all"),
    "calm": _votes(rule="cosine", voting="class_conditional"),
    "hec_v": _votes(rule="hec_v", scoring="in_sample"),
    "hec_left_out": _votes(rule="gaussian"),
    "gaussian_oas": _votes(rule="oas"),
    "nearest_shot": _votes(rule="nearest"),
    "tip": _votes(rule="near"),
    "kernel_ridge": _ridge(),
    "kernel_ridge_rbf": _ridge(kernel="rbf"),
    "discriminant": _discriminant(),
    "discriminant_uncentred": _discriminant(centring="none", sharpness=8.0, weighting="error"),
    "discriminant_scaled": _discriminant(centring="after", sharpness=8.0, weighting="error"),
    "last_state": lambda **common: LastStateClassifier(**common),
}
"""Makers by name, each called with ``layout`` and optionally ``priors``; from simple to complex."""

DEFAULT_EXPERTS = ("hec_left_out", "kernel_ridge", "discriminant_scaled")
"""What mixtures are made of; docs/methods.md has the measurements behind the choice."""

STATE_EXPERTS = ("last_state",)
"""What reads the last-layer state, and joins mixtures where rows hold it."""


def default_experts(layout: HeadLayout) -> tuple[str, ...]:
    """Return what mixtures are made of for rows of this layout."""
    return DEFAULT_EXPERTS if layout.state is None else (*DEFAULT_EXPERTS, *STATE_EXPERTS)


def uses_state(method: str) -> bool:
    """Return whether a method reads the last-layer state where rows hold it.

    Examples
    --------
    >>> uses_state("auto"), uses_state("hec_v")
    (True, False)
    """
    return method in (*STATE_EXPERTS, "mixture", "auto")


def make_expert(
    name: str,
    layout: HeadLayout | tuple[int, int, int] | None = None,
    priors: str | ArrayLike | None = None,
) -> HeadClassifier:
    """Return an unfitted estimator by name.

    Raises
    ------
    ValueError
        If there is no such name.
    """
    if name not in EXPERTS:
        raise ValueError(f"no method {name!r}; there are {', '.join(EXPERTS)}")
    common: dict[str, Any] = {"layout": layout} if priors is None else {"layout": layout, "priors": priors}
    return EXPERTS[name](**common)
