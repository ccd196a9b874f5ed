from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.demo.comparison import over_draws, run_task
from savs.demo.controls import fit_majority, fit_pixels, only, pixel_rows
from savs.demo.tasks import note_task, photos_task
from savs.examples import Example, Image, Message, Text
from savs.heads.intervals import wilson_interval


def test__over_draws__against_a_plain_loop__is_the_share_right_of_the_test_rows() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(30, 4)), np.repeat(["a", "b"], 15)
    rows[labels == "b"] += 1.0
    orders = [rng.permutation(30) for _ in range(3)]
    draws = [(order[:12], order[12:]) for order in orders]
    found = over_draws(rows, labels, draws, fit_pixels)
    for share, (shots, test) in zip(found.draws, draws, strict=True):
        model = fit_pixels(rows[shots], labels[shots])
        right = sum(model.predict(rows[[i]])[0] == labels[i] for i in test)
        assert share == pytest.approx(right / 18)
    assert found.mean == pytest.approx(sum(found.draws) / 3)
    assert found.interval[0] <= found.mean <= found.interval[1]


def test__over_draws__a_single_draw__has_a_wilson_interval() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0, 0, 0])
    found = over_draws(np.zeros((8, 1)), labels, [(np.arange(4), np.arange(4, 8))], fit_majority)
    assert (found.mean, found.interval) == (0.75, wilson_interval(3, 4))


def test__pixel_rows__two_pictures__stand_side_by_side() -> None:
    black, white = (np.full((16, 16, 3), value, dtype=np.uint8) for value in (0, 255))
    example = Example((Message("user", (Image(black), Image(white))),))
    rows = pixel_rows([example])
    assert rows.shape == (1, 2 * 192)
    assert (rows[0, :192].max(), rows[0, 192:].min()) == pytest.approx((0.0, 1.0))


def test__only__one_kind_of_part__is_all_that_is_left() -> None:
    picture = np.zeros((4, 4), dtype=np.uint8)
    example = Example((Message("user", (Image(picture), Text("a note"))),), "yes", "1")
    assert (only(example, Text).text, only(example, Text).images) == ("a note", ())
    assert (only(example, Image).text, len(only(example, Image).images)) == ("", 1)
    assert only(example, Text).label == "yes"
    assert len(example.parts) == 2


def test__run_task__answers_that_name_no_class__are_counted_and_wrong() -> None:
    task = note_task(np.random.default_rng(0), 8)
    draws = [(np.arange(8), np.arange(8, 16)), (np.arange(8, 16), np.arange(8))]
    backbone = FakeBackbone(answers=("perhaps",))
    outcome = run_task(task, backbone, draws, zero_shot_items=12)
    assert (outcome.n_zero_shot, outcome.unparsed, outcome.said) == (12, 12, {"perhaps": 12})
    assert outcome.accuracy["zero_shot"].mean == 0.0


def test__run_task__forward_passes__one_per_example_and_kind_of_feature() -> None:
    task = photos_task(np.random.default_rng(0), 8)
    draws = [(np.arange(12), np.arange(12, 24)), (np.arange(12, 24), np.arange(12))]
    backbone = FakeBackbone()
    outcome = run_task(task, backbone, draws, zero_shot_items=6)
    assert backbone.n_forward == 2 * 24 + 6
    assert int(outcome.confusion.sum()) == outcome.n_test == 12
    assert np.diag(outcome.confusion).sum() / 12 == pytest.approx(outcome.accuracy["sav"].draws[0])
    assert outcome.accuracy["majority"].mean == pytest.approx(1 / 3)
    assert outcome.controls == {}


def test__run_task__image_and_text_task__has_a_control_for_each_part() -> None:
    task = note_task(np.random.default_rng(0), 8)
    outcome = run_task(task, FakeBackbone(), [(np.arange(8), np.arange(8, 16))], zero_shot_items=4)
    assert list(outcome.controls) == ["image alone", "text alone"]
