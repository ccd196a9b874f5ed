"""Scikit-learn's contract for every estimator on head vectors."""

from __future__ import annotations

import numpy as np
from sklearn.utils.estimator_checks import (
    parametrize_with_checks,
)

from savs.classifiers import (
    AutoClassifier,
    EnsembleClassifier,
    HeadVoteClassifier,
    KernelDiscriminantClassifier,
    KernelRidgeClassifier,
    TextPrototypeClassifier,
)

FEW = ("hec_v_loo", "kernel_ridge")


class OnAnyClasses(TextPrototypeClassifier):
    """The checks fit to 2, 3 or more classes in turn; class texts are made up for as many as there are."""

    def _checked(self, n_classes, layout):
        return np.random.default_rng(0).standard_normal((n_classes, layout.heads_width))


@parametrize_with_checks(
    [
        HeadVoteClassifier(),
        HeadVoteClassifier("gaussian", n_heads="auto"),
        HeadVoteClassifier("oas", n_heads="all"),
        HeadVoteClassifier("nearest", voting="majority"),
        HeadVoteClassifier("near", voting="class_conditional"),
        KernelRidgeClassifier(),
        KernelDiscriminantClassifier("rbf"),
        EnsembleClassifier(FEW),
        AutoClassifier(FEW, max_folds=2),
        OnAnyClasses(),
    ]
)
def test__estimators__scikit_learn_checks__pass(estimator, check):
    check(estimator)
