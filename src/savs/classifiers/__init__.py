"""The numerics: from head vectors of the shots to classifiers, without any knowledge of models and files.

`HeadClassifier` is the protocol of all of them. `available_methods` lists them by name; `register_method` and
`register_rule` add to them.
"""

from savs.classifiers._support_set import Shots
from savs.classifiers.auto import AutoClassifier
from savs.classifiers.base import CalibratedHeadClassifier, FittedScores, HeadClassifier, HeadOpinions, State
from savs.classifiers.cross_validation import Estimate, estimate_classifier, wilson_interval
from savs.classifiers.ensemble import EnsembleClassifier
from savs.classifiers.gaussian_rule import GaussianRule
from savs.classifiers.head_rule import HeadRule, Parameters
from savs.classifiers.head_sets import HeadChange, HeadSet
from savs.classifiers.head_voting import HeadVoteClassifier
from savs.classifiers.kernel import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.classifiers.last_state import LastStateClassifier
from savs.classifiers.methods import Method, available_methods, make_method, register_method
from savs.classifiers.rules import (
    CosineRule,
    NearestShotRule,
    available_rules,
    make_rule,
    register_rule,
)
from savs.classifiers.sav import SAVClassifier
from savs.classifiers.text_prototypes import TextPrototypeClassifier

__all__ = [
    "AutoClassifier",
    "CalibratedHeadClassifier",
    "CosineRule",
    "EnsembleClassifier",
    "Estimate",
    "FittedScores",
    "GaussianRule",
    "HeadChange",
    "HeadClassifier",
    "HeadOpinions",
    "HeadRule",
    "HeadSet",
    "HeadVoteClassifier",
    "KernelDiscriminantClassifier",
    "KernelRidgeClassifier",
    "LastStateClassifier",
    "Method",
    "NearestShotRule",
    "Parameters",
    "SAVClassifier",
    "Shots",
    "State",
    "TextPrototypeClassifier",
    "available_methods",
    "available_rules",
    "estimate_classifier",
    "make_method",
    "make_rule",
    "register_method",
    "register_rule",
    "wilson_interval",
]
