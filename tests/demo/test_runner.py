from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from savs.backbones import FakeBackbone
from savs.data import read_examples
from savs.demo import run_demo
from savs.demo.results import METHODS
from savs.demo.tasks import note_task
from savs.errors import BackboneError, DataError
from savs.layout import HeadLayout
from savs.media import load_image
from savs.model import SAVModel

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {"shots": 3, "n_draws": 2, "per_class": 6, "zero_shot_items": 12}
NAMES = ["digits", "photos", "note", "shape", "pairs"]


@pytest.fixture(scope="module")
def result(demo: dict[str, Any]) -> dict[str, Any]:
    return demo


@pytest.fixture(scope="module")
def out(demo: dict[str, Any]) -> Path:
    return Path(demo["files"]["results"]).parent


@pytest.fixture(scope="module")
def again(out: Path) -> dict[str, Any]:
    (out / "new_files" / "shape" / "left_over.png").write_bytes(b"")
    return run_demo(out, backbone=backbone(), **SETTINGS)


def backbone() -> FakeBackbone:
    return FakeBackbone(HeadLayout.uniform(3, 10, 8))


def test__run_demo__result__is_what_the_file_holds(result: dict[str, Any], out: Path) -> None:
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == result
    assert result["seconds"] > 0
    assert result["backbone"]["model_class"] == "FakeBackbone"


def test__run_demo__every_task__has_the_promised_entries(result: dict[str, Any]) -> None:
    assert [task["name"] for task in result["tasks"]] == NAMES
    for task in result["tasks"]:
        n_classes = len(task["classes"])
        assert (task["shots"], task["n_test"]) == (3, 3 * n_classes)
        assert set(task["accuracy"]) == set(task["interval"]) == set(task["draws"]) == set(METHODS)
        for method, mean in task["accuracy"].items():
            low, high = task["interval"][method]
            assert 0 <= low <= mean <= high <= 1
            assert len(task["draws"][method]) == (1 if method == "zero_shot" else 2)
        assert task["accuracy"]["majority"] == pytest.approx(1 / n_classes, abs=1e-4)
        assert len(task["heads"]) == 20
        assert all(0 <= score <= 1 and 0 <= layer < 3 for layer, _, score in task["heads"])
        assert 0 <= task["unparsed"] <= task["n_zero_shot"] == 12
        assert sum(map(sum, task["confusion"])) == task["n_test"]


def test__run_demo__image__is_large_enough_to_read(result: dict[str, Any]) -> None:
    with Image.open(result["files"]["image"]) as image:
        assert image.size == (1600, 960)


@pytest.mark.parametrize("name", NAMES)
def test__run_demo__saved_classifier__answers_the_new_files_as_reported(
    result: dict[str, Any], out: Path, name: str
) -> None:
    shown = next(one for one in result["new_files"] if one["task"] == name)
    program, verb, classifier, data, flag, _ = shlex.split(shown["command"])
    assert (program, verb, flag) == ("savs", "predict", "-o")
    examples = read_examples(data)
    answers = SAVModel.from_pretrained(classifier, backbone=backbone()).predict(examples).tolist()
    assert answers == [answer["label"] for answer in shown["answers"]]
    assert [example.id for example in examples] == [answer["id"] for answer in shown["answers"]]
    assert len(examples) >= len(set(map(str, answers)))
    assert Path(data).is_relative_to(out)


def test__run_demo__new_files__hold_the_examples_they_were_made_from(result: dict[str, Any]) -> None:
    task = note_task(np.random.default_rng((0, 3)), 6)
    data = shlex.split(result["new_files"][2]["command"])[3]
    by_id = {example.id: example for example in task.examples}
    for example in read_examples(data):
        source = by_id[example.id]
        assert (example.text, example.label) == (source.text, source.label)
        images = [load_image(one.images[0].source).tobytes() for one in (example, source)]
        assert images[0] == images[1]


def test__run_demo__again_into_the_same_folder__differs_only_in_seconds(
    result: dict[str, Any], again: dict[str, Any], out: Path
) -> None:
    def timeless(value: dict[str, Any]) -> dict[str, Any]:
        tasks = [{key: task[key] for key in task if key != "seconds"} for task in value["tasks"]]
        return value | {"tasks": tasks, "seconds": 0}

    assert timeless(again) == timeless(result)
    assert not (out / "new_files" / "shape" / "left_over.png").exists()


def test__run_demo__more_shots_than_examples__says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="7 shots leave no test example"):
        run_demo(tmp_path, backbone=backbone(), **SETTINGS | {"shots": 7})


def test__run_demo__backbone_that_cannot_be_loaded__leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="there is no folder"):
        run_demo(tmp_path / "out", backbone=tmp_path / "nowhere", **SETTINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "results",
    ["", "[]", '{"new_files": [{"task": "photos"}]}', '{"new_files": "photos"}', '{"new_files": [3]}'],
)
def test__run_demo__folder_with_somebodys_own_files__they_stay(tmp_path: Path, results: str) -> None:
    from savs.demo.runner import _prepare

    own = tmp_path / "new_files" / "photos" / "holiday.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    (tmp_path / "results.json").write_text(results)
    _prepare(tmp_path)
    assert own.read_bytes() == b"mine"


def test__run_demo__files_of_an_earlier_demo__removed_by_task_and_nowhere_else(tmp_path: Path) -> None:
    from savs.demo.runner import _prepare

    shown = [
        {"task": name, "classifier": "c", "command": "x"} for name in ("photos", "..", "../out", ".", "")
    ]
    (tmp_path / "results.json").write_text(json.dumps({"new_files": shown}))
    for name in ("new_files/photos", "new_files/other", "out"):
        (tmp_path / name).mkdir(parents=True)
    _prepare(tmp_path)
    assert not (tmp_path / "new_files" / "photos").exists()
    assert (tmp_path / "new_files" / "other").exists()
    assert (tmp_path / "out").exists()
