"""Shots that come, go and change: equal to a fit from scratch, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from savs.classifiers import AutoClassifier, EnsembleClassifier, ShotLearner
from savs.classifiers.ensemble import make_base_estimator
from savs.errors import DataError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 4, 3), (1, 2, 5)])


def make(seed=0, n=18):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    rows = rng.standard_normal((n, LAYOUT.width)) + 2 * np.eye(3, LAYOUT.width)[codes]
    return rows, np.array(["ant", "bee", "cow"])[codes].tolist(), rng.standard_normal((8, LAYOUT.width))


def same_bits(learner, rows, labels, queries):
    scratch = clone(learner.classifier).fit(rows, labels)
    assert np.array_equal(learner.classifier_.predict_proba(queries), scratch.predict_proba(queries))
    assert learner.classifier_.heads_ == scratch.heads_
    assert np.array_equal(
        learner.classifier_.out_of_fold_log_proba_, scratch.out_of_fold_log_proba_, equal_nan=True
    )


@pytest.mark.parametrize("name", ["mean_proba", "hec_v", "nearest_shot", "calm", "kernel_ridge", "lda"])
def test__add_forget_relabel__fit_from_scratch__same_bits(name):
    rows, labels, queries = make()
    learner = ShotLearner(make_base_estimator(name, LAYOUT))
    learner.add(rows[:10], labels[:10])
    learner.partial_fit(rows[10:], labels[10:])
    same_bits(learner, rows, labels, queries)
    learner.forget(4)
    same_bits(learner, np.delete(rows, 4, axis=0), labels[:4] + labels[5:], queries)
    learner.relabel(0, "dog")  # a new class
    same_bits(learner, np.delete(rows, 4, axis=0), ["dog", *labels[1:4], *labels[5:]], queries)


EXACT = {
    "three heads": make_base_estimator("mean_proba", LAYOUT).set_params(n_heads=3),
    "kernel": make_base_estimator("lda_scaled", LAYOUT),
    "ensemble": EnsembleClassifier(("hec_v_loo", "kernel_ridge"), layout=LAYOUT),
    "auto": AutoClassifier(("mean_proba", "kernel_ridge"), max_folds=2, layout=LAYOUT),
    "state": EnsembleClassifier(layout=HeadLayout.from_layers([(0, 4, 3), (1, 1, 5)]).with_state(5)),
}


@pytest.mark.parametrize("classifier", EXACT.values(), ids=EXACT)
@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "forget", "relabel"]), st.integers(0, 99)), max_size=5))
def test__any_sequence_of_changes__fit_from_scratch__same_bits(classifier, changes):
    rows, labels, queries = make()
    learner = ShotLearner(classifier)
    learner.add(rows, labels)
    book = {i: (rows[i], labels[i]) for i in range(len(rows))}
    more = np.random.default_rng(1).standard_normal((100, LAYOUT.width))
    for kind, number in changes:
        ids = list(book)
        if kind == "add":
            learner.add(more[number : number + 1], ["ant"], [f"new {number} {len(book)}"])
            book[f"new {number} {len(book)}"] = (more[number], "ant")
        elif kind == "forget" and len(book) > 12:
            learner.forget(ids[number % len(ids)])
            del book[ids[number % len(ids)]]
        elif kind == "relabel":
            chosen = ids[number % len(ids)]
            learner.relabel(chosen, "bee")
            book[chosen] = (book[chosen][0], "bee")
    kept = list(book.values())
    same_bits(learner, np.array([row for row, _ in kept]), [label for _, label in kept], queries)


def test__mixture__fit_from_scratch__same_bits():
    rows, labels, queries = make()
    learner = ShotLearner(EnsembleClassifier(("hec_v_loo", "lda"), layout=LAYOUT))
    learner.add(rows[:9], labels[:9])
    learner.add(rows[9:], labels[9:])
    same_bits(learner, rows, labels, queries)


def test__float32__fit_from_scratch__within_1e_6():
    rows, labels, queries = make()
    learner = ShotLearner(make_base_estimator("mean_proba", LAYOUT))
    learner.add(rows[:9].astype(np.float32), labels[:9])
    learner.add(rows[9:], labels[9:])
    assert learner.rows.dtype == np.float32
    scratch = make_base_estimator("mean_proba", LAYOUT).fit(rows, labels)
    assert learner.classifier_.predict_proba(queries) == pytest.approx(
        scratch.predict_proba(queries), abs=1e-5
    )


def test__change__says_which_heads_came_and_went():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 8)
    rows = rng.standard_normal((16, LAYOUT.width))
    rows[:, LAYOUT.columns((0, 2))] += 8 * codes[:, None] - 4
    learner = ShotLearner(make_base_estimator("mean_proba", LAYOUT).set_params(n_heads=1))
    assert learner.add(rows, codes).added == [(0, 2)]
    other = rng.standard_normal((40, LAYOUT.width))
    other[:, LAYOUT.columns((1, 1))] += 9 * np.repeat([0, 1], 20)[:, None] - 4.5
    change = learner.add(other, np.repeat([0, 1], 20))
    assert change == ([(1, 1)], [(0, 2)])


def test__refused_change__nothing_changed():
    rows, labels, _queries = make()
    learner = ShotLearner(make_base_estimator("mean_proba", LAYOUT))
    learner.add(rows[:2], labels[:2])
    before = learner.classifier_
    with pytest.raises(DataError, match="at least 2 classes"):
        learner.forget(0)
    with pytest.raises(DataError, match="one type"):
        learner.add(rows[2:3], [7])
    with pytest.raises(DataError, match="id 1 is taken"):
        learner.add(rows[2:3], ["ant"], [1])
    with pytest.raises(DataError, match="no shot with id 9"):
        learner.relabel(9, "ant")
    with pytest.raises(ValueError, match="equally many"):
        learner.add(rows[2:4], ["ant"])
    assert learner.ids == [0, 1]
    assert learner.labels == labels[:2]
    assert learner.classifier_ is before


def test__copy__changes_stay_apart():
    rows, labels, _ = make()
    learner = ShotLearner(make_base_estimator("mean_proba", LAYOUT))
    learner.add(rows, labels)
    other = learner.copy()
    other.forget(3)
    other.add(rows[:1], ["ant"])
    assert len(learner.ids) == 18
    assert other.ids[-1] == 18


def test__no_shots_yet__error():
    with pytest.raises(DataError, match="no shots yet"):
        _ = ShotLearner(make_base_estimator("mean_proba", LAYOUT)).rows
