"""The numerics: from head vectors of the shots to classifiers. Knows neither models nor files.

`savs.heads.methods` lists every method by name.
"""

from savs.heads.auto import AutoClassifier
from savs.heads.base import HeadClassifier, State
from savs.heads.classifier import SAVClassifier
from savs.heads.estimate import Estimate, estimate_accuracy
from savs.heads.kernel_classifiers import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.heads.learning import ShotLearner
from savs.heads.methods import METHODS, TEXT_METHODS, Method, make_method
from savs.heads.mixture import MixtureClassifier
from savs.heads.multi_label import MultiLabelClassifier
from savs.heads.text_prototypes import TextPrototypeClassifier
from savs.heads.voters import HeadVoteClassifier

__all__ = [
    "METHODS",
    "TEXT_METHODS",
    "AutoClassifier",
    "Estimate",
    "HeadClassifier",
    "HeadVoteClassifier",
    "KernelDiscriminantClassifier",
    "KernelRidgeClassifier",
    "Method",
    "MixtureClassifier",
    "MultiLabelClassifier",
    "SAVClassifier",
    "ShotLearner",
    "State",
    "TextPrototypeClassifier",
    "estimate_accuracy",
    "make_method",
]
