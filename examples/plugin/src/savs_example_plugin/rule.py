"""A rule for single heads, and a method that votes with it."""

import numpy as np

from savs.classifiers import HeadRule, HeadVoteClassifier


class MedianRule(HeadRule):
    """Score of a class: minus the mean absolute distance to the class median, which outliers hardly move."""

    def fit(self, vectors, shots):
        """Learn ``medians`` of shape (n_heads, n_classes, head_dim)."""
        classes = range(shots.n_classes)
        return {
            "medians": np.stack([np.median(vectors[:, shots.codes == c], axis=1) for c in classes], axis=1)
        }

    def scores(self, vectors, parameters, codes):
        """Return scores of shape (n_heads, n_rows, n_classes)."""
        distances = np.abs(vectors[:, :, None] - parameters["medians"][:, None])
        return -distances.mean(axis=3)


RULE = MedianRule()


def median_votes():
    """Return the method: 20 heads that score by `MedianRule`."""
    return HeadVoteClassifier(rule="median")
