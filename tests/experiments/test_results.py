from __future__ import annotations

import csv
import json
import statistics

import pytest
from PIL import Image as PILImage

from savs.backbones import FakeBackbone
from savs.experiments import (
    Experiment,
    Row,
    heads_experiment,
    noise_experiment,
    shortcut_audit,
    shots_experiment,
    transfer_experiment,
)
from savs.experiments.results import file_stem

T_OF_2 = 4.302652729911275  # Student's t at 97.5 % with 2 degrees of freedom, from tables


def made(rows):
    return Experiment("shots", "data", ["sav"], "shots per class", rows, {"shots": [1], "draws": 3})


def test__summary__mean_and_t_interval_over_draws():
    values = [0.5, 0.6, 0.55]
    rows = [Row(1, "sav", draw, value, 20) for draw, value in enumerate(values)]
    rows += [Row(2, "sav", 0, 0.7, 20), Row(2, "sav", 1, None, 20, "no"), Row(5, "sav", 0, None, 20, "never")]
    one, two, five = made(rows).summary()
    half = T_OF_2 * statistics.stdev(values) / 3**0.5
    assert (one["mean"], one["low"], one["high"], one["n_draws"]) == pytest.approx(
        (0.55, 0.55 - half, 0.55 + half, 3)
    )
    assert two == {"x": 2, "series": "sav", "mean": 0.7, "low": None, "high": None, "n_draws": 1}
    assert (five["mean"], five["n_draws"]) == (None, 0)
    assert made(rows).failures() == {"sav": "no"}


def test__record__comes_back_and_anything_else_is_refused(words):
    found = shots_experiment(FakeBackbone(), words(12), methods=["sav"], shots=[1, 2], draws=2)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert set(record) == {"schema", "kind", "task", "methods", "x_name", "rows", "summary", "settings"}
    assert Experiment.from_record(record).record() == found.record()
    for wrong in ({}, {**record, "schema": 2}, {**record, "kind": "other"}):
        with pytest.raises(ValueError, match="no record of an experiment"):
            Experiment.from_record(wrong)


@pytest.mark.parametrize("plot_format", ["png", "svg"])
def test__write__json_csv_and_plot(words, tmp_path, plot_format):
    found = heads_experiment(
        FakeBackbone(), words(12), methods=["sav", "calm"], shots=2, draws=2, task="a b/c"
    )
    files = found.write(tmp_path / "new", plot_format=plot_format)
    names = ["heads-a-b-c.csv", "heads-a-b-c.json", f"heads-a-b-c.{plot_format}"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    assert json.loads(files[0].read_text()) == found.record()
    with files[1].open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["series"], int(line["x"]), float(line["accuracy"])) for line in lines] == [
        (row.series, row.x, row.accuracy) for row in found.rows
    ]
    again = [file.read_bytes() for file in files]
    found.write(tmp_path / "new", plot_format=plot_format)
    assert [file.read_bytes() for file in files] == again


@pytest.mark.parametrize("draws", [1, 3])
def test__plots__of_every_kind_are_900_pixels_wide(words, images, tmp_path, draws):
    backbone = FakeBackbone()
    results = [
        shots_experiment(backbone, words(12), methods=["sav", "majority"], shots=[2], draws=draws),
        noise_experiment(backbone, words(18), methods=["sav"], shots=3, draws=draws),
        transfer_experiment(backbone, {"a": words(12), "b": words(12, "v")}, shots=2, draws=draws),
        shortcut_audit(backbone, images(4), shots=2, draws=draws),
    ]
    for found in results:
        file = found.write(tmp_path)[2]
        with PILImage.open(file) as image:
            assert image.width == 900


def test__plot__draws_the_means_of_each_series(words):
    found = shots_experiment(FakeBackbone(), words(18), methods=["sav", "calm"], shots=[1, 2, 3], draws=2)
    (axes,) = found.plot().axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    for name in ("sav", "calm"):
        means = [100 * one["mean"] for one in found.summary() if one["series"] == name]
        assert lines[name] == pytest.approx(means)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("task", "stem"), [("a", "shots-a"), ("../x", "shots-x"), ("", "shots-data"), ("ä ö", "shots-data")]
)
def test__file_stem__stays_in_the_folder(task, stem):
    assert file_stem("shots", task) == stem
