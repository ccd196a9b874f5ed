from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.classifiers import SAVClassifier, make_method
from savs.data import as_examples
from savs.errors import DataError, ItemError
from savs.evaluation import draw_rows
from savs.experiments import shots_experiment
from savs.experiments.reading import default_shots, make_draws, read_set


def by_loop(backbone, examples, method, count, most, draw, seed=0):
    """Accuracy as the docstring says, one test item after the other."""
    labels = np.array([example.label for example in examples])
    rows = backbone.extract(examples).features
    drawn, _ = draw_rows(labels, count, (seed, draw))
    kept_out, _ = draw_rows(labels, most, (seed, draw))
    assert set(drawn) <= set(kept_out)
    fitted = make_method(method, backbone.layout).fit(rows[drawn], labels[drawn])
    items = [row for row in range(len(examples)) if row not in kept_out]
    right = sum(fitted.predict(rows[[row]])[0] == labels[row] for row in items)
    return right / len(items), len(items)


def test__rows__are_those_of_a_plain_loop(words):
    examples, backbone = words(45), FakeBackbone()
    found = shots_experiment(backbone, examples, methods=["sav", "hec_v"], shots=[5, 1, 2], draws=3)
    assert found.x_values == [1, 2, 5]
    assert len(found.rows) == 2 * 3 * 3
    for row in found.rows:
        expected = by_loop(FakeBackbone(), examples, row.series, row.x, 5, row.draw)
        assert (row.accuracy, row.n_test) == pytest.approx(expected)
    assert len({row.accuracy for row in found.rows}) > 3


def test__tiny__more_shots_are_better_than_the_majority(tiny, images):
    found = shots_experiment(
        tiny, images(12), methods=["sav", "last_layer", "majority"], shots=[1, 4], draws=3
    )
    means = {(one["series"], one["x"]): one["mean"] for one in found.summary()}
    assert means["majority", 1] == means["majority", 4] == 0.5
    assert means["sav", 4] > 0.8
    assert means["last_layer", 4] > 0.8


def test__backbone__passed_once_for_all_methods_and_draws(words):
    backbone = FakeBackbone()
    shots_experiment(backbone, words(30), methods=["sav", "calm", "auto"], shots=[1, 2], draws=2)
    assert backbone.n_forward == 30


def test__copies_of_a_shot__are_no_test_items():
    texts = [f"w{i % 10}" for i in range(40)]  # every content four times
    examples = as_examples(texts, ["even" if i % 2 else "odd" for i in range(40)])
    read = read_set(FakeBackbone(), examples)
    for draw in make_draws(read, [1, 2], 6, seed=3):
        drawn = {texts[row] for row in draw.shots[2]}
        assert draw.test.tolist() == [row for row in range(40) if texts[row] not in drawn]
        assert set(draw.shots[1]) <= set(draw.shots[2])
    with pytest.raises(DataError, match="leave no test item"):
        shots_experiment(FakeBackbone(), as_examples(["a"] * 4 + ["b"] * 4, list("xxxxyyyy")), shots=[1])


def test__fixed_test__judged_apart_from_copies_of_shots(words):
    pool, test = words(12), [*words(6, "t"), words(12)[0]]
    found = shots_experiment(FakeBackbone(), pool, test=test, methods=["sav"], shots=[4], draws=2)
    assert [row.n_test for row in found.rows] == [6, 6]  # every item of the pool is a shot
    assert found.settings["fixed_test"]


@pytest.mark.parametrize(
    ("n", "fixed", "counts"),
    [(9, False, [1]), (30, False, [1, 2, 5]), (30, True, [1, 2, 5, 10]), (3, False, [1])],
)
def test__default_shots__reach_half_of_the_smallest_class(words, n, fixed, counts):
    assert default_shots(words(n), (1, 2, 5, 10, 20), fixed_test=fixed) == counts


def test__method_that_cannot__recorded_with_the_reason(words):
    class Stateless(FakeBackbone):
        def extract(self, *arguments, **options):
            return replace(super().extract(*arguments, **options), states=None)

    found = shots_experiment(Stateless(), words(12), methods=["last_layer", "sav"], shots=[1], draws=2)
    assert found.failures() == {
        "last_layer": "the backbone gives no last-layer states; choose another method"
    }
    assert [row.accuracy is None for row in found.rows] == [True, True, False, False]
    assert found.summary()[0] == {
        "x": 1, "series": "last_layer", "mean": None, "low": None, "high": None, "n_draws": 0
    }  # fmt: skip


def test__unreadable_example__error_or_left_out(images, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    examples = [*images(4), *as_examples([broken], ["red"])]
    with pytest.raises(ItemError):
        shots_experiment(FakeBackbone(), examples, methods=["sav"], shots=[2], draws=1)
    found = shots_experiment(FakeBackbone(), examples, methods=["sav"], shots=[2], draws=1, max_errors=1)
    assert [error.code for error in found.errors] == ["image_undecodable"]
    assert found.rows[0].n_test == 4


@pytest.mark.parametrize(
    ("asked", "error", "words_of_it"),
    [
        ({"methods": ["savs"]}, ValueError, "no method is named 'savs'"),
        ({"methods": []}, ValueError, "at least one method"),
        ({"shots": [0]}, ValueError, "at least one shot"),
        ({"draws": 0}, ValueError, "at least one draw"),
        ({"shots": [4]}, DataError, "4 shots leave no test example"),
    ],
)
def test__impossible_request__refused(words, asked, error, words_of_it):
    backbone = FakeBackbone()
    with pytest.raises(error, match=words_of_it):
        shots_experiment(backbone, words(12), **asked)
    assert backbone.n_forward == 0


def test__one_class__refused():
    with pytest.raises(DataError, match="at least two classes, got 1"):
        shots_experiment(FakeBackbone(), as_examples(["a", "b"], ["x", "x"]))


def test__labels__keep_their_types():
    numbers = as_examples([f"n{i}" for i in range(20)], [i % 2 for i in range(20)])
    texts = as_examples([f"t{i}" for i in range(6)], [str(i % 2) for i in range(6)])
    found = shots_experiment(FakeBackbone(), numbers, test=texts, methods=["majority"], shots=[3], draws=1)
    assert found.rows[0].accuracy == 0.0  # "0" is not 0
    assert SAVClassifier is type(make_method("sav"))
