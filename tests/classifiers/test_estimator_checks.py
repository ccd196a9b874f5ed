"""Scikit-learn's contract for every estimator on head vectors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import (
    check_do_not_raise_errors_in_init_or_set_params,
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_set_params,
    parametrize_with_checks,
)

from savs.classifiers import (
    AutoClassifier,
    EnsembleClassifier,
    HeadVoteClassifier,
    KernelDiscriminantClassifier,
    KernelRidgeClassifier,
    MultiLabelClassifier,
    TextPrototypeClassifier,
)
from savs.classifiers.ensemble import make_base_estimator

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


@pytest.mark.parametrize(
    "check",
    [
        check_do_not_raise_errors_in_init_or_set_params,
        check_estimator_repr,
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_set_params,
    ],
)
def test__multi_label__checks_of_parameters__pass(check):
    """The checks of fits want one label per example, of any two values; this takes tables of 0 and 1."""
    check("MultiLabelClassifier", MultiLabelClassifier(make_base_estimator("mean_proba")))


def test__multi_label__clone_and_pickle__same_answers():
    rng = np.random.default_rng(0)
    table = np.arange(24).reshape(12, 2) % 3 == 0
    rows = rng.standard_normal((12, 4)) + 3 * table @ np.eye(2, 4)
    fitted = MultiLabelClassifier(make_base_estimator("mean_proba")).fit(rows, table)
    shares = fitted.predict_proba(rows)
    assert fitted.n_features_in_ == 4
    assert np.array_equal(clone(fitted).fit(rows, table).predict_proba(rows), shares)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(rows), shares)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(rows)
