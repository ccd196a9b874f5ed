from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.baselines import all_heads, knn, logistic_probe, ridge_probe, tf_idf
from savs.data import as_examples
from savs.evaluation import draw_rows
from savs.evaluation.comparison import compare_methods, read_for_comparison
from savs.evaluation.contenders import known_contenders, works_without_shots
from savs.evaluation.named_baselines import BASELINES, BaselineModels, BaselineSettings

NAMES = (
    *("majority", "last_layer", "zero_shot", "all_heads", "knn", "ridge_probe", "logistic_probe"),
    *("in_context", "lora", "clip_zero_shot", "clip_probe", "clip_gda", "clip_tip_adapter"),
    *("embedding_centroid", "embedding_logistic", "setfit", "tf_idf", "pixels", "metadata"),
)


def words(n):
    kinds = {"no": "cold rain and wind", "yes": "warm sun over fields"}
    labels = ["yes" if index % 2 else "no" for index in range(n)]
    texts = [f"{kinds[label].split()[index % 4]} number {index}" for index, label in enumerate(labels)]
    return as_examples(texts, labels)


def test__names__are_those_of_the_documentation_and_all_can_be_compared():
    assert tuple(BASELINES) == NAMES
    assert set(NAMES) <= set(known_contenders())
    assert {name for name in NAMES if works_without_shots(name)} == {"zero_shot", "clip_zero_shot"}
    assert {name for name in NAMES if BASELINES[name].slow} == {"zero_shot", "in_context", "lora"}


@pytest.mark.parametrize("name", ["all_heads", "knn", "ridge_probe", "logistic_probe"])
def test__baseline_on_rows__answers_and_probabilities_of_the_function_itself(name):
    backbone, examples = FakeBackbone(), words(24)
    read, _, _ = read_for_comparison(backbone, examples, [], methods=[name])
    shots, test = draw_rows(read.labels.tolist(), 4, 0)
    turn = read.contender(name)(shots, test)
    function = {
        "all_heads": all_heads,
        "knn": knn,
        "ridge_probe": ridge_probe,
        "logistic_probe": logistic_probe,
    }[name]
    rows, layout = read.features, read.layout
    if name.endswith("_probe") and read.states is not None:
        rows, layout = np.hstack([rows, read.states]), layout.with_state(read.states.shape[1])
    expected = function(rows[shots], read.labels[shots].tolist(), rows[test], layout)
    assert turn.labels == expected.labels
    if expected.proba is not None:
        np.testing.assert_allclose(turn.probabilities.values, expected.proba)
        assert list(turn.probabilities.classes) == ["no", "yes"]


def test__control_on_examples__gets_the_shots_of_the_draw():
    examples = words(24)
    found = compare_methods(FakeBackbone(), examples, methods=["tf_idf"], shots=[5], draws=1)
    shots, test = draw_rows([example.label for example in examples], 5, (0, 0))
    answers = tf_idf([examples[row] for row in shots], [examples[row] for row in test]).labels
    right = [answer == examples[row].label for answer, row in zip(answers, test, strict=True)]
    assert found.accuracies("tf_idf", 5) == [pytest.approx(np.mean(right))]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("clip_zero_shot", "no image-text model is named"),
        ("clip_gda", "no image-text model is named"),
        ("setfit", "no embedding model is named"),
        ("embedding_centroid", "no embedding model is named"),
        ("pixels", "has no image"),
    ],
)
def test__baseline_that_cannot_run__a_recorded_failure_and_the_others_go_on(name, reason):
    found = compare_methods(FakeBackbone(), words(12), methods=[name, "majority"], shots=[2], draws=2)
    failures = found.figures(name, 2)["failures"]
    assert set(failures) == {"0", "1"}
    assert reason in failures["0"]
    assert found.accuracies("majority", 2) == [0.5, 0.5]


def test__model_that_cannot_be_loaded__is_tried_once(tmp_path, monkeypatch):
    from savs.baselines.image_text import ImageTextModel

    tried, load = [], ImageTextModel.load

    def count(name, **options):
        tried.append(name)
        return load(name, **options)

    monkeypatch.setattr(ImageTextModel, "load", count)
    settings = BaselineSettings(image_text_model=str(tmp_path / "nothing"))
    found = compare_methods(
        FakeBackbone(),
        words(12),
        methods=["clip_zero_shot", "clip_probe"],
        shots=[2],
        draws=2,
        baselines=settings,
    )
    assert len(tried) == 1
    for name in ("clip_zero_shot", "clip_probe"):
        assert len(set(found.figures(name, 2)["failures"].values())) == 1


def test__answers_in_words__unparsed_share_and_the_words_are_kept():
    backbone = FakeBackbone(answers=("perhaps", "yes"))
    found = compare_methods(
        backbone, words(20), methods=["zero_shot", "majority"], shots=[2], draws=1, zero_shot_items=10
    )
    said = found.answers.said
    unparsed = sum(answer == "perhaps" for answer in said.values())
    assert 0 < unparsed < len(said) == 10
    rows = found.trials["zero_shot", 2][0].rows.tolist()
    share = np.mean([said[row] == "perhaps" for row in rows])
    assert found.figures("zero_shot", 2)["unparsed"] == pytest.approx(share)
    assert found.figures("majority", 2)["unparsed"] is None


def test__slow_baseline__is_judged_on_the_items_that_were_chosen(monkeypatch):
    read, _, _ = read_for_comparison(FakeBackbone(), words(20), [], methods=[])
    monkeypatch.setattr(
        "savs.evaluation.contenders.BASELINES",
        {**BASELINES, "majority": replace(BASELINES["majority"], slow=True)},
    )
    models = BaselineModels(None, read.classes, {row: read.examples[row] for row in (3, 10, 11)})
    turn = read.contender("majority", models)(np.arange(8), np.arange(8, 20))
    assert turn.rows.tolist() == [10, 11]


def test__settings__impossible_number__says_so():
    with pytest.raises(ValueError, match="in_context_shots must be at least 1, got 0"):
        BaselineSettings(in_context_shots=0)
