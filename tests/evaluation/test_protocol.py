from __future__ import annotations

import json

import numpy as np
import pytest

from savs.baselines import majority_class
from savs.classifiers import SAVClassifier
from savs.errors import DataError
from savs.evaluation import draw_rows, on_features, run_draws

LABELS = np.array(["cat", "dog", "elk"])[np.repeat([0, 1, 2], [12, 20, 9])]


def features():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((3, 8))
    return rng.standard_normal((41, 8)) * 0.5 + means[np.repeat([0, 1, 2], [12, 20, 9])]


def test__draw_rows__stratified_disjoint_complete_seeded():
    shots, test = draw_rows(LABELS, 5, seed=1)
    assert sorted(LABELS[shots].tolist()) == ["cat"] * 5 + ["dog"] * 5 + ["elk"] * 5
    assert sorted([*shots, *test]) == list(range(41))
    assert np.array_equal(draw_rows(LABELS, 5, seed=1)[0], shots)
    assert not np.array_equal(draw_rows(LABELS, 5, seed=2)[0], shots)


def test__draw_rows__class_too_small__error_with_counts():
    with pytest.raises(DataError, match=r"9 shots.*'elk' \(9\)"):
        draw_rows(LABELS, 9, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        draw_rows(LABELS, 0, seed=0)
    with pytest.raises(DataError, match="one type"):
        draw_rows([1, "1"], 1, seed=0)


def test__run_draws__methods_on_the_same_rows__accuracies_summary_difference():
    rows, seen = features(), {"one": [], "two": []}

    def spy(name):
        def method(train, test):
            seen[name].append((train.tolist(), test.tolist()))
            return majority_class(LABELS[train], len(test)).labels

        return method

    methods = {"sav": on_features(rows, LABELS, SAVClassifier(2, (1, 2, 4)).fit)}
    result = run_draws(LABELS, methods | {"one": spy("one"), "two": spy("two")}, shots=4, draws=3, seed=7)
    assert seen["one"] == seen["two"]
    assert len({str(rows) for rows in seen["one"]}) == 3
    train, test = map(np.array, seen["one"][1])
    by_hand = SAVClassifier(2, (1, 2, 4)).fit(rows[train], LABELS[train]).score(rows[test], LABELS[test])
    assert result.accuracies("sav")[1] == by_hand
    assert result.accuracies("one") == [8 / 29] * 3
    summary = json.loads(json.dumps(result.summary(), allow_nan=False))
    assert summary["one"]["mean"] == pytest.approx(8 / 29)
    low, high = summary["sav"]["interval"]
    assert low <= summary["sav"]["mean"] <= high
    assert result.difference("sav", "one", 1).value == pytest.approx(by_hand - 8 / 29)


def test__run_draws__method_gives_none_or_wrong_length__counted_wrong_or_error():
    none = run_draws(LABELS, {"m": lambda _, test: [None] * len(test)}, shots=1, draws=1)
    assert none.accuracies("m") == [0]
    assert none.summary()["m"]["interval"] is None
    with pytest.raises(ValueError, match="'m' gave 1 predictions for 38"):
        run_draws(LABELS, {"m": lambda *_: ["cat"]}, shots=1, draws=1)
    with pytest.raises(ValueError, match="draws"):
        run_draws(LABELS, {}, shots=1, draws=0)
