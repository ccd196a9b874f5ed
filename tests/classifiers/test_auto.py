"""Choice among methods by nested leave-one-out, and the estimate that comes with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone

from savs.classifiers import AutoClassifier, EnsembleClassifier, make_method
from savs.classifiers._item_scores import ItemScores
from savs.classifiers._support_set import Shots
from savs.classifiers.cross_validation import (
    cross_val_log_proba,
    estimate_classifier,
    estimate_from_shots,
    leave_one_out_folds,
    nested_folds,
)
from savs.classifiers.ensemble import (
    DEFAULT_ESTIMATORS,
    ensemble_weights,
    make_base_estimator,
    mix,
    mixture_temperature,
)
from savs.classifiers.named_auto import NamedAutoClassifier
from savs.errors import DataError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.uniform(2, 3, 4)
STATE = LAYOUT.with_state(5)
FEW = ("hec_v_loo", "kernel_ridge", "lda")


def make(seed=0, shots=8, noise=1.5, n_classes=3):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(n_classes), shots))
    means = rng.standard_normal((n_classes, LAYOUT.width))
    rows = noise * rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
    return rows, codes, noise * rng.standard_normal((200, LAYOUT.width)) + means[np.arange(200) % n_classes]


def test__nested_folds__every_class_keeps_a_shot_each_shot_left_out_once():
    codes = np.array([0] * 7 + [1] * 3 + [2])
    folds = nested_folds(codes, 4)
    out_of_fold = np.concatenate(folds)
    assert sorted(out_of_fold.tolist()) == list(range(10))
    for fold in folds:
        rest = np.delete(codes, fold)
        assert set(rest.tolist()) == {0, 1, 2}


def test__nested_folds__two_shots_per_class__still_one_left():
    folds = nested_folds(np.array([0, 0, 1, 1]), 2)
    assert [len(fold) for fold in folds] == [2, 2]


def test__left_out_log_probabilities__refitting_by_hand__same():
    rows, codes, _ = make()
    folds = nested_folds(codes, 3)
    classifier = make_base_estimator("hec_v_loo", LAYOUT)
    found = classifier.out_of_fold_log_proba(Shots(rows, codes, 3, LAYOUT), folds)
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        fitted = clone(classifier).fit(rows[rest], codes[rest])
        assert found[fold] == pytest.approx(fitted.predict_log_proba(rows[fold]))


def estimate_of(fitted, rows, codes):
    """Return the estimate from the classifier's own folds."""
    shots = Shots(rows, codes, int(codes.max()) + 1, fitted.layout_)
    folds = fitted.cross_validation_folds(shots)
    return estimate_from_shots(fitted.out_of_fold_log_proba(shots, folds), codes, len(folds))


def test__estimate__pure_noise__near_chance_although_in_sample_is_perfect():
    accuracies = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows, codes = rng.standard_normal((24, LAYOUT.width)), np.repeat([0, 1], 12)
        fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
        accuracies.append(estimate_of(fitted, rows, codes).accuracy)
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.12)


def test__estimate__fields_by_hand():
    rows, codes, _ = make()
    logs = make_base_estimator("mean_proba", LAYOUT).out_of_fold_log_proba(
        Shots(rows, codes, 3, LAYOUT),
        leave_one_out_folds(codes, 0, 99),
    )
    estimate = estimate_from_shots(logs, codes)
    assert estimate.accuracy == np.mean(logs.argmax(axis=1) == codes)
    figures = ItemScores.of(np.exp(logs), codes, logs.argmax(axis=1)).figures()
    assert {name: getattr(estimate, name) for name in figures} == figures
    assert estimate.brier == pytest.approx(((np.exp(logs) - np.eye(3)[codes]) ** 2).sum(axis=1).mean())
    assert estimate.n == 24
    assert "too few to support a claim" in estimate.note
    assert estimate_from_shots(np.full((4, 2), np.nan), np.array([0, 1, 0, 1])) is None


def test__auto__report_says_what_and_why():
    rows, codes, queries = make()
    fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
    report = json.loads(json.dumps(fitted.selection_report_))
    assert report["chosen"] == fitted.chosen_ == list(fitted.estimators_)
    assert set(report["candidates"]) == {"votes", *FEW, "hec_v", "ensemble"}
    assert report["why"]
    assert report["n_shots_held_out"] == 24
    losses = np.array([report["candidates"][name]["log_loss"] for name in fitted.chosen_])
    weights = np.exp(-4 * losses) / np.exp(-4 * losses).sum()
    assert list(report["weights"].values()) == pytest.approx(weights)
    estimators = [make_base_estimator(name, LAYOUT).fit(rows, codes) for name in fitted.chosen_]
    pooled = sum(w * e.predict_proba(queries) for w, e in zip(weights, estimators, strict=True))
    sharpened = pooled ** (1 / fitted.temperature_)
    by_hand = sharpened / sharpened.sum(axis=1, keepdims=True)
    assert fitted.predict_proba(queries) == pytest.approx(by_hand)


def exponent_by_search(shares, codes):
    """Exponent of the largest likelihood of the shots, with 1.25 believed as by a precision of 30."""
    best, least = None, np.inf
    for log_exponent in np.linspace(-1, 1, 2001):
        loss = 15 * (log_exponent - np.log(1.25)) ** 2
        for row, code in zip(shares, codes, strict=True):
            powers = row ** np.exp(log_exponent)
            loss -= np.log(powers[code] / powers.sum())
        if loss < least:
            best, least = np.exp(log_exponent), loss
    return best


@pytest.mark.parametrize("n", [4, 40, 400])
def test__mixture_temperature__plain_search__equal(n):
    rng = np.random.default_rng(n)
    codes = rng.integers(0, 3, n)
    shares = rng.dirichlet([1, 1, 1], n) / 2 + np.eye(3)[codes] / 2 * rng.random((n, 1))
    shares /= shares.sum(axis=1, keepdims=True)
    found = 1 / mixture_temperature(np.log(shares), codes)
    assert found == pytest.approx(exponent_by_search(shares, codes), rel=2e-3)


def test__mixture__is_as_sure_as_its_answers_are_right():
    """The mean of calibrated opinions that differ is less sure than right; the ensemble makes up for it."""
    rng = np.random.default_rng(0)
    layout = HeadLayout.uniform(3, 8, 8)
    means = 0.35 * rng.standard_normal((4, layout.width))
    gaps = []
    for _ in range(6):
        codes = np.repeat(np.arange(4), 5)
        rows = means[codes] + rng.standard_normal((20, layout.width))
        truth = np.arange(400) % 4
        queries = means[truth] + rng.standard_normal((400, layout.width))
        fitted = EnsembleClassifier(layout=layout).fit(rows, codes)
        sure = fitted.predict_proba(queries).max(axis=1).mean()
        plain = mix(
            [one.predict_log_proba(queries) for one in fitted.estimators_.values()],
            np.array(list(fitted.weights_.values())),
        )
        right = (fitted.predict(queries) == truth).mean()
        gaps.append((sure - right, np.exp(plain).max(axis=1).mean() - right))
    now, before = np.mean(gaps, axis=0)
    assert before < -0.03
    assert abs(now) < abs(before) - 0.02


def test__auto__nested_left_out__by_hand_from_the_other_folds_alone():
    rows, codes, _ = make(noise=2.5)
    fitted = AutoClassifier(FEW, max_folds=3, layout=LAYOUT).fit(rows, codes)
    shots, folds = Shots(rows, codes, 3, LAYOUT), nested_folds(codes, 3)
    nested = fitted.out_of_fold_log_proba(shots, fitted.cross_validation_folds(shots))
    logs = {
        n: make_base_estimator(n, LAYOUT).out_of_fold_log_proba(shots, folds)
        for n in ("votes", "hec_v", *FEW)
    }
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        loss = {name: -log[rest, codes[rest]] for name, log in logs.items()}
        weights = {name: np.exp(-4 * loss[name].mean()) for name in FEW}
        whole = sum(w * np.exp(logs[name]) for name, w in weights.items()) / sum(weights.values())
        gaps = {name: loss[name] + np.log(whole[rest, codes[rest]]) for name in FEW}
        error = {name: gap.std(ddof=1) / np.sqrt(len(rest)) for name, gap in gaps.items()}
        kept = [name for name in FEW if gaps[name].mean() <= 2 * error[name]]
        pooled = sum(weights[name] * np.exp(logs[name]) for name in kept)
        pooled /= pooled.sum(axis=1, keepdims=True)
        sharp = pooled[fold] ** exponent_by_search(pooled[rest], codes[rest])
        assert np.exp(nested[fold]) == pytest.approx(sharp / sharp.sum(axis=1, keepdims=True), rel=1e-3)
    again = cross_val_log_proba(clone(fitted).set_params(max_folds=9), shots, 3)
    assert again == pytest.approx(nested)


def test__auto__expert_that_is_much_worse__left_out():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 40)
    rows = rng.standard_normal((80, LAYOUT.width))
    angles = rng.uniform(0, 2 * np.pi, 80)
    axis = np.where(codes[:, None] == 1, [[1.0, 0.0]], [[0.0, 1.0]])
    rows[:, LAYOUT.columns((0, 0))][:, :2] = 6 * axis * np.sign(np.cos(angles))[:, None]
    fitted = AutoClassifier(("mean_proba", "tip"), layout=LAYOUT).fit(rows, codes)
    candidates = fitted.selection_report_["candidates"]
    assert candidates["tip"]["accuracy"] > candidates["mean_proba"]["accuracy"]
    assert fitted.chosen_ == ["tip"]


def test__auto__everything_right__the_simplest():
    rows, codes, _ = make(noise=0.01)
    fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
    assert estimate_of(fitted, rows, codes).accuracy == 1
    assert len(fitted.chosen_) == 1 or fitted.chosen_ == list(FEW)


def test__auto__one_shot_per_class__all_experts_no_estimate():
    rows, codes, _ = make(shots=1)
    fitted = AutoClassifier(FEW, layout=LAYOUT).fit(rows, codes)
    assert estimate_of(fitted, rows, codes) is None
    assert fitted.chosen_ == list(FEW)
    assert "nothing could be compared" in fitted.selection_report_["why"]


@pytest.mark.parametrize("folds", [1, 0, True, 2.0])
def test__auto__max_folds_out_of_range__error(folds):
    with pytest.raises(ValueError, match="max_folds"):
        AutoClassifier(FEW, max_folds=folds, layout=LAYOUT).fit(*make()[:2])


@pytest.mark.parametrize("name", ["sav", "mean_proba", "hec_v", "kernel_ridge", "ensemble", "auto"])
def test__estimate_classifier__any_method__refitting_by_hand(name):
    rows, codes, _ = make(noise=2.0)
    classifier = make_method(name, LAYOUT).fit(rows, codes)
    before = classifier.predict_proba(rows)
    found = estimate_classifier(classifier, rows, np.array(["a", "b", "c"])[codes], max_folds=4)
    right = 0
    for fold in nested_folds(codes, 4):
        rest = np.setdiff1d(np.arange(len(codes)), fold)
        if name == "auto":
            right += (
                cross_val_log_proba(classifier, Shots(rows, codes, 3, LAYOUT), 4)[fold].argmax(1)
                == codes[fold]
            ).sum()
        else:
            right += (
                make_method(name, LAYOUT).fit(rows[rest], codes[rest]).predict(rows[fold]) == codes[fold]
            ).sum()
    assert found.accuracy == right / 24
    assert found.n == 24
    assert np.array_equal(classifier.predict_proba(rows), before)


def test__estimate_classifier__unusable_input__error():
    rows, codes, _ = make()
    with pytest.raises(ValueError, match="24 feature rows, but 3 labels"):
        estimate_classifier(make_base_estimator("mean_proba", LAYOUT), rows, codes[:3])
    with pytest.raises(ValueError, match="max_folds"):
        estimate_classifier(make_base_estimator("mean_proba", LAYOUT), rows, codes, max_folds=1)
    with pytest.raises(DataError, match="at least 2 classes"):
        estimate_classifier(make_base_estimator("mean_proba", LAYOUT), rows, np.zeros(24, dtype=int))
    assert estimate_classifier(make_base_estimator("mean_proba", LAYOUT), rows[:3], np.arange(3)) is None


def test__auto_and_mixture__too_many_shots_for_kernels__go_on_and_say_so(monkeypatch):
    rows, codes, queries = make()
    monkeypatch.setattr("savs.classifiers.kernel._KernelClassifier.max_shots", 20)
    monkeypatch.setattr("savs.classifiers.kernel.MAX_KERNEL_SHOTS", 20)
    for kind in (EnsembleClassifier, AutoClassifier):
        fitted = kind(layout=LAYOUT).fit(rows, codes)
        assert set(fitted.estimators_) <= {"votes", "hec_v", "hec_v_loo"}
        assert fitted.skipped_["kernel_ridge"] == "takes at most 20 shots, there are 24"
        assert np.isfinite(fitted.predict_proba(queries)).all()
    assert fitted.selection_report_["skipped"] == fitted.skipped_
    with pytest.raises(DataError, match="24 shots are too many for a kernel method"):
        make_base_estimator("kernel_ridge", LAYOUT).fit(rows, codes)


@pytest.mark.parametrize("with_names", [False, True])
def test__too_many_shots_for_kernels_and_a_class_of_one__heads_are_read(with_names):
    layout = HeadLayout.uniform(1, 2, 2).with_state(2)
    layout = layout.with_options(2) if with_names else layout
    codes = np.repeat([0, 1], [6000, 1])
    rows = np.random.default_rng(0).standard_normal((len(codes), layout.width))
    kind = NamedAutoClassifier if with_names else AutoClassifier
    fitted = kind(layout=layout).fit(rows, codes)
    assert list(fitted.estimators_) == ["hec_v_loo"] + ["option_likelihood"] * with_names
    assert {"lda", "last_state"} < set(fitted.skipped_)
    assert fitted.weights_["hec_v_loo"] > 0.5


def test__auto__large_table__two_folds_experts_only(monkeypatch):
    rows, codes, _ = make()
    monkeypatch.setattr("savs.classifiers._support_set._LARGE_TABLE", 8)
    fitted = AutoClassifier(layout=LAYOUT).fit(rows, codes)
    assert fitted.selection_report_["n_folds"] == 2
    assert set(fitted.selection_report_["candidates"]) == {*DEFAULT_ESTIMATORS, "ensemble"}
    assert "not compared" in fitted.skipped_["hec_v"]
    assert estimate_of(fitted, rows, codes).n == 24


# Few shots.


def test__ensemble_weights__share_of_0_beside_a_very_large_loss__numbers():
    """Names that tell nothing, beside heads that are sure and wrong on every held-out shot."""
    assert ensemble_weights(np.array([800.0, 0.5]), np.array([1.0, 0.0])).tolist() == [1.0, 0.0]
    found = ensemble_weights(np.array([0.5, 0.25, 9.0]), np.array([0.2, 0.3, 0.5]))
    wanted = np.array([0.2 * np.exp(-2), 0.3 * np.exp(-1), 0.5 * np.exp(-36)])
    assert found == pytest.approx(wanted / wanted.sum())


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        ((1, 1, 1), ["hec_v_loo", "kernel_ridge", "last_state"]),
        ((1, 20, 20), ["lda", "last_state"]),
        ((2, 2, 2), ["lda", "last_state"]),
        ((3, 3, 4), [*DEFAULT_ESTIMATORS, "last_state"]),
    ],
)
@pytest.mark.parametrize("kind", [EnsembleClassifier, AutoClassifier])
def test__few_shots__base_estimators_that_can_use_them(kind, counts, names):
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(3), counts)
    rows = rng.standard_normal((len(codes), STATE.width)) + 0.2 * rng.standard_normal((3, STATE.width))[codes]
    fitted = kind(layout=STATE).fit(rows, codes)
    assert list(fitted.estimators_) == names
    assert sum(fitted.weights_.values()) == pytest.approx(1)
    if min(counts) == max(counts) == 1:
        assert fitted.weights_ == {"hec_v_loo": 0.25, "kernel_ridge": 0.25, "last_state": 0.5}
        assert fitted.temperature_ == 1


@pytest.mark.parametrize("kind", [EnsembleClassifier, AutoClassifier])
def test__few_shots__named_estimators__count_alike(kind):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3, STATE.width))
    names = ["hec_v_loo", "lda", "last_state"]
    fitted = kind(names, layout=STATE).fit(rows, [0, 1, 2])
    assert fitted.weights_ == pytest.approx(dict.fromkeys(names, 1 / 3))


def test__two_shots__weights_by_the_losses_of_refits_and_nothing_left_out():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(3), 2)
    rows = rng.standard_normal((6, STATE.width)) + 3 * np.eye(3)[codes] @ rng.standard_normal(
        (3, STATE.width)
    )
    rows[:, LAYOUT.width :] = rng.standard_normal((6, 5))  # the state knows nothing
    fitted = AutoClassifier(layout=STATE).fit(rows, codes)
    losses = np.zeros(2)
    for fold in nested_folds(codes, 5):
        rest = np.setdiff1d(np.arange(6), fold)
        for place, name in enumerate(("lda", "last_state")):
            refitted = make_base_estimator(name, STATE).fit(rows[rest], codes[rest])
            losses[place] -= (
                refitted.predict_log_proba(rows[fold])[np.arange(len(fold)), codes[fold]].sum() / 6
            )
    wanted = np.exp(-4 * losses) / np.exp(-4 * losses).sum()
    assert list(fitted.weights_.values()) == pytest.approx(wanted)
    assert fitted.weights_["lda"] > 0.8
    assert "fewer than three shots" in fitted.selection_report_["why"]
    assert fitted.skipped_.keys() == {"votes", "hec_v"}


def test__one_class_of_one_shot__is_answered():
    """Twenty shots of the others must not leave it without an answer."""
    rng = np.random.default_rng(2)
    layout = HeadLayout.uniform(4, 6, 8)
    means = 0.6 * rng.standard_normal((2, layout.width))
    recalls = []
    for _ in range(10):
        codes = np.repeat([0, 1], [1, 20])
        rows = means[codes] + rng.standard_normal((21, layout.width))
        queries = means[0] + rng.standard_normal((50, layout.width))
        fitted = AutoClassifier(layout=layout).fit(rows, codes)
        recalls.append((fitted.predict(queries) == 0).mean())
    assert np.mean(recalls) > 0.8
    assert min(recalls) > 0.4


@pytest.mark.parametrize("name", ["hec_v", "hec_v_loo", "mean_proba", "calm"])
def test__one_shot_per_class__heads_that_tell_the_shots_apart_are_first(name):
    rng = np.random.default_rng(3)
    layout = HeadLayout.uniform(4, 6, 8)
    rows = 1.0 + 0.05 * rng.standard_normal((3, layout.width))
    told = layout.heads[15:20]
    for head in told:
        rows[:, layout.columns(head)] = 3 * rng.standard_normal((3, 8))
    fitted = make_method(name, layout, n_heads=5).fit(rows, [0, 1, 2])
    assert set(fitted.heads_) == set(told)
