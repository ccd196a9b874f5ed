from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.classifiers import SAVClassifier
from savs.data import as_examples
from savs.errors import DataError
from savs.evaluation import draw_rows
from savs.experiments import transfer_experiment


@pytest.fixture
def datasets(words):
    other = as_examples([f"o{i}" for i in range(24)], [("up", "down")[i % 2] for i in range(24)])
    return {"first": words(30), "second": words(36, "v"), "other": other}


def test__rows__are_those_of_a_plain_loop(datasets):
    backbone = FakeBackbone()
    found = transfer_experiment(backbone, datasets, n_heads=4, shots=5, draws=2)
    assert backbone.n_forward == 30 + 36 + 24
    layout = backbone.layout
    read = {
        name: (FakeBackbone().extract(examples).features, np.array([e.label for e in examples]))
        for name, examples in datasets.items()
    }
    seen = set()
    for row in found.rows:
        rows, labels = read[row.x]
        drawn, items = draw_rows(labels, 5, (0, row.draw))
        what, _, source = row.series.partition(" of ")
        if what != "random heads":
            from_rows, from_labels = read[source]
            shots = draw_rows(from_labels, 5, (0, row.draw))[0]
            chosen = SAVClassifier(n_heads=4, layout=layout).fit(from_rows[shots], from_labels[shots])
            fitted, columns = chosen, np.arange(rows.shape[1])
            if what == "heads":
                columns = np.concatenate([np.r_[layout.columns(head)] for head in chosen.heads_])
                fitted = SAVClassifier(n_heads=4, layout=layout.select(chosen.heads_))
                fitted.fit(rows[drawn][:, columns], labels[drawn])
            right = [fitted.predict(rows[[item]][:, columns])[0] == labels[item] for item in items]
            assert row.accuracy == pytest.approx(sum(right) / len(right)), row
        assert row.n_test == len(items)
        seen.add((row.series, row.x))
    pairs = {(f"heads of {source}", target) for source in datasets for target in datasets}
    same = {("classifier of first", "second"), ("classifier of second", "first")}
    assert seen == pairs | same | {("random heads", target) for target in datasets}


def test__own_heads__as_the_method_itself(datasets):
    found = transfer_experiment(FakeBackbone(), datasets, method="sav", n_heads=4, shots=5, draws=2)
    for row in found.rows:
        if row.series != f"heads of {row.x}":
            continue
        examples = datasets[row.x]
        labels = np.array([example.label for example in examples])
        rows = FakeBackbone().extract(examples).features
        drawn, items = draw_rows(labels, 5, (0, row.draw))
        fitted = SAVClassifier(n_heads=4, layout=FakeBackbone().layout).fit(rows[drawn], labels[drawn])
        assert row.accuracy == pytest.approx((fitted.predict(rows[items]) == labels[items]).mean())


def test__same_data_under_two_names__no_shot_of_either_is_judged(words):
    found = transfer_experiment(FakeBackbone(), {"a": words(30), "b": words(30)[::-1]}, shots=3, draws=3)
    for row in found.rows:
        assert row.n_test < 30 - 9  # the other's shots are left out, too
    by_place = {(row.series, row.x, row.draw): row.n_test for row in found.rows}
    assert len({(x, draw, n) for (_, x, draw), n in by_place.items()}) == 2 * 3


def test__labels_of_other_types__are_other_labels():
    numbers = as_examples([f"n{i}" for i in range(12)], [i % 2 for i in range(12)])
    truth = as_examples([f"t{i}" for i in range(12)], [bool(i % 2) for i in range(12)])
    found = transfer_experiment(FakeBackbone(), {"numbers": numbers, "truth": truth}, shots=2, draws=1)
    assert not any(series.startswith("classifier") for series in found.series)


@pytest.mark.parametrize("method", ["hec_v", "calm", "nearest_shot", "hec_vt"])
def test__other_methods__give_answers(datasets, method):
    found = transfer_experiment(FakeBackbone(), datasets, method=method, n_heads=3, shots=4, draws=1)
    assert found.failures() == {}


def test__impossible_request__refused(words):
    with pytest.raises(DataError, match="two or more, got 1"):
        transfer_experiment(FakeBackbone(), {"a": words(12)})
    with pytest.raises(ValueError, match="keeps no number of heads"):
        transfer_experiment(FakeBackbone(), {"a": words(12), "b": words(12, "v")}, method="auto")
