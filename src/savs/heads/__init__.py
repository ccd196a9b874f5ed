"""The numerics: class centroids, head scores, head selection, votes. Knows neither models nor files."""

from savs.heads.classifier import SAVClassifier
from savs.heads.estimate import Estimate, estimate_accuracy

__all__ = ["Estimate", "SAVClassifier", "estimate_accuracy"]
