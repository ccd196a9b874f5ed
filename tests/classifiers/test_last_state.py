"""The last-layer state behind the heads: only methods that ask for it read it, and say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from savs.classifiers import (
    AutoClassifier,
    EnsembleClassifier,
    KernelDiscriminantClassifier,
    State,
    available_methods,
    make_method,
)
from savs.classifiers._support_set import Shots
from savs.classifiers.cross_validation import estimate_classifier
from savs.classifiers.ensemble import DEFAULT_ESTIMATORS, make_base_estimator
from savs.classifiers.last_state import LastStateClassifier
from savs.errors import ActivationError
from savs.layout import HeadLayout

HEADS = HeadLayout.from_layers([(0, 3, 4), (1, 2, 6)])
LAYOUT = HEADS.with_state(9, layer=3)
UNFITTED = {name: make_method(name) for name in available_methods()}
BLIND = [
    name
    for name, made in UNFITTED.items()
    if not (made.needs_state or made.needs_prototypes or made.needs_options)
]


def make(seed=0, noise=1.2, heads=1.0, state=1.0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(3), 6))
    strength = np.repeat([heads, state], [HEADS.width, 9])
    means = rng.standard_normal((3, LAYOUT.width)) * strength
    rows = noise * rng.standard_normal((18, LAYOUT.width)) + means[codes]
    queries = noise * rng.standard_normal((60, LAYOUT.width)) + means[np.arange(60) % 3]
    return rows, codes, queries


@pytest.mark.parametrize("name", BLIND)
def test__methods_of_heads__rows_with_state__same_answers_as_without(name):
    rows, codes, queries = make()
    width = HEADS.width
    with_state = make_method(name, LAYOUT).fit(rows, codes)
    without = make_method(name, HEADS).fit(rows[:, :width], codes)
    assert with_state.heads_ == without.heads_
    assert not any(head.is_state for head in with_state.heads_)
    assert with_state.restrict_to(with_state.heads_).layout_.state is None
    assert with_state.predict_proba(queries) == pytest.approx(
        without.predict_proba(queries[:, :width]), abs=1e-9
    )


def test__last_state__state_columns_as_one_head__same_probabilities():
    rows, codes, queries = make()
    found = make_base_estimator("last_state", LAYOUT).fit(rows, codes)
    alone = KernelDiscriminantClassifier(centering="none", layout=(1, 1, 9)).fit(rows[:, -9:], codes)
    assert found.heads_ == [(3, -1)]
    assert found.predict_proba(queries) == pytest.approx(alone.predict_proba(queries[:, -9:]))
    assert found.out_of_fold_log_proba_ == pytest.approx(alone.out_of_fold_log_proba_)


def test__last_state__rows_without__error_says_so():
    rows, codes, _ = make()
    with pytest.raises(ValueError, match="hold no last-layer state"):
        make_base_estimator("last_state", HEADS).fit(rows[:, : HEADS.width], codes)


@pytest.mark.parametrize("name", ["last_state", "ensemble", "auto"])
def test__state_readers__kept_heads_end_with_the_state__same_answers(name):
    rows, codes, queries = make(noise=3.0)
    fitted = make_method(name, LAYOUT).fit(rows, codes)
    assert [head.is_state for head in fitted.heads_] == [False] * (len(fitted.heads_) - 1) + [True]
    kept = fitted.restrict_to(fitted.heads_)
    assert kept.layout_.state == (3, 9)
    assert kept.layout_.heads == tuple(fitted.heads_[:-1])
    short = queries[:, LAYOUT.column_indices(fitted.heads_)]
    assert kept.predict_proba(short) == pytest.approx(fitted.predict_proba(queries), abs=1e-9)


@pytest.mark.parametrize("kind", [LastStateClassifier, EnsembleClassifier, AutoClassifier])
def test__state_readers__through_json__same_bits(kind):
    rows, codes, queries = make()
    fitted = kind(layout=LAYOUT).fit(rows, codes)
    arrays, settings = fitted.to_state()
    again = kind.from_state(State(arrays, json.loads(json.dumps(settings))))
    assert again.layout_ == LAYOUT
    assert again.heads_ == fitted.heads_
    assert np.array_equal(again.predict_proba(queries), fitted.predict_proba(queries))


def test__mixture__rows_with_and_without_state__its_experts():
    rows, codes, _ = make()
    assert list(EnsembleClassifier(layout=LAYOUT).fit(rows, codes).estimators_) == [
        *DEFAULT_ESTIMATORS,
        "last_state",
    ]
    blind = EnsembleClassifier(layout=HEADS).fit(rows[:, : HEADS.width], codes)
    assert list(blind.estimators_) == [*DEFAULT_ESTIMATORS]


def test__mixture__signal_in_the_state_alone__found_there():
    rows, codes, queries = make(heads=0.0, state=2.5)
    truth = np.arange(60) % 3
    whole = EnsembleClassifier(layout=LAYOUT).fit(rows, codes)
    blind = EnsembleClassifier(layout=HEADS).fit(rows[:, : HEADS.width], codes)
    assert whole.score(queries, truth) > blind.score(queries[:, : HEADS.width], truth) + 0.2


def test__auto__chosen_method_of_heads_alone__state_not_kept():
    rows, codes, _ = make(noise=0.01)
    fitted = AutoClassifier(layout=LAYOUT).fit(rows, codes)
    assert fitted.chosen_ == ["votes"]
    assert not any(head.is_state for head in fitted.heads_)


def test__fault_19__nan_in_the_state__error_names_it():
    rows, codes, _ = make()
    rows[4, -1] = np.nan
    with pytest.raises(ActivationError, match="row 4 has NaN or inf in the last-layer state"):
        make_method("auto", LAYOUT).fit(rows, codes)


def test__estimate__state_reader__tells_what_the_state_is_worth():
    rows, codes, _ = make(heads=0.0, state=2.5)
    whole = estimate_classifier(make_base_estimator("last_state", LAYOUT), rows, codes)
    blind = estimate_classifier(make_base_estimator("mean_proba", LAYOUT), rows, codes)
    assert whole.accuracy > blind.accuracy + 0.2


def test__shots__heads_only_and_states__views_of_the_same_rows():
    rows, codes, _ = make()
    shots = Shots(rows, codes, 3, LAYOUT)
    assert shots.heads_only.layout == HEADS
    assert np.shares_memory(shots.heads_only.rows, rows)
    assert np.array_equal(shots.states.rows, rows[:, -9:])
    assert shots.heads_only.heads_only is shots.heads_only
    assert shots.heads_only.memo is shots.memo
