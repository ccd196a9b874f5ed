from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.classifiers import make_method
from savs.evaluation import draw_rows
from savs.experiments import heads_experiment
from savs.experiments.heads import default_counts, methods_with_heads


def test__rows__are_those_of_a_plain_loop(words):
    examples, backbone = words(36), FakeBackbone()
    found = heads_experiment(backbone, examples, methods=["sav", "hec_v"], heads=[3, 1, 16], shots=5, draws=2)
    assert backbone.n_forward == 36
    labels = np.array([example.label for example in examples])
    rows = FakeBackbone().extract(examples).features
    for row in found.rows:
        drawn, items = draw_rows(labels, 5, (0, row.draw))
        fitted = make_method(row.series, backbone.layout, n_heads=row.x).fit(rows[drawn], labels[drawn])
        assert len(fitted.heads_) == row.x
        right = [fitted.predict(rows[[item]])[0] == labels[item] for item in items]
        assert (row.accuracy, row.n_test) == (pytest.approx(sum(right) / len(right)), len(items))
    assert found.x_values == [1, 3, 16]
    assert len({row.accuracy for row in found.rows}) > 3


@pytest.mark.parametrize(
    ("n", "counts"),
    [(1, [1]), (20, [1, 2, 5, 10, 20]), (21, [1, 2, 5, 10, 20, 21]), (81, [1, 2, 5, 10, 20, 40, 80, 81])],
)
def test__default_counts__end_with_all_heads(n, counts):
    assert default_counts(n) == counts


def test__default__goes_to_all_heads(words):
    found = heads_experiment(FakeBackbone(), words(12), methods=["sav"], shots=2, draws=1)
    assert found.x_values == [1, 2, 5, 10, 16]


def test__impossible_request__refused(words):
    assert {"sav", "hec_v", "calm"} <= set(methods_with_heads())
    for asked, message in (
        ({"methods": ["kernel_ridge"]}, "'kernel_ridge' keeps no number of heads"),
        ({"heads": [0, 2]}, "ask for 1 to 16"),
        ({"heads": [17]}, "ask for 1 to 16"),
        ({"heads": []}, "ask for 1 to 16"),
    ):
        with pytest.raises(ValueError, match=message):
            heads_experiment(FakeBackbone(), words(12), **asked)
