"""METHOD.md section 1 read word for word, in plain float64 loops; slow and independent of the library."""

from __future__ import annotations

import math

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
