"""Feature sets for the tests: random, tied, zero, duplicated, one-shot, ragged."""

from __future__ import annotations

import numpy as np

from savs.features import Head, HeadLayout

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
    if kind == "cancelling":
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
    "cancelling",
    "decimal",
]
