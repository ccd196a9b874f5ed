"""The numerics: from head vectors of the shots to classifiers. Knows neither models nor files.

`savs.classifiers.methods` lists every method by name.
"""

from savs.classifiers.auto import AutoClassifier
from savs.classifiers.base import HeadClassifier, State
from savs.classifiers.cross_validation import Estimate, estimate_accuracy, wilson_interval
from savs.classifiers.ensemble import EnsembleClassifier
from savs.classifiers.head_voting import HeadVoteClassifier
from savs.classifiers.kernel import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.classifiers.learning import ShotLearner
from savs.classifiers.methods import METHODS, TEXT_METHODS, Method, make_method
from savs.classifiers.multi_label import MultiLabelClassifier
from savs.classifiers.rules import (
    RULES,
    CosineRule,
    GaussianRule,
    HeadRule,
    NearestShotRule,
    Parameters,
    make_rule,
)
from savs.classifiers.sav import SAVClassifier
from savs.classifiers.text_prototypes import TextPrototypeClassifier

__all__ = [
    "RULES",
    "CosineRule",
    "GaussianRule",
    "HeadRule",
    "NearestShotRule",
    "Parameters",
    "make_rule",
    "wilson_interval",
    "METHODS",
    "TEXT_METHODS",
    "AutoClassifier",
    "Estimate",
    "HeadClassifier",
    "HeadVoteClassifier",
    "KernelDiscriminantClassifier",
    "KernelRidgeClassifier",
    "Method",
    "EnsembleClassifier",
    "MultiLabelClassifier",
    "SAVClassifier",
    "ShotLearner",
    "State",
    "TextPrototypeClassifier",
    "estimate_accuracy",
    "make_method",
]
