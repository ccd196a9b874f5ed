"""All heads, nearest shots and linear probes, against plain loops and scikit-learn on whole rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV

from savs.baselines.on_features import (
    LOGISTIC_STRENGTHS,
    NEIGHBOR_COUNTS,
    RIDGE_STRENGTHS,
    all_heads,
    knn,
    logistic_probe,
    ridge_probe,
)
from savs.errors import ActivationError, DataError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 2, 3), (1, 3, 5)])
CLASSES = ["bird", "cat", "dog"]


def problem(n_shots: int = 15, n_queries: int = 40, noise: float = 1.5, layout: HeadLayout = LAYOUT):
    rng = np.random.default_rng(7)
    means = rng.normal(size=(3, layout.width))
    scales = np.repeat(rng.uniform(0.1, 20, layout.n_heads), layout.dims)  # heads of very different lengths
    codes = np.arange(n_shots + n_queries) % 3
    rows = (means[codes] + noise * rng.normal(size=(len(codes), layout.width))) * scales
    names = np.array(CLASSES)[codes]
    rows = rows.astype(np.float32)
    return rows[:n_shots], names[:n_shots], rows[n_shots:], names[n_shots:]


def cosine(first, second) -> float:
    dot = sum(float(a) * float(b) for a, b in zip(first, second, strict=True))
    return dot / math.sqrt(sum(float(a) ** 2 for a in first) * sum(float(b) ** 2 for b in second))


def heads_of(row) -> list[list[float]]:
    return [[float(value) for value in row[LAYOUT.columns(head)]] for head in LAYOUT.heads]


def test__all_heads__plain_loops() -> None:
    rows, labels, queries, truth = problem()

    def units(row) -> list[float]:
        return [value / math.hypot(*head) for head in heads_of(row) for value in head]

    means = {}
    for name in CLASSES:
        mine = [units(row) for row, label in zip(rows, labels, strict=True) if label == name]
        means[name] = [sum(column) / len(mine) for column in zip(*mine, strict=True)]
    expected = [max(CLASSES, key=lambda name: cosine(units(query), means[name])) for query in queries]
    found = all_heads(rows, labels, queries, LAYOUT)
    assert (found.name, found.labels, found.proba) == ("all_heads", expected, None)
    assert np.mean(np.array(expected) == truth) > 0.6


def nearest(query, rows, labels, k: int, without: int | None = None) -> tuple[str, dict[str, float]]:
    ranked = sorted(
        (
            (sum(map(cosine, heads_of(query), heads_of(row))) / LAYOUT.n_heads, label)
            for place, (row, label) in enumerate(zip(rows, labels, strict=True))
            if place != without
        ),
        reverse=True,
    )[:k]
    shares = {name: sum(label == name for _, label in ranked) / k for name in CLASSES}
    return next(label for _, label in ranked if shares[label] == max(shares.values())), shares


def test__knn__plain_loops() -> None:
    rows, labels, queries, _ = problem()
    right = {
        k: sum(nearest(row, rows, labels, k, without=i)[0] == labels[i] for i, row in enumerate(rows))
        for k in NEIGHBOR_COUNTS
        if k < len(rows)
    }
    k = max(right, key=lambda count: (right[count], -count))
    assert k > 1  # else the votes are not tested
    expected = [nearest(query, rows, labels, k) for query in queries]
    found = knn(rows, labels, queries, LAYOUT)
    assert found.labels == [label for label, _ in expected]
    assert found.classes == CLASSES
    np.testing.assert_allclose(found.proba, [[shares[name] for name in CLASSES] for _, shares in expected])


def test__heads__last_layer_state_behind_them__is_not_read() -> None:
    rows, labels, queries, _ = problem()
    layout = LAYOUT.with_state(4)
    noise = np.random.default_rng(0).normal(scale=100, size=(len(rows) + len(queries), 4)).astype(np.float32)
    more, more_queries = np.hstack([rows, noise[: len(rows)]]), np.hstack([queries, noise[len(rows) :]])
    for baseline in (all_heads, knn):
        assert baseline(more, labels, more_queries, layout) == baseline(rows, labels, queries, LAYOUT)


@pytest.mark.parametrize("baseline", [all_heads, knn, ridge_probe, logistic_probe])
@pytest.mark.parametrize("names", [CLASSES, [True, False], [3, 1, 2]])
def test__baseline__any_order_of_the_shots__same_labels_of_the_same_type(baseline, names) -> None:
    rows, labels, queries, _ = problem()
    labels = [names[CLASSES.index(label) % len(names)] for label in labels]
    found = baseline(rows, labels, queries, LAYOUT)
    assert {type(label) for label in found.labels} == {type(names[0])}
    order = np.random.default_rng(1).permutation(len(rows))
    again = baseline(rows[order], [labels[place] for place in order], queries, LAYOUT)
    assert np.mean([one == other for one, other in zip(again.labels, found.labels, strict=True)]) > 0.9
    if baseline in (all_heads, knn):
        assert again == found
    if found.proba is not None:
        assert found.classes == sorted(set(names))
        np.testing.assert_allclose(found.proba.sum(axis=1), 1)
    assert baseline(rows, labels, queries[:0], LAYOUT).labels == []


@pytest.mark.parametrize("n_shots", [15, 60])  # fewer and more shots than columns
def test__probes__scikit_learn_on_the_standardized_rows(n_shots) -> None:
    rows, labels, queries, truth = problem(n_shots)
    wide = np.vstack([rows, queries]).astype(np.float64)
    scaled = (wide - wide[:n_shots].mean(axis=0)) / wide[:n_shots].std(axis=0) / math.sqrt(wide.shape[1])
    ridge = RidgeClassifierCV(alphas=RIDGE_STRENGTHS).fit(scaled[:n_shots], labels)
    assert ridge_probe(rows, labels, queries).labels == ridge.predict(scaled[n_shots:]).tolist()
    found = logistic_probe(rows, labels, queries)
    candidates = [
        LogisticRegression(C=strength, max_iter=10_000, tol=1e-6).fit(scaled[:n_shots], labels)
        for strength in LOGISTIC_STRENGTHS
    ]
    errors = [np.abs(one.predict_proba(scaled[n_shots:]) - found.proba).max() for one in candidates]
    assert min(errors) < 5e-3
    assert np.mean(np.array(found.labels) == truth) > 0.6


def test__baselines__one_shot_a_class__work_and_column_without_spread_is_no_nan() -> None:
    rows, labels, queries, _ = problem(3)
    rows[:, 0] = 5.0
    for baseline in (all_heads, knn, ridge_probe, logistic_probe):
        found = baseline(rows, labels, queries, LAYOUT)
        assert set(found.labels) <= set(CLASSES)
        assert found.proba is None or np.isfinite(found.proba).all()


@pytest.mark.parametrize("baseline", [all_heads, knn, ridge_probe, logistic_probe])
def test__baseline__unusable_input__one_line(baseline) -> None:
    rows, labels, queries, _ = problem()
    with pytest.raises(DataError, match="one class"):
        baseline(rows, ["cat"] * len(rows), queries, LAYOUT)
    with pytest.raises(DataError, match="needs shots"):
        baseline(rows[:0], [], queries, LAYOUT)
    with pytest.raises(ValueError, match="as many columns"):
        baseline(rows, labels, queries[:, 1:], LAYOUT)
    with pytest.raises(ValueError, match="15 rows of shots, but 14 labels"):
        baseline(rows, labels[1:], queries, LAYOUT)
    queries[2, 4] = np.nan
    with pytest.raises(ActivationError, match="row 2 has NaN or inf in layer 0, head 1"):
        baseline(rows, labels, queries, LAYOUT)


@pytest.mark.parametrize("probe", [logistic_probe, ridge_probe])
@pytest.mark.parametrize("other", [639, 641])
def test__probes__column_constant_in_the_shots__does_not_decide_on_other_queries(probe, other):
    constant = math.log(640)
    assert np.full(14, constant).std() > 0  # the rounding that this is about
    rows = np.column_stack([np.resize([1.0, -1.0], 14), np.full(14, constant), np.zeros(14)])
    queries = np.array([[1.0, math.log(other), 0], [-1.0, math.log(other), 0]])
    assert probe(rows, ["b", "a"] * 7, queries).labels == ["b", "a"]
