"""`SAVClassifier` against the published rule, read word for word in plain float64 loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from savs.classifiers import SAVClassifier
from savs.layout import Head, HeadLayout

TOLERANCE = 1e-12  # cosines this close to the largest are tied


def mean(rows):
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def cosine(a, b):
    biggest_a, biggest_b = max(map(abs, a)), max(map(abs, b))
    if biggest_a == 0 or biggest_b == 0:
        return 0.0
    a, b = [x / biggest_a for x in a], [x / biggest_b for x in b]
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a)) / math.sqrt(math.fsum(y * y for y in b))


def first_best(values):
    best = max(values)
    return next(i for i, value in enumerate(values) if value >= best - TOLERANCE)


def fit(rows, labels, layout, k):
    """Return classes, (layer, index) of the kept heads, hits by head, centroids by head."""
    classes = sorted(set(labels))
    hits, centroids = {}, {}
    start = 0
    for head, dim in zip(layout.heads, layout.dims, strict=True):
        vectors = [[float(x) for x in row[start : start + dim]] for row in rows]
        start += dim
        of_class = [[v for v, y in zip(vectors, labels, strict=True) if y == c] for c in classes]
        centroids[head] = [mean(members) for members in of_class]
        answers = [first_best([cosine(v, mu) for mu in centroids[head]]) for v in vectors]
        hits[head] = sum(classes[a] == y for a, y in zip(answers, labels, strict=True))
    kept = sorted(hits, key=lambda head: (-hits[head], head[0], head[1]))[:k]
    return classes, kept, hits, centroids


def predict(fitted, layout, rows):
    classes, kept, _, centroids = fitted
    labels, votes = [], []
    for row in rows:
        choices = []
        for head in kept:
            columns = layout.columns(head)
            vector = [float(x) for x in row[columns]]
            choices.append(first_best([cosine(vector, mu) for mu in centroids[head]]))
        most = max(choices.count(c) for c in choices)
        winner = next(c for c in choices if choices.count(c) == most)  # best-ranked voter of the tied classes
        labels.append(classes[winner])
        votes.append(choices)
    return labels, votes


UNIFORM = HeadLayout.uniform(3, 4, 5)
RAGGED = HeadLayout.from_layers([(0, 3, 4), (2, 2, 7), (5, 4, 1), (6, 2, 4)])
SHUFFLED = HeadLayout(
    (Head(2, 1), Head(0, 3), Head(1, 0), Head(0, 0), Head(2, 0), Head(7, 5)), (3, 6, 3, 2, 6, 3)
)
LAYOUTS = {"uniform": UNIFORM, "ragged": RAGGED, "shuffled": SHUFFLED}


def support(kind, layout, seed, dtype=np.float64, n_classes=4, shots=6):
    """Return rows, labels and queries."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_classes), shots)
    if kind == "one_shot":
        codes = np.concatenate([np.arange(n_classes), np.repeat(np.arange(n_classes - 2), shots - 1)])
    if kind == "all_one_shot":
        codes = np.arange(n_classes)
    means = rng.standard_normal((n_classes, layout.width))
    rows = rng.standard_normal((len(codes), layout.width)) + 0.7 * means[codes]
    queries = rng.standard_normal((30, layout.width)) + 0.7 * means[rng.integers(0, n_classes, 30)]
    if kind == "tied":  # small integers: exact ties between classes and between heads
        rows, queries = rng.integers(-1, 2, rows.shape) * 1.0, rng.integers(-1, 2, queries.shape) * 1.0
    if kind == "zero" or kind.endswith("one_shot"):
        rows[rng.random(len(rows)) < 0.3] = 0
        for head in layout.heads[::3]:
            rows[:, layout.columns(head)] = 0
        for row in rows:
            row[layout.columns(layout.heads[rng.integers(layout.n_heads)])] = 0
        queries[::4] = 0
    if kind == "duplicate":
        rows = rows[rng.integers(0, len(rows), len(rows))]
        rows[1:5] = rows[0]
        queries[:10] = rows[rng.integers(0, len(rows), 10)]
    if kind == "canceling":
        rows[1::2] = -rows[::2]
    if kind == "decimal":  # tenths: sums that a plain loop rounds differently in every order
        rows = rng.integers(-3, 4, rows.shape) / 10
        queries = rng.integers(-3, 4, queries.shape) / 10
    labels = np.array(["cow", "ant", "dog", "bee"])[codes]
    return rows.astype(dtype), labels, queries.astype(dtype)


KINDS = [
    "random",
    "tied",
    "zero",
    "duplicate",
    "one_shot",
    "all_one_shot",
    "canceling",
    "decimal",
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test__published_rule__adversarial_features__same_heads_order_votes_labels(kind, layout, dtype):
    rows, labels, queries = support(kind, layout, seed=len(kind), dtype=dtype)
    names = [str(label) for label in labels]
    for k in (1, 4, 5, 99):
        classifier = SAVClassifier(n_heads=k, layout=layout).fit(rows, labels)
        expected = fit(rows, names, layout, k)
        sole = sum(names.count(name) == 1 for name in set(names))
        assert classifier.classes_.tolist() == expected[0]
        assert classifier.heads_ == expected[1]
        assert (classifier.head_scores_ + sole).tolist() == [expected[2][head] for head in layout.heads]
        wanted, votes = predict(expected, layout, queries)
        assert classifier.votes(queries).tolist() == votes
        assert classifier.predict(queries).tolist() == wanted


def test__published_rule__cases__really_hold_ties_zeros_and_vote_ties():
    rows, labels, queries = support("tied", UNIFORM, seed=4)
    fitted = fit(rows, labels.tolist(), UNIFORM, 5)
    assert len(set(fitted[2].values())) < UNIFORM.n_heads
    _, votes = predict(fitted, UNIFORM, queries)
    counts = [sorted((row.count(c) for c in set(row)), reverse=True) for row in votes]
    assert any(len(c) > 1 and c[0] == c[1] for c in counts)
    cosines = [cosine(queries[0][:5].tolist(), mu) for mu in fitted[3][Head(0, 0)]]
    assert len(cosines) == 4
    zeros, _, _ = support("zero", UNIFORM, seed=4)
    assert (zeros == 0).all(axis=1).any()
