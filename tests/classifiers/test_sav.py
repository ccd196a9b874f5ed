"""The estimator: scikit-learn's contract, bad input, restoring, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from savs.classifiers import SAVClassifier
from savs.errors import ActivationError, DataError
from savs.layout import Head, HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 3, 4), (1, 2, 6), (4, 3, 4)])
QUICK = settings(max_examples=25, deadline=None)


def make(seed=0, n_classes=3, shots=5, noise=1.0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_classes), shots)
    means = rng.standard_normal((n_classes, LAYOUT.width))
    rows = noise * rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
    queries = noise * rng.standard_normal((40, LAYOUT.width)) + means[rng.integers(0, n_classes, 40)]
    return rows, np.array(["ant", "bee", "cow", "dog"])[codes], queries


def make_tied(seed=0):
    rng = np.random.default_rng(seed)
    rows, labels, queries = make(seed)
    return rng.integers(-1, 2, rows.shape) / 10, labels, rng.integers(-1, 2, queries.shape) / 10


def fitted(rows, labels, n_heads=3, layout=LAYOUT):
    return SAVClassifier(n_heads=n_heads, layout=layout).fit(rows, labels)


@parametrize_with_checks([SAVClassifier(), SAVClassifier(n_heads=1)])
def test__estimator__scikit_learn_checks__pass(estimator, check):
    check(estimator)


def test__estimator__pipeline_clone_grid_search_cross_validation__work():
    rows, labels, queries = make(noise=2.0)
    base = SAVClassifier(layout=LAYOUT)
    assert clone(base).get_params() == {"n_heads": 20, "layout": LAYOUT}
    piped = make_pipeline(FunctionTransformer(), base).fit(rows, labels)
    assert np.array_equal(piped.predict(queries), fitted(rows, labels, 20).predict(queries))
    search = GridSearchCV(base, {"n_heads": [1, 3, 8]}, cv=5).fit(rows, labels)
    assert search.best_params_["n_heads"] in (1, 3, 8)
    assert cross_val_score(base, rows, labels, cv=5).mean() > 0.6


def test__layout__as_triple__same_as_uniform_layout():
    rows, labels, queries = make()
    uniform = HeadLayout.uniform(4, 2, 4)
    one = SAVClassifier(3, (4, 2, 4)).fit(rows[:, :32], labels)
    two = SAVClassifier(3, uniform).fit(rows[:, :32], labels)
    assert one.heads_ == two.heads_
    assert one.layout_ == uniform
    assert np.array_equal(one.predict(queries[:, :32]), two.predict(queries[:, :32]))


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([3, 1, 3, 1], int), (["b", "a", "b", "a"], str), ([True, False, True, False], bool)],
)
def test__labels__int_str_bool__come_back_unchanged(labels, kind):
    rows = np.eye(4)[[0, 1, 0, 1]]
    answers = SAVClassifier().fit(rows, labels).predict(rows).tolist()
    assert answers == labels
    assert {type(answer) for answer in answers} == {kind}


@pytest.mark.parametrize(
    "labels",
    [[1, "1", 1, "1"], [True, 1, 0, 1], [None, "a", "a", "b"], [1.0, 2.0, 1.0, 2.0], ["a", "a", "b", "a\0"]],
)
def test__fault_15__unusable_or_mixed_labels__error(labels):
    with pytest.raises(DataError, match="label"):
        SAVClassifier().fit(np.eye(4), labels)
    with pytest.raises(DataError, match="label"):
        SAVClassifier().fit(np.eye(4), np.array(labels, dtype=object))


def test__fault_15__integer_beyond_64_bits__error():
    with pytest.raises(DataError, match="64 bits"):
        SAVClassifier().fit(np.eye(2), [1, 2**63])


def test__fault_13__one_class__error_with_counts():
    with pytest.raises(DataError, match=r"at least 2 classes.*'cat' \(3\)"):
        SAVClassifier().fit(np.eye(3), ["cat"] * 3)


def test__fault_13__empty__error():
    with pytest.raises(ValueError, match="0 sample"):
        SAVClassifier().fit(np.empty((0, 4)), [])


def test__fault_13__sole_shot__does_not_vote_for_itself():
    rows, labels, _ = make(noise=0.01)
    rows, labels = rows[:11], labels[:11]  # five ants, five bees, one cow; every head is right on all
    assert fitted(rows, labels).head_scores_.tolist() == [10] * LAYOUT.n_heads
    rows[10, LAYOUT.columns(Head(1, 1))] = 0  # this head says nothing about the cow
    scores = fitted(rows, labels).head_scores_
    assert scores[LAYOUT.position(Head(1, 1))] == 9
    assert sum(scores) == 10 * LAYOUT.n_heads - 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test__fault_19__not_finite__error_names_row_layer_head(bad):
    rows, labels, queries = make()
    rows[4, LAYOUT.columns(Head(4, 1)).start] = bad
    with pytest.raises(ActivationError, match=r"row 4 .*layer 4, head 1"):
        fitted(rows, labels)
    good = fitted(*make()[:2], n_heads=99)
    queries[7, LAYOUT.columns(Head(1, 0)).stop - 1] = bad
    with pytest.raises(ActivationError, match=r"row 7 .*layer 1, head 0"):
        good.predict(queries)


def test__fault_19__inf_and_minus_inf_that_cancel__still_found():
    rows, labels, _ = make()
    rows[0, 0], rows[1, 0] = np.inf, -np.inf
    with pytest.raises(ActivationError, match="row 0"):
        fitted(rows, labels)


def test__finite_check__values_whose_sum_overflows__are_fine():
    rows = np.array([[1.5e308, 0.0], [1.6e308, 1e300], [0.0, 1.7e308], [1e300, 1.5e308]])
    classifier = SAVClassifier().fit(rows, [0, 0, 1, 1])
    assert classifier.predict(rows).tolist() == [0, 0, 1, 1]
    assert np.isfinite(classifier.centroids_).all()


def test__fault_20__zero_query__first_class_no_warning():
    rows, labels, _ = make()
    assert fitted(rows, labels).predict(np.zeros((2, LAYOUT.width))).tolist() == ["ant", "ant"]


@pytest.mark.parametrize("n_heads", [0, -1, 2.0, True, "3", None])
def test__n_heads__not_a_positive_integer__error(n_heads):
    with pytest.raises(ValueError, match="n_heads"):
        SAVClassifier(n_heads=n_heads).fit(np.eye(2), [0, 1])


def test__n_heads__more_than_there_are__all_heads():
    rows, labels, _ = make()
    assert sorted(fitted(rows, labels, 1000).heads_) == sorted(LAYOUT.heads)


def test__layout__other_width__error_with_both_numbers():
    rows, labels, _ = make()
    with pytest.raises(ValueError, match=r"35 columns.*36"):
        fitted(rows[:, :35], labels)
    with pytest.raises(ValueError, match=r"35.*36"):
        fitted(rows, labels).predict(rows[:, :35])


@pytest.mark.parametrize("layout", [(2, 2), (0, 2, 18), "all", 36])
def test__layout__not_one__error(layout):
    rows, labels, _ = make()
    with pytest.raises(ValueError, match="layout"):
        fitted(rows, labels, layout=layout)


def test__two_classes__decision_function__sign_agrees_with_predict_also_on_vote_ties():
    rows, labels, queries = make(seed=3, n_classes=2, noise=3.0)
    classifier = fitted(rows, labels, 4)
    values = classifier.decision_function(queries)
    assert values.shape == (40,)
    assert (classifier.predict_proba(queries) == 0.5).all(axis=1).any()
    assert np.array_equal(classifier.classes_[(values > 0).astype(int)], classifier.predict(queries))


def test__decision_function__many_classes__argmax_is_predict_and_shares_add_to_one():
    rows, labels, queries = make(seed=1, noise=3.0)
    classifier = fitted(rows, labels, 4)
    best = classifier.classes_[classifier.decision_function(queries).argmax(axis=1)]
    assert np.array_equal(best, classifier.predict(queries))
    assert np.allclose(classifier.predict_proba(queries).sum(axis=1), 1)


def parts(classifier):
    names = ("classes", "heads", "head_scores", "centroids", "layout")
    return {name: getattr(classifier, f"{name}_") for name in names}


@pytest.mark.parametrize("make_rows", [make, make_tied])
def test__from_parts__after_fit__equal_in_everything(make_rows):
    rows, labels, queries = make_rows()
    classifier = fitted(rows, labels)
    again = SAVClassifier.from_parts(**parts(classifier) | {"classes": classifier.classes_.tolist()})
    for method in ("votes", "predict", "predict_proba", "decision_function"):
        assert np.array_equal(getattr(again, method)(queries), getattr(classifier, method)(queries))
    assert again.n_features_in_ == LAYOUT.width


@pytest.mark.parametrize("make_rows", [make, make_tied])
def test__for_kept_heads__rows_of_kept_heads__same_answers(make_rows):
    rows, labels, queries = make_rows()
    classifier = fitted(rows, labels)
    kept = classifier.restrict_to(classifier.heads_)
    only = queries[:, LAYOUT.column_indices(classifier.heads_)]
    assert kept.heads_ == classifier.heads_
    assert np.array_equal(kept.votes(only), classifier.votes(queries))
    assert np.array_equal(kept.decision_function(only), classifier.decision_function(queries))
    assert np.array_equal(kept.restrict_to(kept.heads_).predict(only), classifier.predict(queries))


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["bee", "ant", "cow"]},
        {"classes": ["ant"]},
        {"classes": ["ant", "ant", "cow"]},
        {"heads": []},
        {"heads": [Head(0, 0)] * 3},
        {"heads": [Head(9, 9)]},
        {"head_scores": [1, 2]},
        {"head_scores": [0.5] * 8},
        {"centroids": np.zeros((3, 2))},
        {"centroids": np.full((3, 12), np.nan)},
    ],
)
def test__from_parts__parts_that_do_not_fit__error(change):
    rows, labels, _ = make()
    with pytest.raises(ValueError, match=r"classes|heads|scores|centroids"):
        SAVClassifier.from_parts(**parts(fitted(rows, labels)) | change)


def test__fit__input_arrays__unchanged():
    rows, labels, queries = make()
    copies = rows.copy(), labels.copy(), queries.copy()
    fitted(rows, labels).predict(queries)
    assert all(np.array_equal(a, b) for a, b in zip((rows, labels, queries), copies, strict=True))


@QUICK
@given(seed=st.integers(0, 10**6), tied=st.booleans())
def test__fault_21__order_of_examples__changes_nothing(seed, tied):
    rows, labels, queries = (make_tied if tied else make)(seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    one, two = fitted(rows, labels), fitted(rows[order], labels[order])
    assert one.heads_ == two.heads_
    assert np.array_equal(one.head_scores_, two.head_scores_)
    assert np.array_equal(one.centroids_, two.centroids_)  # to the last bit
    assert np.array_equal(one.votes(queries), two.votes(queries))


@QUICK
@given(seed=st.integers(0, 10**6), tied=st.booleans(), cuts=st.lists(st.integers(1, 39), max_size=6))
def test__fault_21__batch_split__changes_nothing(seed, tied, cuts):
    rows, labels, queries = (make_tied if tied else make)(seed)
    classifier = fitted(rows, labels, 8)
    pieces = [piece for piece in np.split(queries, sorted(set(cuts))) if len(piece)]
    assert np.array_equal(np.concatenate([classifier.votes(p) for p in pieces]), classifier.votes(queries))


@QUICK
@given(seed=st.integers(0, 10**6))
def test__fault_21__order_of_classes__changes_only_names(seed):
    rows, labels, queries = make(seed)
    renamed = np.array([{"ant": "z", "bee": "a", "cow": "m"}[label] for label in labels])
    one, two = fitted(rows, labels), fitted(rows, renamed)
    assert one.heads_ == two.heads_
    back = {"z": "ant", "a": "bee", "m": "cow"}
    ours, theirs = one.classes_[one.votes(queries)], two.classes_[two.votes(queries)]
    assert ours.tolist() == [[back[vote] for vote in row] for row in theirs.tolist()]
    assert one.predict(queries).tolist() == [back[label] for label in two.predict(queries)]


@QUICK
@given(seed=st.integers(0, 10**6), power=st.integers(-400, 400), position=st.integers(0, 7))
def test__head__scaled_by_power_of_two__same_to_the_last_bit(seed, power, position):
    rows, labels, queries = make_tied(seed)
    columns = LAYOUT.columns(LAYOUT.heads[position])
    one = fitted(rows, labels, 8)
    rows[:, columns] *= 2.0**power
    scaled = queries.copy()
    scaled[:, columns] *= 2.0**power
    two = fitted(rows, labels, 8)
    assert one.heads_ == two.heads_
    assert np.array_equal(one.votes(queries), two.votes(scaled))


@QUICK
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-6, 1e6))
def test__head__scaled_by_any_factor__same_answers(seed, factor):
    rows, labels, queries = make(seed)
    one, two = fitted(rows, labels, 8), fitted(rows * factor, labels, 8)
    assert one.heads_ == two.heads_
    assert np.array_equal(one.votes(queries), two.votes(queries * factor))


@QUICK
@given(seed=st.integers(0, 10**6), times=st.integers(2, 5))
def test__support__duplicated_as_a_whole__same_heads_and_labels(seed, times):
    rows, labels, queries = make(seed)
    one, two = fitted(rows, labels), fitted(np.tile(rows, (times, 1)), np.tile(labels, times))
    assert one.heads_ == two.heads_
    assert np.array_equal(one.head_scores_ * times, two.head_scores_)
    assert np.array_equal(one.votes(queries), two.votes(queries))


@QUICK
@given(seed=st.integers(0, 10**6))
def test__columns__heads_in_another_order__same_heads_and_labels(seed):
    rows, labels, queries = make_tied(seed)
    order = [LAYOUT.heads[i] for i in np.random.default_rng(seed).permutation(LAYOUT.n_heads)]
    columns = LAYOUT.column_indices(order)
    one, two = fitted(rows, labels), fitted(rows[:, columns], labels, layout=LAYOUT.select(order))
    assert one.heads_ == two.heads_
    assert np.array_equal(one.votes(queries), two.votes(queries[:, columns]))
