"""`savs.benchmarks.run_benchmark` with real files and a backbone that counts its passes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import FakeBackbone
from savs.benchmarks import BenchmarkSettings, RunFolder, load_task_data, own_task, run_benchmark
from savs.benchmarks.runner import check_benchmark
from savs.classifiers import make_method, wilson_interval
from savs.errors import DataError, ItemError
from savs.evaluation import draw_rows, interval_over_draws
from savs.tasks import Task, get_task, score_task


@pytest.fixture
def notes(tmp_path):
    """A file of 16 labeled texts."""
    rows = [
        {"text": f"note {index}", "label": "yes" if index % 2 else "no", "id": f"n{index}"}
        for index in range(16)
    ]
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def run(folder, data, settings, backbone=None, **options):
    backbone = backbone or FakeBackbone()
    target = RunFolder(folder)
    with target.locked():
        target.begin(
            {
                "versions": {},
                "settings": settings.record(),
                "tasks": [one.name for one in data],
                "data": {one.name: one.record() for one in data},
                "backbone": {"name": "fake", "fingerprint": dict(backbone.fingerprint)},
            }
        )
        errors = run_benchmark(backbone, data, target, settings, **options)
    return target, errors


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def own(notes, **options):
    return load_task_data(own_task("notes", "Is it?"), notes, own=True, **options)


def test__cells__figures_are_those_of_single_fits_and_of_the_written_answers(notes, tmp_path):
    data, settings = own(notes), BenchmarkSettings(("sav", "hec_v"), (2, 3), draws=2)
    folder, errors = run(tmp_path / "run", [data], settings)
    assert errors == []
    cells = folder.cells()
    assert len(cells) == 3 * 2 * 2  # majority comes along
    assert lines(folder.path / "results.jsonl") == cells
    examples = data.parts[0].pool
    features = FakeBackbone().extract(examples).features
    labels = np.array([example.label for example in examples])
    for cell in cells:
        if cell["method"] == "majority":
            continue
        drawn, test = draw_rows(labels, cell["shots"], (0, cell["draw"]))
        fitted = make_method(cell["method"], FakeBackbone().layout).fit(features[drawn], labels[drawn])
        expected = fitted.predict(features[test]).tolist()
        name = f"{cell['method']}-{cell['shots']}-{cell['draw']}"
        said = lines(folder.path / "answers" / "notes" / f"{name}.jsonl")
        assert [line["answer"] for line in said] == expected
        assert [line["id"] for line in said] == [examples[row].id for row in test]
        right = sum(line["answer"] == line["label"] for line in said)
        figure = cell["figures"]["accuracy"]
        assert figure["value"] == pytest.approx(right / len(said))
        assert (figure["low"], figure["high"]) == pytest.approx(wilson_interval(right, len(said)))
        assert (cell["n_test"], cell["n_failed"], cell["failure"]) == (len(test), 0, None)
        shares = fitted.predict_proba(features[test]).max(axis=1)
        assert [line["probability"] for line in said] == pytest.approx(shares.tolist(), abs=1e-6)
        heads = json.loads((folder.path / "heads" / "notes" / f"{name}.json").read_text())
        assert heads["n_layers"] == 4
        assert heads["n_heads"] == [4, 4, 4, 4]
        assert [tuple(head) for head in heads["kept"]] == [tuple(head) for head in fitted.heads_]
        assert len(heads["scores"]) == 16


def test__answers__surest_mistakes__have_the_votes_of_the_heads_in_use(notes, tmp_path):
    folder, _ = run(tmp_path / "run", [own(notes)], BenchmarkSettings(("sav", "kernel_ridge"), (2,), draws=1))
    examples = own(notes).parts[0].pool
    features = FakeBackbone().extract(examples).features
    labels = np.array([example.label for example in examples])
    drawn, test = draw_rows(labels, 2, (0, 0))
    fitted = make_method("sav", FakeBackbone().layout).fit(features[drawn], labels[drawn])
    said = lines(folder.path / "answers" / "notes" / "sav-2-0.jsonl")
    assert {"votes" in line for line in said} == {True, False}
    for row, line in zip(test.tolist(), said, strict=True):
        assert ("votes" in line) == (line["answer"] != line["label"])
        expected = {}
        for head in fitted.heads_:  # each head by itself
            columns = fitted.layout_.columns(head)
            x = features[row, columns] / np.linalg.norm(features[row, columns])
            cosines = {}
            for label in ("no", "yes"):
                mean = features[drawn][labels[drawn] == label][:, columns].mean(axis=0)
                cosines[label] = x @ mean / np.linalg.norm(mean)
            vote = max(cosines, key=cosines.get)
            expected[vote] = expected.get(vote, 0) + 1
        assert line.get("votes", expected) == expected
    ridge = lines(folder.path / "answers" / "notes" / "kernel_ridge-2-0.jsonl")
    assert not any("votes" in line for line in ridge)  # its heads do not vote one by one


def test__one_pass__for_all_methods_and_none_when_the_run_goes_on(notes, tmp_path):
    data, settings = own(notes), BenchmarkSettings(("sav", "calm", "last_layer"), (2, 4), draws=3)
    backbone = FakeBackbone()
    folder, _ = run(tmp_path / "run", [data], settings, backbone)
    passed = backbone.n_forward
    assert passed < 2 * 16  # and some for the canary of the store
    before = {file: file.stat().st_mtime_ns for file in folder.path.glob("cells/*/*.json")}
    missing = folder.path / "cells" / "notes" / "sav-4-1.json"
    content = missing.read_text()
    missing.unlink()
    run(tmp_path / "run", [data], settings, backbone)
    assert backbone.n_forward - passed <= 4  # the canary alone
    again, first = json.loads(missing.read_text()), json.loads(content)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    del before[missing]
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test__cell_that_failed__is_tried_again(notes, tmp_path):
    data, settings = own(notes), BenchmarkSettings(("clip_probe",), (2,), draws=1)
    folder, _ = run(tmp_path / "run", [data], settings)
    file = folder.path / "cells" / "notes" / "clip_probe-2-0.json"
    cell = json.loads(file.read_text())
    assert "no image-text model is named" in cell["failure"]
    assert cell["figures"] == {}
    file.write_text(json.dumps({**cell, "failure": "another reason"}))
    run(tmp_path / "run", [data], settings)
    assert "no image-text model is named" in json.loads(file.read_text())["failure"]
    assert "clip_probe failed in 1 of 1 draws: no image-text model" in (folder.path / "table.md").read_text()


def test__item_that_cannot_be_read__counts_as_failed_in_every_draw(tmp_path):
    rows = []
    for index in range(13):
        name = f"{index}.png"
        shade = (40 * (index % 2), 9 * index, 90)
        PILImage.new("RGB", (32, 32), shade).save(tmp_path / name)
        rows.append({"image": name, "label": "yes" if index % 2 else "no", "id": name})
    (tmp_path / "12.png").write_bytes(b"no picture")
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load_task_data(own_task("pictures"), file, own=True)
    settings = BenchmarkSettings(("sav",), (2,), draws=2)
    with pytest.raises(ItemError, match=r"12\.png"):
        run(tmp_path / "stopped", [data], settings)
    folder, errors = run(tmp_path / "run", [data], settings, max_errors=-1)
    assert [error.id for error in errors] == ["12.png"]
    for cell in folder.cells():
        said = lines(folder.path / "answers" / "pictures" / f"{cell['method']}-2-{cell['draw']}.jsonl")
        assert (cell["n_test"], cell["n_failed"]) == (13 - 4, 1) == (len(said), 1)
        assert said[-1] == {"id": "12.png", "label": "no", "answer": None, "probability": None}
        right = sum(line["answer"] == line["label"] for line in said)
        assert cell["figures"]["accuracy"]["value"] == pytest.approx(right / 9)
    assert "items without an answer count as wrong" in (folder.path / "table.md").read_text()
    items = lines(folder.path / "items" / "pictures.jsonl")
    assert len(items) == 13
    shown = [item for item in items if item["thumbnail"]]
    assert all((folder.path / item["thumbnail"]).is_file() for item in shown)


def groups(folder, n_groups, first=0):
    """Rows of NaturalBench's retrieval files, with the paths of another machine."""
    rows = []
    for number in range(4 * n_groups):
        group, place = divmod(number, 4)
        name = f"item_{first + 2 * group + place % 2}.png"
        PILImage.new("RGB", (24, 24), ((first + 2 * group + place % 2) * 9 % 255, 90, 120)).save(
            folder / name
        )
        rows.append(
            {
                "image": f"/elsewhere/{name}",
                "question": f"Does this image show 'scene {first + group}, caption {place // 2}'?",
                "question_id": number + 1,
                "label": "Yes" if place in (0, 3) else "No",
            }
        )
    return rows


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test__shots_in_the_test_file__whole_groups_are_left_out(tmp_path):
    test = groups(tmp_path, 5)
    train = [*groups(tmp_path, 2, first=50), test[0]]  # one shot stands in the first group of the test
    task = get_task("naturalbench_retrieval")
    train_file = write(
        tmp_path / "train.jsonl", [{**row, "question_id": n} for n, row in enumerate(train, 1)]
    )
    test_file = write(tmp_path / "test.jsonl", test)
    data = load_task_data(task, train_file, test=test_file)
    with pytest.warns(UserWarning, match="1 of 20 test examples are in the data of the shots too"):
        folder, _ = run(tmp_path / "run", [data], BenchmarkSettings(("sav",), (2,), draws=6))
    left = {cell["draw"]: cell["n_left_out"] for cell in folder.cells() if cell["method"] == "sav"}
    assert set(left.values()) == {0, 1}
    for cell in folder.cells():
        assert cell["n_test"] == (16 if cell["n_left_out"] else 20)
        said = lines(
            folder.path / "answers" / "naturalbench_retrieval" / f"{cell['method']}-2-{cell['draw']}.jsonl"
        )
        by_id = {example.id: example for example in data.parts[0].test}
        expected = score_task(task, [by_id[line["id"]] for line in said], [line["answer"] for line in said])
        assert {name: figure["value"] for name, figure in cell["figures"].items()} == {
            name: pytest.approx(one.value) for name, one in expected.items()
        }


def test__draw_that_takes_all_shots_there_are__is_made_once(tmp_path):
    train = write(tmp_path / "train.jsonl", groups(tmp_path, 2, first=50))
    test = write(tmp_path / "test.jsonl", groups(tmp_path, 3))
    data = load_task_data(get_task("naturalbench_retrieval"), train, test=test)
    folder, _ = run(tmp_path / "run", [data], BenchmarkSettings(("sav",), (2, 4), draws=3))
    places = [(cell["shots"], cell["draw"]) for cell in folder.cells() if cell["method"] == "sav"]
    assert sorted(places) == [(2, 0), (2, 1), (2, 2), (4, 0)]


def test__slow_baseline_on_groups__is_judged_on_whole_ones(tmp_path):
    data = load_task_data(
        get_task("naturalbench_retrieval"),
        write(tmp_path / "train.jsonl", groups(tmp_path, 2, first=50)),
        test=write(tmp_path / "test.jsonl", groups(tmp_path, 5)),
        max_test=17,
    )
    assert len(data.parts[0].test) == 16
    folder, _ = run(
        tmp_path / "run",
        [data],
        BenchmarkSettings(("zero_shot",), (2,), draws=1, items=9),
        FakeBackbone(answers=("Yes", "perhaps")),
    )
    [cell] = [cell for cell in folder.cells() if cell["method"] == "zero_shot"]
    said = lines(folder.path / "answers" / "naturalbench_retrieval" / "zero_shot-2-0.jsonl")
    assert (cell["n_test"], len(said)) == (8, 8)
    assert cell["n_failed"] == cell["n_unparsed"] == sum(line["answer"] is None for line in said) > 0
    assert cell["figures"]["g_acc"]["n"] == 2


def test__table__means_with_intervals_over_draws_and_majority(notes, tmp_path):
    folder, _ = run(tmp_path / "run", [own(notes)], BenchmarkSettings(("sav",), (2,), draws=3))
    with (folder.path / "table.csv").open() as file:
        found = {row["method"]: row for row in csv.DictReader(file)}
    assert list(found) == ["sav", "majority"]
    values = [cell["figures"]["accuracy"]["value"] for cell in folder.cells() if cell["method"] == "sav"]
    low, high = interval_over_draws(values)
    assert float(found["sav"]["mean"]) == pytest.approx(np.mean(values))
    assert (float(found["sav"]["low"]), float(found["sav"]["high"])) == pytest.approx((low, high))
    line = f"| notes (n_way), accuracy | {100 * np.mean(values):.1f} ({100 * low:.1f} to {100 * high:.1f}) |"
    assert line in (folder.path / "table.md").read_text()
    assert (found["majority"]["mean"], found["majority"]["published"]) == ("0.5", "")


def test__no_shots__only_what_answers_from_class_names_is_run(notes, tmp_path):
    settings = BenchmarkSettings(("sav", "zero_shot"), (0, 2), draws=2)
    folder, _ = run(tmp_path / "run", [own(notes)], settings)
    places = {(cell["method"], cell["shots"], cell["draw"]) for cell in folder.cells()}
    assert {place for place in places if place[1] == 0} == {("zero_shot", 0, 0)}
    assert "No shots: class names alone" in (folder.path / "table.md").read_text()


def test__task_with_parts__a_model_for_each_and_one_score(tmp_path):
    task = Task(
        name="views",
        prompt="Where?",
        protocol="n_way",
        metric="accuracy_by_split",
        origin="made up",
        split_column="split",
        parts={"near": None, "far": None},
    )
    rows = [
        {
            "text": f"{index}",
            "split": "near" if index < 10 else "far",
            "label": "ab"[index % 2],
            "id": f"v{index}",
        }
        for index in range(24)
    ]
    data = load_task_data(task, write(tmp_path / "views.jsonl", rows))
    assert [(part.name, len(part.pool)) for part in data.parts] == [("near", 10), ("far", 14)]
    folder, _ = run(tmp_path / "run", [data], BenchmarkSettings(("sav",), (2,), draws=1))
    [cell] = [cell for cell in folder.cells() if cell["method"] == "sav"]
    said = {line["id"]: line for line in lines(folder.path / "answers" / "views" / "sav-2-0.jsonl")}
    right = {}
    for part in data.parts:
        labels = np.array([example.label for example in part.pool])
        features = FakeBackbone().extract(part.pool).features
        drawn, test = draw_rows(labels, 2, (0, 0))
        answers = (
            make_method("sav", FakeBackbone().layout)
            .fit(features[drawn], labels[drawn])
            .predict(features[test])
        )
        assert [said[part.pool[row].id]["answer"] for row in test] == answers.tolist()
        right[part.name] = np.mean(answers == labels[test])
    assert cell["figures"]["mean_over_splits"]["value"] == pytest.approx(np.mean(list(right.values())))
    assert cell["figures"]["accuracy of far"]["value"] == pytest.approx(right["far"])
    assert "accuracy of far" not in (folder.path / "table.md").read_text()


def test__audit__is_kept_and_made_once(notes, tmp_path):
    data, asked = own(notes), []

    def audit(_backbone, one):
        asked.append(one.name)
        return [{"task": one.name, "control": "text_only", "figures": {}}]

    settings = BenchmarkSettings(("sav",), (2,), draws=1)
    folder, _ = run(tmp_path / "run", [data], settings, audit=audit)
    run(tmp_path / "run", [data], settings, audit=audit)
    assert asked == ["notes"]
    assert lines(folder.path / "audit.jsonl") == [{"task": "notes", "control": "text_only", "figures": {}}]


def test__request_that_cannot_be_run__names_the_task(notes):
    data = own(notes)
    with pytest.raises(DataError, match="task notes: 8 shots leave no test example of some class"):
        check_benchmark([data], BenchmarkSettings(("sav",), (8,)))
    with pytest.raises(ValueError, match="no method is named 'nothing'"):
        check_benchmark([data], BenchmarkSettings(("nothing",), (2,)))
    other = replace(data, task=own_task("Notes"))
    with pytest.raises(ValueError, match="the tasks notes and Notes would write the same files"):
        check_benchmark([data, other], BenchmarkSettings(("sav",), (2,)))


def test__metric_that_cannot_be_computed__is_the_reason_of_the_failure(notes, tmp_path):
    task = replace(own_task("notes", "Is it?"), metric="accuracy_by_split", split_column="part")
    data = load_task_data(task, notes, own=True)
    folder, _ = run(tmp_path / "run", [data], BenchmarkSettings(("sav",), (2,), draws=1))
    for cell in folder.cells():
        assert "there is no value in column 'part', which task notes needs" in cell["failure"]
        assert cell["figures"] == {}
    assert "failed in 1 of 1 draws: accuracy_by_split" in (folder.path / "table.md").read_text()
