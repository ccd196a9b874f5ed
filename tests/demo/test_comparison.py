from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import FakeBackbone, PromptTemplate
from savs.classifiers import SAVClassifier, wilson_interval
from savs.data import Example, Message, Text
from savs.demo.results import Outcome
from savs.demo.runner import run_task
from savs.demo.tasks import Task, note_task, only, photos_task
from savs.evaluation import draw_rows
from savs.media import Image


def test__only__one_kind_of_part__is_all_that_is_left() -> None:
    image = np.zeros((4, 4), dtype=np.uint8)
    example = Example((Message("user", (Image(image), Text("a note"))),), "yes", "1")
    assert (only(example, Text).text, only(example, Text).images) == ("a note", ())
    assert (only(example, Image).text, len(only(example, Image).images)) == ("", 1)
    assert only(example, Text).label == "yes"
    assert len(example.parts) == 2


def run(task: Task, backbone: FakeBackbone, **options: int) -> Outcome:
    settings = {"shots": 4, "n_draws": 2, "seed": 0, "zero_shot_items": 6} | options
    return run_task(task, backbone, **settings)


def test__run_task__answers_that_name_no_class__are_counted_and_wrong() -> None:
    task = note_task(np.random.default_rng(0), 8)
    outcome = run(task, FakeBackbone(answers=("perhaps",)), zero_shot_items=12)
    assert (outcome.n_zero_shot, outcome.unparsed, outcome.said) == (12, 12, {"perhaps": 12})
    assert outcome.accuracy["zero_shot"].mean == 0.0


def test__run_task__letters_for_options__are_read_as_classes() -> None:
    task = photos_task(np.random.default_rng(0), 8)
    outcome = run(task, FakeBackbone(answers=("B",)), zero_shot_items=12)
    assert outcome.unparsed == 0
    assert outcome.accuracy["zero_shot"].mean == pytest.approx(1 / 3)


def test__run_task__forward_passes__one_per_example_and_zero_shot_item() -> None:
    task, backbone = photos_task(np.random.default_rng(0), 8), FakeBackbone()
    outcome = run(task, backbone)
    assert backbone.n_forward == 24 + 6
    assert int(outcome.confusion.sum()) == outcome.n_test == 12
    assert np.diag(outcome.confusion).sum() / 12 == pytest.approx(outcome.accuracy["sav"].draws[0])
    assert outcome.accuracy["majority"].mean == pytest.approx(1 / 3)
    assert outcome.controls == {}


def test__run_task__every_draw__is_the_classifier_on_these_shots() -> None:
    task, backbone = photos_task(np.random.default_rng(0), 8), FakeBackbone()
    outcome = run(task, backbone, n_draws=3)
    prompted = [PromptTemplate(task.prompt).apply(example) for example in task.examples]
    rows, labels = backbone.extract(prompted).features, np.asarray(task.labels)
    for draw, share in enumerate(outcome.accuracy["sav"].draws):
        shots, test = draw_rows(labels, 4, (0, draw))
        classifier = SAVClassifier(layout=backbone.layout).fit(rows[shots], labels[shots])
        right = [classifier.predict(rows[[row]])[0] == labels[row] for row in test]
        assert share == pytest.approx(sum(right) / len(right))


def test__run_task__a_single_draw__has_a_wilson_interval() -> None:
    outcome = run(note_task(np.random.default_rng(0), 8), FakeBackbone(), n_draws=1)
    right = int(np.trace(outcome.confusion))
    assert outcome.accuracy["sav"].interval == wilson_interval(right, 8)


def test__run_task__image_and_text_task__has_a_control_for_each_part() -> None:
    outcome = run(note_task(np.random.default_rng(0), 8), FakeBackbone())
    assert list(outcome.controls) == ["image alone", "text alone"]
    assert list(outcome.accuracy) == ["sav", "auto", "last_layer", "majority", "pixels", "zero_shot"]
