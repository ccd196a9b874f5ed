"""The rules by name."""

from __future__ import annotations

from savs.heads.rules.base import HeadRule
from savs.heads.rules.cosine import CosineRule
from savs.heads.rules.gaussian import GaussianRule
from savs.heads.rules.nearest import NearestShotRule

__all__ = ["RULES", "make_rule"]

_TIP_BETA = 5.5
"""The public code of [Tip] starts from this sharpness."""

RULES: dict[str, HeadRule] = {
    "cosine": CosineRule(),
    "gaussian": GaussianRule("ridge"),
    "hec_v": GaussianRule("ridge", class_prior=True),
    "oas": GaussianRule("oas"),
    "nearest": NearestShotRule(),
    "near": NearestShotRule(beta=_TIP_BETA),
}
"""``cosine``: to the centroid. ``gaussian``: HEC-V with equal class
priors, ``hec_v`` as published. ``oas``: Gaussian with OAS shrinkage. ``nearest``: the
nearest shot. ``near``: Tip-Adapter's soft form of it."""


def make_rule(rule: object) -> HeadRule:
    """Return the rule of a name; `ValueError` for another name."""
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    return RULES[rule]
