"""All estimators on head vectors: invariances, bad input, states."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from savs.classifiers import (
    AutoClassifier,
    EnsembleClassifier,
    HeadVoteClassifier,
    KernelRidgeClassifier,
    State,
    make_method,
)
from savs.classifiers.ensemble import (
    BASE_ESTIMATORS,
    DEFAULT_ESTIMATORS,
    OPTION_ESTIMATORS,
    STATE_ESTIMATORS,
    make_base_estimator,
)
from savs.errors import ActivationError, DataError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 3, 4), (1, 2, 6), (4, 3, 4)])
QUICK = settings(max_examples=3, deadline=None)
OF_HEADS = [name for name in BASE_ESTIMATORS if name not in (*STATE_ESTIMATORS, *OPTION_ESTIMATORS)]
NAMES = [*OF_HEADS, "ensemble", "auto"]
FEW = ("hec_v_loo", "kernel_ridge")


def make(seed=0, counts=(6, 5, 7), noise=1.2):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    means = rng.standard_normal((len(counts), LAYOUT.width))
    rows = noise * rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
    queries = noise * rng.standard_normal((30, LAYOUT.width)) + means[rng.integers(0, len(counts), 30)]
    return rows, np.array(["ant", "bee", "cow"])[codes], queries


def build(name, layout=LAYOUT):
    if name == "ensemble":
        return EnsembleClassifier(FEW, layout=layout)
    if name == "auto":
        return AutoClassifier(FEW, max_folds=2, layout=layout)
    return make_base_estimator(name, layout)


@pytest.mark.parametrize("name", NAMES)
def test__fit_predict__separated_classes__right_and_probabilities_sum_to_one(name):
    rows, labels, _ = make(noise=0.3)
    fitted = build(name).fit(rows, labels)
    assert fitted.predict(rows).tolist() == labels.tolist()
    shares = fitted.predict_proba(rows)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    assert shares.argmax(axis=1).tolist() == fitted.classes_.searchsorted(labels).tolist()
    assert np.isfinite(fitted.out_of_fold_log_proba_).all()


@pytest.mark.parametrize("name", NAMES[:-1])  # the folds of "auto" depend on the order
@QUICK
@given(seed=st.integers(0, 100))
def test__fault_21__order_of_shots__changes_nothing(name, seed):
    rows, labels, queries = make(seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    one, two = build(name).fit(rows, labels), build(name).fit(rows[order], labels[order])
    assert two.predict_proba(queries) == pytest.approx(one.predict_proba(queries), abs=1e-7)
    assert two.heads_ == one.heads_


@pytest.mark.parametrize("name", NAMES)
def test__fault_21__batch_of_queries__changes_nothing(name):
    rows, labels, queries = make()
    fitted = build(name).fit(rows, labels)
    alone = np.concatenate([fitted.predict_proba(query[None]) for query in queries])
    assert alone == pytest.approx(fitted.predict_proba(queries), abs=1e-9)


@pytest.mark.parametrize("name", NAMES[:-1])
def test__class_names_in_another_order__same_answers(name):
    rows, labels, queries = make()
    renamed = {"ant": "z", "bee": "y", "cow": "x"}
    one = build(name).fit(rows, labels).predict_proba(queries)
    two = build(name).fit(rows, [renamed[label] for label in labels.tolist()]).predict_proba(queries)
    assert two[:, ::-1] == pytest.approx(one, abs=1e-7)


@pytest.mark.parametrize("name", [n for n in OF_HEADS if not n.startswith("kernel") and n != "lda"])
def test__rescaled_head__same_answers(name):
    rows, labels, queries = make()
    scale = np.ones(LAYOUT.width)
    scale[LAYOUT.columns((1, 1))] = 2.0**40
    one = build(name).fit(rows, labels)
    two = build(name).fit(rows * scale, labels)
    assert two.heads_ == one.heads_
    assert two.predict_proba(queries * scale) == pytest.approx(one.predict_proba(queries), abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test__state__through_json_and_back__same_bits(name):
    rows, labels, queries = make()
    fitted = build(name).fit(rows, labels)
    arrays, settings = fitted.to_state()
    again = type(fitted).from_state(State(arrays, json.loads(json.dumps(settings))))
    assert np.array_equal(again.predict_proba(queries), fitted.predict_proba(queries))
    assert again.predict(queries).dtype == fitted.predict(queries).dtype
    assert again.heads_ == fitted.heads_
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    assert again.to_state().settings == fitted.to_state().settings


@pytest.mark.parametrize("name", NAMES)
def test__for_kept_heads__rows_of_kept_heads_only__same_answers(name):
    rows, labels, queries = make()
    fitted = build(name).fit(rows, labels)
    columns = LAYOUT.column_indices(fitted.heads_)
    assert fitted.restrict_to(fitted.heads_).predict_proba(queries[:, columns]) == pytest.approx(
        fitted.predict_proba(queries), abs=1e-9
    )


def test__state_of_another_estimator__error():
    state = make_base_estimator("mean_proba", LAYOUT).fit(*make()[:2]).to_state()
    with pytest.raises(ValueError, match="not of KernelRidgeClassifier"):
        KernelRidgeClassifier.from_state(state)
    broken = State(state.arrays, {**state.settings})
    del broken.settings["heads"]
    with pytest.raises(ValueError, match="lacks heads"):
        HeadVoteClassifier.from_state(broken)


@pytest.mark.parametrize("name", NAMES)
def test__fault_13__sole_shot__fits_and_does_not_vote_for_itself(name):
    rows, labels, queries = make(counts=(6, 5, 1), noise=0.5)
    fitted = build(name).fit(rows, labels)
    assert np.isnan(fitted.out_of_fold_log_proba_[labels == "cow"]).all()
    assert np.isfinite(fitted.out_of_fold_log_proba_[labels != "cow"]).all()
    assert np.isfinite(fitted.predict_proba(queries)).all()


@pytest.mark.parametrize("name", NAMES)
def test__fault_13__one_shot_per_class__fits(name):
    rows, labels, queries = make(counts=(1, 1, 1))
    fitted = build(name).fit(rows, labels)
    assert np.isfinite(fitted.predict_proba(queries)).all()


@pytest.mark.parametrize("counts", [(2, 2, 2), (3, 1, 2), (5, 5, 5), (20, 1, 3)])
@pytest.mark.parametrize("name", ["hec_v_loo", "lda", "lda_uncentered", "last_state", "ensemble", "auto"])
def test__same_shot_in_all_classes__no_class_is_preferred(name, counts):
    layout, rng = HeadLayout.uniform(4, 3, 8).with_state(16), np.random.default_rng(1)
    labels = np.repeat(np.arange(3), counts)
    rows = np.tile(rng.standard_normal((1, layout.width)), (len(labels), 1)).astype(np.float32)
    fitted = make_method(name, layout).fit(rows, labels)
    queries = np.concatenate([rows[:1], rng.standard_normal((5, layout.width))])
    assert fitted.predict_proba(queries) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("labels", [range(25), [f"class {code}" for code in range(25)]])
def test__one_shot_of_many_classes__is_nothing_to_warn_of(labels):
    rows = np.random.default_rng(0).standard_normal((25, 8))
    fitted = AutoClassifier(layout=(1, 2, 4)).fit(rows, list(labels))
    assert len(fitted.classes_) == 25


@pytest.mark.parametrize("name", NAMES)
def test__fault_13_15_19__bad_input__errors(name):
    rows, labels, queries = make()
    with pytest.raises(DataError, match="at least 2 classes"):
        build(name).fit(rows, ["cat"] * len(rows))
    with pytest.raises(DataError, match="one type"):
        build(name).fit(rows[:4], [1, "1", 1, "1"])
    rows[3, 0] = np.nan
    with pytest.raises(ActivationError, match=r"row 3 .*layer 0, head 0"):
        build(name).fit(rows, labels)
    fitted = build(name).fit(*make()[:2])
    queries[7] = np.inf
    with pytest.raises(ActivationError, match=r"row 7 "):
        fitted.predict(queries)


@pytest.mark.parametrize("name", NAMES)
def test__fault_20__zero_and_huge_rows__finite_probabilities(name):
    rows, labels, queries = make()
    rows[0], queries[0], queries[1] = 0, 0, 1e300 * queries[1]
    shares = build(name).fit(rows, labels).predict_proba(queries)
    assert np.isfinite(shares).all()


@pytest.mark.parametrize("name", NAMES)
def test__float32_rows__nearly_the_same_probabilities(name):
    rows, labels, queries = make()
    one = build(name).fit(rows.astype(np.float32), labels).predict_proba(queries.astype(np.float32))
    two = build(name).fit(rows.astype(np.float32).astype(np.float64), labels)
    assert one == pytest.approx(two.predict_proba(queries.astype(np.float32).astype(np.float64)), abs=1e-6)


def test__priors__given_empirical_uniform__shift_probabilities():
    rows, labels, queries = make(counts=(10, 5, 5))
    uniform = make_base_estimator("mean_proba", LAYOUT).fit(rows, labels).predict_proba(queries)
    empirical = (
        make_base_estimator("mean_proba", LAYOUT, "empirical").fit(rows, labels).predict_proba(queries)
    )
    given = make_base_estimator("mean_proba", LAYOUT, [2, 1, 1]).fit(rows, labels).predict_proba(queries)
    shifted = uniform * [0.5, 0.25, 0.25]
    assert empirical == pytest.approx(shifted / shifted.sum(axis=1, keepdims=True))
    assert given == pytest.approx(empirical)


@pytest.mark.parametrize("priors", ["flat", [1, 2], [1, 0, 1], [1, np.nan, 1]])
def test__priors__unusable__error(priors):
    with pytest.raises(ValueError, match="priors must be"):
        HeadVoteClassifier(layout=LAYOUT, priors=priors).fit(*make()[:2])


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"rule": "euclid"}, "rule must be"),
        ({"scoring": "best"}, "scoring must be"),
        ({"voting": "loud"}, "voting must be"),
        ({"n_heads": 0}, "n_heads must be"),
        ({"n_heads": "many"}, "n_heads must be"),
        ({"criterion": "hits"}, "criterion must be"),
        ({"temperature": -1}, "temperature must be"),
        ({"heads": [(9, 9)]}, "heads must be"),
    ],
)
def test__votes__unusable_parameter__error(settings_, message):
    with pytest.raises(ValueError, match=message):
        HeadVoteClassifier(layout=LAYOUT).set_params(**settings_).fit(*make()[:2])


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"kernel": "poly"}, "kernel must be"),
        ({"gamma": -1}, "gamma must be"),
        ({"sharpness": np.inf}, "sharpness must be"),
        ({"weighting": "hits"}, "weighting must be"),
        ({"centering": "twice"}, "centering must be"),
        ({"centering": "after", "kernel": "rbf"}, "RBF kernel needs"),
    ],
)
def test__kernels__unusable_parameter__error(settings_, message):
    with pytest.raises(ValueError, match=message):
        KernelRidgeClassifier(layout=LAYOUT).set_params(**settings_).fit(*make()[:2])


@pytest.mark.parametrize("estimators", [(), ("mean_proba", "mean_proba"), ("best",), "mean_proba"])
def test__mixture__unusable_experts__error(estimators):
    with pytest.raises(ValueError, match="estimators must be"):
        EnsembleClassifier(estimators, layout=LAYOUT).fit(*make()[:2])


def test__default_experts__exist_and_clone():
    assert set(DEFAULT_ESTIMATORS) <= set(BASE_ESTIMATORS)
    assert clone(EnsembleClassifier()).estimators is None
