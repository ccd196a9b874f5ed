"""`savs benchmark`: the command as users type it, and runs that are killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from savs.benchmarks import DEMO_TASKS
from savs.tasks import list_tasks

PROGRAM = Path(__file__).parent / "extracting.py"


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def content(folder):
    """All files of a run but its store, with what differs between runs left out."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if not file.is_file() or name.startswith("store") or name in ("run.json", ".lock"):
            continue
        if name == "results.jsonl" or name.startswith("cells"):
            found[name] = [{**line, "seconds": 0} for line in lines(file)]
        else:
            found[name] = file.read_bytes()
    return found


@pytest.fixture
def command(train, backbone, tmp_path):
    options = ["-b", backbone, "--prompt", "Which colour?", "--shots", "2", "--draws", "2"]
    return ["benchmark", train, *options, "-o", tmp_path / "run"]


def test__list__names_every_task_with_protocol_metric_and_origin(savs):
    code, out, _ = savs("benchmark", "--list", "--json")
    tasks = {task["name"]: task for task in json.loads(out)["tasks"]}
    assert code == 0
    assert set(tasks) == {*list_tasks(), *DEMO_TASKS}
    assert tasks["eurosat"]["protocol"] == "four_way"
    assert tasks["eurosat"]["needs_files"]
    assert not tasks["demo_photos"]["needs_files"]
    code, out, _ = savs("benchmark", "--list")
    assert code == 0
    for name, task in tasks.items():
        assert name in out
        assert " ".join(task["origin"].split()) in " ".join(out.split())


def test__own_folder__table_files_and_json(command, savs, tmp_path):
    code, out, error = savs(*command, "--methods", "sav,zero_shot,clip_probe", "--json")
    assert (code, error) == (0, "")
    found = json.loads(out)
    assert found["tasks"] == ["images"]
    results = {(row["method"], row["figure"]): row for row in found["results"]}
    assert {method for method, _ in results} == {"sav", "zero_shot", "clip_probe", "majority"}
    assert results["majority", "accuracy"]["mean"] == 0.5
    assert "no image-text model is named" in results["clip_probe", "accuracy"]["failure"]
    run = tmp_path / "run"
    record = json.loads((run / "run.json").read_text())
    assert record["schema"] == 1
    assert record["settings"]["shots"] == [2]
    assert record["versions"]["torch"]
    assert record["backbone"]["fingerprint"]["weights_digest"]
    assert record["data"]["images"]["n_pool"] == 8
    assert len(lines(run / "results.jsonl")) == 4 * 2
    assert {line["text"] for line in lines(run / "items" / "images.jsonl")} == {"Which colour?"}
    before = content(run)
    code, out, _ = savs(*command, "--methods", "sav,zero_shot,clip_probe", "--json")
    assert code == 0
    assert content(run) == before
    assert json.loads(out)["results"] == found["results"]


def test__table__on_the_terminal(command, savs):
    code, out, error = savs(*command, "--methods", "sav,tf_idf")
    assert code == 0
    assert "images, 2 shots per class" in out
    assert "majority" in out
    assert "table.md" in error
    assert out.count("tf_idf") == 1


def test__another_configuration__one_line_that_names_it(command, savs, tmp_path):
    assert savs(*command, "--methods", "sav", "-q")[0] == 0
    code, _, error = savs(*command, "--methods", "sav,calm", "--seed", "1")
    assert code == 1
    assert error == (
        f"savs: error: {tmp_path / 'run'} holds another run, name a new folder; what differs: seed (0 -> 1)\n"
    )


def test__another_method__joins_the_run(command, savs, tmp_path):
    _, out, _ = savs(*command, "--methods", "sav", "--json")
    first = json.loads(out)["results"]
    code, out, _ = savs(*command, "--methods", "calm", "--json")
    joined = json.loads(out)["results"]
    assert code == 0
    assert {row["method"] for row in joined} == {"sav", "calm", "majority"}
    assert [row for row in joined if row["method"] != "calm"] == first
    assert "| calm " in (tmp_path / "run" / "table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["nothing-there"],
            "there is no task 'nothing-there' (--list shows them), and no such file or folder",
        ),
        (["demo_photos", "--source", "demo_shape=x"], "demo_shape is none of the tasks"),
        (["demo_photos", "--source", "demo_photos"], "'demo_photos' is not TASK=PATH"),
        (["demo_photos", "demo_photos"], "there are two tasks called demo_photos"),
        (["demo_photos", "--methods", "nothing"], "no method named 'nothing'"),
        (["demo_photos", "--shots", "some"], "is not one or more whole numbers"),
        ([], "Missing argument '[TASK]...'; --list shows the tasks"),
    ],
)
def test__wrong_usage__exit_2_and_what_is_wrong(arguments, says, savs, tmp_path):
    code, out, error = savs("benchmark", *arguments, "-b", "tiny", "-o", tmp_path / "run", "--json")
    assert code == 2
    assert says in " ".join(error.split())
    assert says in json.loads(out)["error"]["message"]
    assert not (tmp_path / "run").exists()


def test__files_that_are_not_there__exit_1_before_a_model_is_loaded(savs, tmp_path):
    run = ["-b", tmp_path / "no-model", "-o", tmp_path / "run"]
    code, _, error = savs("benchmark", "pets", "--source", f"pets={tmp_path / 'none.json'}", *run)
    assert (code, error) == (
        1,
        f"savs: error: task pets: there is no file or folder {tmp_path / 'none.json'}\n",
    )
    data = tmp_path / "data.jsonl"
    data.write_text('{"image": "gone.png", "label": "a"}\n{"image": "gone.png", "label": "b"}\n')
    code, _, error = savs("benchmark", data, *run)
    assert code == 1
    assert "gone.png" in error
    code, _, error = savs("benchmark", "demo_photos", "--shots", "300", *run)
    assert code == 1
    assert "task demo_photos: 300 shots leave no test example of some class" in error


def test__example_that_cannot_be_read__exit_3_and_it_counts_as_failed(rows, backbone, savs, tmp_path):
    items = [
        {"image": f"{name}.png", "question": f"{index}?", "label": name, "id": f"{name}{index}"}
        for index in range(4)
        for name in ("red", "blue")
    ]
    data = rows(*items, {"image": "broken.png", "question": "?", "label": "red", "id": "bad"})
    command = ["benchmark", data, "-b", backbone, "--methods", "sav", "--shots", "2", "-o", tmp_path / "run"]
    code, _, error = savs(*command)
    assert code == 1
    assert "bad" in error
    code, out, _ = savs(*command, "--max-errors", "1", "--json")
    found = json.loads(out)
    assert code == 3
    assert [error["id"] for error in found["errors"]] == ["bad"]
    assert all(row["n_failed"] == 5 and row["n_test"] == 5 for row in found["results"])


def test__audit__one_line_per_control_and_draw(command, savs, tmp_path):
    code, _, error = savs(*command, "--methods", "sav", "--audit", "-q")
    assert (code, error) == (0, "")
    found = lines(tmp_path / "run" / "audit.jsonl")
    assert {line["task"] for line in found} == {"images"}
    controls = {line["control"] for line in found}
    assert {"image_blanked", "text_only", "shuffled_labels", "metadata_only"} <= controls
    code, _, error = savs(*command[:-1], tmp_path / "other", "--methods", "zero_shot", "--audit")
    assert code == 2
    assert "--audit needs a method on heads" in error
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test__fault_23__killed_at_named_points_of_a_write__rerun_ends_the_same(train, environment, tmp_path):
    def plan(name, **more):
        folder = tmp_path / name
        arguments = ["benchmark", train, "-b", "tiny", "--prompt", "Which?", "--methods", "sav,zero_shot"]
        arguments += ["--shots", "1,2", "--draws", "2", "-q", "--max-errors", "-1", "-o", folder]
        files = {kind: f"{folder}.{kind}" for kind in ("log", "output")}
        return {"arguments": [*map(str, arguments)], **files, **more}

    points = [("created", 1), ("written", 6), ("renamed", 11), ("created", 20)]
    plans = [plan("whole")]
    for number, (point, occurrence) in enumerate(points):
        plans += [plan(f"run{number}", point=point, occurrence=occurrence), plan(f"run{number}")]
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate(json.dumps(plans) + "\n")
    exits = json.loads(out)["exits"]
    assert exits[0] == 0, Path(plans[0]["output"]).read_text()
    whole = content(tmp_path / "whole")
    assert len(whole) > 20
    for number, point in enumerate(points):
        killed, again = exits[1 + 2 * number], exits[2 + 2 * number]
        assert (killed, again) == (-9, 0), (point, Path(plans[2 + 2 * number]["output"]).read_text())
        run = tmp_path / f"run{number}"
        assert content(run) == whole
        assert not list(run.rglob(".tmp-*"))
