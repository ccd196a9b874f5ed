"""Rules that score the classes by one head: cosine to the centroid, Gaussian, nearest shot."""

from savs.heads.rules.base import HeadRule, Parameters
from savs.heads.rules.cosine import CosineRule
from savs.heads.rules.gaussian import GaussianRule
from savs.heads.rules.nearest import NearestShotRule
from savs.heads.rules.registry import RULES, make_rule

__all__ = ["RULES", "CosineRule", "GaussianRule", "HeadRule", "NearestShotRule", "Parameters", "make_rule"]
