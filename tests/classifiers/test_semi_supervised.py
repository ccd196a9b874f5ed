"""Unlabelled items: class offsets by plain loops, and what a fitted classifier becomes with them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from savs import HeadLayout
from savs.classifiers import SAVClassifier, make_method
from savs.classifiers._support_set import Shots
from savs.classifiers.methods import classifier_from_state
from savs.classifiers.semi_supervised import checked_for_unlabelled, class_offsets, use_unlabelled
from savs.errors import DataError

LAYOUT = HeadLayout.uniform(2, 3, 8)


def log_proba(n, k, seed=0, sharp=2.0):
    scores = sharp * np.random.default_rng(seed).standard_normal((n, k)) + np.arange(k)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def plain_offsets(logs, shares, prior_items):
    """Gradient descent, item by item and class by class."""
    n, k = logs.shape
    offsets = [0.0] * k
    for _ in range(20_000):
        slope = [prior_items * offsets[c] - n * shares[c] for c in range(k)]
        for i in range(n):
            weights = [math.exp(logs[i, c] + offsets[c]) for c in range(k)]
            for c in range(k):
                slope[c] += weights[c] / sum(weights)
        offsets = [offsets[c] - slope[c] / (n + prior_items) for c in range(k)]
        if max(map(abs, slope)) < 1e-11:
            break
    return offsets


@pytest.mark.parametrize("prior_items", [0.5, 10.0])
@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.2, 0.3, 0.5], [0.25] * 4])
def test__class_offsets__plain_loops__same(shares, prior_items):
    logs = log_proba(15, len(shares))
    expected = plain_offsets(logs, shares, prior_items)
    np.testing.assert_allclose(class_offsets(logs, np.array(shares), prior_items), expected, atol=1e-9)


def test__class_offsets__hardly_any_prior__mean_probability_is_the_share():
    logs, shares = log_proba(300, 3), np.array([0.2, 0.3, 0.5])
    moved = np.exp(logs + class_offsets(logs, shares, 1e-6))
    np.testing.assert_allclose((moved / moved.sum(1, keepdims=True)).mean(0), shares, atol=1e-6)


def test__class_offsets__order_of_the_items__same_bits():
    logs, shares = log_proba(50, 3), np.full(3, 1 / 3)
    shuffled = logs[np.random.default_rng(1).permutation(50)]
    assert class_offsets(logs, shares).tobytes() == class_offsets(shuffled, shares).tobytes()


@pytest.mark.parametrize("sharp", [1.0, 100.0, 1e4])
def test__class_offsets__one_sided_and_certain__finite_and_against_it(sharp):
    logs = np.tile([[0.0, -sharp]], (200, 1))
    found = class_offsets(logs, np.array([0.5, 0.5]))
    assert np.isfinite(found).all()
    assert found[1] > 0 > found[0]
    assert found.sum() == pytest.approx(0)


def test__class_offsets__fewer_items__smaller():
    logs, shares = np.tile(log_proba(10, 2), (20, 1)), np.array([0.5, 0.5])
    sizes = [np.abs(class_offsets(logs[:n], shares)).max() for n in (1, 10, 200)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 3


def table(n_per_class, seed=0, shift=1.0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(2), n_per_class)
    direction = np.random.default_rng(99).standard_normal(LAYOUT.width)
    return rng.standard_normal((len(codes), LAYOUT.width)) + shift * np.outer(codes, direction), codes


def fitted(n_per_class, method="kernel_ridge", seed=0, **settings):
    rows, codes = table(n_per_class, seed)
    classes, shots = np.array(["a", "b"]), Shots(rows, codes, 2, LAYOUT)
    classifier = make_method(method, LAYOUT).set_params(**settings).fit_shots(classes, shots)
    folds = classifier.cross_validation_folds(shots)
    return classifier, classifier.out_of_fold_log_proba(shots, folds), codes, folds


@pytest.mark.parametrize("method", ["kernel_ridge", "hec_v_loo", "auto"])
@pytest.mark.parametrize("n_per_class", [1, 6])
def test__use_unlabelled__fitted__log_probabilities_move_by_the_offsets_alone(method, n_per_class):
    classifier, out_of_fold, codes, folds = fitted(n_per_class, method)
    before = {key: array.tobytes() for key, array in classifier.to_state().arrays.items()}
    items, queries = table(40, 1)[0], table(5, 2)[0]
    found = use_unlabelled(classifier, items, out_of_fold, codes, folds)
    moved = classifier.predict_log_proba(queries) + np.array(found.report["offsets"])
    moved -= np.log(np.exp(moved).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.classifier.predict_log_proba(queries), moved, atol=1e-12)
    one_by_one = np.vstack([found.classifier.predict_log_proba(row[None]) for row in queries])
    np.testing.assert_allclose(one_by_one, moved, atol=1e-9)
    after = classifier.to_state().arrays
    assert {key: array.tobytes() for key, array in after.items()} == before
    assert found.classifier.selection_report_["unlabelled"]["n"] == 80
    assert "unlabelled" not in classifier.selection_report_


def test__use_unlabelled__saved_state__same_answers():
    classifier, out_of_fold, codes, folds = fitted(1, "auto")
    found = use_unlabelled(classifier, table(40, 1)[0], out_of_fold, codes, folds).classifier
    again, queries = classifier_from_state(found.to_state()), table(9, 2)[0]
    assert again.predict_proba(queries).tobytes() == found.predict_proba(queries).tobytes()
    assert np.abs(again.predict_proba(queries) - classifier.predict_proba(queries)).max() > 1e-3


def test__use_unlabelled__one_shot_each__nearer_to_the_truth():
    before, after = [], []
    for seed in range(12):
        classifier, out_of_fold, codes, folds = fitted(1, "hec_v_loo", seed)
        queries, truth = table(100, 1000 + seed, shift=0.5)
        found = use_unlabelled(classifier, table(100, 500 + seed, shift=0.5)[0], out_of_fold, codes, folds)
        before.append((classifier.predict_proba(queries).argmax(1) == truth).mean())
        after.append((found.classifier.predict_proba(queries).argmax(1) == truth).mean())
    assert np.mean(after) > np.mean(before) + 0.02


def test__use_unlabelled__items_of_one_class_and_shots_that_show_it__no_offset():
    classifier, out_of_fold, codes, folds = fitted(20)
    only_a = table(100, 1)[0][:100]
    found = use_unlabelled(classifier, only_a, out_of_fold, codes, folds)
    assert found.report["strength"] < 1
    assert found.report["log_loss"] <= found.report["log_loss_before"] + 0.02


def test__use_unlabelled__priors__are_the_shares_that_the_items_should_have():
    _, out_of_fold, codes, folds = fitted(1)
    items = table(300, 1)[0]
    shares = []
    for prior in (0.5, 0.9):
        classifier = fitted(1, priors=[prior, 1 - prior])[0]
        found = use_unlabelled(classifier, items, out_of_fold, codes, folds).classifier
        shares.append(found.predict_proba(items)[:, 0].mean())
    np.testing.assert_allclose(shares, [0.5, 0.9], atol=0.05)


def test__checked_for_unlabelled__votes_of_the_published_rule__refused():
    with pytest.raises(DataError, match="method 'sav' cannot use unlabelled items"):
        checked_for_unlabelled(SAVClassifier(), "sav")
