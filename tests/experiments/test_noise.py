from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.classifiers import make_method
from savs.evaluation import draw_rows
from savs.experiments import noise_experiment, shots_experiment
from savs.experiments.noise import wrong_labels


@pytest.mark.parametrize("seed", range(5))
def test__wrong_labels__so_many_in_every_class_and_in_shots_alone(seed):
    labels = np.array([("a", "b", "c")[i % 3] for i in range(60)], dtype=object)
    shots = draw_rows(labels.tolist(), 10, seed)[0]
    before = labels.copy()
    wrong_before: set[int] = set()
    last = labels
    for per_class in (0, 1, 3, 4):
        found = wrong_labels(labels, shots, per_class, (seed, 1))
        assert (labels == before).all()
        changed = {row for row in range(60) if found[row] != labels[row]}
        assert changed <= set(shots.tolist())
        assert Counter(labels[row] for row in changed) == Counter(
            {name: per_class for name in "abc" if per_class}
        )
        assert wrong_before <= changed
        assert all(found[row] == last[row] for row in wrong_before)
        wrong_before, last = changed, found
    assert len({found[row] for row in changed}) > 1


def test__two_classes__wrong_is_the_other_class():
    labels = np.array([True, False] * 6, dtype=object)
    found = wrong_labels(labels, np.arange(12), 2, 0)
    assert all(type(one) is bool for one in found.tolist())
    assert Counter(found.tolist()) == {True: 6, False: 6}


def test__rows__are_those_of_a_plain_loop_with_true_labels_in_the_test(words):
    examples, backbone = words(45), FakeBackbone()
    found = noise_experiment(backbone, examples, methods=["sav", "kernel_ridge"], shots=10, draws=2)
    assert found.x_values == [0, 10, 20, 30, 40]
    assert backbone.n_forward == 45
    labels = np.array([example.label for example in examples], dtype=object)
    rows = FakeBackbone().extract(examples).features
    for row in found.rows:
        drawn, items = draw_rows(labels.tolist(), 10, (0, row.draw))
        given = wrong_labels(labels, drawn, round(row.x / 10), (0, row.draw, 1))
        fitted = make_method(row.series, backbone.layout).fit(rows[drawn], given[drawn].tolist())
        right = [fitted.predict(rows[[item]])[0] == examples[item].label for item in items]
        assert row.accuracy == pytest.approx(sum(right) / len(right))


def test__no_wrong_labels__as_in_the_shots_experiment(words):
    asked = {"methods": ["sav"], "draws": 2, "seed": 5}
    plain = shots_experiment(FakeBackbone(), words(30), shots=[5], **asked)
    found = noise_experiment(FakeBackbone(), words(30), shots=5, levels=[0, 0.1, 0.2, 0.25], **asked)
    assert found.x_values == [0, 20]  # whole numbers of labels
    assert [row.accuracy for row in found.rows[:2]] == [row.accuracy for row in plain.rows]


def test__tiny__falls_with_wrong_labels(tiny, images):
    levels = [0, 0.4]
    found = noise_experiment(tiny, images(15), methods=["nearest_shot"], shots=10, levels=levels, draws=3)
    clean, noisy = (one["mean"] for one in found.summary())
    assert clean > noisy


def test__majority__stays_where_the_classes_trade_places(words):
    found = noise_experiment(FakeBackbone(), words(30), methods=["majority"], shots=5, draws=1)
    assert {row.accuracy for row in found.rows} <= {1 / 3}


@pytest.mark.parametrize("levels", [[], [1.0], [-0.1]])
def test__impossible_levels__refused(words, levels):
    with pytest.raises(ValueError, match="from 0 to below 1"):
        noise_experiment(FakeBackbone(), words(30), levels=levels)
