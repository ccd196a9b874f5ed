"""Choice among methods by nested leave-one-out, and the estimate that comes with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone

from savs.features import HeadLayout
from savs.heads.auto import AutoClassifier
from savs.heads.estimate import leave_one_out_folds
from savs.heads.experts import make_expert
from savs.heads.honest import estimate_from_shots, left_out_log_probabilities, nested_folds
from savs.heads.mixture import MixtureClassifier
from savs.heads.probabilities import brier_score, expected_calibration_error
from savs.heads.shots import Shots

LAYOUT = HeadLayout.uniform(2, 3, 4)
FEW = ("hec_left_out", "kernel_ridge", "discriminant")


def make(seed=0, shots=8, noise=1.5, n_classes=3):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(n_classes), shots))
    means = rng.standard_normal((n_classes, LAYOUT.width))
    rows = noise * rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
    return rows, codes, noise * rng.standard_normal((200, LAYOUT.width)) + means[np.arange(200) % n_classes]


def test__nested_folds__every_class_keeps_a_shot_each_shot_left_out_once():
    codes = np.array([0] * 7 + [1] * 3 + [2])
    folds = nested_folds(codes, 4)
    left_out = np.concatenate(folds)
    assert sorted(left_out.tolist()) == list(range(10))
    for fold in folds:
        rest = np.delete(codes, fold)
        assert set(rest.tolist()) == {0, 1, 2}


def test__nested_folds__two_shots_per_class__still_one_left():
    folds = nested_folds(np.array([0, 0, 1, 1]), 2)
    assert [len(fold) for fold in folds] == [2, 2]


def test__left_out_log_probabilities__refitting_by_hand__same():
    rows, codes, _ = make()
    folds = nested_folds(codes, 3)
    classifier = make_expert("hec_left_out", LAYOUT)
    found = left_out_log_probabilities(classifier, Shots(rows, codes, 3, LAYOUT), folds)
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        fitted = clone(classifier).fit(rows[rest], codes[rest])
        assert found[fold] == pytest.approx(fitted.predict_log_proba(rows[fold]))


def test__estimate__pure_noise__near_chance_although_in_sample_is_perfect():
    accuracies = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows, codes = rng.standard_normal((24, LAYOUT.width)), np.repeat([0, 1], 12)
        fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
        accuracies.append(fitted.estimate_.accuracy)
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.12)


def test__estimate__fields_by_hand():
    rows, codes, _ = make()
    logs = left_out_log_probabilities(
        make_expert("soft", LAYOUT), Shots(rows, codes, 3, LAYOUT), leave_one_out_folds(codes, 0, 99)
    )
    estimate = estimate_from_shots(logs, codes)
    assert estimate.accuracy == np.mean(logs.argmax(axis=1) == codes)
    assert estimate.brier == brier_score(np.exp(logs), codes)
    assert estimate.ece == expected_calibration_error(np.exp(logs), codes)
    assert estimate.n == 24
    assert "too few to support a claim" in estimate.note
    assert estimate_from_shots(np.full((4, 2), np.nan), np.array([0, 1, 0, 1])) is None


def test__auto__report_says_what_and_why():
    rows, codes, queries = make()
    fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
    report = json.loads(json.dumps(fitted.selection_report_))
    assert report["chosen"] == fitted.chosen_ == list(fitted.experts_)
    assert set(report["candidates"]) == {"votes", *FEW, "hec_v", "mixture"}
    assert report["why"]
    assert report["n_shots_left_out"] == 24
    mixed = MixtureClassifier(fitted.chosen_, layout=LAYOUT).fit(rows, codes)
    assert fitted.predict_proba(queries) == pytest.approx(mixed.predict_proba(queries))


def test__auto__expert_that_is_much_worse__left_out():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 40)
    rows = rng.standard_normal((80, LAYOUT.width))
    angles = rng.uniform(0, 2 * np.pi, 80)
    axis = np.where(codes[:, None] == 1, [[1.0, 0.0]], [[0.0, 1.0]])
    rows[:, LAYOUT.columns((0, 0))][:, :2] = 6 * axis * np.sign(np.cos(angles))[:, None]
    fitted = AutoClassifier(("soft", "tip"), layout=LAYOUT).fit(rows, codes)
    candidates = fitted.selection_report_["candidates"]
    assert candidates["tip"]["accuracy"] > candidates["soft"]["accuracy"]
    assert fitted.chosen_ == ["tip"]


def test__auto__everything_right__the_simplest():
    rows, codes, _ = make(noise=0.01)
    fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
    assert fitted.estimate_.accuracy == 1
    assert len(fitted.chosen_) == 1 or fitted.chosen_ == list(FEW)


def test__auto__one_shot_per_class__all_experts_no_estimate():
    rows, codes, _ = make(shots=1)
    fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
    assert fitted.estimate_ is None
    assert fitted.chosen_ == list(FEW)
    assert "nothing could be compared" in fitted.selection_report_["why"]


@pytest.mark.parametrize("folds", [1, 0, True, 2.0])
def test__auto__max_folds_out_of_range__error(folds):
    with pytest.raises(ValueError, match="max_folds"):
        AutoClassifier(FEW, max_folds=folds, layout=LAYOUT).fit(*make()[:2])
